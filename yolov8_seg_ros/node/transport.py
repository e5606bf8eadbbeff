"""Set Fast DDS up to carry whole images in shared memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rclpy.utilities import get_rmw_implementation_identifier

#: What Fast DDS reads, and what it read up to Jazzy.
VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
OLD_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
_OLD_DISTRIBUTIONS = frozenset({"humble", "iron", "jazzy"})
#: Set to `none` to leave Fast DDS as it is delivered.
OPT_OUT_VARIABLE = "YOLOV8_SEG_TRANSPORT_PROFILE"


def large_image_profile() -> Path:
    """Return the Fast DDS profile of this package.

    Raises:
        PackageNotFoundError: if the package is not installed.
    """
    return Path(get_package_share_directory("yolov8_seg_ros")) / "config" / "fastdds_large_images.xml"


def use_large_image_profile(environ: MutableMapping[str, str] = os.environ) -> None:
    """Name the profile in the environment, unless the user chose one, or none; before the first node is made."""
    if environ.get(OPT_OUT_VARIABLE) == "none" or VARIABLE in environ or OLD_VARIABLE in environ:
        return
    try:
        profile = large_image_profile()
    except PackageNotFoundError:
        print("yolov8_seg_ros is not installed: Fast DDS goes without its profile, images may be lost", file=sys.stderr)
        return
    environ[_variable(environ)] = str(profile)


def loss_advice(alternative: str, environ: Mapping[str, str] = os.environ, middleware: str | None = None) -> str:
    """Return why images get lost in transport, and what to do.

    Args:
        alternative: what helps but for the profile.
        environ: of this process.
        middleware: the ROS middleware's name; None for the one in use.
    """
    middleware = middleware or get_rmw_implementation_identifier()
    if not middleware.startswith("rmw_fastrtps"):
        return f"{middleware} has no profile of ours; {alternative}"
    try:
        profile = str(large_image_profile())
    except PackageNotFoundError:
        profile = "fastdds_large_images.xml of yolov8_seg_ros"
    variable = _variable(environ)
    has_it = os.path.realpath(environ.get(variable, "")) == os.path.realpath(profile)
    return (
        "Fast DDS as delivered sends images larger than its shared-memory segment in fragments, which get lost; "
        f"set {variable}={profile} in the environment of the camera's process"
        + ("" if has_it else " (this node goes without it as well)")
        + f", or {alternative}"
    )


def _variable(environ: Mapping[str, str]) -> str:
    return OLD_VARIABLE if environ.get("ROS_DISTRO") in _OLD_DISTRIBUTIONS else VARIABLE
