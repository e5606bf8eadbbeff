"""Simulate an NPU: a backend that takes its time without the processor, and returns a real result.

Run as a program it is a process of the benchmark: the node with that backend.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from rclpy.lifecycle import LifecycleNode

from benchmarks.images import benchmark_image
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.backend import BackendInfo, TensorBackend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.executables import prepare_process
from yolov8_seg_ros.node import seg_node
from yolov8_seg_ros.node.process import Ending, run_node
from yolov8_seg_ros.node.transport import use_large_image_profile

#: What ST publishes for the STM32MP257F-EV1 and the 256 model.
DEVICE_MS = 19.84
_PR_SET_TIMERSLACK = 29


class SleepingNpu(TensorBackend):
    """Backend that sleeps, with the interpreter's lock released, and returns the network's outputs of one image."""

    def __init__(self, model: str, image: ColorImage, device_ms: float, is_accelerator: bool) -> None:
        with open_backend(model, "cpu") as backend:
            segmenter = Segmenter(backend)
            frame = segmenter.new_frame()
            segmenter.preprocess(frame, image)
            segmenter.infer(frame)
            self._outputs = frame.outputs
            self.spec = backend.spec
        self.info = BackendInfo(f"an NPU made of {device_ms} ms of sleep", is_accelerator=is_accelerator)
        self._device_s = device_ms / 1e3
        self._copying_s = 0.0

    def run(self, network_input: Tensor) -> Sequence[Tensor]:
        """Wait as long as the device would; return copies of the outputs."""
        end_s = time.perf_counter() + self._device_s
        # The kernel may let a sleep of this thread last 50 us longer, unless set otherwise.
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
        # The time that is published holds all that a run takes, handing out the outputs at its end included.
        time.sleep(max(0.0, end_s - self._copying_s - time.perf_counter()))
        copied_from_s = time.perf_counter()
        outputs = [output.copy() for output in self._outputs]
        self._copying_s = time.perf_counter() - copied_from_s
        return outputs

    def close(self) -> None:
        """Do nothing."""


def main() -> int:
    """Run as one of the benchmark's processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--image", default="")
    parser.add_argument("--no-overlap", action="store_true", help="one frame at a time, as with a processor")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME:=VALUE", help="of the node")
    args = parser.parse_args()
    prepare_process()
    use_large_image_profile()
    image = benchmark_image(args.image)

    def opened(**_settings: Any) -> TensorBackend:
        return SleepingNpu(args.model, image, DEVICE_MS, is_accelerator=not args.no_overlap)

    def node(ending: Ending) -> LifecycleNode:
        return seg_node.make_node(ending)

    with patch.object(seg_node, "open_backend", opened):
        parameters = [f"model:={args.model}", *args.parameter]
        return run_node(node, (), ["--ros-args", *(word for text in parameters for word in ("-p", text))])


if __name__ == "__main__":
    sys.exit(main())
