"""Test stored and real numbers by hand, and thresholds against a comparison of every stored value."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.quantization import QuantParams

FLOAT = QuantParams(np.dtype("float32"))
#: As the published models have them: 256 head and prototypes, 320 head and prototypes, input.
PUBLISHED = [(0.0200201, 25), (0.0207487, -115), (0.0204021, 24), (0.0196691, -114), (0.00392157, -128)]
INT8 = [QuantParams(np.dtype("int8"), scale, zero_point) for scale, zero_point in PUBLISHED]
UINT8 = [QuantParams(np.dtype("uint8"), scale, zero_point + 128) for scale, zero_point in PUBLISHED]
EVERY_KIND = [
    *INT8,
    *UINT8,
    QuantParams(np.dtype("int8"), 0.5, 0),
    QuantParams(np.dtype("int8"), 0.1, 127),
    QuantParams(np.dtype("uint8"), 1 / 255, 0),
    QuantParams(np.dtype("uint8"), 1e-30, 0),
    QuantParams(np.dtype("int8"), 1e30, 3),
]


def label(quant: QuantParams) -> str:
    return f"{quant.dtype.name}-{quant.scale:g}-{quant.zero_point}"


def every_stored(quant: QuantParams) -> np.ndarray:
    limits = np.iinfo(quant.dtype)
    return np.arange(limits.min, limits.max + 1).astype(quant.dtype)


@pytest.mark.parametrize(
    ("quant", "stored", "real"),
    [
        pytest.param(
            QuantParams(np.dtype("int8"), 0.5, 10), [-128, 9, 10, 11, 127], [-69, -0.5, 0, 0.5, 58.5], id="int8"
        ),
        pytest.param(QuantParams(np.dtype("uint8"), 0.25, 128), [0, 128, 255], [-32, 0, 31.75], id="uint8"),
        pytest.param(QuantParams(np.dtype("int8"), 1 / 255, -128), [-128, 127], [0, 1], id="input"),
        pytest.param(FLOAT, [-1.5, 0, 3.25], [-1.5, 0, 3.25], id="float32"),
    ],
)
def test_by_hand(quant, stored, real):
    stored = np.array([stored], quant.dtype)
    assert quant.dequantize(stored).dtype == np.float32
    np.testing.assert_allclose(quant.dequantize(stored), [real], rtol=1e-6)
    again = quant.quantize(np.array([real]))
    assert again.dtype == quant.dtype
    np.testing.assert_array_equal(again, stored)


@pytest.mark.parametrize(
    ("real", "stored"),
    [
        pytest.param(1e9, 127, id="above"),
        pytest.param(-1e9, -128, id="below"),
        pytest.param(np.inf, 127, id="infinite"),
        pytest.param(0.74, 1, id="rounds-down"),
        pytest.param(0.76, 2, id="rounds-up"),
    ],
)
def test_quantize_clips_and_rounds(real, stored):
    assert QuantParams(np.dtype("int8"), 0.5, 0).quantize(np.array([real]))[0] == stored


@pytest.mark.parametrize("quant", EVERY_KIND, ids=label)
def test_every_stored_number_survives_the_round_trip(quant):
    stored = every_stored(quant)
    np.testing.assert_array_equal(quant.quantize(quant.dequantize(stored)), stored)


@pytest.mark.parametrize("quant", [*INT8, *UINT8], ids=label)
def test_a_real_number_comes_back_within_half_a_step(quant, rng):
    low, high = quant.dequantize(every_stored(quant)[[0, -1]])
    real = rng.uniform(low, high, 10_000)
    error = np.abs(quant.dequantize(quant.quantize(real)) - real)
    assert error.max() <= quant.scale * 0.501


def test_dequantize_leaves_its_argument_alone():
    stored = np.array([1.0, 2.0], np.float32)
    FLOAT.dequantize(stored)[:] = 7
    np.testing.assert_array_equal(stored, [1, 2])


@pytest.mark.parametrize("quant", EVERY_KIND, ids=label)
def test_a_stored_threshold_equals_a_real_one(quant, rng):
    stored = every_stored(quant)
    real = quant.dequantize(stored)
    thresholds = np.concatenate(
        [np.linspace(0, 1, 101), rng.uniform(0, 1, 200), real, np.nextafter(real, -np.inf), np.nextafter(real, np.inf)]
    )
    for threshold in thresholds.tolist():
        smallest = quant.smallest_stored_at_least(threshold)
        np.testing.assert_array_equal(stored >= smallest, real >= np.float32(threshold), err_msg=str(threshold))


@pytest.mark.parametrize(
    ("quant", "threshold", "smallest"),
    [
        # 12 * 0.0200201 = 0.2402 is too low, 13 * 0.0200201 = 0.2603 is not.
        pytest.param(INT8[0], 0.25, 25 + 13, id="published-quarter"),
        pytest.param(INT8[0], 0.0, 25, id="published-zero"),
        # 50 * 0.0200201 = 1.001
        pytest.param(INT8[0], 1.0, 25 + 50, id="published-one"),
        pytest.param(QuantParams(np.dtype("int8"), 0.5, 0), 0.5, 1, id="exactly-a-step"),
        pytest.param(QuantParams(np.dtype("int8"), 0.001, 100), 0.9, 128, id="out-of-reach"),
        pytest.param(FLOAT, 0.3, 0.3, id="float32"),
    ],
)
def test_stored_threshold_by_hand(quant, threshold, smallest):
    assert quant.smallest_stored_at_least(threshold) == smallest
