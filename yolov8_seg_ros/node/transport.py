"""Set Fast DDS up to carry whole images in shared memory, and free the memory that killed processes left."""

from __future__ import annotations

import fcntl
import os
import re
import sys
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rclpy.utilities import get_rmw_implementation_identifier

#: What Fast DDS reads, and what it read up to Jazzy.
VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
OLD_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
_OLD_DISTRIBUTIONS = frozenset({"humble", "iron", "jazzy"})
#: Fast DDS's own switch, such as UDPv4 for containers; a profile would overrule it.
BUILTIN_TRANSPORTS_VARIABLE = "FASTDDS_BUILTIN_TRANSPORTS"
#: Set to `none` to leave Fast DDS as it is delivered.
OPT_OUT_VARIABLE = "YOLOV8_SEG_TRANSPORT_PROFILE"
SHARED_MEMORY = Path("/dev/shm")
#: The shared memory of a participant, and the file that its process keeps locked as long as it lives.
_SEGMENT_NAME = re.compile(r"fast(dds|rtps)_[0-9a-f]{16}")
_LOCK_SUFFIX = "_el"
#: A process that starts makes the file before it locks it.
_START_S = 60.0


def large_image_profile() -> Path:
    """Return the Fast DDS profile of this package.

    Raises:
        PackageNotFoundError: if the package is not installed.
    """
    return Path(get_package_share_directory("yolov8_seg_ros")) / "config" / "fastdds_large_images.xml"


def use_large_image_profile(environ: MutableMapping[str, str] = os.environ) -> None:
    """Name the profile in the environment, unless the user chose one, or none; before the first node is made."""
    chosen = (VARIABLE, OLD_VARIABLE, BUILTIN_TRANSPORTS_VARIABLE)
    if environ.get(OPT_OUT_VARIABLE) == "none" or any(variable in environ for variable in chosen):
        return
    try:
        profile = large_image_profile()
    except PackageNotFoundError:
        print("yolov8_seg_ros is not installed: Fast DDS goes without its profile, images may be lost", file=sys.stderr)
        return
    environ[_variable(environ)] = str(profile)


def profile_in_use(environ: Mapping[str, str] = os.environ) -> str:
    """Return what Fast DDS is set up by, for a person."""
    for variable in (VARIABLE, OLD_VARIABLE, BUILTIN_TRANSPORTS_VARIABLE):
        if environ.get(variable):
            return f"{variable}={environ[variable]}"
    return "no profile"


def remove_stale_segments(folder: Path = SHARED_MEMORY) -> None:
    """Remove the shared memory of Fast DDS that killed processes left: 34 MiB each with the profile, until a reboot.

    What a living process holds, and what belongs to another user, stays.
    """
    for lock in folder.glob(f"fast*{_LOCK_SUFFIX}"):
        segment = lock.with_name(lock.name.removesuffix(_LOCK_SUFFIX))
        if _SEGMENT_NAME.fullmatch(segment.name):
            # Another user's, or removed by another process meanwhile.
            with suppress(OSError):
                _remove_if_stale(segment, lock)


def _remove_if_stale(segment: Path, lock: Path) -> None:
    file = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if time.time() - os.fstat(file).st_mtime < _START_S:
            return
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        segment.unlink(missing_ok=True)
        lock.unlink()
    finally:
        os.close(file)


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
