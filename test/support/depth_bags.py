"""Write recordings of a robot with a depth camera: colour and depth images, CameraInfo, transforms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import get_types_from_msg

from support import bags
from support.bags import Entry
from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.media.rgbd_scene import BASE_FROM_CAMERA, CAMERA_FROM_OPTICAL, RgbdFrame, RgbdScene, drive_pose

COLOR, DEPTH = "/cam/color/image_raw", "/cam/depth/image_raw"
COLOR_INFO, DEPTH_INFO = "/cam/color/camera_info", "/cam/depth/camera_info"
CAMERA_INFO, TF_MESSAGE = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"
#: Frames of the optical axes; the tree above is world, base_link, camera_link.
COLOR_FRAME, DEPTH_FRAME = "color_optical", "depth_optical"
#: Transforms are published at other times than images, and come this long after their stamp.
TF_PERIOD_NS, TF_LATENCY_NS = 30_000_000, 12_000_000


def types_of(container: str) -> Any:
    """Return the message types of a container, with those of transforms."""
    types = bags.types_of(container)
    if TF_MESSAGE not in types.fielddefs:
        types.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", TF_MESSAGE))
    return types


def drive_entries(
    types: Any, scene: RgbdScene, frames: Sequence[RgbdFrame], encoding: str = "16UC1", start_ns: int = bags.START_NS
) -> list[Entry]:
    """Return what a robot records that drives about in a scene."""
    entries = fixed_transforms(types, scene, start_ns)
    depth_frame = COLOR_FRAME if scene.depth_registered else DEPTH_FRAME
    for frame in frames:
        stamp_ns = start_ns + round(frame.time_s * 1e9)
        log_ns = stamp_ns + bags.LATENCY_NS
        entries += [
            Entry(COLOR_INFO, CAMERA_INFO, log_ns - 1, camera_info(types, scene.camera, stamp_ns)),
            Entry(COLOR, bags.IMAGE, log_ns, raw_image(types, frame.image, stamp_ns, "bgr8", COLOR_FRAME)),
            Entry(DEPTH_INFO, CAMERA_INFO, log_ns + 1, camera_info(types, scene.depth_camera, stamp_ns)),
            Entry(
                DEPTH,
                bags.IMAGE,
                log_ns + 2,
                raw_image(types, encoded(frame.depth_m, encoding), stamp_ns, encoding, depth_frame),
            ),
        ]
    last_ns = round(frames[-1].time_s * 1e9)
    for time_ns in range(0, last_ns + 2 * TF_PERIOD_NS, TF_PERIOD_NS):
        stamp_ns = start_ns + time_ns - TF_PERIOD_NS // 2
        moved = transform(types, "world", "base_link", drive_pose(max(0, stamp_ns - start_ns) / 1e9), stamp_ns)
        entries.append(Entry("/tf", TF_MESSAGE, stamp_ns + TF_LATENCY_NS, tf_message(types, [moved])))
    return entries


def fixed_transforms(types: Any, scene: RgbdScene, stamp_ns: int) -> list[Entry]:
    poses = [
        ("base_link", "camera_link", BASE_FROM_CAMERA),
        ("camera_link", COLOR_FRAME, CAMERA_FROM_OPTICAL),
        ("camera_link", DEPTH_FRAME, scene.camera_from_depth_optical),
    ]
    fixed = [transform(types, parent, child, pose, stamp_ns) for parent, child, pose in poses]
    return [Entry("/tf_static", TF_MESSAGE, stamp_ns, tf_message(types, fixed))]


def encoded(depth_m: NDArray[np.float32], encoding: str) -> NDArray[Any]:
    """Return depths in metres, NaN for none, as REP 118 encodes them."""
    return depth_m if encoding == "32FC1" else np.rint(1000 * np.nan_to_num(depth_m)).astype(np.uint16)


def raw_image(types: Any, pixels: NDArray[Any], stamp_ns: int, encoding: str, frame_id: str) -> Any:
    message = bags.raw_image(types, np.ascontiguousarray(pixels).view(np.uint8), stamp_ns, encoding)
    message.header.frame_id = frame_id
    return message


def compressed_depth(types: Any, image: Any) -> Any:
    """Return a depth image of 16UC1 as compressed_depth_image_transport publishes it."""
    pixels = image.data.view(np.uint16).reshape(image.height, image.width)
    data = np.concatenate((np.zeros(12, np.uint8), cv2.imencode(".png", pixels)[1].ravel()))
    made = types.types[bags.COMPRESSED]
    return made(header=image.header, format=f"{image.encoding}; compressedDepth png", data=data)


def camera_info(types: Any, camera: PinholeCamera, stamp_ns: int) -> Any:
    made = types.types[CAMERA_INFO]
    height, width = camera.image_hw
    matrix = camera.matrix.ravel()
    letters = {"d": np.zeros(5), "k": matrix, "r": np.eye(3).ravel(), "p": np.zeros(12)}
    if "K" in made.__dataclass_fields__:
        letters = {name.upper(): value for name, value in letters.items()}
    roi = types.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return made(
        header=bags.header(types, stamp_ns),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        binning_x=0,
        binning_y=0,
        roi=roi,
        **letters,
    )


def tf_message(types: Any, transforms: Iterable[Any]) -> Any:
    return types.types[TF_MESSAGE](list(transforms))


def transform(types: Any, parent: str, child: str, pose: RigidTransform, stamp_ns: int) -> Any:
    """Return the pose of a frame in its parent."""
    header = bags.header(types, stamp_ns)
    header.frame_id = parent
    vector = types.types["geometry_msgs/msg/Vector3"](*pose.translation_m.tolist())
    quaternion = types.types["geometry_msgs/msg/Quaternion"](*quaternion_of(pose))
    made = types.types["geometry_msgs/msg/Transform"](vector, quaternion)
    return types.types["geometry_msgs/msg/TransformStamped"](header, child, made)


def quaternion_of(pose: RigidTransform) -> list[float]:
    """Return the rotation of a transform as x, y, z, w."""
    vector = cv2.Rodrigues(pose.rotation)[0].ravel()
    angle_rad = float(np.linalg.norm(vector))
    return [*(vector * np.sinc(angle_rad / 2 / np.pi) / 2).tolist(), float(np.cos(angle_rad / 2))]
