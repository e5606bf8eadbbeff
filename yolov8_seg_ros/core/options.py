"""Define how images are segmented and objects placed: what a user may choose, with its limits and defaults."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from yolov8_seg_ros.errors import OptionError

FITS = ("letterbox", "stretch")
INTERPOLATIONS = ("area", "linear")
PIXEL_ROUNDINGS = ("nearest", "toward_zero")
#: Ways to decode: the most accurate one, and the one of Ultralytics' `predict`, for comparisons.
DECODINGS = ("accurate", "ultralytics")


def require_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise OptionError where an option is none of its choices."""
    if value not in choices:
        raise OptionError(f"{name}: expected one of {', '.join(choices)}, got '{value}'")


@dataclass(frozen=True)
class DetectionOptions:
    """Options of detection: which instances are kept.

    Attributes:
        score_threshold: lowest score kept, 0 to 1.
        iou_threshold: boxes that overlap by more than this are one object, 0 to 1.
        max_instances: the largest number of instances of an image; the best are kept.
        classes: indices of the classes that are kept; None keeps all.
        agnostic_nms: whether boxes of different classes suppress each other.
        multi_label: whether an anchor stands for each class above the threshold rather than for its best one.
        vote_boxes: whether a box is averaged with all boxes that overlap it as one object.
        mask_threshold: a pixel of a box belongs to the mask where its probability is above this, 0 to 1.

    Raises:
        OptionError: for a number out of its range.
    """

    score_threshold: float = 0.25
    iou_threshold: float = 0.7
    max_instances: int = 100
    classes: tuple[int, ...] | None = None
    agnostic_nms: bool = False
    multi_label: bool = True
    vote_boxes: bool = True
    mask_threshold: float = 0.62

    def __post_init__(self) -> None:
        for name in ("score_threshold", "iou_threshold", "mask_threshold"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise OptionError(f"{name}: expected 0.0 to 1.0, got {value}")
        if self.max_instances < 1:
            raise OptionError(f"max_instances: expected 1 or more, got {self.max_instances}")


@dataclass(frozen=True)
class SegmenterOptions:
    """Options of segmentation.

    Attributes:
        fit: `letterbox` keeps the image's aspect, `stretch` fills the network's input.
        interpolation: how the image is resized, `area` or `linear`.
        pixel_rounding: how a pixel is quantized, `nearest` or `toward_zero`.
        detection: which instances are kept.

    Raises:
        OptionError: for an option that is not one of its choices.
    """

    fit: str = "letterbox"
    interpolation: str = "area"
    pixel_rounding: str = "nearest"
    detection: DetectionOptions = field(default_factory=DetectionOptions)

    def __post_init__(self) -> None:
        require_choice("fit", self.fit, FITS)
        require_choice("interpolation", self.interpolation, INTERPOLATIONS)
        require_choice("pixel_rounding", self.pixel_rounding, PIXEL_ROUNDINGS)

    def with_decoding(self, decoding: str) -> SegmenterOptions:
        """Return these options with those that a way of decoding sets.

        `ultralytics` also means the head as it was published; `open_backend` decides about that.

        Raises:
            OptionError: for a decoding that is not one of `DECODINGS`.
        """
        require_choice("decoding", decoding, DECODINGS)
        if decoding == "accurate":
            return self
        return replace(
            self,
            interpolation="linear",
            pixel_rounding="toward_zero",
            detection=replace(self.detection, multi_label=False, vote_boxes=False, mask_threshold=0.5),
        )


@dataclass(frozen=True)
class TrackerOptions:
    """Options of tracking. docs/tracking.md has the figures behind the defaults.

    Attributes:
        birth_score: lowest score of an instance that begins a track, 0 to 1; weaker ones only continue tracks.
        confirm_s: a track has an id once it was seen over this time without a break, in seconds, 0 to 60.
        lost_s: a track ends when it was not seen for longer than this, in seconds, 0 to 3600.
        buffer: boxes are compared after they were grown on each side by this part of their size, 0 to 5.
        min_similarity: lowest IoU of grown boxes that may be one object, above 0 to 1.
        double_cover: an instance begins no track where its box and that of an instance of its class with a track
            share this part of the smaller one, 0 to 1; with 1, only where one lies inside the other.
        size_weight: what is taken off the similarity for each doubling of the height, or halving, 0 to 10.
        mask_weight: what the overlap of masks adds to the similarity where boxes leave a choice, 0 to 10.
        camera_motion: whether the camera's motion between two images is estimated and compensated.

    Raises:
        OptionError: for a number out of its range.
    """

    birth_score: float = 0.4
    confirm_s: float = 0.0
    lost_s: float = 2.0
    buffer: float = 0.5
    min_similarity: float = 0.2
    double_cover: float = 0.7
    size_weight: float = 0.3
    mask_weight: float = 0.3
    camera_motion: bool = False

    def __post_init__(self) -> None:
        highest = {"confirm_s": 60.0, "lost_s": 3600.0, "buffer": 5.0, "size_weight": 10.0, "mask_weight": 10.0}
        for name in ("birth_score", "confirm_s", "lost_s", "buffer", "double_cover", "size_weight", "mask_weight"):
            value, limit = getattr(self, name), highest.get(name, 1.0)
            if not 0.0 <= value <= limit:
                raise OptionError(f"{name}: expected 0.0 to {limit}, got {value}")
        if not 0.0 < self.min_similarity <= 1.0:
            raise OptionError(f"min_similarity: expected above 0.0, at most 1.0, got {self.min_similarity}")


@dataclass(frozen=True)
class DepthOptions:
    """Options of how depths of instances are chosen.

    Attributes:
        min_depth_m: nearer depths are left out.
        max_depth_m: farther depths are left out.
        erosion_px: pixels of the colour image that are left out along the outline of a mask, where depths are mixed.
        stride: every so many rows and columns of an unregistered depth image are used; 0: as
            `core.depth.automatic_stride` says.
        min_points: an object has at least so many depths.
        mode_share: the nearest group of depths that holds this part of all is the object, 0 to 1.
    """

    min_depth_m: float = 0.1
    max_depth_m: float = 10.0
    erosion_px: int = 2
    stride: int = 0
    min_points: int = 20
    mode_share: float = 0.25
