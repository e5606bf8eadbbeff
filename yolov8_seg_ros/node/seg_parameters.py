"""List the parameters of the node `yolov8_seg`, and read options out of their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolov8_seg_ros.backends.n6 import N6_PROTOCOLS
from yolov8_seg_ros.backends.npu import DEFAULT_DELEGATE, NpuOptions
from yolov8_seg_ros.backends.open_backend import BACKENDS
from yolov8_seg_ros.core.instances import MAX_LABELS
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.options import DECODINGS, FITS, DetectionOptions, SegmenterOptions
from yolov8_seg_ros.model_files.store import DEFAULT_MODEL
from yolov8_seg_ros.node.parameters import Parameter

TRANSPORTS = ("raw", "compressed")
RELIABILITIES = ("auto", "reliable", "best_effort")

#: All parameters but those that ROS adds itself. `config/seg.yaml` and the README repeat them.
PARAMETERS = (
    Parameter("model", DEFAULT_MODEL, "model file: a path, or a name as 'yolov8_seg model list' shows them"),
    Parameter("class_names_file", "", "text file, a class name a line, or data.yaml; empty: the model's own"),
    Parameter("backend", "auto", "where the network runs", choices=BACKENDS),
    Parameter("num_threads", 0, "threads of the CPU backend; 0: by the number of processors", minimum=0, maximum=64),
    Parameter("npu_delegate", DEFAULT_DELEGATE, "shared library of the NPU's TensorFlow Lite delegate"),
    Parameter("npu_cache_dir", "", "folder of graphs compiled for the NPU; empty: the user's cache; none: no cache"),
    Parameter("npu_device_id", 0, "which NPU", minimum=0, maximum=255),
    Parameter("npu_options", "", "further options of the delegate: key=value, separated by commas"),
    Parameter("serial_port", "", "of the STM32N6 board; empty: the ST-LINK that is plugged in"),
    Parameter("baud_rate", 0, "of the serial port; 0: as the firmware comes", minimum=0, maximum=20_000_000),
    Parameter("n6_protocol", N6_PROTOCOLS[0], "that the STM32N6 board speaks; auto: finds out", choices=N6_PROTOCOLS),
    Parameter("image_transport", "raw", "type of the image topic", choices=TRANSPORTS),
    Parameter("image_reliability", "auto", "of the image subscription; auto: as offered", choices=RELIABILITIES),
    Parameter("fit", "letterbox", "how the image is fitted into the network's input", choices=FITS),
    Parameter("decoding", DECODINGS[0], "ultralytics: as its predict(), for comparisons", choices=DECODINGS),
    Parameter("score_threshold", 0.25, "lowest score kept", read_only=False, minimum=0.0, maximum=1.0),
    Parameter("iou_threshold", 0.7, "boxes that overlap more are one", read_only=False, minimum=0.0, maximum=1.0),
    Parameter("max_instances", 100, "at most so many, the best", read_only=False, minimum=1, maximum=MAX_LABELS),
    Parameter("classes", "", "class names or numbers to keep, separated by commas; empty: all", read_only=False),
    Parameter("agnostic_nms", False, "let boxes of different classes suppress each other", read_only=False),
    Parameter("autostart", True, "configure and activate at start"),
)


def npu_options(settings: Mapping[str, Any]) -> NpuOptions:
    """Tell how the NPU is reached.

    Raises:
        BackendError: for options that are not of the form they should have.
    """
    return NpuOptions(
        delegate=settings["npu_delegate"],
        cache_dir=settings["npu_cache_dir"],
        device_id=settings["npu_device_id"],
        options=settings["npu_options"],
    )


def detection_options(settings: Mapping[str, Any], spec: ModelSpec) -> DetectionOptions:
    """Return which instances are kept.

    Raises:
        OptionError: for a class that the model does not have.
    """
    names = [name.strip() for name in settings["classes"].split(",") if name.strip()]
    detection = DetectionOptions(
        score_threshold=settings["score_threshold"],
        iou_threshold=settings["iou_threshold"],
        max_instances=settings["max_instances"],
        classes=spec.class_indices(names) if names else None,
        agnostic_nms=settings["agnostic_nms"],
    )
    return SegmenterOptions(detection=detection).with_decoding(settings["decoding"]).detection


def segmenter_options(settings: Mapping[str, Any], spec: ModelSpec) -> SegmenterOptions:
    """Return how images are segmented.

    Raises:
        OptionError: for a class that the model does not have.
    """
    options = SegmenterOptions(fit=settings["fit"], detection=detection_options(settings, spec))
    return options.with_decoding(settings["decoding"])
