"""Publish one image at a rate: a process of the benchmarks."""

from __future__ import annotations

import argparse
import array
import sys
import time

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image

from benchmarks.images import benchmark_image, size_hw
from benchmarks.v4l2_camera import encoded
from yolov8_seg_ros.node import conversions
from yolov8_seg_ros.node.transport import use_large_image_profile

#: Printed before the first frame that counts, and when the results of the last one must have come.
MEASURING, DONE = "camera: measuring", "camera: done"
_QUEUE = 5
#: From the first subscriber to the first frame, so that all have found each other.
_SETTLE_S = 1.0
#: Between the last frame and DONE.
_LINGER_S = 0.3


def _bgr8(bgr: NDArray[np.uint8]) -> Image:
    return conversions.bgr_to_msg(bgr, Image().header)


def _yuv422_yuy2(bgr: NDArray[np.uint8]) -> Image:
    height, width = bgr.shape[:2]
    data = array.array("B", encoded(bgr, "YUYV"))
    return Image(height=height, width=width, encoding="yuv422_yuy2", step=2 * width, data=data)


#: How the image becomes a message, by its encoding.
_MESSAGES = {"bgr8": _bgr8, "yuv422_yuy2": _yuv422_yuy2}


def main() -> int:
    """Publish as many frames as were asked for; `frame_id` is a frame's number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", default="")
    parser.add_argument("--size", type=size_hw, required=True)
    parser.add_argument("--topic", default="image")
    parser.add_argument("--encoding", choices=_MESSAGES, default="bgr8")
    parser.add_argument("--hz", type=float, required=True)
    parser.add_argument("--warm-up", type=int, required=True, help="frames before those that count")
    parser.add_argument("--frames", type=int, required=True)
    args = parser.parse_args()
    use_large_image_profile()
    message = _MESSAGES[args.encoding](benchmark_image(args.image, args.size).pixels)
    rclpy.init()
    publisher = Node("camera").create_publisher(Image, args.topic, _QUEUE)
    while not publisher.get_subscription_count():
        time.sleep(0.05)
    time.sleep(_SETTLE_S)
    due_s = time.monotonic()
    for number in range(args.warm_up + args.frames):
        if number == args.warm_up:
            print(MEASURING, flush=True)
        message.header.frame_id = str(number)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
        publisher.publish(message)
        due_s += 1 / args.hz
        time.sleep(max(0.0, due_s - time.monotonic()))
    time.sleep(_LINGER_S)
    print(DONE, flush=True)
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
