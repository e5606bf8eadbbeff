"""Test that the tables of settings are sound."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import pytest

from yolov8_seg_ros.backends.n6 import N6Options
from yolov8_seg_ros.backends.npu import NpuOptions
from yolov8_seg_ros.settings.depth_table import DEPTH_NODE_SETTINGS
from yolov8_seg_ros.settings.tables import (
    IMAGE_SOURCE_SETTINGS,
    OLD_OPTIONS,
    OLD_PARAMETERS,
    SEG_NODE_SETTINGS,
)

TABLES = {
    "seg_node": SEG_NODE_SETTINGS,
    "depth_node": DEPTH_NODE_SETTINGS,
    "image_source": IMAGE_SOURCE_SETTINGS,
}
SETTINGS = [pytest.param(setting, id=f"{name}-{setting.name}") for name, table in TABLES.items() for setting in table]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_default_is_a_value_of_its_setting(setting):
    assert setting.check(setting.default) == setting.default


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_description_is_one_sentence(setting):
    assert setting.description[0].isupper()
    assert setting.description.endswith(".")
    assert ". " not in setting.description
    assert "|" not in setting.description


@pytest.mark.parametrize("table", TABLES)
def test_a_name_occurs_once(table):
    assert max(Counter(setting.name for setting in TABLES[table]).values()) == 1


@pytest.mark.parametrize(("prefix", "options"), [("npu.", NpuOptions), ("n6.", N6Options)], ids=["npu", "n6"])
def test_a_prefix_has_the_fields_of_its_options(prefix, options):
    names = {setting.name.removeprefix(prefix) for setting in SEG_NODE_SETTINGS if setting.name.startswith(prefix)}
    assert names == {field.name for field in fields(options)}


@pytest.mark.parametrize("old", [*OLD_PARAMETERS, *OLD_OPTIONS], ids=lambda old: old.name)
def test_an_old_name_leads_to_a_setting(old):
    names = {setting.name for setting in SEG_NODE_SETTINGS}
    assert old.setting in names
    assert old.name not in names | {setting.option for setting in SEG_NODE_SETTINGS}
