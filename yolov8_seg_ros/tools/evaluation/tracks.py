"""Measure a tracker on sequences with ground truth: HOTA, IDF1 and MOTA, by trackeval."""

from __future__ import annotations

import configparser
import contextlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import NO_TRACK, Instances
from yolov8_seg_ros.core.iou import box_iou
from yolov8_seg_ros.core.options import TrackerOptions
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.errors import EvaluationError
from yolov8_seg_ros.files import read_file
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.media.overlay import instance_color_bgr
from yolov8_seg_ros.text import clean_text

TRUTH_FILE = "gt/gt.txt"
INFO_FILE = "seqinfo.ini"
#: Column of ground truth that is 0 in lines to ignore, and that of the class in the form of MOT16 and later.
_COUNTS_COLUMN, _CLASS_COLUMN, _MOT16_COLUMNS, _PEDESTRIAN = 6, 7, 9, 1
_MIN_COLUMNS = 6
#: Of frames, ids and pixels: no sequence has larger ones, and comparisons with it find what is no number.
_MAX_NUMBER = 1 << 31


@dataclass(frozen=True)
class TrackedBoxes:
    """The numbered boxes of one image.

    Attributes:
        track_id: int64 (n,), each number at most once.
        xyxy: float32 (n, 4), in image pixels.
    """

    track_id: NDArray[np.int64]
    xyxy: NDArray[np.float32]

    @classmethod
    def of_instances(cls, instances: Instances) -> TrackedBoxes:
        """Return the instances that have a track."""
        if instances.track_id is None:
            raise ValueError("these instances were not tracked")
        tracked = instances.track_id != NO_TRACK
        return cls(instances.track_id[tracked], instances.xyxy[tracked])


@dataclass(frozen=True)
class MotSequence:
    """A sequence in the form of MOTChallenge.

    Attributes:
        name: of its folder or, where given, of its description.
        fps: images a second.
        images: the files, in order.
        truth: the ground truth of each image.
    """

    name: str
    fps: float
    images: tuple[Path, ...]
    truth: tuple[TrackedBoxes, ...]

    def every(self, step: int) -> MotSequence:
        """Return the sequence with every `step`-th image only, from the first one on."""
        return MotSequence(self.name, self.fps / step, self.images[::step], self.truth[::step])


@dataclass(frozen=True)
class TrackFigures:
    """Agreement of tracks with the ground truth, by the IoU of boxes.

    Source: Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking, IJCV 2021; Ristani et al.,
    Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking (IDF1), 2016; Bernardin and
    Stiefelhagen, Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics (MOTA), 2008.

    Attributes:
        hota: 0 to 1, the mean over IoU thresholds from 0.05 to 0.95; so are the next two.
        deta: the accuracy of the detections.
        assa: the accuracy of the association.
        idf1: 0 to 1, at IoU 0.5; so are the next three.
        mota: at most 1.
        switches: how often an object's number changed.
        fragmentations: how often an object was lost and found again.
        tracks: numbers used.
        objects: in the ground truth.
    """

    hota: float
    deta: float
    assa: float
    idf1: float
    mota: float
    switches: int
    fragmentations: int
    tracks: int
    objects: int


def read_mot(folder: Path) -> MotSequence:
    """Read a folder of MOTChallenge: seqinfo.ini, gt/gt.txt and the images.

    Of ground truth as in MOT16 and later, pedestrians alone are read; lines that count for nothing are left out.

    Raises:
        EvaluationError: if the folder is not of that form.
    """
    info = _read_info(folder / INFO_FILE)
    try:
        fps, image_folder = float(info.get("frameRate", "25")), folder / info.get("imDir", "img1")
    except ValueError as error:
        raise EvaluationError(f"{folder / INFO_FILE}: frameRate is no number: {error}") from error
    if not 0 < fps < float("inf"):
        raise EvaluationError(f"{folder / INFO_FILE}: frameRate: expected above 0, got {fps}")
    images = tuple(sorted(image_folder.glob(f"*{info.get('imExt', '.jpg')}")))
    if not images:
        raise EvaluationError(f"{image_folder}: no images *{info.get('imExt', '.jpg')}, as {INFO_FILE} names them")
    lines = _read_truth(folder / TRUTH_FILE)
    truth = tuple(_boxes_of(lines[lines[:, 0] == number]) for number in range(1, len(images) + 1))
    # Files are called by the name.
    name = clean_text(info.get("name", folder.resolve().name)).replace("/", "_")
    return MotSequence(name, fps, images, truth)


def load_metrics() -> Callable[[dict[str, Any]], TrackFigures]:
    """Return what computes the figures from what trackeval calls the data of a sequence.

    Raises:
        ModuleNotFoundError: where trackeval is not installed.
    """
    # It prints what else could be installed, and the time that each metric takes.
    with contextlib.redirect_stdout(io.StringIO()):
        from trackeval.metrics import CLEAR, HOTA, Identity

        hota, clear, identity = HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})

    def compute(data: dict[str, Any]) -> TrackFigures:
        with contextlib.redirect_stdout(io.StringIO()):
            of_hota, of_clear = hota.eval_sequence(data), clear.eval_sequence(data)
            of_identity = identity.eval_sequence(data)
        return TrackFigures(
            hota=float(np.mean(of_hota["HOTA"])),
            deta=float(np.mean(of_hota["DetA"])),
            assa=float(np.mean(of_hota["AssA"])),
            idf1=float(of_identity["IDF1"]),
            mota=float(of_clear["MOTA"]),
            switches=int(of_clear["IDSW"]),
            fragmentations=int(of_clear["Frag"]),
            tracks=data["num_tracker_ids"],
            objects=data["num_gt_ids"],
        )

    return compute


def follow(
    detected: Sequence[Instances], sequence: MotSequence, options: TrackerOptions, classes: tuple[int, ...] | None
) -> list[TrackedBoxes]:
    """Track what was detected in the images of a sequence.

    Args:
        detected: of each image.
        sequence: the images are read where the camera's motion is compensated.
        options: how.
        classes: those of the returned boxes; None for all. The tracker gets all classes in any case.

    Returns:
        The boxes that have a track, of each image.
    """
    tracker = Tracker(options)
    tracks = []
    for index, instances in enumerate(detected):
        image = ColorImage(read_image(sequence.images[index])) if options.camera_motion else None
        tracked = tracker.update(instances, index / sequence.fps, image)
        wanted = np.ones(len(tracked), np.bool_) if classes is None else np.isin(tracked.class_id, classes)
        tracks.append(TrackedBoxes.of_instances(tracked[wanted]))
    return tracks


def measure_tracks(truth: Sequence[TrackedBoxes], found: Sequence[TrackedBoxes]) -> TrackFigures:
    """Compare tracks with the ground truth of the same images.

    Raises:
        ModuleNotFoundError: where trackeval is not installed.
    """
    compute = load_metrics()
    truth_ids, found_ids = _from_zero(truth), _from_zero(found)
    return compute(
        {
            "num_timesteps": len(truth),
            "gt_ids": truth_ids,
            "tracker_ids": found_ids,
            "num_gt_ids": _count(truth_ids),
            "num_tracker_ids": _count(found_ids),
            "num_gt_dets": sum(map(len, truth_ids)),
            "num_tracker_dets": sum(map(len, found_ids)),
            "similarity_scores": [box_iou(a.xyxy, b.xyxy) for a, b in zip(truth, found, strict=True)],
        }
    )


def draw_tracks(bgr: NDArray[np.uint8], tracks: Iterable[TrackedBoxes]) -> NDArray[np.uint8]:
    """Return a copy of an image with the path of each track: of the middle of the lower edge of its box."""
    paths: dict[int, list[tuple[int, int]]] = {}
    for boxes in tracks:
        feet = np.stack(((boxes.xyxy[:, 0] + boxes.xyxy[:, 2]) / 2, boxes.xyxy[:, 3]), axis=1)
        for track_id, (x, y) in zip(boxes.track_id.tolist(), np.rint(feet).astype(int).tolist(), strict=True):
            paths.setdefault(track_id, []).append((x, y))
    drawn = bgr.copy()
    for track_id, path in paths.items():
        color = instance_color_bgr(track_id)
        cv2.polylines(drawn, [np.array(path, np.int32)], False, color, 2, cv2.LINE_AA)
        cv2.putText(drawn, f"#{track_id}", path[-1], cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
    return drawn


def _read_info(path: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_file(path).decode("utf-8"))
        return parser["Sequence"]
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        raise EvaluationError(
            f"{path}: cannot be read as the description of a MOTChallenge sequence ({error}); "
            f"expected a folder with {INFO_FILE}, {TRUTH_FILE} and img1"
        ) from error


def _read_truth(path: Path) -> NDArray[np.float64]:
    try:
        lines = np.loadtxt(io.BytesIO(read_file(path)), delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be read as ground truth of MOTChallenge ({error})") from error
    if lines.shape[1] < _MIN_COLUMNS:
        raise EvaluationError(f"{path}: expected frame, id, left, top, width, height ..., got {lines.shape[1]} columns")
    if lines.shape[1] > _COUNTS_COLUMN:
        lines = lines[lines[:, _COUNTS_COLUMN] != 0]
    if lines.shape[1] == _MOT16_COLUMNS:
        lines = lines[lines[:, _CLASS_COLUMN] == _PEDESTRIAN]
    if not np.all(np.abs(lines[:, :_MIN_COLUMNS]) < _MAX_NUMBER):
        raise EvaluationError(f"{path}: expected numbers between -{_MAX_NUMBER} and {_MAX_NUMBER}")
    if np.any(lines[:, 4:6] <= 0):
        raise EvaluationError(f"{path}: expected widths and heights above 0")
    return lines


def _boxes_of(lines: NDArray[np.float64]) -> TrackedBoxes:
    left_top, size = lines[:, 2:4], lines[:, 4:6]
    return TrackedBoxes(lines[:, 1].astype(np.int64), np.hstack((left_top, left_top + size)).astype(np.float32))


def _from_zero(images: Sequence[TrackedBoxes]) -> list[NDArray[np.int64]]:
    """Return the numbers of each image, made 0, 1, 2 ..."""
    numbers = np.unique(np.concatenate([np.empty(0, np.int64), *(image.track_id for image in images)]))
    return [np.searchsorted(numbers, image.track_id).astype(np.int64) for image in images]


def _count(ids: Sequence[NDArray[np.int64]]) -> int:
    return max((int(image.max()) + 1 for image in ids if len(image)), default=0)
