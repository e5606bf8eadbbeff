"""Test which points are taken for those of objects."""

from __future__ import annotations

import numpy as np

from yolov8_seg_ros.core.camera_geometry import PinholeCamera
from yolov8_seg_ros.core.depth import DepthImage, DepthOptions, Registration
from yolov8_seg_ros.core.object_points import find_objects

CAMERA = PinholeCamera((120, 160), (130.0, 130.0), (79.5, 59.5))


def test_objects_with_enough_depths_keep_their_points_without_background():
    labels, depth_mm = np.zeros(CAMERA.image_hw, np.uint8), np.full(CAMERA.image_hw, 4000, np.uint16)
    labels[10:50, 10:50], labels[60:64, 60:64], labels[70:110, 70:110] = 1, 2, 3
    depth_mm[10:50, 10:40], depth_mm[70:110, 80:110] = 1500, 2000
    points = Registration(CAMERA).label(labels, DepthImage(depth_mm, 1e-3), DepthOptions())
    objects = find_objects(points, 3, DepthOptions())
    assert list(objects.spans) == [1, 3]
    for label, columns in ((1, slice(10, 40)), (3, slice(80, 110))):
        span, expected = objects.spans[label], np.zeros(CAMERA.image_hw, bool)
        expected[:, columns] = labels[:, columns] == label
        assert sorted(objects.pixel[span]) == np.flatnonzero(expected).tolist()
        assert (objects.label[span] == label).all()
        assert np.abs(objects.xyz_m[2, span] - depth_mm.ravel()[objects.pixel[span]] * 1e-3).max() < 1e-6
