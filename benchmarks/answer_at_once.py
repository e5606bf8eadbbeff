"""Publish an answer to each image at once, with messages made beforehand: what remains is the transport.

A process of the benchmarks. It is the plain node that anybody would write, with rclpy's usual executor and nothing done
about memory, and publishes what somebody listens to.
"""

from __future__ import annotations

import argparse
import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from benchmarks.images import benchmark_image, size_hw
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.overlay import draw_overlay
from yolov8_seg_ros.node import conversions
from yolov8_seg_ros.node.transport import use_large_image_profile


class AnswerAtOnce(Node):
    """Node that publishes messages as large as those of the segmentation node."""

    def __init__(self, model: str, image: ColorImage) -> None:
        super().__init__("yolov8_seg")
        detections, instances, overlay = _results(model, image)
        self._answers = (
            (self.create_publisher(Detection2DArray, "~/detections", 10), detections),
            (self.create_publisher(Image, "~/instances", 10), instances),
            (self.create_publisher(Image, "~/overlay", qos_profile_sensor_data), overlay),
        )
        self.create_subscription(Image, "image", self._answer, 5)
        # As the segmentation node says it.
        self.get_logger().info("listening to image")

    def _answer(self, message: Image) -> None:
        for publisher, answer in self._answers:
            if publisher.get_subscription_count():
                answer.header = message.header
                publisher.publish(answer)


def _results(model: str, image: ColorImage) -> tuple[Detection2DArray, Image, Image]:
    header = Image().header
    with open_backend(model, "cpu") as backend:
        instances = Segmenter(backend).segment(image)
        names = backend.spec.class_names
    canvas = conversions.LabelCanvas("mono8")
    instances.label_image(canvas.pixels(image.hw))
    overlay = draw_overlay(image.to_bgr(), instances, names)
    return (
        conversions.detections_to_msg(instances, names, header),
        canvas.message(header),
        conversions.bgr_to_msg(overlay, header),
    )


def main() -> int:
    """Run the node."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--image", default="")
    parser.add_argument("--size", type=size_hw, required=True)
    args = parser.parse_args()
    use_large_image_profile()
    image = benchmark_image(args.image, args.size)
    rclpy.init()
    try:
        rclpy.spin(AnswerAtOnce(args.model, image))
    except (KeyboardInterrupt, ExternalShutdownException):
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
