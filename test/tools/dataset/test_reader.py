"""Test that data sets are read in each form in which they are met."""

from __future__ import annotations

import os
import shutil

import pytest
from support.shared_data import shared_path
from support.tiny_dataset import DESCRIPTION, SQUARE, write_dataset, write_noise, write_pair

from yolov8_seg_ros.errors import DataSetError
from yolov8_seg_ros.tools.dataset.check import check_dataset, inspect_images
from yolov8_seg_ros.tools.dataset.reader import expected_label_path, read_dataset


@pytest.fixture
def path(tmp_path):
    return write_dataset(tmp_path / "set")


def names_of(dataset, split):
    return [image.path.name for image in dataset.split(split).images]


def is_whole(dataset):
    return (
        names_of(dataset, "train") == ["a0.png", "a1.png", "a2.png", "a3.png"]
        and names_of(dataset, "val") == ["b0.png", "b1.png"]
        and all(image.labels and len(image.labels.objects) == 2 for image in dataset.all_images())
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(DESCRIPTION, id="plain"),
        pytest.param(DESCRIPTION.replace("train/", "../train/").replace("valid/", "../valid/"), id="roboflow"),
        pytest.param(DESCRIPTION.replace("train/", "./train/"), id="dot"),
        pytest.param(DESCRIPTION.replace("val:", "valid:"), id="valid"),
        pytest.param(DESCRIPTION.replace("val:", "validation:"), id="validation"),
        pytest.param(DESCRIPTION.replace("[cat, mouse]", "{0: cat, 1: mouse}"), id="map"),
        pytest.param(DESCRIPTION.replace("[cat, mouse]", "{'1': mouse, '0': cat}"), id="map-of-texts"),
        pytest.param(DESCRIPTION.replace("[cat, mouse]", "\n- cat\n- mouse"), id="list-below"),
        pytest.param(DESCRIPTION.replace("nc: 2\n", ""), id="no-nc"),
        pytest.param("path: .\n" + DESCRIPTION, id="path-dot"),
        pytest.param("path: ../set\n" + DESCRIPTION, id="path-up"),
        pytest.param("path: /content/drive/set\n" + DESCRIPTION, id="path-of-another-machine"),
        pytest.param(DESCRIPTION.replace("train/images", "train"), id="folder-above"),
        pytest.param(DESCRIPTION.replace("train/images", "[train/images]"), id="list-of-folders"),
        pytest.param(DESCRIPTION.replace("train/images", "/content/set/train/images"), id="absolute-elsewhere"),
        pytest.param(DESCRIPTION.replace("train/images", "train\\images"), id="backslash"),
        pytest.param("\ufeff" + DESCRIPTION.replace("\n", "\r\n"), id="mark-and-crlf"),
        pytest.param(DESCRIPTION + "roboflow:\n  workspace: fish\n  license: CC BY 4.0\n", id="roboflow-entry"),
    ],
)
def test_descriptions_as_they_are_met(path, text):
    path.write_bytes(text.encode())

    dataset = read_dataset(path)

    assert is_whole(dataset)
    assert dataset.class_names == ("cat", "mouse")


def test_the_description_is_found_in_its_folder(path):
    assert is_whole(read_dataset(path.parent))
    os.rename(path, path.with_name("fish.yaml"))
    assert is_whole(read_dataset(path.parent))


@pytest.mark.parametrize(
    ("train", "valid"),
    [("train/images", "valid/images"), ("train/images", "val/images"), ("images/train", "images/val")],
    ids=["roboflow", "val", "coco"],
)
def test_usual_folders_do_without_a_description(path, tmp_path, train, valid):
    root = tmp_path / "bare"
    for source, target in (("train", train), ("valid", valid)):
        for kind in ("images", "labels"):
            shutil.copytree(path.parent / source / kind, root / target.replace("images", kind))

    dataset = read_dataset(root / "data.yaml")

    assert is_whole(dataset)
    assert dataset.class_names == ("class_0", "class_1")


def test_a_list_of_images(path):
    root = path.parent
    (root / "train.txt").write_text("./train/images/a2.png\n\ntrain/images/a0.png\n")
    path.write_text(DESCRIPTION.replace("train/images", "train.txt"))

    dataset = read_dataset(path)

    assert names_of(dataset, "train") == ["a0.png", "a2.png"]
    assert all(image.labels for image in dataset.all_images())


def test_subfolders_and_hidden_files(path):
    root = path.parent
    write_noise(root / "train/images/._a0.png")
    for kind, name in (("images", "a9.png"), ("labels", "a9.txt")):
        (root / "train" / kind / "more").mkdir()
        (root / "train" / kind / "more" / name).write_bytes((root / "train" / kind / f"a0{name[2:]}").read_bytes())

    images = read_dataset(path).split("train").images

    assert [image.path.name for image in images] == ["a0.png", "a1.png", "a2.png", "a3.png", "a9.png"]
    assert images[-1].labels.path == root / "train/labels/more/a9.txt"


def test_labels_beside_images_and_in_other_capitals(path):
    root = path.parent / "train"
    os.rename(root / "labels/a0.txt", root / "images/a0.txt")
    os.rename(root / "labels/a1.txt", root / "labels/A1.TXT")

    split = read_dataset(path).split("train")

    assert [image.labels.path.name for image in split.images] == ["a0.txt", "A1.TXT", "a2.txt", "a3.txt"]
    assert split.labels_alone == ()


def test_images_without_labels_are_background(path):
    (path.parent / "train/labels/a0.txt").unlink()
    (path.parent / "train/labels/a1.txt").write_text("")

    split = read_dataset(path).split("train")

    assert split.images[0].labels is None
    assert split.images[1].labels.objects == ()


def test_stray_files(path):
    root = path.parent
    for name in ("labels/z.txt", "labels/classes.txt", "labels.cache", "images/z.gif", "images/.DS_Store"):
        (root / "train" / name).write_text(SQUARE)

    split = read_dataset(path).split("train")

    assert split.labels_alone == (root / "train/labels/z.txt",)
    assert split.other_files == (root / "train/images/z.gif",)


def test_a_label_path_replaces_the_last_images(tmp_path):
    assert expected_label_path(tmp_path / "images/set/images/a/b.c.jpg") == tmp_path / "images/set/labels/a/b.c.txt"
    assert expected_label_path(tmp_path / "set/b.jpg") == tmp_path / "set/b.txt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "not there", id="missing"),
        pytest.param("names: [cat", "cannot be used", id="damaged"),
        pytest.param("names: [cat]", "no entry 'train' or 'val'", id="no-splits"),
    ],
)
def test_no_data_set_is_reported_in_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "data.yaml").write_text(content)

    with pytest.raises(DataSetError, match=message) as caught:
        read_dataset(tmp_path / "data.yaml")
    assert "\n" not in str(caught.value)


#: Nine aliases of nine aliases and so on: 9**20 texts where one is written out.
ALIASES = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 21))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 21))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{MERGES}{DESCRIPTION}", id="merge-keys"),
        pytest.param("a: &x [*x]\n", id="recursion"),
        pytest.param("&a [*a]", id="recursive-list"),
        pytest.param("? [a]\n: b\n", id="list-as-key"),
        pytest.param("!!python/object:os.system x", id="code"),
        pytest.param("%", id="directive"),
        pytest.param("\0", id="nul"),
        pytest.param("- " * 9000, id="nesting"),
        pytest.param(f"{ALIASES}train: *a20\nval: valid/images\nnames: [cat, mouse]\n", id="aliases-for-a-path"),
        pytest.param(f"{ALIASES}{DESCRIPTION.replace('mouse', '*a20')}", id="aliases-for-a-name"),
        pytest.param(f"{ALIASES}{DESCRIPTION.replace('nc: 2', 'nc: *a20')}", id="aliases-for-nc"),
        pytest.param(f"{ALIASES}{DESCRIPTION}path: *a20\n", id="aliases-for-the-root"),
        pytest.param(f"{ALIASES}{DESCRIPTION}? *a20\n: b\n", id="aliases-for-a-key"),
        pytest.param(DESCRIPTION.replace("train/images", "/dev/zero"), id="endless-device"),
        pytest.param(DESCRIPTION.replace("train/images", "x" * 5000), id="long-path"),
        pytest.param(DESCRIPTION + "".join(f"k{number}: 1\n" for number in range(4_000)), id="many-keys"),
        pytest.param(DESCRIPTION.replace("cat, mouse", "x, " * 11_000), id="many-names"),
        pytest.param(DESCRIPTION.replace("cat", '"c\\ud83d\\x1b"'), id="name-not-printable"),
    ],
)
def test_hostile_descriptions_are_survived(path, text):
    path.write_text(text)
    dataset = read_dataset(path)
    assert names_of(dataset, "train")
    for finding in check_dataset(dataset, inspect_images(image.path for image in dataset.all_images())):
        finding.detail.encode("utf-8")
        assert len(finding.detail) < 1000


def test_a_description_that_is_too_large_is_refused(path):
    path.write_text(DESCRIPTION + "#" * 1_000_000)
    with pytest.raises(OSError, match="has more than 524288 bytes"):
        read_dataset(path)


def test_a_missing_split_is_reported(path):
    with pytest.raises(DataSetError, match="no images for 'test'; there are: train, val"):
        read_dataset(path).split("test")


def test_reference_data_sets():
    fish = read_dataset(shared_path("data/fish/data.yaml"))
    coco = read_dataset(shared_path("data/coco_val/data.yaml"))

    assert fish.class_names == ("fish", "redfish")
    assert fish.split("train").count_objects() == {0: 24, 1: 7}
    assert fish.split("val").count_objects() == {0: 7, 1: 7}
    assert (len(coco.class_names), len(coco.split("val").images)) == (80, 40)
    assert coco.split("val").count_objects().total() == 241


def test_an_image_may_lie_in_two_splits(path):
    path.write_text(DESCRIPTION.replace("valid/images", "[valid/images, train/images]"))
    dataset = read_dataset(path)

    assert len(dataset.split("val").images) == 6
    assert len(dataset.all_images()) == 6
    write_pair(path.parent / "train", "a9")
    assert len(read_dataset(path).all_images()) == 7
