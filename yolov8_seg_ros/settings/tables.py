"""List the settings of the nodes `yolov8_seg` and `image_source`, and of the tool's verbs.

A new setting is a new row here. `make docs` writes the documents that follow from it.
"""

from __future__ import annotations

from yolov8_seg_ros.backends.n6 import N6_PROTOCOLS, N6Options
from yolov8_seg_ros.backends.npu import NpuOptions
from yolov8_seg_ros.choices import BACKENDS, DEMO, SIM, TRANSPORTS
from yolov8_seg_ros.core.instances import MAX_LABELS
from yolov8_seg_ros.core.options import DECODINGS, FITS, DetectionOptions, SegmenterOptions, TrackerOptions
from yolov8_seg_ros.model_files.store import DEFAULT_MODEL
from yolov8_seg_ros.settings.depth_table import PLACING
from yolov8_seg_ros.settings.setting import OldName, Setting

MODEL, NPU, N6, SEGMENTATION = "model", "NPU", "STM32N6 board", "segmentation"
CAMERA, TRACKING, NODE = "camera", "tracking", "node"
#: Groups whose settings are options of the tool too.
TOOL_GROUPS = (MODEL, NPU, N6, SEGMENTATION, PLACING)
IMAGE_RELIABILITIES = ("auto", "reliable", "best_effort")
#: What cameras on USB offer.
PIXEL_FORMATS = ("auto", "MJPG", "YUYV", "NV12", "UYVY", "BGR3", "GREY")
#: Encodings in which `image_source` publishes.
SOURCE_ENCODINGS = ("bgr8", "rgb8", "bgra8", "rgba8", "mono8")
DEPTH_ENCODINGS = ("16UC1", "32FC1")
_DETECTION, _SEGMENTER, _TRACKER = DetectionOptions(), SegmenterOptions(), TrackerOptions()
_NPU, _N6 = NpuOptions(), N6Options()

#: Of the node `yolov8_seg`. Each setting of the group CAMERA also exists for one camera alone, with the camera's name
#: before a dot.
SEG_NODE_SETTINGS = (
    Setting(
        "model",
        DEFAULT_MODEL,
        "Model file: a path, or a name that 'yolov8_seg model list' shows.",
        MODEL,
        metavar="FILE_OR_NAME",
    ),
    Setting(
        "class_names_file",
        "",
        "Text file with one class name a line, or a data.yaml; empty: the names in the model file.",
        MODEL,
        metavar="FILE",
    ),
    Setting(
        "backend",
        BACKENDS[0],
        "What runs the network; auto: npu if its delegate is installed and works, else cpu; n6: an STM32N6 board.",
        MODEL,
        choices=BACKENDS,
    ),
    Setting(
        "num_threads",
        0,
        "Number of threads on the CPU; 0: chosen by the number of processors.",
        MODEL,
        minimum=0,
        maximum=64,
    ),
    Setting(
        "npu.delegate", _NPU.delegate, "Shared library of the NPU's TensorFlow Lite delegate.", NPU, metavar="FILE"
    ),
    Setting(
        "npu.cache_dir",
        _NPU.cache_dir,
        "Folder of graphs compiled for the NPU; empty: the user's cache folder; none: compile at each start.",
        NPU,
        metavar="DIR",
    ),
    Setting(
        "npu.options",
        _NPU.options,
        "Further options of the delegate, key=value, separated by commas, such as device_id=1 for the second NPU.",
        NPU,
        metavar="KEY=VALUE,...",
    ),
    Setting(
        "n6.port",
        _N6.port,
        "Serial port of the STM32N6 board, or tcp://HOST:PORT; empty: that of the only board that is plugged in.",
        N6,
        metavar="DEVICE",
    ),
    Setting(
        "n6.baud_rate",
        _N6.baud_rate,
        "Baud rate of the serial port, tried before the usual 921600, 3000000 and 115200; 0: only these.",
        N6,
        minimum=0,
        maximum=20_000_000,
    ),
    Setting(
        "n6.protocol",
        _N6.protocol,
        "Firmware of the board; bridge: this package's; stedgeai: that of ST's validation; auto: the one that answers.",
        N6,
        choices=N6_PROTOCOLS,
    ),
    Setting(
        "n6.jpeg_quality",
        _N6.jpeg_quality,
        "JPEG quality of images to a bridge board, less if one is too long; 0: raw; -1: raw on USB and TCP, else 90.",
        N6,
        minimum=-1,
        maximum=100,
    ),
    Setting(
        "fit",
        _SEGMENTER.fit,
        "How an image is fitted into the network's input; letterbox: keeps the aspect ratio; stretch: fills the input.",
        SEGMENTATION,
        choices=FITS,
    ),
    Setting(
        "decoding",
        DECODINGS[0],
        "How outputs are decoded; ultralytics: the file as published, decoded as by its predict(), for comparison.",
        SEGMENTATION,
        choices=DECODINGS,
    ),
    Setting(
        "score_threshold",
        _DETECTION.score_threshold,
        "Lowest score of an instance that is kept.",
        SEGMENTATION,
        can_change=True,
        minimum=0.0,
        maximum=1.0,
    ),
    Setting(
        "iou_threshold",
        _DETECTION.iou_threshold,
        "Two boxes that overlap by more than this IoU are one object.",
        SEGMENTATION,
        can_change=True,
        minimum=0.0,
        maximum=1.0,
    ),
    Setting(
        "max_instances",
        _DETECTION.max_instances,
        "Largest number of instances of an image; the best are kept.",
        SEGMENTATION,
        can_change=True,
        minimum=1,
        maximum=MAX_LABELS,
    ),
    Setting(
        "classes",
        "",
        "Classes that are kept: names or numbers, separated by commas or as a list; empty: all.",
        SEGMENTATION,
        can_change=True,
        takes_list=True,
        metavar="NAME,...",
    ),
    Setting(
        "agnostic_nms",
        _DETECTION.agnostic_nms,
        "Whether boxes of different classes suppress each other.",
        SEGMENTATION,
        can_change=True,
    ),
    Setting(
        "tracking.enabled",
        False,
        "Whether objects keep an id from image to image; it is the id of their detections then.",
        TRACKING,
    ),
    Setting(
        "tracking.camera_motion",
        _TRACKER.camera_motion,
        "Whether the camera's motion is estimated from its images and compensated; for cameras that move.",
        TRACKING,
    ),
    Setting(
        "tracking.lost_s",
        _TRACKER.lost_s,
        "An object that was not seen for longer than this, in seconds, gets another id when it comes back.",
        TRACKING,
        minimum=0.0,
        maximum=3600.0,
    ),
    Setting(
        "tracking.ids_in_instances",
        False,
        "Whether the pixels of ~/instances are track ids (16UC1, 0 for none) rather than numbers of detections.",
        TRACKING,
    ),
    Setting(
        "cameras",
        "",
        "Names of several cameras, separated by commas or as a list: each has the topics NAME/image and ~/NAME/...; "
        "empty: one camera without a name.",
        NODE,
        takes_list=True,
        metavar="NAME,...",
    ),
    Setting(
        "image_transport",
        TRANSPORTS[0],
        "Type of the image topic; raw: Image on 'image'; compressed: CompressedImage on 'image/compressed'.",
        CAMERA,
        choices=TRANSPORTS,
    ),
    Setting(
        "image_reliability",
        IMAGE_RELIABILITIES[0],
        "Reliability of the image subscription; auto: reliable as long as all publishers are.",
        CAMERA,
        choices=IMAGE_RELIABILITIES,
    ),
    Setting(
        "device",
        "",
        "Camera that the node opens itself, so that no image crosses the middleware: its number, /dev/video0, "
        "a video file or a stream (rtsp://...); empty: the image topic.",
        CAMERA,
        metavar="DEVICE",
    ),
    Setting("device_width", 640, "Width that is requested of the device.", CAMERA, minimum=16, maximum=16384),
    Setting("device_height", 480, "Height that is requested of the device.", CAMERA, minimum=16, maximum=16384),
    Setting(
        "device_rate_hz",
        0.0,
        "Images a second that are requested of the device; 0: its own choice.",
        CAMERA,
        minimum=0.0,
        maximum=1000.0,
    ),
    Setting(
        "device_pixel_format",
        PIXEL_FORMATS[0],
        "Pixel format that is requested of the device; auto: the cheapest one of the size and rate.",
        CAMERA,
        choices=PIXEL_FORMATS,
    ),
    Setting("frame_id", "camera_optical_frame", "Frame in the header of the device's images.", CAMERA),
    Setting(
        "calibration_file",
        "",
        "Calibration of the device in YAML, as camera_calibration writes it; published as camera_info.",
        CAMERA,
        metavar="FILE",
    ),
    Setting(
        "max_rate_hz",
        0.0,
        "Images a second that are taken of a camera at most; 0: no limit.",
        CAMERA,
        minimum=0.0,
        maximum=1000.0,
    ),
    Setting(
        "weight",
        1.0,
        "Share of a camera, relative to the others, where not all images can be served.",
        CAMERA,
        minimum=0.01,
        maximum=100.0,
    ),
    Setting(
        "autostart",
        True,
        "Whether the node configures and activates itself at start, and ends with exit code 1 if it cannot.",
        NODE,
    ),
)

#: Of the node `image_source`.
IMAGE_SOURCE_SETTINGS = (
    Setting(
        "source",
        DEMO,
        f"What is published: {DEMO}, {SIM} (a simulated robot), a camera (0, /dev/video0), or the path of an image, "
        "folder, video or rosbag.",
    ),
    Setting("topic", "", "Of a rosbag, the topic of the images; empty: its only one."),
    Setting(
        "rate_hz",
        0.0,
        "Images per second; 0: the source's own rate (of a rosbag: times), else 30; of the simulated robot 15.",
        minimum=0.0,
        maximum=1000.0,
    ),
    Setting("loop", True, "Whether the source begins again at its end."),
    Setting("num_frames", 0, "End after this number of images; 0: no limit.", minimum=0),
    Setting("stop_at_end", True, "Whether the process ends with the source; false: it stays and publishes nothing."),
    Setting(
        "wait_for_subscribers", 0, "Begin when the images have this number of subscribers.", minimum=0, maximum=100
    ),
    Setting("wait_for_reference", False, "Begin when image/time_reference, where there is one, has a subscriber too."),
    Setting("frame_id", "camera_optical_frame", "Frame in the header of the images."),
    Setting(
        "frame_prefix",
        "",
        "Of the simulated robot: before the names of its frames but world, such as robot1/; for several robots.",
    ),
    Setting("width", 640, "Width of the scene's images, and the one requested of a camera.", minimum=32, maximum=16384),
    Setting(
        "height", 480, "Height of the scene's images, and the one requested of a camera.", minimum=32, maximum=16384
    ),
    Setting("seed", 0, "Number of the scene or the room: each shows other shapes.", minimum=0),
    Setting("encoding", SOURCE_ENCODINGS[0], "Encoding of the raw images.", choices=SOURCE_ENCODINGS),
    Setting("transport", "both", "Which image topics are published.", choices=(*TRANSPORTS, "both")),
    Setting("jpeg_quality", 90, "Quality of the compressed images.", minimum=1, maximum=100),
    Setting("reliability", "reliable", "Reliability of the images' topics.", choices=("reliable", "best_effort")),
    Setting(
        "depth_encoding",
        DEPTH_ENCODINGS[0],
        "Of the simulated robot: encoding of the depth images; 16UC1: in millimetres; 32FC1: in metres.",
        choices=DEPTH_ENCODINGS,
    ),
    Setting(
        "depth_registered",
        True,
        "Of the simulated robot: whether depth and colour images have the same pixels; false: two cameras.",
    ),
    Setting(
        "depth_noise_m",
        0.0,
        "Of the simulated robot: standard deviation of a depth of 1 m; it grows with the square of the depth.",
        minimum=0.0,
        maximum=1.0,
    ),
)

_DECODING = "set decoding, which decides about it"
_DEVICE_ID = "write device_id=N into npu.options"
_HEADER_SIZE = "leave it out, the header's size is found out"

#: ROS parameters of the last release.
OLD_PARAMETERS = (
    OldName("npu_delegate", "npu.delegate"),
    OldName("npu_cache_dir", "npu.cache_dir"),
    OldName("npu_options", "npu.options"),
    OldName("npu_device_id", "npu.options", _DEVICE_ID),
    OldName("serial_port", "n6.port"),
    OldName("baud_rate", "n6.baud_rate"),
    OldName("n6_protocol", "n6.protocol"),
    OldName("n6_header_size", "n6.protocol", _HEADER_SIZE),
    *(
        OldName(name, "decoding", _DECODING)
        for name in ("interpolation", "pixel_rounding", "multi_label", "vote_boxes", "refine_boxes", "rescore")
    ),
)
#: Command-line options of the last release.
OLD_OPTIONS = (
    OldName("--score", "score_threshold"),
    OldName("--iou", "iou_threshold"),
    OldName("--threads", "num_threads"),
    OldName("--class-names", "class_names_file"),
    OldName("--npu-device-id", "npu.options", _DEVICE_ID),
    OldName("--port", "n6.port"),
    OldName("--baud", "n6.baud_rate"),
    OldName("--header-size", "n6.protocol", _HEADER_SIZE),
)
