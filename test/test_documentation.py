"""Compare the documented tables with the code, so that neither can drift."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from yolov8_seg_ros.cli.main import VERBS
from yolov8_seg_ros.node import conversions
from yolov8_seg_ros.node.publishers import RESULT_TOPICS
from yolov8_seg_ros.settings.tables import SEG_NODE_SETTINGS

CHECKOUT = Path(__file__).resolve().parents[1]
README = CHECKOUT / "README.md"


def table(path, first_column):
    """Return the rows below a heading, cells stripped of blanks and back quotes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def generator():
    """Return the script that writes what follows from the tables of settings."""
    spec = spec_from_file_location("generate", CHECKOUT / "docs" / "generate.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("path", "text"), generator().documents().items(), ids=lambda value: getattr(value, "name", "")
)
def test_generated_documents_are_up_to_date(path, text):
    assert path.read_text(encoding="utf-8") == text, "run: make docs"


def test_a_document_without_markers_is_refused():
    with pytest.raises(ValueError, match="expected <!-- x: begin --> and <!-- x: end --> once, found them 0 times"):
        generator().with_table("text", "x", "| a |")


@pytest.mark.parametrize("name", ["stm32n6.md"])
def test_parameters_in_other_documents_exist(name):
    documented = {row[0] for row in table(CHECKOUT / "docs" / name, "parameter")}
    assert documented <= {setting.name for setting in SEG_NODE_SETTINGS}


def test_topics_are_documented():
    rows = {row[0]: row for row in table(README, "topic")}
    assert {topic.removeprefix("~/") for topic in rows if topic.startswith("~/")} == set(RESULT_TOPICS)
    encodings = rows["image` (in)"][-1]
    for encoding in conversions.ENCODINGS:
        # Those of 16 bits are described by those of 8.
        name = re.sub(r"bayer_\w+8", "bayer_*8", re.sub("16$", "8", encoding))
        # 8UC1 and 8UC3 are other names of mono8 and bgr8; uyvy and yuyv of the yuv422 ones.
        assert name in encodings or name.upper() in encodings or name.endswith(("uc1", "uc3")), encoding


def test_topics_of_the_depth_node_are_documented():
    node = CHECKOUT / "yolov8_seg_ros" / "node"
    published = set(re.findall(r'"(~/[\w/]+)"', (node / "depth" / "depth_session.py").read_text()))
    rows = table(CHECKOUT / "docs" / "depth.md", "depth topic")
    documented = {topic.strip().strip("`") for row in rows for topic in row[0].split(",")}
    assert published == {topic for topic in documented if topic.startswith("~/")}


def test_launch_arguments_are_documented():
    launch_file = (CHECKOUT / "launch" / "seg.launch.py").read_text()
    declared = re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', launch_file)
    assert [row[0] for row in table(README, "launch argument")] == declared


def test_verbs_are_documented():
    documented = {row[0].split()[0].rstrip("`,") for row in table(README, "verb")}
    assert documented == set(VERBS)


def test_links_lead_somewhere():
    for path in (README, *CHECKOUT.glob("docs/*.md"), CHECKOUT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert target.startswith("http") or (path.parent / target).exists(), f"{path.name}: {target}"
