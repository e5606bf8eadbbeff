# The two commands of a machine without ROS 2: `make demo` and `make test`. With ROS 2, build with colcon.

PYTHON = python3
DISTRO = kilted
MODEL =
SOURCE =
OUTPUT = demo_output
SECONDS = 30
SHARE = 1

VENV := .venv$(patsubst %,-%,$(filter-out kilted,$(DISTRO)))
BIN := $(VENV)/bin
STAMPS := $(VENV)/underlay
EXPORT_VENV := .venv-export
PIP_OPTIONS := --quiet --disable-pip-version-check --no-input

# A Python named by the caller remakes a .venv of another version; the default one is content with what is there.
SWITCH := $(if $(filter file,$(origin PYTHON)),,--switch)

PACKAGE_SOURCES := package.xml setup.py setup.cfg $(shell find yolov8_seg_ros config examples firmware launch models resource -type f -not -name '*.pyc' -not -name '*.so' 2>/dev/null)

# A sourced ROS 2 would shadow what .venv holds.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH
# Without bytecode, each of the many processes of the tests compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE
ifdef ROS_DISTRO
unexport LD_LIBRARY_PATH RMW_IMPLEMENTATION ROS_DISTRO ROS_VERSION ROS_PYTHON_VERSION
endif

.NOTPARALLEL:
.PHONY: help demo test lint docs fuzz firmware-test soak bench venv export-env clean tools no_ros always

help: ## say what can be made (this text)
	@echo 'Usage: make TARGET [DISTRO=jazzy] [PYTHON=python3.12] [MODEL=FILE] [SOURCE=IMAGE, FOLDER, VIDEO or sim]'
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(STAMPS)/package ## run image source, node and viewer as processes; write annotated images to OUTPUT
	$(BIN)/yolov8_seg demo $(if $(MODEL),--model '$(MODEL)') $(if $(SOURCE),--source '$(SOURCE)') --output '$(OUTPUT)'

# Many tests wait for processes: four at a time keep two processors busy. The tests of a file share what they set up.
# Files begin in the order of test/support/slow_files.py.
test: lint $(STAMPS)/package ## run what CI runs: linters, type checker, all tests
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

lint: tools ## run ruff, mypy and the import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

FUZZERS := decode_fuzzer bridge_fuzzer
FUZZ_SECONDS = $(shell echo $$(( $(SECONDS) / $(words $(FUZZERS)) )))
BRIDGE := firmware/n6_bridge

fuzz: $(FUZZERS:%=build/%) ## let clang's libFuzzer search SECONDS long for bytes that break decoder or bridge firmware
	@cd build && for fuzzer in $(FUZZERS); do mkdir -p $${fuzzer}_corpus && \
		./$$fuzzer -max_total_time=$(FUZZ_SECONDS) -max_len=4096 $${fuzzer}_corpus \
			$$(ls -d ../test/fuzz/$${fuzzer}_seeds 2>/dev/null) >$$fuzzer.log 2>&1 || \
		{ cat $$fuzzer.log; exit 1; }; echo "$$fuzzer: $$(grep '^Done' $$fuzzer.log)"; done

build/bridge_fuzzer: $(wildcard $(BRIDGE)/core/*.[ch]) test/fuzz/fuzzed_board.h
$(FUZZERS:%=build/%): build/%: test/fuzz/%.c $(wildcard yolov8_seg_ros/native/*.[ch])
	@mkdir -p build
	clang -std=c99 -g -O1 -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-Iyolov8_seg_ros/native -I$(BRIDGE)/core -o $@ $(filter %.c,$^) -lm

firmware-test: $(STAMPS)/package ## run the bridge firmware as Arm code in QEMU; print its flash, RAM and stack
	$(BIN)/python -m pytest -q test/firmware/test_mps3.py test/firmware/test_dk.py

soak: $(STAMPS)/package ## attack models, images, messages, parameters and life cycle for 40 minutes; SHARE=0.1: a tenth of it
	YOLOV8_SEG_SOAK=$(SHARE) $(BIN)/python -m pytest -s test/adversarial test/node/test_robot_drive.py

docs: tools ## write config/seg.yaml and the tables of settings in README.md and docs/
	@$(BIN)/python docs/generate.py

bench: $(STAMPS)/package ## measure speed; prints tables
	$(BIN)/python -m benchmarks $(if $(MODEL),--model '$(MODEL)') $(if $(SOURCE),--image '$(SOURCE)')

venv: tools $(STAMPS)/package ## only set .venv up

export-env: $(EXPORT_VENV)/ready ## make .venv-export, for yolov8_seg export and for training (2.5 GB)

clean: ## remove .venv, .venv-jazzy, .venv-export and what the tools left
	rm -rf .venv .venv-jazzy $(EXPORT_VENV) build log install *.egg-info yolov8_seg_ros/native/*.so .pytest_cache .mypy_cache .ruff_cache

# Always asked, since only the script knows whether .venv is still sound; it touches `ready` where it did something.
$(STAMPS)/ready: always | no_ros
	@$(PYTHON) underlay/setup_venv.py --distro $(DISTRO) $(SWITCH)

tools: $(STAMPS)/ready
	@$(PYTHON) underlay/setup_venv.py --distro $(DISTRO) --dev

# The checkout itself is installed, so that the environment follows what is changed here.
$(EXPORT_VENV)/ready: underlay/requirements-torch.txt underlay/requirements-export.txt
	$(PYTHON) -m venv --clear $(EXPORT_VENV)
	$(EXPORT_VENV)/bin/python -m pip install $(PIP_OPTIONS) --no-deps -r underlay/requirements-torch.txt
	$(EXPORT_VENV)/bin/python -m pip install $(PIP_OPTIONS) --no-deps -r underlay/requirements-export.txt
	$(EXPORT_VENV)/bin/python -m pip install $(PIP_OPTIONS) --no-deps --no-build-isolation --editable .
	@touch $@

# pip builds in the checkout: what an earlier build left there would be installed again. The compiled library is built
# in the checkout too, since tests and benchmarks use the sources there.
$(STAMPS)/package: $(STAMPS)/ready $(PACKAGE_SOURCES)
	@rm -rf build/lib* build/temp.* build/bdist.* *.egg-info
	$(BIN)/python setup.py --quiet build_ext --inplace
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall .
	@rm -rf build/lib* build/temp.* build/bdist.* *.egg-info
	@touch $@

no_ros:
ifdef ROS_DISTRO
ifndef UNDERLAY
	$(error ROS 2 $(ROS_DISTRO) is sourced: build with colcon in a workspace (see README.md), or add UNDERLAY=1 to use .venv instead)
endif
endif
