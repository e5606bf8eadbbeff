"""Test the NPU backend with real delegates: what runs, options, the cache, and every way it can be missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.delegates import CONV_2D, RESHAPE, build_library, recorded

from yolov8_seg_ros.backends import delegate, npu_cache
from yolov8_seg_ros.backends import npu as npu_module
from yolov8_seg_ros.backends.delegate import DelegateCoverage, coverage_of_graph, load_delegate
from yolov8_seg_ros.backends.npu import NpuBackend, NpuOptions
from yolov8_seg_ros.backends.npu_cache import NO_CACHE
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BackendError, NoDelegatedOpsError
from yolov8_seg_ros.model_files.store import find_model

FAILURES = {
    "CREATE": r"libdelegate_create_22\.so cannot be created with no options; it says: no NPU was found",
    "PREPARE": r"libdelegate_prepare_22\.so fails at .*tiny\.tflite; it says: this NPU is of another generation",
    "KERNEL": r"libdelegate_kernel_22\.so fails at .*; it says: no memory on the NPU Node number 2 \(TestNpu\) failed",
    "INVOKE": r"libdelegate_invoke_22\.so fails at the first image; .*: the NPU does not answer Node number 2",
}


def options(library, **values) -> NpuOptions:
    return NpuOptions(str(library), **{"cache_dir": NO_CACHE, **values})


def segmented(backend):
    return Segmenter(backend).segment(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.usefixtures("runtime")
def test_the_npu_gives_what_the_cpu_gives(model, npu):
    with NpuBackend(model, options=options(npu)) as backend, TfliteBackend(model) as cpu:
        assert backend.info.is_accelerator
        assert "libdelegate_22.so, which runs 2 of 2 operations" in backend.info.description
        assert backend.info.first_run_ms > 0
        assert backend.info.warnings == ()
        np.testing.assert_array_equal(segmented(backend).xyxy, segmented(cpu).xyxy)
        np.testing.assert_array_equal(segmented(backend).label_image(), segmented(cpu).label_image())


@pytest.mark.usefixtures("runtime")
def test_what_the_delegate_leaves_runs_on_the_cpu(model, library):
    with NpuBackend(model, options=options(library(TAKES=RESHAPE, AT_MOST=1))) as backend:
        assert "which runs 1 of 2 operations" in backend.info.description
        assert segmented(backend).class_id.tolist() == [1]


def test_the_coverage_is_what_the_interpreter_reports(runtime, library):
    path = str(find_model("shapes_256x192"))
    names = [op["op_name"] for op in runtime.Interpreter(model_path=path)._get_ops_details()]
    loaded = load_delegate(runtime, library(TAKES=CONV_2D), {})
    interpreter = runtime.Interpreter(model_path=path, experimental_delegates=[loaded])
    coverage = coverage_of_graph(interpreter)
    assert (coverage.delegated_ops, coverage.total_ops) == (names.count("CONV_2D"), len(names))
    assert coverage.partitions > 1


@pytest.mark.parametrize(
    ("coverage", "text"),
    [(DelegateCoverage(3, 3, 1), "3 of 3 operations"), (DelegateCoverage(2, 9, 2), "2 of 9 operations in 2 parts")],
    ids=["whole", "parts"],
)
def test_a_coverage_in_words(coverage, text):
    assert str(coverage) == text


# The options of the delegate


def test_options_reach_the_delegate(model, npu, tmp_path):
    record = tmp_path / "record"
    given = options(npu, options=f"record={record}, device_id=1, error_during_init=true")
    NpuBackend(model, options=given).close()
    told = dict(recorded(record))
    assert told["device_id"] == "1"
    assert told["error_during_init"] == "true"
    assert "cache_file_path" not in told


@pytest.mark.parametrize("text", ["speed", "=1", "a=1,fast"])
def test_options_of_another_form_are_refused(npu, text):
    with pytest.raises(BackendError, match=r"npu\.options: expected key=value, separated by commas; got"):
        options(npu, options=text)


# The cache


def start(model, library, tmp_path, **values):
    """Open and close the backend with a cache; give what the delegate did, and the backend."""
    record = tmp_path / "record"
    record.unlink(missing_ok=True)
    extra = values.pop("options", "")
    text = f"record={record}" + (f",{extra}" if extra else "")
    given = NpuOptions(str(library), **{"cache_dir": str(tmp_path / "cache"), "options": text, **values})
    with NpuBackend(model, options=given) as backend:
        assert segmented(backend).class_id.tolist() == [1]
    return [(key, value) for key, value in recorded(record) if key in ("compiled", "loaded")], backend


def kept(tmp_path):
    return sorted((tmp_path / "cache").iterdir())


@pytest.mark.usefixtures("runtime")
def test_the_second_start_does_not_compile_again(model, npu, tmp_path):
    first, cold = start(model, npu, tmp_path)
    assert [key for key, _ in first] == ["compiled"]
    assert cold.info.warnings == ()
    (file,) = kept(tmp_path)
    second, warm = start(model, npu, tmp_path)
    assert second == [("loaded", str(file))]
    assert f"compiled graph from {file}" in warm.info.description
    assert kept(tmp_path) == [file]


def another_model(model, npu, tmp_path):
    model.write_bytes(model.read_bytes() + b"\0")
    return {}


def another_driver(model, npu, tmp_path):
    os.utime(npu, ns=(1, 1))
    return {}


def another_option(model, npu, tmp_path):
    return {"options": "device_id=1"}


@pytest.mark.parametrize("change", [another_model, another_driver, another_option])
def test_a_stale_graph_is_never_met(model, npu, tmp_path, change):
    library = tmp_path / "libown.so"
    shutil.copy(npu, library)
    start(model, library, tmp_path)
    changed = change(model, library, tmp_path)
    did, _ = start(model, library, tmp_path, **changed)
    assert [key for key, _ in did] == ["compiled"]
    assert len(kept(tmp_path)) == 2


def test_a_library_that_the_delegate_brings_along_counts_too(npu, tmp_path, monkeypatch):
    driver = tmp_path / "libdriver.so"
    driver.write_bytes(b"1")
    monkeypatch.setitem(delegate._libraries_of, npu.resolve(), frozenset([driver]))
    before = delegate.library_identity(npu)
    driver.write_bytes(b"22")
    assert delegate.library_identity(npu) != before


def test_the_libraries_that_a_delegate_brings_along_are_noticed(library, tmp_path):
    own = build_library(tmp_path, TAKES=RESHAPE, AT_MOST=7)
    delegate.check_library(own)
    assert own.resolve() in delegate._libraries_of[own.resolve()]


def test_a_damaged_graph_is_compiled_anew(model, npu, tmp_path):
    start(model, npu, tmp_path)
    (file,) = kept(tmp_path)
    file.write_bytes(b"cut sho")
    did, backend = start(model, npu, tmp_path)
    assert [key for key, _ in did] == ["loaded", "compiled"]
    assert "the kept graph did not run, it was compiled anew" in backend.info.warnings[0]
    assert "the graph is not one of this driver" in backend.info.warnings[0]
    assert [key for key, _ in start(model, npu, tmp_path)[0]] == ["loaded"]


def test_nothing_half_written_is_left_by_a_delegate_that_fails(model, library, tmp_path):
    given = options(library(TAKES=RESHAPE, FAILS_IN="INVOKE"), cache_dir=str(tmp_path / "cache"))
    with pytest.raises(BackendError):
        NpuBackend(model, options=given)
    assert kept(tmp_path) == []


def unwritable_file(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file, not a folder")


def full(tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(100, 100, 0)
    monkeypatch.setattr(npu_cache.shutil, "disk_usage", lambda path: usage)


def full_while_compiling(tmp_path, monkeypatch):
    usages = iter([shutil._ntuple_diskusage(10**9, 0, 10**9), shutil._ntuple_diskusage(10**9, 10**9, 0)])
    monkeypatch.setattr(npu_cache.shutil, "disk_usage", lambda path: next(usages))


def replacing_fails(tmp_path, monkeypatch):
    def replace(source, target):
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(npu_cache.os, "replace", replace)


@pytest.mark.parametrize(
    ("hinder", "words"),
    [
        (unwritable_file, "cache: File exists"),
        (full, "cache is full"),
        (full_while_compiling, "cache is full"),
        (replacing_fails, "Permission denied"),
    ],
)
def test_a_cache_that_cannot_be_used_is_a_warning(model, npu, tmp_path, monkeypatch, hinder, words):
    hinder(tmp_path, monkeypatch)
    did, backend = start(model, npu, tmp_path)
    assert [key for key, _ in did] == ["compiled"]
    assert backend.info.warnings[0].startswith("the NPU's compiled graph is not kept, each start compiles: ")
    assert words in backend.info.warnings[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_a_warning(model, npu, tmp_path):
    (tmp_path / "cache").mkdir(mode=0o500)
    assert "Permission denied" in start(model, npu, tmp_path)[1].info.warnings[0]


def test_a_delegate_that_writes_no_graph_is_a_warning(model, npu, tmp_path, monkeypatch):
    # As an older delegate would that does not know the option.
    monkeypatch.setattr(npu_cache, "_cache_options", lambda file: {})
    assert "the delegate has written no compiled graph" in start(model, npu, tmp_path)[1].info.warnings[0]


def test_a_graph_in_parts_is_not_kept(model, npu, tmp_path, monkeypatch):
    monkeypatch.setattr(npu_module, "coverage_of_graph", lambda interpreter: DelegateCoverage(2, 2, 2))
    _, backend = start(model, npu, tmp_path)
    assert "the model falls into 2 parts, and a cache file holds one" in backend.info.warnings[0]
    assert kept(tmp_path) == []


def test_what_a_process_left_behind_is_cleared_away(model, npu, tmp_path):
    old, young = tmp_path / "cache" / ".compiling-old", tmp_path / "cache" / ".compiling-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    start(model, npu, tmp_path)
    assert young in kept(tmp_path)
    assert old not in kept(tmp_path)


def test_a_cache_given_by_hand_is_left_to_the_user(model, npu, tmp_path):
    own = tmp_path / "own.nbg"
    start(model, npu, tmp_path, options=f"cache_file_path={own},allowed_cache_mode=true")
    assert own.exists()
    assert not (tmp_path / "cache").exists()


def test_the_cache_is_the_users_unless_told_otherwise(model, npu, tmp_path):
    start(model, npu, tmp_path, cache_dir="")
    assert list((tmp_path / "xdg_cache" / "yolov8_seg_ros" / "npu").glob("*.nbg"))


# Every way the NPU can be missing


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("stage", FAILURES)
def test_a_delegate_that_fails_says_where_and_why(model, library, stage):
    with pytest.raises(BackendError, match=FAILURES[stage]) as caught:
        NpuBackend(model, options=options(library(FAILS_IN=stage, TAKES=RESHAPE)))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("runtime")
def test_a_delegate_that_takes_nothing_is_refused(model, library):
    with pytest.raises(NoDelegatedOpsError, match=r"takes none of the 2 operations of .*: quantize the model to int8"):
        NpuBackend(model, options=options(library(TAKES=0)))


def no_library(library, tmp_path):
    return tmp_path / "absent.so"


def text_file(library, tmp_path):
    path = tmp_path / "text.so"
    path.write_text("this is no library")
    return path


def incomplete(library, tmp_path):
    return library("incomplete.c")


LOADING_FAILURES = {
    no_library: r"there is no NPU delegate at .*absent\.so: install it, or set npu.delegate to its path",
    text_file: r"the NPU delegate .*text\.so cannot be loaded: .*text\.so: .*; install it anew",
    incomplete: r"libincomplete\.so is no TensorFlow Lite delegate: it does not export tflite_plugin_destroy_delegate;",
}


@pytest.mark.parametrize("make", LOADING_FAILURES)
def test_what_is_no_delegate_is_reported(model, library, tmp_path, make, capfd):
    with pytest.raises(BackendError, match=LOADING_FAILURES[make]) as caught:
        NpuBackend(model, options=options(make(library, tmp_path)))
    assert "\n" not in str(caught.value)
    # Nothing of the kind "Exception ignored in ..." either.
    assert capfd.readouterr().err == ""


def test_a_library_that_ends_the_process_is_named_before(model, library):
    program = (
        "import sys; from yolov8_seg_ros.backends.npu import NpuOptions;"
        "from yolov8_seg_ros.backends.open_backend import open_backend;"
        "open_backend(sys.argv[1], 'npu', npu=NpuOptions(sys.argv[2]), log=lambda s: print(s, flush=True))"
    )
    path = library("aborting.c")
    ended = subprocess.run(
        [sys.executable, "-c", program, str(model), str(path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == -6
    assert ended.stdout == f"loading {model} with the NPU delegate {path}\n"


# auto


def test_auto_takes_the_npu_where_it_works(model, npu):
    with open_backend(str(model), "auto", npu=options(npu)) as backend:
        assert backend.info.reason == f"auto chose npu: {npu} is there and works"
        assert (backend.fault, backend.info.warnings) == ("", ())


def test_auto_takes_the_cpu_where_there_is_no_npu(model, tmp_path):
    with open_backend(str(model), "auto", npu=options(tmp_path / "absent.so")) as backend:
        assert backend.info.reason == f"auto chose cpu: there is no NPU delegate at {tmp_path / 'absent.so'}"
        assert (backend.fault, backend.info.warnings) == ("", ())


@pytest.mark.parametrize("stage", FAILURES)
def test_auto_never_hides_a_broken_npu(model, library, stage):
    with open_backend(str(model), "auto", npu=options(library(FAILS_IN=stage, TAKES=RESHAPE))) as backend:
        assert not backend.info.is_accelerator
        assert backend.info.reason.startswith("auto chose cpu: the NPU delegate ")
        assert backend.fault.startswith("running on the CPU, since the NPU is broken: the NPU delegate ")
        assert segmented(backend).class_id.tolist() == [1]


@pytest.mark.parametrize("make", [text_file, incomplete])
def test_auto_never_hides_a_broken_library(model, library, tmp_path, make):
    with open_backend(str(model), "auto", npu=options(make(library, tmp_path))) as backend:
        assert backend.fault


def test_auto_warns_of_a_delegate_that_takes_nothing(model, library):
    with open_backend(str(model), "auto", npu=options(library(TAKES=0))) as backend:
        assert "takes none of the 2 operations" in backend.info.warnings[0]
        assert backend.info.reason.startswith("auto chose cpu: ")
        assert backend.fault == ""
