"""Test that a model which crashes the runtime is told in one line, by a process that lives on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.backends import first_opening
from yolov8_seg_ros.backends.first_opening import check_opening
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.errors import BackendError, ModelError, RunInterruptedError
from yolov8_seg_ros.model_files.store import BUNDLED_SHA256, PUBLISHED_MODELS, SCENE_MODEL, find_model

#: Modules that stand in for the one that opens a model, and what they do.
PROGRAMS = {
    "crash": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
    "abort": "import os\nos.abort()",
    "hang": "import time\ntime.sleep(600)",
    "error": "raise OSError('no memory for it')",
    "refused": "import sys\nwith open(sys.argv[1] + '.log', 'a') as log: log.write(sys.argv[2] + ' ')\n"
    "print('the model cannot be loaded: nothing fits')\nsys.exit(3)",
    "counted": "import sys\nwith open(sys.argv[1] + '.log', 'a') as log: log.write(sys.argv[2] + ' ')",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "tiny.tflite")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Return what lets another program open models."""

    def choose(name: str) -> None:
        (tmp_path / f"opens_{name}.py").write_text(PROGRAMS[name])
        monkeypatch.setattr(first_opening, "PROGRAM", f"opens_{name}")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return choose


@pytest.mark.parametrize(("program", "name"), [("crash", "SIGSEGV"), ("abort", "SIGABRT")], ids=["crash", "abort"])
def test_a_crash_is_told_with_the_file(runs, model, program, name):
    runs(program)
    with pytest.raises(ModelError, match=rf"{model}: the model crashes the runtime that opens it \({name}\)"):
        open_backend(str(model))


def test_a_hang_is_told(runs, model, monkeypatch):
    runs("hang")
    monkeypatch.setattr(first_opening, "LIMIT_S", 0.2)
    with pytest.raises(ModelError, match=r"not open after 0\.2 s"):
        check_opening(model)


def test_a_check_that_cannot_be_made_is_told(runs, model):
    runs("error")
    with pytest.raises(BackendError, match="cannot be checked whether the model opens: OSError: no memory for it"):
        check_opening(model)


def test_it_is_broken_off(runs, model):
    runs("hang")
    with pytest.raises(RunInterruptedError, match="broken off"):
        check_opening(model, stop=lambda: True)


def test_each_way_to_open_a_file_is_checked_once(runs, model):
    runs("counted")
    for raw_head in (True, True, False, True, False):
        check_opening(model, raw_head)
    assert Path(f"{model}.log").read_text() == "raw published "


def test_another_content_is_checked_again(runs, model):
    runs("counted")
    check_opening(model)
    write_segmentation_model(model, num_classes=3)
    check_opening(model)
    assert Path(f"{model}.log").read_text() == "raw raw "


def test_what_the_runtime_refuses_is_not_opened_again(runs, model):
    runs("refused")
    for _ in range(2):
        with pytest.raises(ModelError, match=r"^the model cannot be loaded: nothing fits$"):
            check_opening(model)
    assert Path(f"{model}.log").read_text() == "raw raw "


def test_what_only_an_npu_may_run_is_left_to_it(runs, model):
    runs("refused")
    check_opening(model, on_cpu=False)
    check_opening(model, on_cpu=False)
    assert Path(f"{model}.log").read_text() == "raw raw "


def test_a_model_that_the_runtime_refuses_is_told_as_by_itself(tmp_path):
    path = tmp_path / "refused.tflite"
    content = write_segmentation_model(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError) as by_itself, TfliteBackend(path):
        pass
    with pytest.raises(ModelError) as by_child:
        open_backend(str(path))
    assert str(by_child.value) == str(by_itself.value)


def test_nothing_is_remembered_of_a_crash(runs, model):
    for program in ("crash", "crash", "counted"):
        runs(program)
        if program == "crash":
            with pytest.raises(ModelError):
                check_opening(model)
        else:
            check_opening(model)
    assert Path(f"{model}.log").read_text() == "raw "


def test_where_nothing_can_be_kept_it_is_checked_each_time(runs, model, cache):
    runs("counted")
    cache.touch()
    check_opening(model)
    check_opening(model)
    assert Path(f"{model}.log").read_text() == "raw raw "


def test_known_files_are_not_opened_twice(runs):
    runs("crash")
    check_opening(find_model(SCENE_MODEL))


def test_published_files_are_not_opened_twice(runs, st_model_256, st_model_320):
    runs("crash")
    check_opening(st_model_256)
    check_opening(st_model_320)


def test_the_bundled_file_is_the_known_one():
    assert hashlib.sha256(find_model(SCENE_MODEL).read_bytes()).hexdigest() == BUNDLED_SHA256


def test_another_file_under_a_published_name_is_refused(tmp_path):
    published = PUBLISHED_MODELS[0]
    path = write_segmentation_model(tmp_path / published.file_name)
    with pytest.raises(ModelError, match=f"expected {published.sha256}; remove it and run: .*{published.name}"):
        open_backend(str(path))


@pytest.mark.parametrize("raw", [False, True], ids=["decoded", "raw"])
def test_a_sound_model_opens(tmp_path, raw):
    path = write_segmentation_model(tmp_path / "sound.tflite", raw=raw)
    with open_backend(str(path), "cpu") as backend:
        assert backend.spec.is_raw == raw
