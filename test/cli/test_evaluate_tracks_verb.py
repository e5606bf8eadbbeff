"""Test the verb `evaluate-tracks` from its arguments to its files."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.cli.main import main


class WithoutTrackeval:
    """Finder that hides trackeval from imports."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "trackeval":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


@pytest.fixture
def model(tmp_path):
    return str(write_segmentation_model(tmp_path / "tiny.tflite", names=["person", "mouse"]))


@pytest.fixture
def sequence(tmp_path):
    folder = tmp_path / "walk"
    for part in ("img1", "gt"):
        (folder / part).mkdir(parents=True)
    for number in range(1, 5):
        cv2.imwrite(str(folder / "img1" / f"{number:06d}.jpg"), np.full((48, 64, 3), 128, np.uint8))
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=walk\nframeRate=20\nimExt=.jpg\n")
    (folder / "gt" / "gt.txt").write_text("".join(f"{k},1,16,12,32,24,1,-1,-1,-1\n" for k in range(1, 5)))
    return folder


def test_figures_are_printed_and_written(model, sequence, tmp_path, capsys):
    pytest.importorskip("trackeval")
    figures = tmp_path / "figures.json"
    arguments = ["--model", model, "--output", str(tmp_path / "out"), "--json", str(figures), "--every", "1", "2"]

    assert main(["evaluate-tracks", str(sequence), *arguments, "--classes", "mouse"]) == 0

    entries = json.loads(figures.read_text())
    assert [(one["sequence"], one["fps"], one["tracks"], one["objects"]) for one in entries] == [
        ("walk", 20.0, 1, 1),
        ("walk", 10.0, 1, 1),
    ]
    assert "HOTA" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["walk_10fps.png", "walk_20fps.png"]


def test_a_folder_of_another_form_is_refused(model, tmp_path, capsys):
    pytest.importorskip("trackeval")
    assert main(["evaluate-tracks", str(tmp_path), "--model", model, "--output", str(tmp_path / "out")]) == 1
    assert "seqinfo.ini" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["walk/gt/gt.txt", "nothere/figures.json", "walk"], ids=["input", "no folder", "folder"]
)
def test_figures_that_cannot_be_written_are_refused_before_the_work(model, sequence, tmp_path, capsys, name):
    pytest.importorskip("trackeval")
    output, truth = tmp_path / "out", (sequence / "gt" / "gt.txt").read_text()
    arguments = ["--model", model, "--output", str(output), "--json", str(tmp_path / name)]
    assert main(["evaluate-tracks", str(sequence), *arguments]) == 1
    assert "--json" in capsys.readouterr().err
    assert not output.exists()
    assert (sequence / "gt" / "gt.txt").read_text() == truth


def test_without_trackeval_it_says_what_to_install(model, sequence, tmp_path, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("trackeval")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [WithoutTrackeval, *sys.meta_path])
    output = tmp_path / "tracks"
    assert main(["evaluate-tracks", str(sequence), "--model", model, "--output", str(output)]) == 1
    assert "pip install trackeval" in capsys.readouterr().err
    assert not output.exists()
