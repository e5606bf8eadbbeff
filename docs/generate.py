"""Write what follows from the tables of settings: config/seg.yaml, and tables in README.md and docs/.

`make docs` runs this; the tests compare. In Markdown, a table stands between `<!-- NAME: begin -->` and
`<!-- NAME: end -->`.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from yolov8_seg_ros.settings.depth_table import DEPTH_NODE_SETTINGS  # noqa: E402
from yolov8_seg_ros.settings.setting import OldName, Setting, as_text  # noqa: E402
from yolov8_seg_ros.settings.tables import (  # noqa: E402
    IMAGE_SOURCE_SETTINGS,
    OLD_OPTIONS,
    OLD_PARAMETERS,
    SEG_NODE_SETTINGS,
)

_COLUMNS = 120
_YAML_HEAD = """\
# Every parameter of the node yolov8_seg with its default. `make docs` writes this file.
# Copy it, change what you need, and start with
#   ros2 launch yolov8_seg_ros seg.launch.py params_file:=my_seg.yaml
/**:
  ros__parameters:
"""


def documents() -> dict[Path, str]:
    """Return the present text of each document that follows from the tables."""
    texts = {CHECKOUT / "config" / "seg.yaml": parameter_file(SEG_NODE_SETTINGS)}
    tables = {
        "README.md": ("parameters", parameter_table(SEG_NODE_SETTINGS)),
        "docs/depth.md": ("parameters", parameter_table(DEPTH_NODE_SETTINGS)),
        "docs/image_source.md": ("parameters", parameter_table(IMAGE_SOURCE_SETTINGS)),
        "docs/migration.md": ("old names", old_name_table()),
    }
    for name, (marker, table) in tables.items():
        path = CHECKOUT / name
        texts[path] = with_table(path.read_text(encoding="utf-8"), marker, table)
    return texts


def parameter_file(settings: Sequence[Setting]) -> str:
    """Return a parameter file for ROS 2 with all settings; what stands before a dot in a name becomes a mapping."""
    lines: list[str] = []
    for index, setting in enumerate(settings):
        prefix, dot, name = setting.name.rpartition(".")
        indent = " " * (6 if dot else 4)
        if dot and (index == 0 or not settings[index - 1].name.startswith(f"{prefix}.")):
            lines.append(f"    {prefix}:")
        comment = f"{indent}# "
        lines += textwrap.wrap(_comment(setting), _COLUMNS, initial_indent=comment, subsequent_indent=comment)
        lines.append(f"{indent}{name}: {_yaml(setting.default)}")
    return _YAML_HEAD + "\n".join(lines) + "\n"


def parameter_table(settings: Iterable[Setting]) -> str:
    """Return a Markdown table of settings."""
    with_changes = any(setting.can_change for setting in settings)
    heads = ["parameter", "default", "values", *(["at run time"] if with_changes else []), "meaning"]
    return _table(heads, (_cells(setting, with_changes) for setting in settings))


def old_name_table() -> str:
    """Return a Markdown table of the names that have changed."""
    rows = [
        (kind, ", ".join(f"`{old.name}`" for old in group), replacement)
        for kind, old_names in (("parameter", OLD_PARAMETERS), ("option", OLD_OPTIONS))
        for replacement, group in groupby(old_names, _replacement)
    ]
    return _table(["", "before", "now"], rows)


def with_table(text: str, marker: str, table: str) -> str:
    """Return a document with a table in place of the one between two markers.

    Raises:
        ValueError: if the markers are not there.
    """
    begin, end = f"<!-- {marker}: begin -->\n", f"\n<!-- {marker}: end -->"
    pattern = re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)
    replaced, count = pattern.subn(lambda _: table, text)
    if count != 1:
        raise ValueError(f"expected {begin.strip()} and {end.strip()} once, found them {count} times")
    return replaced


def _comment(setting: Setting) -> str:
    values = f" Values: {setting.values}." if setting.values else ""
    return setting.description + values + (" Can be changed while the node runs." if setting.can_change else "")


def _cells(setting: Setting, with_changes: bool) -> Iterator[str]:
    yield f"`{setting.name}`"
    yield f"`{as_text(setting.default)}`" if setting.default != "" else ""
    yield ", ".join(f"`{choice}`" for choice in setting.choices) or setting.values
    if with_changes:
        yield "yes" if setting.can_change else ""
    yield setting.description


def _replacement(old: OldName) -> str:
    if old.advice:
        return f"gone: {old.advice}"
    setting = next(setting for setting in SEG_NODE_SETTINGS if setting.name == old.setting)
    return f"`{setting.option if old.name.startswith('--') else setting.name}`"


def _table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [_row(heads), "|" + "---|" * len(heads), *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def _yaml(value: Any) -> str:
    return as_text(value) if value != "" else '""'


def main() -> None:
    """Write the documents that have changed."""
    for path, text in documents().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
