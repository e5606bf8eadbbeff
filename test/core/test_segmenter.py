"""Test the straight line from pixels to instances, on outputs that are known and on published models."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes import FLOAT32, INT8, UINT8, FakeBackend, make_spec, stored_outputs
from tiny_models import default_head, default_prototypes

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.head import HeadOptions
from yolov8_seg_ros.core.image import ColorImage, ColorOrder
from yolov8_seg_ros.core.segmenter import Segmenter, SegmenterOptions, StageTimes


def known_backend(input_hw=(64, 64), quant=INT8, channels_first=True, prototypes_first=False) -> FakeBackend:
    """Give a backend that always finds one object of class 1: its box is the middle half, its mask the left of that."""
    spec = make_spec(2, 4, input_hw, quant, channels_first, prototypes_first)
    return FakeBackend(spec, stored_outputs(spec, default_head(2, 4, input_hw), default_prototypes(4, input_hw)))


def picture(*hw: int) -> np.ndarray:
    return np.zeros((*hw, 3), np.uint8)


@pytest.mark.parametrize("quant", [INT8, UINT8, FLOAT32], ids=["int8", "uint8", "float32"])
@pytest.mark.parametrize("channels_first", [True, False], ids=["channels-first", "anchors-first"])
@pytest.mark.parametrize("prototypes_first", [True, False], ids=["prototypes-head", "head-prototypes"])
@pytest.mark.parametrize(
    ("input_hw", "image_hw", "fit", "xyxy"),
    [
        pytest.param((64, 64), (64, 64), "letterbox", [16, 16, 48, 48], id="same-size"),
        pytest.param((64, 64), (480, 640), "letterbox", [160, 80, 480, 400], id="letterbox"),
        pytest.param((64, 64), (480, 640), "stretch", [160, 120, 480, 360], id="stretch"),
        pytest.param((32, 64), (64, 128), "letterbox", [32, 16, 96, 48], id="wide-network"),
    ],
)
def test_one_object_by_hand(quant, channels_first, prototypes_first, input_hw, image_hw, fit, xyxy):
    backend = known_backend(input_hw, quant, channels_first, prototypes_first)
    options = SegmenterOptions(fit, refine_boxes=False, rescore=False)
    instances = Segmenter(backend, options).segment(picture(*image_hw))
    assert instances.image_hw == image_hw
    # 0.5 is stored exactly in steps of 0.02.
    np.testing.assert_allclose(instances.xyxy, [xyxy], rtol=1e-5)
    np.testing.assert_allclose(instances.score, [0.9], rtol=1e-5)
    assert instances.class_id.tolist() == [1]
    expected = np.zeros(image_hw, np.bool_)
    expected[xyxy[1] : xyxy[3], xyxy[0] : image_hw[1] // 2] = True
    np.testing.assert_array_equal(instances.full_mask(0), expected)


def test_the_mask_has_a_say_in_box_and_score():
    plain = Segmenter(known_backend(), SegmenterOptions(refine_boxes=False, rescore=False)).segment(picture(64, 64))
    asked = Segmenter(known_backend()).segment(picture(64, 64))
    # The mask ends in the middle of the box, where the right edge goes half the way to; to the other sides it goes on,
    # where the box goes half of its margin of 1.6 px.
    np.testing.assert_allclose(plain.xyxy, [[16, 16, 48, 48]], rtol=1e-6)
    np.testing.assert_allclose(asked.xyxy, [[15.2, 15.2, 40, 48.8]], rtol=1e-6)
    assert 0.45 < asked.score[0] < plain.score[0]
    np.testing.assert_array_equal(asked.full_mask(0), plain.full_mask(0))


def test_boxes_and_scores_do_not_depend_on_whether_masks_are_asked_for():
    segmenter = Segmenter(known_backend())
    with_masks, without = (segmenter.segment(picture(48, 64), masks) for masks in (True, False))
    np.testing.assert_array_equal(with_masks.xyxy, without.xyxy)
    np.testing.assert_array_equal(with_masks.score, without.score)


def test_a_score_that_the_mask_lowers_below_the_threshold_is_left_out():
    head = HeadOptions(score_threshold=0.9)
    assert len(Segmenter(known_backend(), SegmenterOptions(rescore=False, head=head)).segment(picture(64, 64))) == 1
    assert len(Segmenter(known_backend(), SegmenterOptions(head=head)).segment(picture(64, 64))) == 0


def test_without_masks():
    instances = Segmenter(known_backend()).segment(picture(48, 64), masks=False)
    assert len(instances) == 1
    assert instances.masks is None


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_nothing_found(masks):
    options = SegmenterOptions(head=HeadOptions(score_threshold=0.95))
    instances = Segmenter(known_backend(), options).segment(picture(48, 64), masks)
    assert len(instances) == 0
    assert instances.masks == (() if masks else None)


def test_what_reaches_into_the_border_ends_at_the_image():
    # Only the middle row of the network's input is image.
    instances = Segmenter(known_backend()).segment(picture(3, 4000))
    assert len(instances) == 1
    assert instances.masks[0].bitmap.shape == (3, 2000)


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_what_lies_in_the_border_is_left_out(masks):
    spec = make_spec()
    head = default_head(2, 4, (64, 64))
    head[:4, -1] = (0.5, 0.1, 0.2, 0.2)
    backend = FakeBackend(spec, stored_outputs(spec, head, default_prototypes(4, (64, 64))))
    assert len(Segmenter(backend).segment(picture(20, 100), masks)) == 0


@pytest.mark.parametrize("image_hw", [(1, 1), (1, 9), (3, 4000), (4000, 3), (427, 639)], ids=str)
@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_any_image_size(image_hw, fit):
    instances = Segmenter(known_backend(), SegmenterOptions(fit)).segment(picture(*image_hw))
    assert instances.label_image().shape == image_hw


def test_images_of_changing_size_do_not_disturb_each_other(rng):
    backend = known_backend()
    segmenter = Segmenter(backend)
    images = [rng.integers(0, 256, (*hw, 3), np.uint8) for hw in ((48, 64), (64, 48), (48, 64), (20, 90))]
    results = [segmenter.segment(image) for image in images]
    for image, result, network_input in zip(images, results, list(backend.inputs), strict=True):
        fresh = known_backend()
        np.testing.assert_array_equal(Segmenter(fresh).segment(image).xyxy, result.xyxy)
        np.testing.assert_array_equal(fresh.inputs[0], network_input)


def test_bare_pixels_are_bgr(rng):
    pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
    backend = known_backend()
    segmenter = Segmenter(backend)
    segmenter.segment(pixels)
    segmenter.segment(ColorImage(np.ascontiguousarray(pixels[..., ::-1]), ColorOrder.RGB))
    np.testing.assert_array_equal(backend.inputs[0], backend.inputs[1])
    np.testing.assert_array_equal(backend.inputs[0][0], pixels[..., ::-1].astype(np.int16) - 128)


def test_head_options_change_from_the_next_image_on():
    segmenter = Segmenter(known_backend())
    assert len(segmenter.segment(picture(48, 64))) == 1
    segmenter.set_head_options(HeadOptions(classes=(0,)))
    assert len(segmenter.segment(picture(48, 64))) == 0
    segmenter.set_head_options(HeadOptions())
    assert len(segmenter.segment(picture(48, 64))) == 1


def test_stages_apart_give_the_same_as_together():
    segmenter = Segmenter(known_backend())
    image = picture(48, 64)
    together = segmenter.segment(image)
    prepared = segmenter.prepare(ColorImage(image))
    apart = segmenter.finish(segmenter.infer(prepared), prepared.letterbox)
    np.testing.assert_array_equal(apart.xyxy, together.xyxy)
    np.testing.assert_array_equal(apart.label_image(), together.label_image())


def test_times_are_those_of_the_last_image():
    segmenter = Segmenter(known_backend())
    assert segmenter.times == StageTimes()
    segmenter.segment(picture(48, 64))
    assert min(segmenter.times.prepare_ms, segmenter.times.infer_ms, segmenter.times.finish_ms) > 0


def test_the_caller_keeps_the_backend():
    backend = known_backend()
    Segmenter(backend).segment(picture(48, 64))
    assert not backend.closed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"interpolation": "cubic"}, "interpolation: expected one of", id="interpolation"),
        pytest.param({"pixel_rounding": "up"}, "pixel_rounding: expected one of", id="rounding"),
        pytest.param({"fit": "crop"}, "fit: expected one of letterbox, stretch, got 'crop'", id="fit"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        SegmenterOptions(**options)


@pytest.mark.parametrize("model", ["st_model_256", "st_model_320"])
@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_a_published_model_finds_people(model, fit, person_bgr, request):
    with TfliteBackend(request.getfixturevalue(model)) as backend:
        instances = Segmenter(backend, SegmenterOptions(fit)).segment(person_bgr)
        people = instances[instances.class_id == backend.spec.class_names.index("person")]
    assert len(people) >= 5
    assert (people.score[:3] > 0.4).all()
    # The picture is of a group: people cover a good part of it.
    assert 0.1 < np.count_nonzero(people.label_image()) / people.label_image().size < 0.8


def test_a_model_of_other_classes_and_scales(fish_model, shared):
    picture = cv2.imread(str(sorted((shared / "data" / "fish" / "train" / "images").iterdir())[0]))
    with TfliteBackend(fish_model) as backend:
        instances = Segmenter(backend).segment(picture)
    assert len(instances) >= 1
    assert set(instances.class_id.tolist()) <= {0, 1}
