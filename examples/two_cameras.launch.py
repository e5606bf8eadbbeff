"""Segment the images of two cameras, as part of a robot's own launch file.

    ros2 launch yolov8_seg_ros two_cameras.launch.py                  # /front/image_raw, /rear/image_raw
    ros2 launch yolov8_seg_ros two_cameras.launch.py source:=demo     # no cameras at hand

Results are on /front/yolov8_seg/detections, /rear/yolov8_seg/detections and so on. A node that fails leaves the rest of
the robot running, and is started again.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

CAMERAS = ("front", "rear")


def generate_launch_description() -> LaunchDescription:
    """Start a segmentation node for each camera."""
    source = DeclareLaunchArgument("source", default_value="none", description="as of seg.launch.py")
    return LaunchDescription([source, *(_segmentation(camera) for camera in CAMERAS)])


def _segmentation(camera: str) -> GroupAction:
    launch_file = PathJoinSubstitution([FindPackageShare("yolov8_seg_ros"), "launch", "seg.launch.py"])
    arguments = {
        "namespace": camera,
        "image_topic": "image_raw",
        "source": LaunchConfiguration("source"),
        "respawn": "true",
    }
    # Without a group of its own, what one camera is given would be given to all that are included after it.
    return GroupAction(
        [IncludeLaunchDescription(PythonLaunchDescriptionSource(launch_file), launch_arguments=arguments.items())]
    )
