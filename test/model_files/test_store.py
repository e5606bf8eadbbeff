"""Test that models are found by path and by name, and that what is missing is reported."""

from __future__ import annotations

import os

import pytest

from yolov8_seg_ros.errors import ModelError
from yolov8_seg_ros.model_files import store as model_store
from yolov8_seg_ros.model_files.store import (
    PUBLISHED_MODELS,
    available_models,
    cache_folder,
    find_model,
    published_model,
)

PUBLISHED = PUBLISHED_MODELS[0]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Return empty model folders: own (two), cache, checkout and share, by name."""
    names = ("own_a", "own_b", "cache/yolov8_seg_ros", "checkout/models", "share/models")
    made = {name: tmp_path / name for name in names}
    for folder in made.values():
        folder.mkdir(parents=True)
    (tmp_path / "checkout" / "package.xml").touch()
    monkeypatch.setenv("YOLOV8_SEG_MODELS", f"{made['own_a']}{os.pathsep}{os.pathsep}{made['own_b']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(model_store, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(model_store, "_share_folder", lambda: tmp_path / "share")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return made


def put(folder, name="fish.tflite"):
    path = folder / name
    path.write_bytes(b"model")
    return path


@pytest.mark.parametrize("name", ["own_a", "own_b", "cache/yolov8_seg_ros", "checkout/models", "share/models"])
@pytest.mark.parametrize("typed", ["fish", "fish.tflite"])
def test_a_model_is_found_by_name(name, typed, folders):
    expected = put(folders[name])

    assert find_model(typed) == expected


def test_a_model_is_found_by_path(tmp_path):
    path = put(tmp_path, "other.bin")

    assert find_model(str(path)) == path
    assert find_model("../other.bin").samefile(path)


def test_a_file_here_comes_before_one_of_that_name_elsewhere(tmp_path, folders):
    put(folders["own_a"])
    here = put(tmp_path / "elsewhere")

    assert find_model("fish.tflite").samefile(here)


def test_folders_are_searched_in_order(folders):
    for name in reversed(folders):
        expected = put(folders[name])
        assert find_model("fish") == expected


def test_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    expected = put(tmp_path)

    assert find_model("~/fish.tflite") == expected


@pytest.mark.parametrize("typed", [PUBLISHED.name, PUBLISHED.file_name, PUBLISHED.file_name.removesuffix(".tflite")])
def test_a_published_model_is_found_by_each_of_its_names(typed, folders):
    expected = put(folders["own_b"], PUBLISHED.file_name)

    assert find_model(typed) == expected
    assert published_model(typed) is PUBLISHED


def test_a_published_model_that_is_missing_names_the_download():
    with pytest.raises(ModelError, match=f"yolov8_seg model download {PUBLISHED.name}$"):
        find_model(PUBLISHED.name)


def test_a_folder_is_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(ModelError, match=r"model .cat.: there is a folder at that path; give the [.]tflite file in it"):
        find_model("cat")


def test_an_unknown_name_lists_places_and_models(folders):
    put(folders["own_b"])

    with pytest.raises(ModelError, match=r"model 'cat'.*there: fish") as caught:
        find_model("cat")

    assert all(str(folder) in str(caught.value) for folder in folders.values())


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "no model was named"),
        ("./cat.tflite", "there is no file at that path"),
        ("../elsewhere", "there is a folder"),
        ("/dev/null", "this is not a regular file"),
        ("./" + "a" * 5000, "the file cannot be read: File name too long"),
        ("b" * 5000, "model 'b{199}…': there is no such file"),
        ("~nosuchuser/cat.tflite", "there is no file at that path"),
        ("./a\0b", "there is no file at that path|embedded null byte"),
        ("\x1b[2Jcat", "model '�.2Jcat'"),
    ],
    ids=["empty", "missing", "folder", "device", "long path", "long name", "nobody's home", "NUL", "control character"],
)
def test_what_cannot_be_a_model_is_reported(typed, message):
    with pytest.raises(ModelError, match=message):
        find_model(typed)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter any folder")
def test_a_folder_that_may_not_be_entered_is_told(tmp_path):
    path = put(tmp_path / "own_a")
    path.parent.chmod(0)
    with pytest.raises(ModelError, match="cannot be read: Permission denied"):
        find_model(str(path))
    path.parent.chmod(0o755)


def test_available_models_are_those_found_by_name(folders):
    put(folders["share/models"])
    first = put(folders["own_b"])
    published = put(folders["cache/yolov8_seg_ros"], PUBLISHED.file_name)
    put(folders["own_a"], "README.md")

    assert available_models() == {"fish": first, PUBLISHED.name: published}


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_the_cache_is_below_home_by_default(value, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert cache_folder() == tmp_path / ".cache" / "yolov8_seg_ros"


def test_a_package_that_is_not_installed_has_a_share_folder_in_the_environment(monkeypatch):
    monkeypatch.undo()
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)

    assert model_store._share_folder().name == "yolov8_seg_ros"
