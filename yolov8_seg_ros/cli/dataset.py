"""Verb `dataset`: check a data set before training on it, write a repaired copy, or make one of recordings."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from yolov8_seg_ros.cli import dataset_from_bag
from yolov8_seg_ros.cli.output import folder, print_table
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.files import user_path
from yolov8_seg_ros.text import clean_text
from yolov8_seg_ros.tools.dataset.check import ImageFacts, check_dataset, inspect_images
from yolov8_seg_ros.tools.dataset.description import DESCRIPTION_NAME
from yolov8_seg_ros.tools.dataset.finding import Finding, Kind, Severity
from yolov8_seg_ros.tools.dataset.fix import Change, fix_dataset
from yolov8_seg_ros.tools.dataset.reader import DataSet, read_dataset, summary_table

#: How many findings of a kind are listed without --all.
_LISTED = 20
_DESCRIPTION = """\
Check a data set for segmentation in YOLO's form, as Roboflow and Ultralytics write it, before training on it.
Each finding names file and line, and what to do. The exit code is 1 where errors are found, else 0."""
_EPILOG = """\
examples:
  yolov8_seg dataset check Fish-Seg-1/data.yaml
  yolov8_seg dataset check Fish-Seg-1/data.yaml --fix fish_repaired --drop-unlabelled"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its own verb."""
    parser = subparsers.add_parser(
        "dataset",
        description="Check data sets, write repaired copies, and make data sets of recordings.",
        epilog="example: yolov8_seg dataset check data.yaml",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    check = verbs.add_parser(
        "check",
        help="find what is wrong with a data set, and repair a copy",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("data", type=Path, metavar="DATA_YAML", help=f"{DESCRIPTION_NAME} of a data set, or its folder")
    check.add_argument("--strict", action="store_true", help="count warnings as errors")
    check.add_argument("--all", action="store_true", help=f"list all findings, not only {_LISTED} of a kind")
    check.add_argument(
        "--fix",
        type=folder,
        metavar="DIR",
        help="write a repaired copy to a new folder; the exit code is that of the copy then",
    )
    check.add_argument("--drop-unlabelled", action="store_true", help="leave images without labels out of the copy")
    check.set_defaults(run=run_check)
    dataset_from_bag.add_parser(verbs)


def run_check(args: argparse.Namespace) -> int:
    """Check a data set, and repair a copy if wanted; return 1 where errors are left."""
    if args.drop_unlabelled and args.fix is None:
        raise CommandError("--drop-unlabelled is about the repaired copy; say with --fix DIR where to write it")
    limit = None if args.all else _LISTED
    dataset, facts = _open(user_path(args.data))
    findings = check_dataset(dataset, facts)
    root = dataset.description.path.parent
    print(clean_text(str(dataset.description.path)))
    _print_findings(findings, root, limit)
    print()
    print_table(summary_table(dataset))
    print(f"\n{_verdict(findings)}")
    if args.fix is not None:
        changes = fix_dataset(dataset, facts, args.fix, drop_unlabelled=args.drop_unlabelled)
        findings = _report_copy(args.fix, changes, root, limit)
    worst = Severity.WARNING if args.strict else Severity.ERROR
    return int(any(finding.kind.severity >= worst for finding in findings))


def _open(path: Path) -> tuple[DataSet, dict[Path, ImageFacts]]:
    dataset = read_dataset(path)
    paths = [image.path for image in dataset.all_images()]
    with tqdm(total=len(paths), unit="image", disable=None, leave=False) as bar:
        return dataset, inspect_images(paths, bar.update)


def _report_copy(copy_folder: Path, changes: list[Change], root: Path, limit: int | None) -> list[Finding]:
    for title, is_left_out in (("repaired", False), ("left out", True)):
        chosen = [change for change in changes if change.is_left_out is is_left_out]
        lines = [_place(change.path, change.line, change.what, root) for change in chosen]
        if lines:
            print(f"\n{title} ({len(lines)})")
            _print_lines(lines, limit)
    copy, facts = _open(copy_folder)
    findings = check_dataset(copy, facts)
    print(f"\n{clean_text(str(copy.description.path))}")
    _print_findings([finding for finding in findings if finding.kind.severity is Severity.ERROR], copy_folder, limit)
    print()
    print_table(summary_table(copy))
    print(f"\nthe copy has {_verdict(findings)}")
    return findings


def _print_findings(findings: list[Finding], root: Path, limit: int | None) -> None:
    kinds = sorted({finding.kind for finding in findings}, key=lambda kind: (-kind.severity, list(Kind).index(kind)))
    for kind in kinds:
        lines = [_place(found.path, found.line, found.detail, root) for found in findings if found.kind is kind]
        print(f"\n{kind.severity.name.lower()}: {kind.title} ({len(lines)})")
        print(f"  -> {kind.remedy}")
        # Notes are harmless: their number is enough.
        _print_lines(lines, 0 if kind.severity is Severity.NOTE and limit is not None else limit)


def _place(path: Path, line: int, text: str, root: Path) -> str:
    """Return where something is, as editors and CI systems make a link of it."""
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return clean_text(f"{shown}{f':{line}' if line else ''}{f': {text}' if text else ''}")


def _print_lines(lines: list[str], limit: int | None) -> None:
    for line in lines[:limit]:
        print(f"  {line}")
    if limit and len(lines) > limit:
        print(f"  ... and {len(lines) - limit} more: --all lists them")


def _verdict(findings: Iterable[Finding]) -> str:
    counts = Counter(finding.kind.severity for finding in findings)
    return ", ".join(_counted(counts[severity], severity.name.lower()) for severity in reversed(Severity))


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
