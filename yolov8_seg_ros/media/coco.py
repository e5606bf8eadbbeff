"""Convert instances to and from COCO's results format: one dictionary an instance, as pycocotools reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_codec

from yolov8_seg_ros.core.instances import NO_TRACK, BoxMask, Instances

#: Of a pixel; finer than any network here resolves.
BOX_DECIMALS = 2
SCORE_DECIMALS = 5

CocoResult = dict[str, Any]


def to_coco_results(instances: Instances, image_id: int) -> list[CocoResult]:
    """Return one dictionary an instance, in the order of the instances, ready for JSON.

    `category_id` is the class index, from 0; `bbox` is left, top, width and height in image pixels; `segmentation` is
    compressed run-length code, left out where the instances carry no masks. `track_id` is left out for an instance
    without a track.
    """
    results = [
        _box_result(image_id, class_id, xyxy, score)
        for class_id, xyxy, score in zip(instances.class_id, instances.xyxy, instances.score, strict=True)
    ]
    if instances.masks is not None:
        for result, code in zip(results, _encode(instances), strict=True):
            result["segmentation"] = code
    if instances.track_id is not None:
        for result, track_id in zip(results, instances.track_id.tolist(), strict=True):
            if track_id != NO_TRACK:
                result["track_id"] = track_id
    return results


def from_coco_results(results: Sequence[Mapping[str, Any]], image_hw: tuple[int, int]) -> Instances:
    """Return the instances of one image, best score first.

    Args:
        results: those of this image; `segmentation` may be run-length code, compressed or not, or polygons.
        image_hw: height and width of the image, in pixels.

    Raises:
        ValueError: if a mask is of another size than the image, or only some of the results have one.
    """
    ordered = sorted(results, key=lambda result: -result["score"])
    boxes = np.array([result["bbox"] for result in ordered], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    with_masks = sum("segmentation" in result for result in ordered)
    if with_masks not in (0, len(ordered)):
        raise ValueError(f"expected a 'segmentation' in all results or in none, got {with_masks} of {len(ordered)}")
    masks = tuple(_decode(result["segmentation"], image_hw) for result in ordered) if with_masks else None
    return Instances(
        image_hw=image_hw,
        xyxy=boxes,
        score=np.array([result["score"] for result in ordered], np.float32),
        class_id=np.array([result["category_id"] for result in ordered], np.int64),
        masks=masks if ordered else (),
    )


def image_ids(file_names: Sequence[str]) -> list[int]:
    """Return the numbers in the names of the images' files, as in COCO; 0, 1, 2 ... unless each has one of its own.

    COCO's own files are called like 000000000139.jpg.
    """
    stems = [PurePath(name).stem for name in file_names]
    ids = [int(stem) for stem in stems] if all(stem.isdecimal() for stem in stems) else []
    return ids if len(set(ids)) == len(stems) else list(range(len(stems)))


def compress(segmentation: Any, image_hw: tuple[int, int]) -> dict[str, Any]:
    """Return a mask as compressed run-length code that fits into JSON: `size` (height, width) and `counts`.

    Args:
        segmentation: run-length code, compressed or not, or a list of polygons x, y, x, y ... in image pixels.
        image_hw: height and width of the image that polygons are drawn in.
    """
    code = segmentation
    if not isinstance(segmentation, Mapping) or not isinstance(segmentation["counts"], (str, bytes)):
        codes = rle_codec.frPyObjects(segmentation, *image_hw)
        code = rle_codec.merge(codes) if isinstance(codes, list) else codes
    counts = code["counts"]
    return {
        "size": [int(size) for size in code["size"]],
        "counts": counts if isinstance(counts, str) else counts.decode("ascii"),
    }


def _box_result(image_id: int, class_id: np.int64, xyxy: NDArray[np.float32], score: np.float32) -> CocoResult:
    left, top, right, bottom = (float(edge) for edge in xyxy)
    return {
        "image_id": image_id,
        "category_id": int(class_id),
        "bbox": [round(number, BOX_DECIMALS) for number in (left, top, right - left, bottom - top)],
        "score": round(float(score), SCORE_DECIMALS),
    }


def _encode(instances: Instances) -> list[dict[str, Any]]:
    # The codec takes whole images in column order; one serves all, cleared where it was written.
    canvas = np.zeros(instances.image_hw, np.uint8, order="F")
    codes = []
    for mask in instances.iter_masks():
        canvas[mask.region] = mask.bitmap
        codes.append(compress(rle_codec.encode(canvas), instances.image_hw))
        canvas[mask.region] = 0
    return codes


def _decode(segmentation: Any, image_hw: tuple[int, int]) -> BoxMask:
    code = compress(segmentation, image_hw)
    height, width = code["size"]
    if (height, width) != image_hw:
        raise ValueError(f"a mask of {width}x{height} in an image of {image_hw[1]}x{image_hw[0]} pixels")
    left, top, width, height = (int(number) for number in rle_codec.toBbox(code))
    bitmap = rle_codec.decode(code)[top : top + height, left : left + width]
    return BoxMask((left, top), np.ascontiguousarray(bitmap, np.bool_))
