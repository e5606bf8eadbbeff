"""Start the segmentation node as a lifecycle node, which the launch file configures and activates.

    ros2 launch yolov8_seg_ros lifecycle.launch.py image_topic:=/camera/image_raw

With a lifecycle manager, leave `activation` and `configuration` out: the manager does both.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition


def generate_launch_description() -> LaunchDescription:
    """Start the node, configure it, and activate it once it is configured."""
    defaults = PathJoinSubstitution([FindPackageShare("yolov8_seg_ros"), "config", "seg.yaml"])
    node = LifecycleNode(
        package="yolov8_seg_ros",
        executable="seg_node",
        name="yolov8_seg",
        namespace="",
        parameters=[defaults, {"model": LaunchConfiguration("model"), "autostart": False}],
        remappings=[("image", LaunchConfiguration("image_topic"))],
        output="screen",
    )
    configuration = _transition(node, Transition.TRANSITION_CONFIGURE)
    activation = RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="configuring",
            goal_state="inactive",
            entities=[_transition(node, Transition.TRANSITION_ACTIVATE)],
        )
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument("model", default_value="yolov8n_256", description="model file or name"),
            DeclareLaunchArgument("image_topic", default_value="image", description="topic of the camera's images"),
            node,
            activation,
            configuration,
        ]
    )


def _transition(node: LifecycleNode, transition_id: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition_id))
