"""Test the repaired copy: free of errors, with all that could be kept, and the original untouched."""

from __future__ import annotations

import shutil

import pytest
import yaml
from support.dataset_damages import DAMAGES, LABELS, line_of_labels
from support.tiny_dataset import SQUARE, TRIANGLE, check, content_of, write_dataset, write_noise, write_pair

from yolov8_seg_ros.errors import DataSetError
from yolov8_seg_ros.tools.dataset import fix
from yolov8_seg_ros.tools.dataset.check import inspect_images
from yolov8_seg_ros.tools.dataset.finding import Severity
from yolov8_seg_ros.tools.dataset.fix import fix_dataset
from yolov8_seg_ros.tools.dataset.reader import read_dataset


def fix_copy(path, folder, **options):
    dataset = read_dataset(path)
    facts = inspect_images(image.path for image in dataset.all_images())
    return fix_dataset(dataset, facts, folder, **options)


def numbers(line):
    return [float(token) for token in line.split()]


@pytest.fixture
def original(tmp_path):
    return write_dataset(tmp_path / "original")


@pytest.fixture
def copy(tmp_path):
    return tmp_path / "copy"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_the_copy_passes_the_check(damage, original, copy):
    damage.apply(original.parent)
    before = content_of(original.parent)

    changes = fix_copy(original, copy)

    assert [finding for finding in check(copy) if finding.kind.severity is Severity.ERROR] == []
    assert content_of(original.parent) == before
    assert changes or damage.kind.severity is not Severity.ERROR


def test_a_good_data_set_stays_as_it_is(original, copy):
    assert fix_copy(original, copy) == []
    assert content_of(copy) == content_of(original.parent)


@pytest.mark.parametrize(
    ("text", "expected", "what"),
    [
        pytest.param("0 16 12 32 12 32 36\n", "0 0.25 0.25 0.5 0.25 0.5 0.75", "pixels", id="pixels"),
        pytest.param("1 0.5 0.5 0.2 0.4\n", "1 0.4 0.3 0.6 0.3 0.6 0.7 0.4 0.7", "four corners", id="box"),
        pytest.param("0 0.5 0 1.5 0 1.5 1 0.5 1\n", "0 0.5 0 1 0 1 1 0.5 1", "clipped", id="outside"),
        pytest.param("0 2 2 1.5 1 1.5 1.5\n", None, "outside the image", id="nothing-inside"),
        pytest.param("0 0.1 0.1 0.1 0.1 0.1 0.1\n", None, "without an area", id="no-area"),
        pytest.param(TRIANGLE, None, "twice", id="twice"),
    ],
)
def test_a_line_is_repaired_or_left_out(original, copy, text, expected, what):
    line_of_labels(text)(original.parent)

    (change,) = fix_copy(original, copy)

    lines = (copy / LABELS).read_text().splitlines(keepends=True)
    assert lines[0] == TRIANGLE
    assert lines[-1] == SQUARE
    assert [numbers(line) for line in lines[1:-1]] == ([numbers(expected)] if expected else [])
    assert (change.path, change.line) == (original.parent / LABELS, 2)
    assert what in change.what
    assert change.is_left_out is (expected is None)


def test_an_image_with_a_lost_object_is_left_out(original, copy):
    line_of_labels("7 0.1 0.1 0.5 0.1 0.5 0.5\n")(original.parent)

    (change,) = fix_copy(original, copy)

    assert not (copy / LABELS).exists()
    assert (change.path, change.line, change.is_left_out) == (original.parent / LABELS, 2, True)
    assert "class id 7" in change.what
    assert len(read_dataset(copy).split("train").images) == 3


def test_background_is_kept_or_dropped(original, tmp_path):
    (original.parent / LABELS).unlink()
    (original.parent / "train/labels/a2.txt").write_text("")

    assert fix_copy(original, tmp_path / "kept") == []
    assert len(read_dataset(tmp_path / "kept").split("train").images) == 4
    changes = fix_copy(original, tmp_path / "dropped", drop_unlabelled=True)
    assert [change.path.name for change in changes] == ["a1.png", "a2.png"]
    assert len(read_dataset(tmp_path / "dropped").split("train").images) == 2


def test_a_leaked_image_stays_in_validation(original, copy):
    root = original.parent
    shutil.copy(root / "valid/images/b0.png", root / "train/images/b0.png")
    shutil.copy(root / "valid/labels/b0.txt", root / "train/labels/b0.txt")

    (change,) = fix_copy(original, copy)

    assert change.path == root / "train/images/b0.png"
    assert content_of(copy) == {
        k: v for k, v in content_of(root).items() if "train/images/b0" not in k and "train/labels/b0" not in k
    }


def test_validation_is_the_last_of_the_training_images(tmp_path, copy):
    path = write_dataset(tmp_path / "original", num_train=10)
    shutil.rmtree(tmp_path / "original/valid")

    fix_copy(path, copy)

    assert sorted(path.name for path in (copy / "valid/images").iterdir()) == ["a8.png", "a9.png"]
    assert len(list((copy / "train/images").iterdir())) == 8


def test_images_of_several_folders_get_names_of_their_own(original, copy):
    root = original.parent
    for folder in ("extra", "EXTRA"):
        write_pair(root / folder, "a1")
        write_noise(root / folder / "images" / "a1.png", (64, 40 + len(folder) + folder.isupper()))
    original.write_text(original.read_text().replace("train/images", "[train/images, extra/images, EXTRA/images]"))

    fix_copy(original, copy)

    names = sorted(path.stem for path in (copy / "train/images").iterdir())
    assert names == ["a0", "a1", "a1_2", "a1_3", "a2", "a3"]
    assert names == sorted(path.stem for path in (copy / "train/labels").iterdir())


def test_the_copys_paths_work_from_anywhere(original, copy, monkeypatch, tmp_path):
    original.write_text("path: .\n" + original.read_text().replace("train/", "../train/"))
    fix_copy(original, copy)
    monkeypatch.chdir(tmp_path)

    content = yaml.safe_load((copy / "data.yaml").read_text())

    assert content == {"train": "train/images", "val": "valid/images", "nc": 2, "names": ["cat", "mouse"]}
    assert check(copy.relative_to(tmp_path)) == []


def test_names_are_completed(original, copy):
    original.write_text("train: train/images\nval: valid/images\nnc: 3\nnames: {0: käfer, 1: no}\n")
    fix_copy(original, copy)
    assert yaml.safe_load((copy / "data.yaml").read_text())["names"] == ["käfer", "False", "class_2"]


def test_a_folder_that_holds_something_is_refused(original, copy):
    copy.mkdir()
    (copy / "mine").touch()

    with pytest.raises(DataSetError, match="is there and not empty"):
        fix_copy(original, copy)
    assert content_of(copy) == {"mine": b""}


def test_an_empty_folder_is_taken(original, copy):
    copy.mkdir()
    fix_copy(original, copy)
    assert (copy / "data.yaml").is_file()


def test_a_folder_among_the_images_is_refused(original):
    with pytest.raises(DataSetError, match="among the images"):
        fix_copy(original, original.parent / "train/images/copy")


def test_nothing_left_is_reported(original, copy):
    for path in original.parent.glob("*/labels/*.txt"):
        path.write_text("7 0.1 0.1 0.5 0.1 0.5 0.5\n")

    with pytest.raises(DataSetError, match="no image with a usable label"):
        fix_copy(original, copy)
    assert sorted(path.name for path in copy.parent.iterdir()) == ["original"]


def test_a_failure_leaves_nothing(original, copy, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device", str(copy))

    monkeypatch.setattr(fix, "_write_description", full)

    with pytest.raises(OSError, match="No space left"):
        fix_copy(original, copy)
    assert sorted(path.name for path in copy.parent.iterdir()) == ["original"]
