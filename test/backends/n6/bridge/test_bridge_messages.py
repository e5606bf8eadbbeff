"""Test payloads of the bridge protocol: against the vectors of both sides, and what is refused."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from support.shared_data import CHECKOUT

from yolov8_seg_ros.backends.n6 import bridge_messages as messages
from yolov8_seg_ros.backends.n6.backend import WantedModel
from yolov8_seg_ros.backends.n6.bridge_backend import spec_of
from yolov8_seg_ros.backends.n6.bridge_messages import (
    BoardModel,
    Configuration,
    MaskForm,
    MessageError,
    PictureFormat,
    Refusal,
    Welcome,
)
from yolov8_seg_ros.backends.n6.bridge_result import BoardTimes, read_result
from yolov8_seg_ros.core.native import logit
from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.errors import ModelError

VECTORS = json.loads((CHECKOUT / "test" / "n6_bridge" / "vectors.json").read_text(encoding="utf-8"))
PAYLOADS = {vector["name"]: bytes.fromhex(vector["bytes"]) for vector in VECTORS["payloads"]}
#: Its logit is 0.48828125, as in the vectors.
MASK_THRESHOLD = 1 / (1 + np.exp(-0.48828125))
MODEL = BoardModel(
    "street",
    (256, 320),
    QuantParams(np.dtype("uint8"), 0.00390625, 3),
    16,
    ((8, 40, 32), (16, 20, 16), (32, 10, 8)),
    32,
    (64, 80),
    bytes.fromhex("0123456789abcdef" * 4),
    ("cat", "chien à poil"),
)


def asked(num_classes=2, masks=MaskForm.CONTOURS, **detection):
    return Configuration(DetectionOptions(mask_threshold=MASK_THRESHOLD, **detection), masks, num_classes)


def test_what_a_host_says():
    assert messages.hello() == PAYLOADS["hello"]
    assert messages.ping(3, b"echo") == PAYLOADS["ping"]
    assert messages.picture(3, PictureFormat.JPEG, b"data") == PAYLOADS["picture head"] + b"data"
    configuration = asked(10, iou_threshold=0.5, max_instances=300, classes=(0, 3, 9))
    assert configuration.to_bytes(5) == PAYLOADS["configure"]


def test_all_classes_are_no_list():
    payload = asked(10).to_bytes(1)
    assert len(payload) == 24
    assert payload[20:22] == b"\0\0"


@pytest.mark.parametrize(
    ("threshold", "mask_logit"), [(0.5, 0.0), (0.0, -np.inf), (1.0, np.inf), (5e-324, -744.44)], ids=str
)
def test_mask_thresholds(threshold, mask_logit):
    payload = Configuration(DetectionOptions(mask_threshold=threshold), MaskForm.SIGNS, 2).to_bytes(1)
    assert struct.unpack_from("<f", payload, 12)[0] == pytest.approx(mask_logit)
    assert logit(threshold) == pytest.approx(mask_logit)


def test_what_a_board_says():
    welcome = Welcome(1, 2, 15, 196624, 65536, 131072, 300, 800_000_000, 1_000_000_000, "STM32N6570-DK")
    assert messages.read_welcome(PAYLOADS["welcome"]) == welcome
    assert messages.read_model(PAYLOADS["model"]) == MODEL
    assert messages.read_status(PAYLOADS["configured"]) == (4, 2)
    assert PAYLOADS["configured"][8:] == messages.number_bytes(5)
    error = messages.read_error(PAYLOADS["error"])
    assert error == Refusal(8, 4, 12, 3, 2, "why")
    assert str(error) == "BAD_JPEG, 2: why"


def test_a_board_need_not_know_file_and_classes():
    payload = bytearray(PAYLOADS["model"])
    payload[32:64] = bytes(32)
    names = payload.index(b"\x03cat")
    model = messages.read_model(bytes(payload[:names]) + b"\0\0")
    assert model.file_sha256 is None
    assert model.class_names == ("", "")


def test_a_result():
    result = read_result(PAYLOADS["result"], MODEL, asked())
    assert (result.frame, result.configuration) == (3, 5)
    assert result.times == BoardTimes(8.0, 0.25, 0.031, 31.57, 2.1)
    assert result.masks_left_out
    assert result.instances.masks is None
    np.testing.assert_array_equal(result.instances.xyxy_px, [[-1.5, 8.25, 20.5, 24.0], [100.0, 50.0, 101.0, 52.0]])
    np.testing.assert_array_equal(result.instances.score, [0.875, 0.25])
    np.testing.assert_array_equal(result.instances.class_id, [1, 0])


RECORDS = 40
ONE_RECORD = RECORDS + 36


def one_instance():
    """Return the vector's result with its first instance alone, all of whose masks are there."""
    payload = bytearray(PAYLOADS["result"])
    del payload[ONE_RECORD : ONE_RECORD + 36]
    struct.pack_into("<HH", payload, 36, 1, 0)
    return payload


def test_a_result_with_masks():
    masks = read_result(bytes(one_instance()), MODEL, asked()).instances.masks
    [vector] = [vector for vector in VECTORS["masks"] if vector["name"] == "a disc"]
    expected = np.array(vector["logits"], np.float32)
    assert masks.windows.tolist() == [[0, 1, 6, 5]]
    assert masks.mask_logit == pytest.approx(vector["mask_logit"])
    np.testing.assert_array_equal(masks.logits > masks.mask_logit, expected > np.float32(vector["mask_logit"]))


def changed(layout, at, *values):
    payload = one_instance()
    struct.pack_into(layout, payload, at, *values)
    return bytes(payload)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (bytes(one_instance()[:30]), "too few"),
        (bytes(one_instance()[: RECORDS + 5]), "too short for 1 instances"),
        (bytes(one_instance()) + b"\0", "does not have the length"),
        (changed("<f", RECORDS, np.nan), "cannot be"),
        (changed("<f", RECORDS, np.inf), "cannot be"),
        (changed("<f", RECORDS, 20.5), "cannot be"),
        (changed("<f", RECORDS + 16, 1.5), "cannot be"),
        (changed("<H", RECORDS + 20, 2), "cannot be"),
        (changed("<H", RECORDS + 22, 75), "a mask leaves the grid"),
        (changed("<H", RECORDS + 28, 0), "a mask leaves the grid"),
        (changed("<H", RECORDS + 28, 4), "does not fill its 24 cells exactly"),
        (changed("<B", ONE_RECORD, 0xC0), "does not fill its 30 cells exactly"),
    ],
    ids=[
        "cut short",
        "cut in the records",
        "too long",
        "not a number",
        "infinite",
        "no width",
        "score",
        "class",
        "window outside",
        "empty window",
        "smaller window",
        "mask item",
    ],
)
def test_results_that_are_refused(payload, message):
    with pytest.raises(MessageError, match=message):
        read_result(payload, MODEL, asked())


def test_a_result_with_more_instances_than_asked_for_is_refused():
    with pytest.raises(MessageError, match="1 were asked for"):
        read_result(PAYLOADS["result"], MODEL, asked(max_instances=1))


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [("welcome", 10, 0), ("welcome", 28, 0), ("model", 12, 2), ("model", 14, 0), ("model", 14, 9), ("model", 28, 0)],
    ids=["no credit", "no instances", "input type", "no levels", "many levels", "no columns"],
)
def test_descriptions_that_are_refused(name, at, value):
    payload = bytearray(PAYLOADS[name])
    payload[at : at + (1 if name == "model" and at < 28 else 2)] = bytes([value]) + (b"\0" if at in (10, 28) else b"")
    read = messages.read_welcome if name == "welcome" else messages.read_model
    with pytest.raises(MessageError):
        read(bytes(payload))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input_quant": QuantParams(np.dtype("int8"), float("nan"), 0)}, "no scale of its own"),
        ({"input_quant": QuantParams(np.dtype("int8"), float("inf"), 0)}, "no scale of its own"),
        ({"input_quant": QuantParams(np.dtype("uint8"), -1.0, 0)}, "no scale of its own"),
        ({"input_quant": QuantParams(np.dtype("uint8"), 1 / 255, -1)}, "the zero point -1, expected 0 to 255"),
        ({"input_hw": (0, 320)}, "the input is 320x0, expected multiples of 32"),
        ({"input_hw": (255, 320)}, "the input is 320x255, expected multiples of 32"),
    ],
    ids=["scale not a number", "infinite scale", "negative scale", "zero point", "no rows", "rows"],
)
def test_networks_that_cannot_be(changed, message):
    with pytest.raises(ModelError, match=f"the network 'street' on the board: .*{message}"):
        spec_of(replace(MODEL, **changed), WantedModel())


@pytest.mark.parametrize("name", ["welcome", "model", "error"])
def test_payloads_that_are_cut_short_are_refused(name):
    read = {
        "welcome": messages.read_welcome,
        "model": messages.read_model,
        "error": messages.read_error,
    }[name]
    fixed_bytes = {"welcome": 40, "model": len(PAYLOADS["model"]), "error": 24}[name]
    for size in range(0, fixed_bytes, 3):
        with pytest.raises(MessageError):
            read(PAYLOADS[name][:size])
