"""List the settings of the node `depth_node`."""

from __future__ import annotations

from yolov8_seg_ros.core.options import DepthOptions
from yolov8_seg_ros.settings.setting import Setting

#: The group of the settings that mean something for a recording, too.
PLACING = "objects in space"
#: How the boxes of objects lie, and what colours the points of clouds.
BOX_KINDS, CLOUD_COLORS = ("aligned", "yaw"), ("instance", "image")
RECTIFIED = ("auto", "none", "color", "depth", "both")
_DEPTH = DepthOptions()

DEPTH_NODE_SETTINGS = (
    Setting("segmentation", "yolov8_seg", "Name of the segmentation node, whose detections and instances are read."),
    Setting(
        "target_frame",
        "",
        "Frame in which objects are placed, by TF at the time of the image; empty: the colour camera's optical frame.",
        group=PLACING,
        metavar="FRAME",
    ),
    Setting(
        "boxes",
        BOX_KINDS[0],
        "How boxes lie; aligned: along the axes of the frame; yaw: turned about its z axis, which must point up.",
        choices=BOX_KINDS,
        group=PLACING,
    ),
    Setting(
        "tracking.enabled",
        False,
        "Whether ids of detections are those of tracks; then velocities are known, and markers keep their ids.",
    ),
    Setting(
        "velocity_window_s",
        1.0,
        "A velocity is that of the last seconds of a track.",
        minimum=0.1,
        maximum=60.0,
        group=PLACING,
    ),
    Setting(
        "smoothing_s",
        0.0,
        "Time constant of the smoothing of the positions of tracks; 0: none.",
        minimum=0.0,
        maximum=60.0,
        group=PLACING,
    ),
    Setting(
        "max_depth_delay_s",
        0.05,
        "Largest time between a colour image and the depth image taken for it; 0: only one of the same stamp.",
        minimum=0.0,
        maximum=10.0,
        group=PLACING,
    ),
    Setting(
        "max_wait_s",
        0.2,
        "How long a frame waits for the transform of its time, and for the first CameraInfo.",
        minimum=0.0,
        maximum=10.0,
        group=PLACING,
    ),
    Setting(
        "assume_registered",
        False,
        "Whether depth and colour images have the same pixels whatever their headers say; no CameraInfo of the depth "
        "image is needed then.",
        group=PLACING,
    ),
    Setting(
        "rectified",
        RECTIFIED[0],
        "Which images are rectified, so that P of their CameraInfo counts in place of K and D; auto: those of topics "
        "with rect in the name, as image_rect_color.",
        choices=RECTIFIED,
        group=PLACING,
    ),
    Setting(
        "depth_extrinsics",
        "",
        "Pose of the depth camera in the colour camera's optical frame, 'x y z qx qy qz qw'; empty: by TF.",
        group=PLACING,
        metavar="POSE",
    ),
    Setting(
        "depth_unit_m",
        0.0,
        "Metres that 1 is worth in a depth image; 0: as its encoding says, 0.001 for 16UC1 and 1 for 32FC1.",
        minimum=0.0,
        maximum=100.0,
        group=PLACING,
    ),
    Setting(
        "min_depth_m", _DEPTH.min_depth_m, "Nearer depths are left out.", minimum=0.0, maximum=1000.0, group=PLACING
    ),
    Setting(
        "max_depth_m", _DEPTH.max_depth_m, "Farther depths are left out.", minimum=0.0, maximum=1000.0, group=PLACING
    ),
    Setting(
        "erosion_px",
        _DEPTH.erosion_px,
        "Width of the outline of a mask, in pixels, where depths decide nothing.",
        minimum=0,
        maximum=50,
        group=PLACING,
    ),
    Setting(
        "stride",
        _DEPTH.stride,
        "Of an unregistered depth image each so many rows and columns are used; 0: as many as leave about 320x240.",
        minimum=0,
        maximum=16,
        group=PLACING,
    ),
    Setting(
        "min_points",
        _DEPTH.min_points,
        "An object with fewer depths has no box.",
        minimum=3,
        maximum=100_000,
        group=PLACING,
    ),
    Setting(
        "mode_share",
        _DEPTH.mode_share,
        "The nearest group of depths that holds this part of a mask's is the object.",
        minimum=0.01,
        maximum=1.0,
        group=PLACING,
    ),
    Setting(
        "cloud_color",
        CLOUD_COLORS[0],
        "Colour of the points of the cloud; instance: one for each instance; image: that of the raw image on 'image'.",
        choices=CLOUD_COLORS,
        group=PLACING,
    ),
    Setting(
        "marker_lifetime_s",
        1.0,
        "How long a marker stays when none follows.",
        minimum=0.0,
        maximum=3600.0,
        group=PLACING,
    ),
    Setting("nav2", False, "Whether ~/nav2/* is published for Nav2's semantic segmentation layer."),
    Setting(
        "nav2_classes",
        "",
        "Classes in ~/nav2/*, separated by commas or as a list, the same as in the costmap's parameters; empty: all.",
        takes_list=True,
    ),
    Setting(
        "nav2_decimation",
        4,
        "Rows and columns of the depth image that are one in ~/nav2/*.",
        minimum=1,
        maximum=64,
    ),
    Setting(
        "autostart",
        True,
        "Whether the node configures and activates itself at start, and ends with exit code 1 if it cannot.",
    ),
)
