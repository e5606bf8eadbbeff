"""Damage a small data set in every way that is known, one at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.tiny_dataset import DESCRIPTION, SQUARE, TRIANGLE, encoded, jpeg_turned_right, noise, write_noise
from yolov8_seg_ros.tools.dataset.finding import Kind

IMAGE, LABELS = "train/images/a1.png", "train/labels/a1.txt"
BOX = "1 0.5 0.5 0.2 0.2\n"


@dataclass(frozen=True)
class Damage:
    """Way to damage a data set, and the expected finding: kind, file, line and words of its detail."""

    name: str
    apply: Callable[[Path], object]
    kind: Kind
    path: str = LABELS
    line: int = 0
    detail: str = ""


def line_of_labels(text: str) -> Callable[[Path], object]:
    """Put a line between two good ones."""
    return lambda root: (root / LABELS).write_text(TRIANGLE + text + SQUARE)


def labels_as(data: bytes) -> Callable[[Path], object]:
    return lambda root: (root / LABELS).write_bytes(data)


def description_as(text: str | bytes) -> Callable[[Path], object]:
    data = text if isinstance(text, bytes) else text.encode()
    return lambda root: (root / "data.yaml").write_bytes(data)


def description_with(old: str, new: str) -> Callable[[Path], object]:
    assert old in DESCRIPTION
    return description_as(DESCRIPTION.replace(old, new))


def image_as(make: Callable[[], bytes], name: str = IMAGE) -> Callable[[Path], object]:
    def apply(root: Path) -> None:
        (root / IMAGE).unlink()
        (root / name).write_bytes(make())

    return apply


def copied(*pairs: tuple[str, str]) -> Callable[[Path], object]:
    return lambda root: [shutil.copy(root / source, root / target) for source, target in pairs]


def renamed(source: str, target: str) -> Callable[[Path], object]:
    return lambda root: os.rename(root / source, root / target)


def removed(*names: str) -> Callable[[Path], object]:
    return lambda root: [
        shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink() for name in names
    ]


def both(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: [step(root) for step in steps]


def all_boxes(root: Path) -> None:
    for path in root.glob("*/labels/*.txt"):
        path.write_text("0 0.3 0.3 0.1 0.1\n" + BOX)


def rendering_in_both(root: Path) -> None:
    for folder, stem in (("train", "a1"), ("valid", "b1")):
        for kind, suffix in (("images", ".png"), ("labels", ".txt")):
            os.rename(root / folder / kind / f"{stem}{suffix}", root / folder / kind / f"fish_jpg.rf.{stem}{suffix}")


_TRAIN_LINE, _VAL_LINE = "train: train/images\n", "val: valid/images\n"
_NAMES_LINE = "names: [cat, mouse]"
_YAML = "data.yaml"

LABEL_DAMAGES = [
    Damage("class beyond nc", line_of_labels("2 0.1 0.1 0.5 0.1 0.5 0.5\n"), Kind.CLASS_RANGE, line=2, detail="0 to 1"),
    Damage("class negative", line_of_labels("-1 0.1 0.1 0.5 0.1 0.5 0.5\n"), Kind.CLASS_RANGE, line=2, detail="-1"),
    Damage("class a fraction", line_of_labels("0.5 0.1 0.1 0.5 0.1 0.5 0.5\n"), Kind.CLASS_NOT_INTEGER, line=2),
    Damage(
        "class a name", line_of_labels("cat 0.1 0.1 0.5 0.1 0.5 0.5\n"), Kind.CLASS_NOT_INTEGER, line=2, detail="'cat'"
    ),
    Damage("class huge", line_of_labels("9" * 5000 + " 0.1 0.1 0.5 0.1 0.5 0.5\n"), Kind.CLASS_NOT_INTEGER, line=2),
    Damage("odd values", line_of_labels("0 0.1 0.1 0.5 0.1 0.5\n"), Kind.ODD_VALUES, line=2, detail="5 values"),
    Damage("one point", line_of_labels("0 0.1 0.1\n"), Kind.TOO_FEW_POINTS, line=2, detail="1 points"),
    Damage("class alone", line_of_labels("0\n"), Kind.TOO_FEW_POINTS, line=2),
    Damage("nan", line_of_labels("0 0.1 nan 0.5 0.1 0.5 0.5\n"), Kind.NOT_A_NUMBER, line=2, detail="'nan'"),
    Damage("infinite", line_of_labels("0 0.1 inf 0.5 0.1 0.5 0.5\n"), Kind.NOT_A_NUMBER, line=2),
    Damage("too large for a float", line_of_labels("0 0.1 1e999 0.5 0.1 0.5 0.5\n"), Kind.NOT_A_NUMBER, line=2),
    Damage("decimal comma", line_of_labels("0 0,1 0,1 0,5 0,1 0,5 0,5\n"), Kind.NOT_A_NUMBER, line=2, detail="'0,1'"),
    Damage("word", line_of_labels("0 0.1 O.1 0.5 0.1 0.5 0.5\n"), Kind.NOT_A_NUMBER, line=2),
    Damage("pixels", line_of_labels("0 10 10 40 10 40 30\n"), Kind.PIXELS, line=2, detail="40, expected 0 to 1"),
    Damage(
        "outside", line_of_labels("0 0.1 0.1 1.5 0.1 0.5 0.5\n"), Kind.OUTSIDE, line=2, detail="1.5, expected 0 to 1"
    ),
    Damage("negative", line_of_labels("0 -0.2 0.1 0.5 0.1 0.5 0.5\n"), Kind.OUTSIDE, line=2, detail="-0.2"),
    Damage("far outside", line_of_labels("0 -9 0.1 -8 0.1 -8 0.5\n"), Kind.OUTSIDE, line=2),
    Damage("slightly outside", line_of_labels("0 0.1 0.1 1.004 0.1 0.5 0.5\n"), Kind.JUST_OUTSIDE, line=2),
    Damage("points on a line", line_of_labels("0 0.1 0.1 0.2 0.2 0.3 0.3\n"), Kind.NO_AREA, line=2),
    Damage("points in one place", line_of_labels("0 0.1 0.1 0.1 0.1 0.1 0.1\n"), Kind.NO_AREA, line=2),
    Damage("flat box", line_of_labels("0 0.1 0.1 0.2 0\n"), Kind.NO_AREA, line=2),
    Damage("box among polygons", line_of_labels(BOX), Kind.BOX_LINE, line=2),
    Damage("boxes only", all_boxes, Kind.ONLY_BOXES, "train/labels/a0.txt", 1, "12 boxes"),
    Damage("line twice", line_of_labels("0  0.1 0.1 0.5 0.1 0.5 0.5 \n"), Kind.LINE_TWICE, line=2, detail="as line 1"),
    Damage("byte order mark", labels_as(b"\xef\xbb\xbf" + SQUARE.encode()), Kind.BYTE_ORDER_MARK),
    Damage("utf-16", labels_as(SQUARE.encode("utf-16")), Kind.ENCODING),
    Damage("latin-1", labels_as(SQUARE.encode() + b"caf\xe9 0 0\n"), Kind.ENCODING),
    Damage("windows line ends", labels_as(SQUARE.replace("\n", "\r\n").encode()), Kind.CRLF),
    Damage("no line end", labels_as(SQUARE.rstrip().encode()), Kind.NO_LINE_END),
    Damage("empty labels", labels_as(b""), Kind.EMPTY_LABEL_FILE),
    Damage("blank labels", labels_as(b" \n\n"), Kind.EMPTY_LABEL_FILE),
]

IMAGE_DAMAGES = [
    Damage("no label file", removed(LABELS), Kind.NO_LABEL_FILE, IMAGE),
    Damage("no image", removed(IMAGE), Kind.LABELS_ALONE),
    Damage("labels among the images", renamed(LABELS, "train/images/a1.txt"), Kind.LABEL_PLACE, "train/images/a1.txt"),
    Damage("labels in capitals", renamed(LABELS, "train/labels/A1.TXT"), Kind.LABEL_PLACE, "train/labels/A1.TXT"),
    Damage("no labels at all", removed("train/labels"), Kind.NO_LABELS, "train/images"),
    Damage(
        "image cut short",
        image_as(lambda: encoded(noise("x"), ".png")[:900]),
        Kind.UNREADABLE,
        IMAGE,
        detail="cut short",
    ),
    Damage("no image data", image_as(lambda: b"<html>"), Kind.UNREADABLE, IMAGE, detail="not an image"),
    Damage("image empty", image_as(lambda: b""), Kind.UNREADABLE, IMAGE),
    Damage("jpeg called png", image_as(lambda: encoded(noise("x"), ".jpg")), Kind.WRONG_SUFFIX, IMAGE, detail="JPEG"),
    Damage("suffix in capitals", renamed(IMAGE, "train/images/a1.PNG"), Kind.SUFFIX_CAPITALS, "train/images/a1.PNG"),
    Damage("tiny", lambda root: write_noise(root / IMAGE, (40, 8)), Kind.TINY, IMAGE, detail="40x8 px"),
    Damage(
        "turned by exif",
        image_as(lambda: jpeg_turned_right(noise("x")), "train/images/a1.jpg"),
        Kind.TURNED,
        "train/images/a1.jpg",
    ),
    Damage(
        "image twice",
        copied((IMAGE, "train/images/z.png"), (LABELS, "train/labels/z.txt")),
        Kind.IMAGE_TWICE,
        "train/images/z.png",
        detail="as a1.png",
    ),
    Damage(
        "twice, once without labels", copied((IMAGE, "train/images/z.png")), Kind.LABELS_DIFFER, "train/images/z.png"
    ),
    Damage(
        "leak",
        copied((IMAGE, "valid/images/z.png"), (LABELS, "valid/labels/z.txt")),
        Kind.LEAK,
        "valid/images/z.png",
        detail="in val, and in train as a1.png",
    ),
    Damage(
        "renderings in both",
        rendering_in_both,
        Kind.SOURCE_LEAK,
        "valid/images/fish_jpg.rf.b1.png",
        detail="'fish_jpg'",
    ),
    Damage(
        "two of a stem",
        lambda root: write_noise(root / "train/images/a1.bmp"),
        Kind.LABELS_SHARED,
        LABELS,
        detail="a1.bmp, a1.png",
    ),
    Damage("other file", lambda root: (root / "train/images/a9.gif").touch(), Kind.OTHER_FILE, "train/images/a9.gif"),
]

DESCRIPTION_DAMAGES = [
    Damage("no data.yaml", removed(_YAML), Kind.NO_DESCRIPTION, _YAML),
    Damage("no yaml", description_with(_NAMES_LINE, "names: [cat, mouse"), Kind.DESCRIPTION_DAMAGED, _YAML, 5),
    Damage("a tab", description_with("nc: 2", "\tnc: 2"), Kind.DESCRIPTION_DAMAGED, _YAML, 3),
    Damage("a list", description_as("- train\n- val\n"), Kind.DESCRIPTION_DAMAGED, _YAML, 1),
    Damage("no names", description_as(_TRAIN_LINE + _VAL_LINE), Kind.NO_NAMES, _YAML, detail="neither"),
    Damage("nc only", description_with(_NAMES_LINE, ""), Kind.NAMES_NUMBERED, _YAML, 3),
    Damage("one name empty", description_with("[cat, mouse]", "[cat, ~]"), Kind.NO_NAMES, _YAML, 4, "class 1"),
    Damage(
        "names with a gap",
        description_with("[cat, mouse]", "{0: cat, 2: mouse}"),
        Kind.NO_NAMES,
        _YAML,
        4,
        "no name for class 1",
    ),
    Damage("names a text", description_with("[cat, mouse]", "cat"), Kind.NO_NAMES, _YAML, 4, "expected a list"),
    Damage("name twice", description_with("mouse]", "cat]"), Kind.NAME_TWICE, _YAML, 4, "'cat'"),
    Damage("name a truth value", description_with("mouse]", "no]"), Kind.NAME_MISREAD, _YAML, 4, "False"),
    Damage(
        "nc too small", description_with("nc: 2", "nc: 1"), Kind.CLASS_COUNT, _YAML, 3, "nc is 1, there are 2 names"
    ),
    Damage("nc too large", description_with("nc: 2", "nc: 3"), Kind.CLASS_COUNT, _YAML, 3),
    Damage("nc a text", description_with("nc: 2", "nc: two"), Kind.CLASS_COUNT, _YAML, 3, "'two'"),
    Damage("key twice", description_as(DESCRIPTION + "nc: 2\n"), Kind.KEY_TWICE, _YAML, 5, "'nc'"),
    Damage("valid for val", description_with("val:", "valid:"), Kind.SPLIT_KEY, _YAML, 2),
    Damage(
        "folder of the machine of old",
        description_with("valid/images", "/content/set/valid/images"),
        Kind.FOLDER_MISSING,
        _YAML,
        2,
        "valid/images was read instead",
    ),
    Damage("backslash", description_with("valid/images", "valid\\images"), Kind.FOLDER_MISSING, _YAML, 2),
    Damage("test missing", description_as(DESCRIPTION + "test: ../test/images\n"), Kind.TEST_MISSING, _YAML, 5),
    Damage("relative path", description_as(DESCRIPTION + "path: .\n"), Kind.PATH_RELATIVE, _YAML, 5),
    Damage("no splits", description_as(f"{_NAMES_LINE}\n"), Kind.FOLDER_MISSING, _YAML, detail="usual folders"),
    Damage("no val", both(removed("valid"), description_with(_VAL_LINE, "")), Kind.NO_VALIDATION, _YAML),
    Damage("no train", description_with(_TRAIN_LINE, ""), Kind.NO_TRAINING, _YAML),
    Damage(
        "val without images",
        lambda root: [path.unlink() for path in (root / "valid").rglob("*.*")],
        Kind.NO_IMAGES,
        "valid/images",
    ),
    Damage("train for val", description_with("valid/images", "train/images"), Kind.SAME_SPLIT, _YAML, 2),
    Damage(
        "latin-1 description",
        description_as(DESCRIPTION.replace("cat", "k\xe4fer").encode("latin-1")),
        Kind.ENCODING,
        _YAML,
    ),
    Damage(
        "class unused",
        description_as(DESCRIPTION.replace("nc: 2", "nc: 3").replace("mouse", "mouse, dog")),
        Kind.CLASS_UNUSED,
        _YAML,
        4,
        "1 of 3: dog",
    ),
    Damage(
        "class not in val",
        lambda root: [path.write_text(TRIANGLE) for path in (root / "valid/labels").iterdir()],
        Kind.CLASS_NOT_IN_SPLIT,
        _YAML,
        4,
        "val: mouse",
    ),
]

DAMAGES = [*LABEL_DAMAGES, *IMAGE_DAMAGES, *DESCRIPTION_DAMAGES]
