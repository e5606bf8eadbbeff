"""Let Fast DDS carry whole images in shared memory."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

#: What Fast DDS reads: since Kilted, and before.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
#: Set to `none` to leave Fast DDS as it is delivered.
OPT_OUT_VARIABLE = "YOLOV8_SEG_TRANSPORT_PROFILE"


def large_image_profile() -> Path:
    """Give the Fast DDS profile of this package."""
    return Path(get_package_share_directory("yolov8_seg_ros")) / "config" / "fastdds_large_images.xml"


def use_large_image_profile(environ: MutableMapping[str, str] = os.environ) -> None:
    """Name the profile in the environment, unless the user chose one, or none; before the first node is made."""
    if environ.get(OPT_OUT_VARIABLE) == "none" or any(name in environ for name in PROFILE_VARIABLES):
        return
    for name in PROFILE_VARIABLES:
        environ[name] = str(large_image_profile())
