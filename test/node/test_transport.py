"""Test the choice of the Fast DDS profile."""

from __future__ import annotations

import fcntl
import os
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from ament_index_python.packages import PackageNotFoundError

from yolov8_seg_ros.node import image_source, seg_node, transport

PROFILE = Path("/share/fastdds_large_images.xml")


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.setattr(transport, "large_image_profile", lambda: PROFILE)


@pytest.mark.parametrize(
    ("environ", "added"),
    [
        ({}, {"FASTDDS_DEFAULT_PROFILES_FILE": str(PROFILE)}),
        ({"ROS_DISTRO": "kilted"}, {"FASTDDS_DEFAULT_PROFILES_FILE": str(PROFILE)}),
        ({"ROS_DISTRO": "jazzy"}, {"FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE)}),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "own.xml"}, {}),
        ({"ROS_DISTRO": "jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE": "own.xml"}, {}),
        ({"YOLOV8_SEG_TRANSPORT_PROFILE": "none"}, {}),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}, {}),
    ],
    ids=["bare", "kilted", "jazzy", "user's own", "user's own on jazzy", "opted out", "built-in transports"],
)
def test_the_profile_is_named_unless_the_user_chose(environ, added):
    before = dict(environ)
    transport.use_large_image_profile(environ)
    assert environ == {**before, **added}


@pytest.mark.parametrize("program", [seg_node, image_source], ids=["seg_node", "image_source"])
def test_every_node_s_process_goes_with_the_profile(monkeypatch, program):
    unset = (transport.VARIABLE, transport.OLD_VARIABLE, transport.BUILTIN_TRANSPORTS_VARIABLE)
    for variable in (*unset, transport.OPT_OUT_VARIABLE, "ROS_DISTRO"):
        # Set first, so that what the program sets is taken back with it.
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    assert program.main(["--ros-args", "-p", "nonsense"]) == 1
    assert os.environ[transport.VARIABLE] == str(PROFILE)


def test_a_package_that_is_not_installed_is_told(monkeypatch, capsys):
    def absent():
        raise PackageNotFoundError("yolov8_seg_ros")

    monkeypatch.setattr(transport, "large_image_profile", absent)
    environ = {}
    transport.use_large_image_profile(environ)
    assert environ == {}
    assert "is not installed" in capsys.readouterr().err


ALTERNATIVE = "make its publisher reliable"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({transport.VARIABLE: str(PROFILE)}, f"set {transport.VARIABLE}={PROFILE} in the environment of the camera"),
        ({"ROS_DISTRO": "jazzy"}, f"set {transport.OLD_VARIABLE}={PROFILE} in the environment of the camera"),
    ],
    ids=["kilted", "jazzy"],
)
def test_the_advice_names_variable_file_and_alternative(environ, expected):
    advice = transport.loss_advice(ALTERNATIVE, environ, "rmw_fastrtps_cpp")
    assert expected in advice
    assert ALTERNATIVE in advice


@pytest.mark.parametrize(
    ("environ", "goes_without"),
    [
        ({transport.VARIABLE: str(PROFILE)}, False),
        ({transport.VARIABLE: f"{PROFILE.parent}/../share/{PROFILE.name}"}, False),
        ({transport.VARIABLE: "own.xml"}, True),
        ({transport.OPT_OUT_VARIABLE: "none"}, True),
    ],
    ids=["profile", "profile by another way", "user's own", "opted out"],
)
def test_the_advice_tells_whether_the_node_has_the_profile(environ, goes_without):
    advice = transport.loss_advice(ALTERNATIVE, environ, "rmw_fastrtps_cpp")
    assert ("this node goes without it as well" in advice) == goes_without


def test_the_advice_for_another_middleware_names_no_profile():
    advice = transport.loss_advice(ALTERNATIVE, {}, "rmw_cyclonedds_cpp")
    assert "rmw_cyclonedds_cpp" in advice
    assert ALTERNATIVE in advice
    assert str(PROFILE) not in advice


def test_the_profile_holds_a_full_hd_image():
    path = Path(__file__).resolve().parents[2] / "config" / "fastdds_large_images.xml"
    sizes = {element.tag.split("}")[1]: element.text for element in ElementTree.parse(path).iter()}
    assert int(sizes["maxMessageSize"]) >= 1920 * 1080 * 3
    assert int(sizes["segment_size"]) >= 2 * int(sizes["maxMessageSize"])


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({transport.VARIABLE: "own.xml"}, f"{transport.VARIABLE}=own.xml"),
        ({transport.BUILTIN_TRANSPORTS_VARIABLE: "UDPv4"}, f"{transport.BUILTIN_TRANSPORTS_VARIABLE}=UDPv4"),
        ({transport.OPT_OUT_VARIABLE: "none"}, "no profile"),
    ],
    ids=["profile", "built-in transports", "none"],
)
def test_what_is_in_use_is_told(environ, expected):
    assert transport.profile_in_use(environ) == expected


#: Names of lock files, their age in seconds, whether a process holds the lock, and whether the segment is removed.
SEGMENTS = {
    "of a dead process": ("fastdds_0123456789abcdef_el", 100, False, True),
    "of a dead process on Jazzy": ("fastrtps_0123456789abcdef_el", 100, False, True),
    "of a living process": ("fastdds_0123456789abcdef_el", 100, True, False),
    "of a process that starts": ("fastdds_0123456789abcdef_el", 0, False, False),
    "a port": ("fastdds_port7410_el", 100, False, False),
    "another program's": ("fastsomething_0123456789abcdef_el", 100, False, False),
}


@pytest.mark.parametrize(("name", "age_s", "is_locked", "is_removed"), SEGMENTS.values(), ids=SEGMENTS)
def test_segments_of_dead_processes_are_removed(tmp_path, name, age_s, is_locked, is_removed):
    lock, segment = tmp_path / name, tmp_path / name.removesuffix("_el")
    segment.write_bytes(bytes(100))
    lock.touch()
    os.utime(lock, (time.time() - age_s,) * 2)
    with lock.open() as holder:
        if is_locked:
            fcntl.flock(holder, fcntl.LOCK_EX)
        transport.remove_stale_segments(tmp_path)
    assert (lock.exists(), segment.exists()) == (not is_removed, not is_removed)


def test_links_are_not_followed(tmp_path):
    target, lock = tmp_path / "target", tmp_path / "fastdds_0123456789abcdef_el"
    target.touch()
    os.utime(target, (0, 0))
    lock.symlink_to(target)
    transport.remove_stale_segments(tmp_path)
    assert lock.is_symlink()
    assert target.exists()
