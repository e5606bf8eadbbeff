"""Test the verb `dataset`."""

from __future__ import annotations

import pytest
from support.dataset_damages import LABELS, line_of_labels
from support.shared_data import shared_path
from support.tiny_dataset import TRIANGLE, check, content_of, write_dataset

from yolov8_seg_ros.cli.main import main

BEYOND = "2 0.1 0.1 0.5 0.1 0.5 0.5\n"


@pytest.fixture
def path(tmp_path):
    return write_dataset(tmp_path / "set")


def run(*arguments):
    return main(["dataset", "check", *map(str, arguments)])


def test_a_good_data_set(path, capsys):
    assert run(path, "--strict") == 0

    text = capsys.readouterr().out
    assert "0 errors, 0 warnings, 0 notes" in text
    table = [line.split() for line in text.splitlines()]
    for row in (["class", "train", "val"], ["0", "cat", "4", "2"], ["1", "mouse", "4", "2"], ["objects", "8", "4"]):
        assert row in table


def test_an_error_is_reported_with_file_line_and_remedy(path, capsys):
    line_of_labels(BEYOND)(path.parent)

    assert run(path) == 1

    text = capsys.readouterr().out
    assert "error: class id that data.yaml does not name (1)" in text
    assert "-> correct the id" in text
    assert f"{LABELS}:2: class id 2, expected 0 to 1" in text
    assert "1 error, 0 warnings, 0 notes" in text


def test_warnings_count_only_when_strict(path):
    line_of_labels(TRIANGLE)(path.parent)

    assert run(path) == 0
    assert run(path, "--strict") == 1


def test_notes_are_counted_and_listed_on_demand(path, capsys):
    (path.parent / LABELS).write_text(TRIANGLE.rstrip())

    assert run(path, "--strict") == 0
    assert LABELS not in capsys.readouterr().out
    assert run(path, "--all") == 0
    assert LABELS in capsys.readouterr().out


def test_many_findings_are_cut_short(path, capsys):
    (path.parent / LABELS).write_text(BEYOND + "".join(BEYOND.replace("0.5", f"0.{i}") for i in range(601, 625)))

    run(path)
    text = capsys.readouterr().out
    assert "(25)" in text
    assert "... and 5 more: --all lists them" in text
    run(path, "--all")
    assert f"{LABELS}:25: class id" in capsys.readouterr().out


def test_fix_prints_what_it_did_and_checks_the_copy(path, tmp_path, capsys):
    line_of_labels("0 0.1 0.1 1.5 0.1 0.5 0.5\n")(path.parent)
    (path.parent / "valid/labels/b0.txt").write_text(BEYOND)
    before = content_of(path.parent)

    assert run(path, "--fix", tmp_path / "copy") == 0

    text = capsys.readouterr().out
    assert f"repaired (1)\n  {LABELS}:2: clipped to the image" in text
    assert "left out (1)\n  valid/labels/b0.txt:1: the image with all its labels" in text
    assert "the copy has 0 errors, 0 warnings, 0 notes" in text
    assert check(tmp_path / "copy") == []
    assert content_of(path.parent) == before


def test_dropping_unlabelled_images(path, tmp_path):
    (path.parent / LABELS).unlink()

    assert run(path, "--strict", "--fix", tmp_path / "kept") == 1
    assert run(path, "--strict", "--fix", tmp_path / "dropped", "--drop-unlabelled") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["nowhere/data.yaml"], "nowhere/data.yaml: not there", id="no-data-set"),
        pytest.param(["set", "--fix", "set"], "is there and not empty", id="original"),
        pytest.param(["set", "--drop-unlabelled"], "say with --fix DIR", id="drop-without-fix"),
    ],
)
def test_a_mistake_is_reported_in_one_line(path, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(path.parents[1])
    before = content_of(path.parent)

    assert run(*arguments) == 1

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert content_of(path.parent) == before


def test_a_folder_that_cannot_be_made_is_reported(path, tmp_path, capsys):
    (tmp_path / "file").touch()

    assert run(path, "--fix", tmp_path / "file" / "copy") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_names_that_are_not_utf_8_are_printed(path, capsys):
    (path.parent / "train/images/caf\udce9\x1b.png").write_bytes(b"words")

    assert run(path, "--all") == 1

    text = capsys.readouterr().out
    text.encode("utf-8")
    assert "train/images/caf��.png" in text


def test_an_image_that_says_to_be_huge_is_found(path, capsys):
    data = bytearray((path.parent / "train/images/a0.png").read_bytes())
    data[16:24] = (30000).to_bytes(4, "big") * 2
    (path.parent / "train/images/a0.png").write_bytes(data)

    assert run(path) == 1
    assert "a0.png: an image of 30000x30000 pixels" in capsys.readouterr().out


def test_the_fish_become_clean(tmp_path, capsys):
    assert run(shared_path("data/fish/data.yaml"), "--fix", tmp_path / "fish", "--drop-unlabelled", "--strict") == 0

    text = capsys.readouterr().out
    assert "image without a label file (12)" in text
    assert "empty label file (6)" in text
    assert "the copy has 0 errors, 0 warnings, 0 notes" in text
