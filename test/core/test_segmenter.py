"""Test the straight line from pixels to instances, on outputs that are known and on published models."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.fakes import (
    FLOAT32,
    UINT8,
    UINT8_LOGITS,
    FakeBackend,
    make_raw_spec,
    make_spec,
    raw_outputs,
    stored_outputs,
)
from support.tiny_models import default_head, default_prototypes, default_raw_head

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core import native as native_module
from yolov8_seg_ros.core.image import ColorImage, ColorOrder
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter, StageTimes


def known_backend(spec: ModelSpec | None = None) -> FakeBackend:
    """Return a backend that always finds one object of class 1: the box is the middle half, the mask the left of it."""
    spec = spec or make_spec()
    sizes = (len(spec.class_names), spec.num_coefficients, spec.input_hw)
    prototypes = default_prototypes(spec.num_coefficients, spec.input_hw)
    if spec.is_raw:
        return FakeBackend(spec, raw_outputs(spec, default_raw_head(*sizes), prototypes))
    return FakeBackend(spec, stored_outputs(spec, default_head(*sizes), prototypes))


def blank(*hw: int) -> np.ndarray:
    return np.zeros((*hw, 3), np.uint8)


@pytest.mark.parametrize(
    ("spec", "image_hw", "fit", "xyxy"),
    [
        pytest.param(make_raw_spec(), (64, 64), "letterbox", [16, 16, 48, 48], id="same-size"),
        pytest.param(make_raw_spec(), (480, 640), "letterbox", [160, 80, 480, 400], id="letterbox"),
        pytest.param(
            make_raw_spec(logits_quant=UINT8_LOGITS, quant=UINT8),
            (480, 640),
            "stretch",
            [160, 120, 480, 360],
            id="uint8-stretch",
        ),
        pytest.param(
            make_raw_spec(input_hw=(32, 64), layout="channels-first"),
            (64, 128),
            "letterbox",
            [32, 16, 96, 48],
            id="wide-network",
        ),
        pytest.param(
            make_raw_spec(logits_quant=FLOAT32, quant=FLOAT32), (64, 64), "letterbox", [16, 16, 48, 48], id="float32"
        ),
        pytest.param(make_spec(), (480, 640), "letterbox", [160, 80, 480, 400], id="decoded"),
        pytest.param(
            make_spec(quant=UINT8, channels_first=False),
            (480, 640),
            "stretch",
            [160, 120, 480, 360],
            id="decoded-uint8",
        ),
        pytest.param(
            make_spec(quant=FLOAT32, prototypes_first=True, input_hw=(32, 64)),
            (64, 128),
            "letterbox",
            [32, 16, 96, 48],
            id="decoded-float32",
        ),
    ],
)
def test_one_object_by_hand(spec, image_hw, fit, xyxy):
    options = SegmenterOptions(fit, detection=DetectionOptions(mask_threshold=0.5))
    instances = Segmenter(known_backend(spec), options).segment(blank(*image_hw))
    assert instances.image_hw == image_hw
    np.testing.assert_allclose(instances.xyxy, [xyxy], rtol=1e-5)
    np.testing.assert_allclose(instances.score, [0.9], rtol=1e-5)
    assert instances.class_id.tolist() == [1]
    expected = np.zeros(image_hw, np.bool_)
    expected[xyxy[1] : xyxy[3], xyxy[0] : image_hw[1] // 2] = True
    np.testing.assert_array_equal(instances.full_mask(0), expected)


def test_the_mask_threshold_moves_the_mask_s_edge():
    """From the 8th column of cells to the 9th, in the middle of the box, the logit falls from 1 to -1."""
    columns = []
    for threshold in (0.0, 0.3, 0.5, 0.7, 1.0):
        options = SegmenterOptions(detection=DetectionOptions(mask_threshold=threshold))
        columns.append(Segmenter(known_backend(), options).segment(blank(640, 640)).masks[0].bitmap.any(axis=0).sum())
    assert columns == sorted(columns, reverse=True)
    assert (columns[0], columns[2], columns[-1]) == (320, 160, 0)
    # A probability of 0.7 is a logit of 0.847: 3 of the 40 pixels behind the 8th column's centre, 20 before the middle.
    assert columns[3] == 160 - 20 + 3
    assert columns[1] == 160 + 20 - 3


def test_boxes_and_scores_do_not_depend_on_whether_masks_are_asked_for():
    segmenter = Segmenter(known_backend())
    with_masks, without = (segmenter.segment(blank(48, 64), masks) for masks in (True, False))
    np.testing.assert_array_equal(with_masks.xyxy, without.xyxy)
    np.testing.assert_array_equal(with_masks.score, without.score)


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
@pytest.mark.parametrize(("room_for", "kept"), [(2.0, 2), (1.9, 1), (0.9, 0)], ids=["both", "one", "none"])
def test_the_best_masks_that_fit_into_memory_are_kept(monkeypatch, masks, room_for, kept):
    spec = make_spec()
    head = default_head(len(spec.class_names), spec.num_coefficients, spec.input_hw)
    head[:, 0] = head[:, -1]
    head[4:6, 0] = 0.5, 0
    backend = FakeBackend(spec, stored_outputs(spec, head, default_prototypes(spec.num_coefficients, spec.input_hw)))
    # Both boxes are the middle half of the image.
    monkeypatch.setattr(native_module, "MAX_MASKS_BYTES", int(room_for * 320 * 320))
    assert Segmenter(backend).segment(blank(640, 640), masks).class_id.tolist() == [1, 0][:kept]


def test_without_masks():
    instances = Segmenter(known_backend()).segment(blank(48, 64), masks=False)
    assert len(instances) == 1
    assert instances.masks is None


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_nothing_found(masks):
    options = SegmenterOptions(detection=DetectionOptions(score_threshold=0.95))
    instances = Segmenter(known_backend(), options).segment(blank(48, 64), masks)
    assert len(instances) == 0
    assert instances.masks == (() if masks else None)


def test_what_reaches_into_the_border_ends_at_the_image():
    # Only the middle row of the network's input is image.
    instances = Segmenter(known_backend()).segment(blank(3, 4000))
    assert len(instances) == 1
    assert instances.masks[0].bitmap.shape == (3, 2000)


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_what_lies_in_the_border_is_left_out(masks):
    spec = make_spec()
    head = default_head(2, 4, (64, 64))
    head[:4, -1] = (0.5, 0.1, 0.2, 0.2)
    backend = FakeBackend(spec, stored_outputs(spec, head, default_prototypes(4, (64, 64))))
    assert len(Segmenter(backend).segment(blank(20, 100), masks)) == 0


@pytest.mark.parametrize(
    ("image_hw", "fit"),
    [
        pytest.param((1, 1), "letterbox", id="a-pixel"),
        pytest.param((1, 9), "stretch", id="a-row"),
        pytest.param((3, 4000), "letterbox", id="flat"),
        pytest.param((4000, 3), "letterbox", id="narrow"),
        pytest.param((4000, 3), "stretch", id="narrow-stretched"),
        pytest.param((427, 639), "stretch", id="odd"),
    ],
)
def test_any_image_size(image_hw, fit):
    instances = Segmenter(known_backend(), SegmenterOptions(fit)).segment(blank(*image_hw))
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


def test_detection_options_change_from_the_next_image_on():
    segmenter = Segmenter(known_backend())
    assert len(segmenter.segment(blank(48, 64))) == 1
    segmenter.set_detection(DetectionOptions(classes=(0,)))
    assert len(segmenter.segment(blank(48, 64))) == 0
    segmenter.set_detection(DetectionOptions())
    assert len(segmenter.segment(blank(48, 64))) == 1


def test_stages_apart_return_the_same_as_together(rng):
    """Frames go through the stages side by side, each with memory of its own."""
    segmenter = Segmenter(known_backend())
    images = [rng.integers(0, 256, (*hw, 3), np.uint8) for hw in ((48, 64), (64, 48))]
    together = [segmenter.segment(image) for image in images]
    frames = [segmenter.new_frame() for _ in images]
    for frame, image in zip(frames, images, strict=True):
        segmenter.preprocess(frame, ColorImage(image))
    for frame in frames:
        segmenter.infer(frame)
    for frame, expected in zip(frames, together, strict=True):
        assert segmenter.postprocess(frame) is frame.instances
        np.testing.assert_array_equal(frame.instances.xyxy, expected.xyxy)
        np.testing.assert_array_equal(frame.instances.label_image(), expected.label_image())


def test_a_frame_is_used_again(rng):
    backend = known_backend()
    segmenter = Segmenter(backend)
    frame = segmenter.new_frame()
    tensor = frame.network_input
    for hw in ((48, 64), (48, 64), (64, 48)):
        image = ColorImage(rng.integers(0, 256, (*hw, 3), np.uint8))
        segmenter.preprocess(frame, image)
        assert frame.network_input is tensor
        assert frame.image is image
        assert frame.letterbox.image_hw == hw
        fresh = Segmenter(known_backend()).new_frame()
        Segmenter(known_backend()).preprocess(fresh, image)
        np.testing.assert_array_equal(tensor, fresh.network_input)


def test_instances_have_memory_of_their_own():
    segmenter = Segmenter(known_backend())
    found = segmenter.segment(blank(48, 64))
    expected = Segmenter(known_backend()).segment(blank(48, 64))
    # The next images have other boxes, and then none.
    segmenter.segment(blank(400, 300))
    segmenter.set_detection(DetectionOptions(classes=()))
    segmenter.segment(blank(48, 64))
    assert_same(found, expected)
    assert (found.xyxy.dtype, found.score.dtype, found.class_id.dtype) == (np.float32, np.float32, np.int64)
    for column in (found.xyxy, found.score, found.class_id):
        assert column.flags.owndata


def assert_same(found: Instances, expected: Instances) -> None:
    for name in ("xyxy", "score", "class_id"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.label_image(), expected.label_image())


def test_times_are_those_of_the_last_image():
    segmenter = Segmenter(known_backend())
    assert segmenter.times == StageTimes()
    segmenter.segment(blank(48, 64))
    assert min(segmenter.times.preprocess_ms, segmenter.times.inference_ms, segmenter.times.postprocess_ms) > 0
    first, kept = segmenter.times, replace(segmenter.times)
    segmenter.segment(blank(48, 64))
    assert first == kept != segmenter.times


def test_the_caller_keeps_the_backend():
    backend = known_backend()
    Segmenter(backend).segment(blank(48, 64))
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"score_threshold": 1.01}, "score_threshold: expected 0.0 to 1.0, got 1.01", id="score-above"),
        pytest.param({"score_threshold": float("nan")}, "score_threshold: expected .* got nan", id="score-nan"),
        pytest.param({"iou_threshold": -0.1}, "iou_threshold: expected 0.0 to 1.0, got -0.1", id="iou-below"),
        pytest.param({"mask_threshold": 2.0}, "mask_threshold: expected 0.0 to 1.0, got 2.0", id="mask-above"),
        pytest.param({"max_instances": 0}, "max_instances: expected 1 or more, got 0", id="none-at-most"),
    ],
)
def test_refused_detection_options(options, message):
    with pytest.raises(ValueError, match=message):
        DetectionOptions(**options)


def test_decoding_like_ultralytics_sets_several_options():
    options = SegmenterOptions(detection=DetectionOptions(score_threshold=0.1))
    assert options.with_decoding("accurate") == options
    other = options.with_decoding("ultralytics")
    assert (other.interpolation, other.pixel_rounding, other.fit) == ("linear", "toward_zero", "letterbox")
    assert other.detection == DetectionOptions(0.1, multi_label=False, vote_boxes=False, mask_threshold=0.5)
    with pytest.raises(ValueError, match="decoding: expected one of accurate, ultralytics, got 'fast'"):
        options.with_decoding("fast")


@pytest.mark.parametrize(
    ("model", "fit", "raw_head"),
    [
        pytest.param("st_model_256", "letterbox", True, id="256"),
        pytest.param("st_model_256", "stretch", False, id="256-stretch-as-published"),
        pytest.param("st_model_320", "letterbox", False, id="320-as-published"),
        pytest.param("st_model_320", "stretch", True, id="320-stretch"),
    ],
)
def test_a_published_model_finds_people(model, fit, raw_head, person_bgr, request):
    with TfliteBackend(request.getfixturevalue(model), raw_head=raw_head) as backend:
        instances = Segmenter(backend, SegmenterOptions(fit)).segment(person_bgr)
        people = instances[instances.class_id == backend.spec.class_names.index("person")]
    assert len(people) >= 5
    assert (people.score[:3] > 0.4).all()
    # The image is of a group: people cover a good part of it.
    assert 0.1 < np.count_nonzero(people.label_image()) / people.label_image().size < 0.8


def test_a_model_of_other_classes_and_scales(fish_model, shared):
    image = cv2.imread(str(sorted((shared / "data" / "fish" / "train" / "images").iterdir())[0]))
    with TfliteBackend(fish_model) as backend:
        instances = Segmenter(backend).segment(image)
    assert len(instances) >= 1
    assert set(instances.class_id.tolist()) <= {0, 1}
