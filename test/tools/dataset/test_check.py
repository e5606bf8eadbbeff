"""Test that every known damage of a data set is found, with its file and line, and nothing else is."""

from __future__ import annotations

import pytest
from support.dataset_damages import DAMAGES, LABEL_DAMAGES
from support.shared_data import shared_path
from support.tiny_dataset import check, content_of, write_dataset

from yolov8_seg_ros.tools.dataset.finding import Kind, Severity

#: What comes of a damage besides its own finding.
CONSEQUENCES = {
    Kind.NO_LABELS: {Kind.NO_LABEL_FILE},
    Kind.LABELS_DIFFER: {Kind.NO_LABEL_FILE},
    Kind.ENCODING: {Kind.CLASS_NOT_INTEGER},
    Kind.CLASS_COUNT: {Kind.CLASS_UNUSED},
    Kind.NO_NAMES: {Kind.CLASS_UNUSED, Kind.CLASS_RANGE},
}


def test_a_good_data_set_has_no_findings(tmp_path):
    assert check(write_dataset(tmp_path)) == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damage_is_found_with_file_and_line(damage, tmp_path):
    path = write_dataset(tmp_path)
    damage.apply(tmp_path)

    findings = check(path)

    found = [finding for finding in findings if finding.kind is damage.kind]
    assert (tmp_path / damage.path, damage.line) in [(finding.path, finding.line) for finding in found]
    assert any(damage.detail in finding.detail for finding in found)
    expected = {damage.kind} | CONSEQUENCES.get(damage.kind, set())
    assert {finding.kind for finding in findings} <= expected


def test_all_kinds_are_tried():
    untried = set(Kind) - {damage.kind for damage in DAMAGES}
    assert untried == {Kind.PATH_AMBIGUOUS}


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_each_kind_says_what_to_do(kind):
    assert kind.title
    assert kind.remedy


def test_checking_writes_nothing(tmp_path):
    path = write_dataset(tmp_path)
    for number, damage in enumerate(LABEL_DAMAGES):
        folder = tmp_path / f"{number}"
        write_dataset(folder)
        damage.apply(folder)
    before = content_of(tmp_path)

    check(path)
    check(tmp_path / "0")

    assert content_of(tmp_path) == before


def test_a_neighbours_folder_is_warned_of(tmp_path):
    path = write_dataset(tmp_path / "set")
    write_dataset(tmp_path)
    path.write_text(path.read_text().replace("train/", "../train/"))

    (finding,) = (finding for finding in check(path) if finding.kind is Kind.PATH_AMBIGUOUS)

    assert finding.line == 1
    assert str(tmp_path / "train/images") in finding.detail


def test_the_fish_as_they_are():
    root = shared_path("data/fish")
    findings = check(root / "data.yaml")

    of_kind = {kind: [finding for finding in findings if finding.kind is kind] for kind in Kind}
    assert len(of_kind[Kind.NO_LABEL_FILE]) == 12
    assert len(of_kind[Kind.EMPTY_LABEL_FILE]) == 6
    assert len(of_kind[Kind.NO_LINE_END]) == 45
    assert all(finding.path.is_relative_to(root / "train") for finding in of_kind[Kind.NO_LABEL_FILE])
    assert [(finding.path, finding.line) for finding in of_kind[Kind.PATH_RELATIVE]] == [(root / "data.yaml", 1)]
    assert not [finding for finding in findings if finding.kind.severity is Severity.ERROR]
