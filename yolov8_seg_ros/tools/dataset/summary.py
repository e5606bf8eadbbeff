"""Count what a data set holds: objects of each class and pictures, by split."""

from __future__ import annotations

from yolov8_seg_ros.tools.dataset.check import count_objects
from yolov8_seg_ros.tools.dataset.reader import DataSet


def summary_table(dataset: DataSet) -> list[list[str]]:
    """Give the rows of a table with a column for each split; the first row is its head."""
    splits = list(dataset.splits.values())
    counts = [count_objects(split) for split in splits]
    used = sorted(set().union(*counts))
    rows = [["class", *(split.name for split in splits)]]
    rows += [[f"{index} {dataset.class_names[index]}", *(str(count[index]) for count in counts)] for index in used]
    totals = {
        "objects": [count.total() for count in counts],
        "pictures": [len(split.pictures) for split in splits],
        "  without a label file": [sum(not picture.labels for picture in split.pictures) for split in splits],
        "  with an empty one": [
            sum(bool(picture.labels and not picture.labels.lines) for picture in split.pictures) for split in splits
        ],
    }
    return rows + [[title, *map(str, numbers)] for title, numbers in totals.items()]
