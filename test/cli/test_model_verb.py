"""Test the verb `model`."""

from __future__ import annotations

import dataclasses
import hashlib
import socket

import pytest
from support.head_graphs import head_graph
from support.tiny_models import append_metadata, write_detection_model, write_segmentation_model

from yolov8_seg_ros.cli import model as model_verb
from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.model_files import store as model_store
from yolov8_seg_ros.model_files.class_names import read_metadata
from yolov8_seg_ros.model_files.store import PUBLISHED_MODELS


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLOV8_SEG_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(model_store, "_package_folders", lambda: iter(()))


def test_info_shows_what_a_model_is(tmp_path, capsys):
    write_segmentation_model(tmp_path / "tiny.tflite", input_hw=(64, 96), names=["cat", "mouse"])

    assert main(["model", "info", "tiny"]) == 0

    text = capsys.readouterr().out
    for expected in (
        str(tmp_path / "tiny.tflite"),
        "96x64 RGB",
        "int8  1x64x96x3  scale 0.003921569, zero point -128",
        "126 (strides 8, 16, 32 px)",
        "channels 0 to 3, channels first, in steps of 1.9 px of the input",
        "channels 4 to 5, channels first, in steps of 0.02",
        "channels 6 to 9, channels first\n",
        "4 of 24x16 cells",
        "2: cat, mouse",
    ):
        assert expected in text


def test_info_shows_a_float_model_without_names(tmp_path, capsys):
    write_segmentation_model(tmp_path / "tiny.tflite", output_dtype="float32", channels_first=False)

    assert main(["model", "info", "tiny"]) == 0

    text = capsys.readouterr().out
    assert "anchors first\n" in text
    assert "2 (numbered: the model has no names; give --class-names-file): class_0, class_1" in text


def test_info_takes_names_from_a_file(tmp_path, capsys):
    write_segmentation_model(tmp_path / "tiny.tflite")
    (tmp_path / "names.txt").write_text("fish\nredfish\n")

    assert main(["model", "info", "tiny", "--class-names-file", str(tmp_path / "names.txt")]) == 0
    assert "2: fish, redfish" in capsys.readouterr().out


def test_info_refuses_a_detection_model(tmp_path, capsys):
    write_detection_model(tmp_path / "tiny.tflite")

    assert main(["model", "info", "tiny"]) == 1
    assert "this looks like a detection model" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["256", "320"])
def test_info_of_the_published_models(size, capsys, request):
    path = request.getfixturevalue(f"st_model_{size}")

    assert main(["model", "info", str(path)]) == 0
    assert "80: person, bicycle" in capsys.readouterr().out
    published = model_store.published_model(path.name)
    assert published.size_bytes == path.stat().st_size
    assert published.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_list_shows_what_is_here_and_what_can_be(tmp_path, capsys):
    write_segmentation_model(tmp_path / "tiny.tflite")
    (tmp_path / PUBLISHED_MODELS[0].file_name).touch()

    assert main(["model", "list"]) == 0

    text = capsys.readouterr().out
    assert str(tmp_path / "tiny.tflite") in text
    assert f"{PUBLISHED_MODELS[0].name}  {tmp_path / PUBLISHED_MODELS[0].file_name}" in text
    assert f"yolov8_seg model download {PUBLISHED_MODELS[1].name}" in text


def test_download_of_a_file_that_is_there_says_so(tmp_path, capsys, monkeypatch):
    published = dataclasses.replace(PUBLISHED_MODELS[0], sha256=hashlib.sha256(b"model").hexdigest(), size_bytes=5)
    monkeypatch.setattr(model_verb, "published_model", lambda _name: published)
    cached = tmp_path / "cache" / "yolov8_seg_ros" / published.file_name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"model")

    assert main(["model", "download", published.name]) == 0

    text = capsys.readouterr().out
    assert text.startswith(f"{cached}  (there already; licence AGPL-3.0")
    assert "http" not in text


def test_download_without_network_is_one_line(capsys, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("YOLOV8_SEG_MODEL_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")

        assert main(["model", "download", PUBLISHED_MODELS[0].name]) == 1

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "cannot be reached" in lines[0]


def test_download_of_an_unknown_model_names_the_known_ones(capsys):
    assert main(["model", "download", "yolov9"]) == 1
    assert "'yolov9' is not a published model; expected one of yolov8n_256, yolov8n_320" in capsys.readouterr().err


@pytest.fixture
def decoded(tmp_path):
    path = tmp_path / "decoded.tflite"
    path.write_bytes(head_graph().pack())
    append_metadata(path, "{'task': 'segment'}")
    return path


def test_raw_writes_the_model_and_says_what_changed(decoded, tmp_path, capsys):
    output = tmp_path / "raw.tflite"

    assert main(["model", "raw", "decoded", "-o", str(output)]) == 0

    lines = [line.split("  ", 1) for line in capsys.readouterr().out.splitlines()]
    texts = [text.strip() for _, text in lines]
    assert texts[0] == f"{output}  ({output.stat().st_size} bytes)"
    assert texts[1] == "13, before 52"
    assert texts[2] == "boxes_8  int8  1x8x12x64  scale 0.08, zero point 0"
    assert texts[11] == "prototypes  int8  1x16x24x8  scale 0.02, zero point 0"
    assert read_metadata(output) == {"task": "segment"}


@pytest.mark.parametrize("size", ["256", "320"])
def test_raw_of_the_published_models(size, tmp_path, capsys, request):
    path = request.getfixturevalue(f"st_model_{size}")

    assert main(["model", "raw", str(path), "-o", str(tmp_path / "raw.tflite")]) == 0
    assert "249, before 293" in capsys.readouterr().out
    assert read_metadata(tmp_path / "raw.tflite")["task"] == "segment"


@pytest.mark.parametrize("output", ["decoded.tflite", "link.tflite"])
def test_raw_does_not_overwrite_its_model(output, decoded, tmp_path, capsys):
    content = decoded.read_bytes()
    (tmp_path / "link.tflite").symlink_to(decoded)

    assert main(["model", "raw", str(decoded), "-o", str(tmp_path / output)]) == 1
    assert "is the model itself" in capsys.readouterr().err
    assert decoded.read_bytes() == content


def test_raw_of_a_raw_model_is_refused_and_writes_nothing(decoded, tmp_path, capsys):
    main(["model", "raw", str(decoded), "-o", str(tmp_path / "raw.tflite")])
    there = sorted(tmp_path.iterdir())
    capsys.readouterr()

    assert main(["model", "raw", str(tmp_path / "raw.tflite"), "-o", str(tmp_path / "again.tflite")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("there is no decoded head to cut off: the head is raw already; use the file as it is")
    assert sorted(tmp_path.iterdir()) == there


def test_raw_that_cannot_be_written_is_one_line(decoded, tmp_path, capsys):
    assert main(["model", "raw", str(decoded), "-o", str(tmp_path / "none" / "raw.tflite")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
