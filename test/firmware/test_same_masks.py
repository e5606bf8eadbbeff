"""Test that what comes from the board is drawn into an image exactly as if its network's outputs were here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.bridge_board import CONFIGURE, PICTURE, RESULT, Board, Packet, configuration, hello, picture
from support.bridge_results import read_result
from support.shared_data import SHARED_FILES, shared_path

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.native import MAX_CANDIDATES, native
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.image_file import read_image

MASK_THRESHOLD = 0.62
#: As it travels.
MASK_LOGIT = float(np.float32(math.log(MASK_THRESHOLD / (1 - MASK_THRESHOLD))))
MAX_INSTANCES = 100


def draw(result, letterbox, spec):
    """Return boxes in the image, scores, classes and bitmaps with their origins, as a host draws them."""
    seg = native()
    instances = np.zeros(len(result.records), seg.instance)
    for field in ("xyxy_px", "score", "class_id"):
        instances[field] = result.records[field]
    # The place in the result, to find the mask again.
    instances["anchor"] = np.arange(len(instances))
    placements = np.zeros(len(instances), seg.placement)
    (scale_x, scale_y), (pad_x, pad_y) = letterbox.scale_xy, letterbox.pad_xy
    fitted = seg.ffi.new("struct seg_letterbox *", (scale_x, scale_y, pad_x, pad_y, *letterbox.image_hw[::-1]))
    rows, columns = spec.prototypes.shape[1:3]
    grid = seg.ffi.new("struct seg_grid *", (*spec.input_hw[::-1], columns, rows))
    count = seg.lib.seg_place(
        fitted,
        seg.ffi.cast("struct seg_instance *", seg.address(instances)),
        len(instances),
        seg.ffi.cast("struct seg_placement *", seg.address(placements)),
    )
    masks = []
    for instance, placed in zip(instances[:count], placements[:count], strict=True):
        window, logits = result.masks[instance["anchor"]]
        bitmap = np.zeros((placed["height_px"], placed["width_px"]), np.bool_)
        if bitmap.size:
            pointer = seg.ffi.new("struct seg_placement *")
            seg.ffi.buffer(pointer)[:] = placed.tobytes()
            seg.lib.seg_draw_windows(
                fitted,
                grid,
                MASK_LOGIT,
                seg.ffi.new("struct seg_window *", window),
                seg.ffi.cast("float *", seg.address(logits)),
                [0],
                pointer,
                1,
                seg.address(bitmap),
            )
        masks.append(((int(placed["left_px"]), int(placed["top_px"])), bitmap))
    return placements["xyxy_px"][:count], instances["score"][:count], instances["class_id"][:count], masks


@pytest.mark.parametrize(
    ("model", "score_threshold", "num_pictures"),
    [("256", 0.25, 40), ("256", 0.001, 5), ("320", 0.25, 5)],
    ids=["usual", "many-instances", "other-size"],
)
def test_photographs(model, score_threshold, num_pictures):
    photographs = sorted(shared_path("data/coco_val").rglob("*.jpg"))[:num_pictures]
    detection = DetectionOptions(
        score_threshold=score_threshold, max_instances=MAX_INSTANCES, mask_threshold=MASK_THRESHOLD
    )
    with TfliteBackend(shared_path(SHARED_FILES[model])) as backend:
        spec = backend.spec
        segmenter = Segmenter(backend, SegmenterOptions(detection=detection))
        board = Board(
            spec,
            lambda image: backend.run(image.view(np.int8)[None]),
            max_candidates=MAX_CANDIDATES,
            max_instances=MAX_INSTANCES,
            max_result_bytes=1 << 22,
        )
        settings = configuration(
            score=score_threshold, iou=detection.iou_threshold, mask_logit=MASK_LOGIT, max_instances=MAX_INSTANCES
        )
        board.send(hello(1), Packet(CONFIGURE, 1, 1, settings))
        total = 0
        for number, path in enumerate(photographs, 1):
            frame = segmenter.new_frame()
            segmenter.preprocess(frame, ColorImage(read_image(path)))
            segmenter.infer(frame)
            expected = segmenter.postprocess(frame)
            board.packets()
            board.send(Packet(PICTURE, 1, 1 + number, picture(number, frame.network_input.tobytes())))
            board.work()
            (packet,) = (packet for packet in board.packets() if packet.type == RESULT)
            result = read_result(packet.payload, MASK_LOGIT)
            xyxy, score, class_id, masks = draw(result, frame.letterbox, spec)
            np.testing.assert_array_equal(xyxy, expected.xyxy)
            np.testing.assert_array_equal(score, expected.score)
            np.testing.assert_array_equal(class_id, expected.class_id)
            assert result.flags == 0
            for (origin_xy, bitmap), mask in zip(masks, expected.masks, strict=True):
                assert origin_xy == tuple(mask.origin_xy)
                np.testing.assert_array_equal(bitmap, mask.bitmap)
            total += len(score)
        assert total > 0
