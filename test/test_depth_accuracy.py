"""Test on real depth images with known camera poses that a thing that stands still stays where it is in the world."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.shared_data import SHARED_FILES, shared_path

from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.depth import DepthImage, DepthOptions, Registration
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.object_boxes import measure_boxes
from yolov8_seg_ros.core.object_points import find_objects
from yolov8_seg_ros.core.segmenter import Segmenter

#: Where the armchairs are, about: nothing else of the class is that near.
OFFICE_XYZ, LIVING_ROOM_XYZ, NEAR_M = (-2.6, -0.3, 4.1), (-2.0, 0.55, 2.15), 0.6
OPTIONS = DepthOptions()


def office():
    """Yield colour, depth and pose of each picture of an office, and the camera."""
    folder = shared_path("data/rgbd/office")
    camera = PinholeCamera((480, 640), (518.0, 519.0), (325.5, 253.5))
    for number, pose in enumerate(np.loadtxt(folder / "pose.txt"), start=1):
        color, depth = folder / "color" / f"{number}.png", folder / "depth" / f"{number}.pgm"
        yield color, depth, RigidTransform.from_quaternion(pose[3:], pose[:3]), camera


def living_room():
    """Yield colour, depth and pose of each picture of a living room, and the camera."""
    folder = shared_path("data/rgbd/open3d")
    camera = PinholeCamera((480, 640), (525.0, 525.0), (319.5, 239.5))
    lines = (folder / "trajectory.log").read_text().splitlines()
    for number in range(5):
        matrix = np.array([line.split() for line in lines[5 * number + 1 : 5 * number + 5]], np.float64)
        color, depth = folder / "color" / f"{number:05d}.jpg", folder / "depth" / f"{number:05d}.png"
        yield color, depth, RigidTransform(matrix[:3, :3], matrix[:3, 3]), camera


@pytest.fixture(scope="module", params=["256", "320"])
def segmenter(request):
    with open_backend(str(shared_path(SHARED_FILES[request.param])), backend="cpu") as backend:
        yield Segmenter(backend)


def armchairs(segmenter, pictures, place_m):
    """Return the best-scored chair near a place of each picture."""
    found = []
    for color, depth, pose, camera in pictures:
        instances = segmenter.segment(ColorImage(cv2.imread(str(color))))
        pixels = cv2.imread(str(depth), cv2.IMREAD_UNCHANGED)
        points = Registration(camera).label(instances.label_image(), DepthImage(pixels, 1e-3), OPTIONS)
        for box in measure_boxes(find_objects(points, len(instances), OPTIONS), pose):
            name = segmenter.spec.class_names[instances.class_id[box.label - 1]]
            if name == "chair" and np.linalg.norm(box.surface_m - place_m) < NEAR_M:
                found.append(box)
                break
    return found


def distances_m(positions_m):
    """Return how far each of some positions is from their mean."""
    return np.linalg.norm(positions_m - np.mean(positions_m, axis=0), axis=1)


def test_an_armchair_stays_where_it_is_though_its_mask_changes(segmenter):
    boxes = armchairs(segmenter, living_room(), LIVING_ROOM_XYZ)
    assert len(boxes) == 5
    assert distances_m([box.center_m for box in boxes]).max() < 0.1


def test_an_armchair_stays_where_it_is_when_the_camera_comes_nearer(segmenter):
    hidden, *whole = boxes = armchairs(segmenter, office(), OFFICE_XYZ)
    assert len(whole) == 4
    assert distances_m([box.center_m for box in whole]).max() < 0.1
    # In the first picture a table hides a part of it, and by pose and depths all of it is 10 cm nearer.
    assert np.linalg.norm(hidden.center_m - np.mean([box.center_m for box in whole], axis=0)) < 0.3
    assert distances_m([box.surface_m for box in boxes]).max() < 0.12
