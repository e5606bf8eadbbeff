"""Join detections and instance masks of the same image, and print what each object covers.

    python3 $(ros2 pkg prefix --share yolov8_seg_ros)/examples/consumer.py

Needs the package message_filters (ros-$ROS_DISTRO-message-filters). For a node in a namespace append
`--ros-args -r __ns:=/front`.
"""

import message_filters
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

#: Results of one image have the same stamp, but arrive one after the other.
QUEUE_SIZE = 10


class Consumer(Node):
    """Node that prints class, score, centre and area of each object."""

    def __init__(self) -> None:
        super().__init__("consumer")
        self._subscribers = [
            message_filters.Subscriber(self, Detection2DArray, "yolov8_seg/detections"),
            message_filters.Subscriber(self, Image, "yolov8_seg/instances"),
        ]
        self._joined = message_filters.TimeSynchronizer(self._subscribers, QUEUE_SIZE)
        self._joined.registerCallback(self._show)

    def _show(self, detections: Detection2DArray, instances: Image) -> None:
        labels = np.frombuffer(instances.data, np.uint8).reshape(instances.height, instances.step)
        # The k-th detection is where the label is k; 0 is the background.
        areas_px = np.bincount(labels[:, : instances.width].ravel(), minlength=256)
        for label, detection in enumerate(detections.detections, start=1):
            best = detection.results[0].hypothesis
            centre = detection.bbox.center.position
            self.get_logger().info(
                f"{best.class_id} {best.score:.2f} at ({centre.x:.0f}, {centre.y:.0f}), {areas_px[label]} px"
            )


def main() -> None:
    """Run the node until it is interrupted."""
    rclpy.init()
    try:
        rclpy.spin(Consumer())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
