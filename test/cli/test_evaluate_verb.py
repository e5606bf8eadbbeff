"""Test the verb `evaluate`: its figures, its files, and that an interrupted run goes on."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import re
import shutil
from xml.etree import ElementTree

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from support.shared_data import shared_path
from support.tiny_dataset import SQUARE, content_of, write_dataset, write_pair
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.tools.evaluation import run

#: Places in COCOeval.stats of AP, AP50, AP75 and AR.
STATS = {"AP": 0, "AP50": 1, "AP75": 2, "AR": 8}
KINDS = {"bbox": "box", "segm": "mask"}


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "tiny.tflite", names=["cat", "mouse"])


@pytest.fixture
def data(tmp_path):
    """Return a data set of which the model finds the mouse in each image, its box at IoU 0.75, and no cat."""
    return write_dataset(tmp_path / "data", num_valid=4)


@pytest.fixture
def evaluate(model, tmp_path):
    """Return a function that runs the verb and returns its exit code."""

    def run_verb(*arguments, model=model):
        return main(["evaluate", *map(str, arguments), "--model", str(model), "--output", str(tmp_path / "output")])

    return run_verb


def written(tmp_path, name="metrics.json"):
    return json.loads((tmp_path / "output" / name).read_text())


def by_hand(folder, kind, truth="ground_truth.json"):
    """Return pycocotools' own summary of the files in a folder."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / truth))
        evaluation = COCOeval(coco, coco.loadRes(str(folder / "results.json")), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: evaluation.stats[place] for name, place in STATS.items()}


def assert_same_by_hand(folder, **truth):
    metrics = json.loads((folder / "metrics.json").read_text())
    for kind, title in KINDS.items():
        expected = by_hand(folder, kind, truth.get(title, "ground_truth.json"))
        assert {name: metrics[title][name] for name in STATS} == pytest.approx(expected, abs=1e-6)


def test_figures(evaluate, data, tmp_path, capsys):
    assert evaluate(data, "--mask-threshold", "0.5") == 0

    printed = capsys.readouterr().out
    # The cat is never found; the mouse's box is right from IoU 0.50 to 0.75, six of ten.
    assert re.search(r"^box +0\.3000 +0\.5000 +0\.5000 +0\.3000$", printed, re.MULTILINE)
    assert re.search(r"^cat +4( +0\.0000){8}$", printed, re.MULTILINE)
    assert "images: 4" in printed
    metrics = written(tmp_path)
    assert [(one["name"], one["objects"]) for one in metrics["box"]["classes"]] == [("cat", 4), ("mouse", 4)]
    assert metrics["num_images"] == 4
    assert set(metrics["mean_ms"]) == {"preprocess", "inference", "postprocess"}
    assert_same_by_hand(tmp_path / "output")
    written_files = ["ground_truth.json", "metrics.json", "report.html", "results.json"]
    assert sorted(content_of(tmp_path / "output")) == written_files


def test_the_page_is_whole(evaluate, model, data, tmp_path):
    assert evaluate(data) == 0

    page = (tmp_path / "output" / "report.html").read_text()
    assert page.count("<svg") == page.count("</svg>") == 4
    assert page.count("data:image/jpeg;base64,") == 4
    assert all(f"b{number}.png" in page for number in range(4))
    assert "http" not in page
    assert hashlib.sha256(model.read_bytes()).hexdigest() in page
    assert f"{datetime.date.today().year}-" in page
    assert "$" not in page
    assert ElementTree.fromstring(page.replace("<!DOCTYPE html>", "")) is not None


@pytest.mark.parametrize("name", ["caf\udce9.png", "a<b>&.png", "a\x1b[2J.png"], ids=["no-utf-8", "html", "escape"])
def test_any_file_name_can_be_reported(name, evaluate, data, tmp_path):
    images, labels = data.parent / "valid" / "images", data.parent / "valid" / "labels"
    (images / "b0.png").rename(images / name)
    (labels / "b0.txt").rename(labels / name.replace(".png", ".txt"))

    assert evaluate(data) == 0

    page = (tmp_path / "output" / "report.html").read_text(encoding="utf-8")
    assert "a<b>" not in page
    assert "\x1b" not in page
    assert name in [image["file_name"] for image in written(tmp_path, "ground_truth.json")["images"]]


def test_class_names_are_shown_as_text(evaluate, data, tmp_path):
    data.write_text(data.read_text().replace("[cat, mouse]", "['<script>alert(1)</script>', mouse]"))
    names = ["<script>alert(1)</script>", "mouse"]
    model = write_segmentation_model(tmp_path / "script.tflite", names=names)

    assert evaluate(data, model=model) == 0
    assert "<script" not in (tmp_path / "output" / "report.html").read_text()


def test_a_file_as_output_is_reported_before_the_model_is_read(evaluate, data, tmp_path, capsys):
    (tmp_path / "output").touch()
    assert evaluate(data, model="nothere") == 1
    assert "cannot be made a folder: it is a file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["data.yaml", ""], ids=["file", "folder"])
def test_data_are_not_touched(name, evaluate, data, tmp_path):
    before = content_of(data.parent)
    assert evaluate(data.parent / name) == 0
    assert content_of(data.parent) == before


def test_boxes_alone_are_not_judged_as_masks(evaluate, data, tmp_path):
    write_pair(data.parent / "valid", "b0", "1 0.5 0.5 0.5 0.5\n")
    for number in range(1, 4):
        write_pair(data.parent / "valid", f"b{number}", SQUARE)

    assert evaluate(data) == 0

    box, mask = (next(one for one in written(tmp_path)[kind]["classes"] if one["objects"]) for kind in ("box", "mask"))
    assert (box["objects"], mask["objects"]) == (4, 3)
    assert_same_by_hand(tmp_path / "output", mask="ground_truth_masks.json")

    write_pair(data.parent / "valid", "b0", SQUARE)
    assert evaluate(data) == 0
    assert not (tmp_path / "output" / "ground_truth_masks.json").exists()


def test_coco_annotations_give_the_same(evaluate, data, tmp_path):
    assert evaluate(data) == 0
    expected, truth = written(tmp_path), written(tmp_path, "ground_truth.json")
    ids = {0: 18, 1: 3}
    truth["categories"] = [{**entry, "id": ids[entry["id"]]} for entry in truth["categories"]]
    for annotation in truth["annotations"]:
        annotation["category_id"] = ids[annotation["category_id"]]
    path = tmp_path / "instances_valid.json"
    path.write_text(json.dumps(truth))

    assert evaluate(path, "--images", data.parent / "valid" / "images") == 0

    found = written(tmp_path)
    assert {one["name"]: one for one in found["mask"]["classes"]} == {
        one["name"]: one for one in expected["mask"]["classes"]
    }
    assert found["box"]["AP"] == pytest.approx(expected["box"]["AP"])
    assert {result["category_id"] for result in written(tmp_path, "results.json")} == {3}
    assert_same_by_hand(tmp_path / "output")


def test_images_belong_to_coco_annotations(evaluate, data, tmp_path, capsys):
    assert evaluate(data, "--images", tmp_path) == 1
    assert "--images is for COCO annotations" in capsys.readouterr().err


def test_data_are_never_overwritten(model, data, tmp_path, capsys):
    before = content_of(data.parent)
    for given in (data, data.parent):
        assert main(["evaluate", str(given), "--model", str(model), "--output", str(data.parent)]) == 1
        assert "give another folder" in capsys.readouterr().err
    assert content_of(data.parent) == before


def test_limit_and_split(evaluate, data, tmp_path):
    assert evaluate(data, "--limit", "3") == 0
    assert [image["file_name"] for image in written(tmp_path, "ground_truth.json")["images"]] == [
        "b0.png",
        "b1.png",
        "b2.png",
    ]
    assert evaluate(data, "--split", "train", "--limit", "1") == 0
    assert [image["file_name"] for image in written(tmp_path, "ground_truth.json")["images"]] == ["a0.png"]


def test_chosen_classes_alone_are_measured(evaluate, data, tmp_path):
    assert evaluate(data, "--classes", "mouse") == 0
    assert [category["name"] for category in written(tmp_path, "ground_truth.json")["categories"]] == ["mouse"]
    assert {annotation["category_id"] for annotation in written(tmp_path, "ground_truth.json")["annotations"]} == {1}
    assert_same_by_hand(tmp_path / "output")


def test_nothing_found_is_a_result(evaluate, data, tmp_path):
    assert evaluate(data, "--score-threshold", "0.99") == 0
    assert written(tmp_path)["mask"]["AP"] == 0
    assert written(tmp_path, "results.json") == []


def test_no_objects_are_a_result(evaluate, data, tmp_path, capsys):
    for label in (data.parent / "valid" / "labels").iterdir():
        label.write_text("")
    assert evaluate(data) == 0
    assert re.search(r"^box +- +- +- +-$", capsys.readouterr().out, re.MULTILINE)
    assert written(tmp_path)["box"]["AP"] is None


def test_bad_images_are_reported_and_left_out(evaluate, data, tmp_path, capsys):
    (data.parent / "valid" / "images" / "b1.png").write_bytes(b"words")

    assert evaluate(data) == 1

    printed = capsys.readouterr()
    assert printed.err.count("skipped: ") == 1
    assert "b1.png" in printed.err
    assert "images: 3, 1 skipped" in printed.out
    assert len(written(tmp_path, "ground_truth.json")["images"]) == 3


def test_nothing_readable_is_reported(evaluate, data, tmp_path, capsys):
    for image in (data.parent / "valid" / "images").iterdir():
        image.write_bytes(b"words")
    assert evaluate(data) == 1
    assert "error: nothing was evaluated: none of the images can be read" in capsys.readouterr().err
    assert not (tmp_path / "output" / "results.json").exists()


def test_label_lines_that_cannot_be_used_are_reported(evaluate, data, capsys):
    (data.parent / "valid" / "labels" / "b0.txt").write_text("0 1 2\n")
    assert evaluate(data) == 0
    assert "1 of 7 label lines cannot be used" in capsys.readouterr().err


def test_other_classes_are_reported_before_any_work(evaluate, data, tmp_path, capsys):
    data.write_text(data.read_text().replace("mouse", "dog"))
    assert evaluate(data) == 1
    assert "its classes 'dog' are none of the model's ('cat', 'mouse')" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("name", ["none.yaml", "none.json"])
def test_missing_data_are_reported(name, evaluate, tmp_path, capsys):
    assert evaluate(tmp_path / name) == 1
    assert f"{name}: " in capsys.readouterr().err


@pytest.fixture
def read(monkeypatch):
    """Return the names of the images read for the model; `stop_at` one of them is like Ctrl-C."""

    class Reader:
        def __init__(self):
            self.names = []
            self.stop_at = ""

        def __call__(self, path, original=run.read_image):
            if path.name == self.stop_at:
                raise KeyboardInterrupt
            self.names.append(path.name)
            return original(path)

    reader = Reader()
    monkeypatch.setattr(run, "read_image", reader)
    return reader


def test_an_interrupted_run_goes_on(evaluate, data, tmp_path, read, capsys):
    assert evaluate(data) == 0
    expected = {name: content for name, content in content_of(tmp_path / "output").items() if name != "report.html"}
    shutil.rmtree(tmp_path / "output")
    read.stop_at = "b2.png"
    assert evaluate(data) == 130
    assert "interrupted after 2 images: the same command continues there" in capsys.readouterr().err
    assert list(content_of(tmp_path / "output")) == ["progress.jsonl"]
    read.names, read.stop_at = [], ""

    assert evaluate(data) == 0

    assert read.names == ["b2.png", "b3.png"]
    assert "continuing after 2 images" in capsys.readouterr().out
    assert content_of(tmp_path / "output")["results.json"] == expected["results.json"]
    assert content_of(tmp_path / "output")["ground_truth.json"] == expected["ground_truth.json"]


def test_another_option_begins_anew(evaluate, data, read):
    read.stop_at = "b2.png"
    assert evaluate(data) == 130
    read.names, read.stop_at = [], ""

    assert evaluate(data, "--iou-threshold", "0.5") == 0

    assert read.names == ["b0.png", "b1.png", "b2.png", "b3.png"]


def test_a_finished_run_is_done_again(evaluate, data, read):
    for _ in range(2):
        assert evaluate(data, "--limit", "1") == 0
    assert read.names == ["b0.png"] * 2


@pytest.mark.parametrize(
    ("folder", "model_name", "limit", "least"),
    [
        pytest.param("data/fish", "fish_model", 100, (0.88, 0.83), id="fish"),
        # Eight images of the 40, for figures of many classes.
        pytest.param("data/coco_val", "st_model_256", 8, (0.2, 0.16), id="coco"),
    ],
)
def test_real_data(folder, model_name, limit, least, evaluate, tmp_path, request):
    model = request.getfixturevalue(model_name)
    assert evaluate(shared_path(folder) / "data.yaml", "--limit", limit, model=model) == 0

    metrics = written(tmp_path)
    assert metrics["box"]["AP"] >= least[0]
    assert metrics["mask"]["AP"] >= least[1]
    assert_same_by_hand(tmp_path / "output")
