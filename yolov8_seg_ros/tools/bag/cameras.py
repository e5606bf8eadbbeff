"""Choose the topics of a recording whose images are segmented, and count what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.image import PixelBuffer
from yolov8_seg_ros.core.instances import NO_TRACK, Instances
from yolov8_seg_ros.core.segmenter import StageTimes
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.errors import CommandError, ImageError, one_line
from yolov8_seg_ros.media.bag import COMPRESSED_SUFFIX, Bag
from yolov8_seg_ros.media.bag_files import COMPRESSED_IMAGE, RAW_IMAGE, Topic
from yolov8_seg_ros.media.depth_message import COMPRESSED_DEPTH_SUFFIX, info_topic

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
#: More image topics than this are rarely all meant.
_MAX_TOPICS = 4
#: How many different reasons for leaving something out are kept apart.
_MAX_REASONS = 10
_OTHER_REASONS = "other reasons"


@dataclass
class Camera:
    """An image topic, and what was found in its images.

    Attributes:
        topic: of the recording.
        name: under which its results are published; empty for the only camera.
        tracker: numbers its objects; None where nothing is tracked.
        images: those of the topic in the chosen time.
        frames: those that were segmented.
        unstamped: frames whose log time was used in place of a stamp.
        skipped: images that could not be used, by the reason.
        objects: by class index.
        track_classes: by number of the track, how often it had each class.
        stages_ms: (3,), the time of preprocess, inference and postprocess, summed over frames.
    """

    topic: Topic
    name: str
    tracker: Tracker | None = None
    images: int = 0
    frames: int = 0
    unstamped: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    objects: Counter[int] = field(default_factory=Counter)
    track_classes: dict[int, Counter[int]] = field(default_factory=dict)
    stages_ms: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    buffer: PixelBuffer = field(default_factory=PixelBuffer)

    def add(self, instances: Instances, times: StageTimes) -> None:
        """Count a frame."""
        self.frames += 1
        self.stages_ms += astuple(times)
        classes = instances.class_id.tolist()
        self.objects.update(classes)
        if instances.track_id is not None:
            for track, class_id in zip(instances.track_id.tolist(), classes, strict=True):
                if track != NO_TRACK:
                    self.track_classes.setdefault(track, Counter())[class_id] += 1

    def skip(self, error: ImageError) -> None:
        """Count an image that cannot be used."""
        count_reason(self.skipped, error)

    @property
    def tracks(self) -> Counter[int]:
        """Return the number of tracks by the class that each of them had most often."""
        return Counter(classes.most_common(1)[0][0] for classes in self.track_classes.values())

    def summary(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return what was found, for JSON."""
        return {
            "images": self.images,
            "frames": self.frames,
            "without_stamp": self.unstamped,
            "skipped": dict(self.skipped),
            "objects": {class_names[index]: count for index, count in sorted(self.objects.items())},
            "tracks": {class_names[index]: count for index, count in sorted(self.tracks.items())},
        }


@dataclass(frozen=True)
class DepthTopics:
    """Topics that belong to the depth camera of a camera.

    Attributes:
        image: name of the topic of the colour images.
        depth: topic of the depth images.
        color_info: name of the topic of the colour camera's CameraInfo, which may be missing.
        depth_info: that of the depth camera.
    """

    image: str
    depth: Topic
    color_info: str
    depth_info: str


def choose_topics(bag: Bag, names: Sequence[str]) -> tuple[list[Topic], dict[str, str]]:
    """Return the image topics of some names, or without names those that can be segmented; and why others are left out.

    Raises:
        CommandError: if a name is not that of an image topic, or if too many topics could be meant.
        MediaError: if there is none, or the recording is damaged.
    """
    if not names:
        chosen, left_out = bag.usable_image_topics()
        if len(chosen) > _MAX_TOPICS:
            raise CommandError(
                f"{bag.path} has {len(chosen)} image topics: {', '.join(topic.name for topic in chosen)}; "
                "name those to segment, each with --topic"
            )
        return chosen, left_out
    known = {topic.name: topic for topic in bag.image_topics}
    for name in names:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise CommandError(f"--topic {name}: no image topic of {bag.path}; there are: {listed}")
        if reason := bag.unsupported_form(known[name]):
            raise CommandError(f"--topic {name}: {reason} cannot be segmented")
    return [known[name] for name in dict.fromkeys(names)], {}


def camera_names(topics: Sequence[str]) -> list[str]:
    """Return a name for each image topic: without its last part where the others differ, as front for /front/image_raw.

    The only camera has an empty name: its results are called as those of the node.
    """
    if len(topics) == 1:
        return [""]
    plain = [topic.removesuffix(COMPRESSED_SUFFIX).strip("/") for topic in topics]
    parents = [name.rpartition("/")[0] for name in plain]
    names = parents if all(parents) else plain
    return names if len(set(names)) == len(names) else [topic.strip("/") for topic in topics]


def choose_depth_topics(
    bag: Bag, images: Sequence[str], given: Sequence[tuple[str, str]], infos: Mapping[str, str]
) -> dict[str, DepthTopics]:
    """Return what belongs to the depth cameras, by the image topic.

    A depth topic that is given without an image topic belongs to the one with which it shares the most leading parts
    of its name. CameraInfo is beside the images where nothing else is given.

    Args:
        bag: the recording.
        images: the topics of the images that are segmented.
        given: image topic, or an empty text, and depth topic.
        infos: the topics of CameraInfo that are elsewhere, by image topic or depth topic.

    Raises:
        CommandError: for a topic that is not there or of another type, or if it is not clear what belongs together.
    """
    known = {topic.name: topic for topic in bag.topics if topic.message_count}
    possible = [name for name, topic in known.items() if _may_be_depth(topic)]
    chosen: dict[str, DepthTopics] = {}
    for image, depth in given:
        if depth not in possible:
            raise CommandError(
                f"--depth-topic {depth}: no topic of raw images or compressed depth images of {bag.path}; there are: "
                f"{', '.join(possible)}"
            )
        image = image or _nearest_image(depth, images)
        if image not in images or image in chosen:
            reason = "has a depth topic already" if image in chosen else "is not segmented"
            raise CommandError(f"--depth-topic {depth}: {image} {reason}; segmented are: {', '.join(images)}")
        raw = image.removesuffix(COMPRESSED_SUFFIX)
        chosen[image] = DepthTopics(
            image, known[depth], infos.get(image, info_topic(raw)), infos.get(depth, info_topic(depth))
        )
    for name, info in infos.items():
        if name not in {*chosen, *(topics.depth.name for topics in chosen.values())}:
            raise CommandError(f"--camera-info {name}={info}: {name} is no topic of a camera with a depth topic")
        if info not in known or known[info].msgtype != CAMERA_INFO:
            raise CommandError(f"--camera-info {name}={info}: {bag.path} has no {CAMERA_INFO} on {info}")
    return chosen


def _may_be_depth(topic: Topic) -> bool:
    if topic.name.endswith(COMPRESSED_DEPTH_SUFFIX):
        return topic.msgtype == COMPRESSED_IMAGE
    return topic.msgtype == RAW_IMAGE


def _nearest_image(depth: str, images: Sequence[str]) -> str:
    if not images:
        raise CommandError(f"--depth-topic {depth}: no topic of colour images is left to be segmented")
    parts = depth.split("/")
    shared = {image: len(list(takewhile(_are_equal, zip(parts, image.split("/"), strict=False)))) for image in images}
    nearest = [image for image in images if shared[image] == max(shared.values())]
    if len(nearest) > 1:
        raise CommandError(
            f"--depth-topic {depth}: it is not clear which of {', '.join(nearest)} it belongs to; "
            f"give --depth-topic {nearest[0]}={depth}"
        )
    return nearest[0]


def _are_equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


def count_reason(counts: Counter[str], reason: Exception | str, times: int = 1) -> None:
    """Count why something was left out; only so many reasons are kept apart."""
    text = one_line(reason)
    is_new = text not in counts and len(counts) >= _MAX_REASONS
    counts[_OTHER_REASONS if is_new else text] += times
