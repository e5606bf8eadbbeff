"""Define every irregularity of a data set: its severity, its title and its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path


class Severity(IntEnum):
    """The severity of a finding."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


_NOTE, _WARNING, _ERROR = Severity.NOTE, Severity.WARNING, Severity.ERROR


class Kind(Enum):
    """A kind of irregularity: its severity, its title and its remedy."""

    # The description, data.yaml.
    NO_DESCRIPTION = _ERROR, "no data.yaml", "write one with 'train', 'val' and 'names'"
    DESCRIPTION_DAMAGED = _ERROR, "data.yaml cannot be used", "mend this line; the usual folders were read instead"
    NO_NAMES = _ERROR, "class names missing", "name every class from 0 without gaps under 'names'"
    NAMES_NUMBERED = _WARNING, "classes have numbers for names", "name the classes under 'names'"
    NAME_MISREAD = _WARNING, "class name that YAML takes for something else", "put the name into quotes"
    NAME_TWICE = _WARNING, "class name given twice", "merge the two classes, or rename one"
    CLASS_COUNT = _ERROR, "'nc' is not the number of names", "correct 'nc', or name the classes that lack a name"
    KEY_TWICE = _WARNING, "entry given twice, only the last one counts", "remove one"
    SPLIT_KEY = _ERROR, "split under a name that training does not know", "call it 'val'"
    FOLDER_MISSING = _ERROR, "folder that is not there", "correct the path; it counts from the folder of data.yaml"
    TEST_MISSING = _WARNING, "no images for the test split", "correct the path, or remove the entry 'test'"
    PATH_AMBIGUOUS = (
        _WARNING,
        "'../' leads to another folder than the one beside data.yaml",
        "remove the '../' if the folder beside data.yaml is meant; training takes the other one, and so did this check",
    )
    PATH_RELATIVE = (
        _WARNING,
        "relative 'path'",
        "remove the entry 'path': Ultralytics counts it from the folder that training is started in",
    )
    NO_TRAINING = _WARNING, "no training split", "fine for evaluation; training needs an entry 'train'"
    NO_VALIDATION = _ERROR, "no validation split", "set some images apart and name their folder under 'val'"
    NO_IMAGES = _ERROR, "split without images", "put images there, or correct the path"
    NO_LABELS = _ERROR, "no image of the split has labels", "put label files into 'labels' beside 'images'"
    SAME_SPLIT = (
        _WARNING,
        "'train' and 'val' are the same images",
        "fine for evaluation; after training on them the figures say nothing about new images",
    )
    # Text files.
    ENCODING = _ERROR, "file is not UTF-8", "save it as UTF-8 without a byte order mark"
    BYTE_ORDER_MARK = _ERROR, "byte order mark before the first number", "save it as UTF-8 without a byte order mark"
    CRLF = _NOTE, "Windows line ends", "harmless"
    NO_LINE_END = _NOTE, "last line has no line end", "harmless; files put together would join two lines"
    # Which files belong together.
    NO_LABEL_FILE = (
        _WARNING,
        "image without a label file",
        "trained as background: outline its objects, or add an empty label file if it shows none",
    )
    EMPTY_LABEL_FILE = (
        _WARNING,
        "empty label file",
        "trained as background: outline the objects unless the image shows none",
    )
    LABELS_ALONE = _WARNING, "label file without an image", "add the image, or remove the label file"
    LABEL_PLACE = (
        _ERROR,
        "label file that training does not find",
        "move it into 'labels', with the name of the image in the same capitals and the suffix '.txt'",
    )
    LABELS_SHARED = (
        _ERROR,
        "images of the same name share a label file",
        "rename one, and give it a label file of its own",
    )
    OTHER_FILE = _NOTE, "file that is not read", "images are .bmp, .jpg, .png, .tif or .webp"
    # Lines of label files.
    CLASS_NOT_INTEGER = _ERROR, "class id is not a whole number", "begin each line with a class id: 0, 1, 2 ..."
    CLASS_RANGE = (
        _ERROR,
        "class id that data.yaml does not name",
        "correct the id, or add the class to 'names' and 'nc': training drops the whole image",
    )
    NOT_A_NUMBER = _ERROR, "coordinate that is not a number", "write fractions with a decimal point, spaces between"
    ODD_VALUES = _ERROR, "odd number of coordinates", "each point needs x and y: is the line cut short?"
    TOO_FEW_POINTS = _ERROR, "polygon of fewer than 3 points", "outline the object again"
    PIXELS = _ERROR, "coordinates in pixels", "divide x by the width and y by the height of the image"
    OUTSIDE = _ERROR, "coordinates outside the image", "clip them to 0 .. 1"
    JUST_OUTSIDE = _WARNING, "coordinates slightly outside the image", "clip them to 0 .. 1"
    NO_AREA = _ERROR, "outline without an area", "remove the line, or outline the object again"
    BOX_LINE = (
        _ERROR,
        "box among polygons",
        "outline the object: training reads a box as two points of a polygon, or drops all polygons",
    )
    ONLY_BOXES = (
        _ERROR,
        "boxes only: this is a data set for detection",
        "outline the objects: segmentation needs polygons",
    )
    LINE_TWICE = _WARNING, "same line twice", "remove one"
    # Images.
    UNREADABLE = _ERROR, "image that cannot be read", "save it again from its source, or remove it with its labels"
    WRONG_SUFFIX = _WARNING, "image of another format than its suffix says", "rename it"
    SUFFIX_CAPITALS = _WARNING, "suffix in capitals", "rename it: some tools overlook it"
    TINY = _WARNING, "very small image", "remove it, or take a larger one: training drops those under 10 px"
    TURNED = (
        _WARNING,
        "image that its EXIF data turn",
        "look whether its labels fit the upright image, and save it upright",
    )
    IMAGE_TWICE = _WARNING, "same image twice in a split", "remove one with its labels"
    LABELS_DIFFER = _ERROR, "same image twice with different labels", "keep the one with the right labels"
    LEAK = _ERROR, "same image in two splits", "remove it from training: validation figures come out too good"
    SOURCE_LEAK = (
        _WARNING,
        "renderings of one source image in two splits",
        "split the sources before augmenting them: validation figures come out too good",
    )
    # Classes.
    CLASS_UNUSED = _WARNING, "class without any object", "add objects, or remove the class"
    CLASS_NOT_IN_SPLIT = _WARNING, "class without an object in a split", "let each split show objects of each class"

    def __init__(self, severity: Severity, title: str, remedy: str) -> None:
        self.severity = severity
        self.title = title
        self.remedy = remedy


@dataclass(frozen=True)
class Finding:
    """One irregularity of a data set.

    Attributes:
        kind: what it is.
        path: the file or folder that it is in.
        line: the line of the file, from 1; 0 where it is about the whole.
        detail: what is special about this one; may be empty.
    """

    kind: Kind
    path: Path
    line: int = 0
    detail: str = ""
