"""Test the verb `segment`: what it writes and prints, and that it loses nothing."""

from __future__ import annotations

import contextlib
import json
import os

import cv2
import numpy as np
import pytest
from support.fakes import make_spec
from support.tiny_models import write_detection_model, write_segmentation_model

from yolov8_seg_ros.cli.main import build_parser, main
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.settings.options import segmenter_options

GREY = np.full((64, 96, 3), 128, np.uint8)


@pytest.fixture
def model(tmp_path):
    return str(write_segmentation_model(tmp_path / "tiny.tflite", names=["cat", "mouse"]))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("1.png", "2.png", "3.png"):
        cv2.imwrite(str(folder / name), GREY)
    return folder


@pytest.fixture
def segment(model, tmp_path):
    """Return a function that runs the verb and returns its exit code."""

    def run(*arguments, model=model):
        return main(["segment", *map(str, arguments), "--model", model, "--output", str(tmp_path / "output")])

    return run


def results(tmp_path):
    return json.loads((tmp_path / "output" / "results.json").read_text())


def test_a_folder_is_segmented(segment, images, tmp_path, capsys):
    assert segment(images) == 0

    assert [result["image_id"] for result in results(tmp_path)] == [1, 2, 3]
    printed = capsys.readouterr()
    assert "auto chose cpu" in printed.out
    assert "3 images, 3 instances; mean times: preprocess " in printed.out
    assert "no class names" not in printed.err


def test_options_reach_the_segmenter(segment, images, tmp_path):
    assert segment(images, "--score-threshold", "0.95") == 0
    assert results(tmp_path) == []

    assert segment(images, "--classes", "cat") == 0
    assert results(tmp_path) == []

    assert segment(images, "--classes", "cat, mouse", "--fit", "stretch", "--decoding", "ultralytics") == 0
    assert results(tmp_path)[0]["bbox"] == pytest.approx([24, 16, 48, 32], abs=0.1)


def test_defaults_are_the_cores():
    args = build_parser(["segment"]).parse_args(["segment", "x"])
    assert segmenter_options(vars(args), make_spec()) == SegmenterOptions()


def test_every_option_reaches_the_segmenter():
    options = SegmenterOptions(
        fit="stretch",
        interpolation="linear",
        pixel_rounding="toward_zero",
        detection=DetectionOptions(
            0.5, 0.6, 7, (1,), agnostic_nms=True, multi_label=False, vote_boxes=False, mask_threshold=0.5
        ),
    )
    written = "--fit stretch --score-threshold 0.5 --iou-threshold 0.6 --max-instances 7 --classes 1 --agnostic-nms"
    written += " --decoding ultralytics"
    args = build_parser(["segment"]).parse_args(["segment", "x", *written.split()])
    assert segmenter_options(vars(args), make_spec()) == options


@pytest.mark.parametrize("damage", ["cut_short", "no_image", "empty"])
def test_a_bad_image_is_reported_and_left_out(damage, segment, images, tmp_path, capsys):
    whole = cv2.imencode(".jpg", GREY)[1].tobytes()
    bad = {"cut_short": whole[: len(whole) // 2], "no_image": b"words", "empty": b""}[damage]
    (images / "2.png").unlink()
    (images / "2.jpg").write_bytes(bad)

    assert segment(images, images / "2.jpg", images / "1.png") == 1

    printed = capsys.readouterr()
    assert printed.err.count("skipped: ") == 2
    assert "2.jpg" in printed.err
    assert "3 images, 3 instances, 2 skipped" in printed.out
    assert len(results(tmp_path)) == 3


def test_nothing_readable_keeps_earlier_results(segment, images, tmp_path, capsys):
    assert segment(images) == 0
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.jpg").write_bytes(b"words")

    assert segment(bad) == 1

    printed = capsys.readouterr().err
    assert printed.count("skipped: ") == 1
    assert "error: nothing was segmented" in printed
    assert len(results(tmp_path)) == 3


@pytest.mark.parametrize("name", ["missing.jpg", "0", "demo", "/dev/null", "http://camera/a.jpg", "~nobody/a.jpg"])
def test_an_input_that_is_none_is_reported_before_any_work(name, segment, images, tmp_path, capsys):
    assert segment(images, name) == 1

    assert f"'{name}': no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


def test_inputs_are_never_overwritten(model, images, capsys):
    before = (images / "1.png").read_bytes()

    for given in (images, images / "1.png"):
        assert main(["segment", str(given), "--model", model, "--output", str(images)]) == 1
        assert "give another folder" in capsys.readouterr().err

    assert (images / "1.png").read_bytes() == before
    assert not (images / "results.json").exists()


def test_the_target_of_a_linked_input_is_never_overwritten(segment, images, tmp_path, capsys):
    output = tmp_path / "output"
    output.mkdir()
    original = output / "1.png"
    (images / "1.png").rename(original)
    (images / "1.png").symlink_to(original)
    before = original.read_bytes()

    for given in (images, images / "1.png"):
        assert segment(given) == 1
        assert "give another folder" in capsys.readouterr().err
    assert original.read_bytes() == before


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "ü" * 125 + ".png"], ids=["ascii", "utf-8"])
def test_the_longest_names_are_written(name, segment, images, tmp_path):
    (images / "1.png").rename(images / name)
    (images / "more").mkdir()
    (images / "more" / name).write_bytes((images / "2.png").read_bytes())

    assert segment(images, images / "more") == 0

    images = json.loads((tmp_path / "output" / "images.json").read_text())["images"]
    assert len(images) == 4
    assert all((tmp_path / "output" / image["file_name"]).is_file() for image in images)


def test_an_error_on_the_way_keeps_what_was_found(segment, images, tmp_path, capsys):
    # An image cannot take the place of a folder.
    (tmp_path / "output" / "2.png" / "mine").mkdir(parents=True)

    assert segment(images) == 1

    assert "output/2.png" in capsys.readouterr().err
    assert [result["image_id"] for result in results(tmp_path)] == [1, 2]


@pytest.mark.parametrize("damage", ["pipe", "device"])
def test_what_never_ends_is_left_out(damage, segment, images, capsys):
    (images / "2.png").unlink()
    if damage == "pipe":
        os.mkfifo(images / "2.png")
    else:
        (images / "2.png").symlink_to("/dev/zero")

    assert segment(images) == 1

    printed = capsys.readouterr()
    assert "2.png: cannot be read: not a regular file" in printed.err
    assert "2 images, 2 instances, 1 skipped" in printed.out


@pytest.mark.parametrize("name", ["caf\udce9.png", "a\x1b[2Jb.png", "a\nb.png"], ids=["no-utf-8", "escape", "line"])
def test_names_are_fit_to_be_printed(name, segment, images, tmp_path, capsys):
    (images / name).write_bytes(b"words")

    assert segment(images) == 1

    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    printed.encode("utf-8")
    assert "\x1b" not in printed


def test_a_class_name_that_opencv_cannot_draw(segment, images, tmp_path):
    model = write_segmentation_model(tmp_path / "odd.tflite", names=["cat", "mouse \ud83d"])
    assert segment(images, model=str(model)) == 0


def test_subfolders_and_files_of_earlier_runs_are_mentioned(segment, images, tmp_path, capsys):
    (images / "more").mkdir()
    assert segment(images) == 0
    assert "its 1 subfolders are not read" in capsys.readouterr().err
    assert segment(images / "1.png") == 0
    assert "output has files already" in capsys.readouterr().err


def test_a_failure_leaves_no_empty_folder(segment, images, tmp_path):
    assert segment(images, model="nothere") == 1
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "--output: expected a folder, got ''"),
        ("file", "'file' cannot be made a folder: it is a file; give"),
        ("found.mp4", "--output: expected a folder, got 'found.mp4', the name of a file"),
    ],
    ids=["empty", "a-file", "a-name-of-a-file"],
)
def test_a_wrong_output_is_reported_in_one_line(output, message, model, images, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())

    with contextlib.suppress(SystemExit):
        assert main(["segment", str(images), "--model", model, "--output", output]) == 1

    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert message in printed
    assert sorted(tmp_path.iterdir()) == before


def test_an_unknown_class_is_reported(segment, images, capsys):
    assert segment(images, "--classes", "dog") == 1
    assert "--classes: class 'dog' is not one of the model's: cat, mouse" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--score-threshold", "1.5"], "--score-threshold: expected 0.0 to 1.0, got 1.5"),
        (["--score-threshold", "nan"], "got nan"),
        (["--iou-threshold", "much"], "--iou-threshold: expected a number, got 'much'"),
        (["--max-instances", "0"], "--max-instances: expected 1 or more, got 0"),
        (["--num-threads", "-1"], "--num-threads: expected 0 to 64, got -1"),
        (["--backend", "gpu"], "--backend: expected one of auto, cpu, npu, n6; got 'gpu'"),
        (["--fit", "crop"], "--fit: expected one of letterbox, stretch; got 'crop'"),
    ],
    ids=lambda value: value[0] + value[1] if isinstance(value, list) else "",
)
def test_a_wrong_value_is_reported_by_its_option(arguments, message, segment, images, capsys):
    with pytest.raises(SystemExit) as caught:
        segment(images, *arguments)

    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_model_is_reported(segment, images, tmp_path, capsys):
    assert segment(images, model=str(tmp_path / "none.tflite")) == 1
    assert "there is no file at that path" in capsys.readouterr().err


def test_a_detection_model_is_reported(segment, images, tmp_path, capsys):
    assert segment(images, model=str(write_detection_model(tmp_path / "detect.tflite"))) == 1
    assert "this looks like a detection model" in capsys.readouterr().err


def test_numbered_classes_are_reported(segment, images, tmp_path, capsys):
    assert segment(images, model=str(write_segmentation_model(tmp_path / "nameless.tflite"))) == 0
    assert "the model has no class names, they are numbered; give --class-names-file" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made_is_reported(model, images, tmp_path, capsys):
    (tmp_path / "file").touch()

    assert main(["segment", str(images), "--model", model, "--output", str(tmp_path / "file" / "deeper")]) == 1
    assert "cannot be made a folder" in capsys.readouterr().err


def test_people_are_found(st_model_320, coco_images, tmp_path):
    image = next(path for path in coco_images if path.stem == "000000001000")
    options = ["--model", str(st_model_320), "--classes", "person", "--output", str(tmp_path)]

    assert main(["segment", str(image), *options]) == 0

    found = json.loads((tmp_path / "results.json").read_text())
    assert len([result for result in found if result["score"] > 0.5]) >= 6
    assert {result["category_id"] for result in found} == {0}


def test_objects_are_tracked(segment, images, tmp_path):
    assert segment(images, "--track", "--fps", "10") == 0
    assert [result["track_id"] for result in results(tmp_path)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--track"], "give --fps"),
        (["--fps", "10"], "together with --track"),
        (["--track", "--fps", "0"], "above 0"),
        (["--track", "--fps", "10", "--tracking-confirm-s", "5000"], "confirm_s"),
    ],
    ids=["no rate", "rate without tracking", "rate of 0", "out of range"],
)
def test_tracking_needs_a_rate(segment, images, capsys, arguments, message):
    assert segment(images, *arguments) == 1
    assert message in capsys.readouterr().err


def test_a_recording_is_for_another_verb(segment, tmp_path, capsys):
    (tmp_path / "drive.mcap").write_bytes(b"")
    assert segment(tmp_path / "drive.mcap") == 1
    assert f"bag {tmp_path / 'drive.mcap'}'" in capsys.readouterr().err
