"""Test quantized and real numbers by hand, and for each number that a type can store."""

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


def every_number(quant: QuantParams) -> np.ndarray:
    limits = np.iinfo(quant.dtype)
    return np.arange(limits.min, limits.max + 1).astype(quant.dtype)


@pytest.mark.parametrize(
    ("quant", "quantized", "real"),
    [
        pytest.param(
            QuantParams(np.dtype("int8"), 0.5, 10), [-128, 9, 10, 11, 127], [-69, -0.5, 0, 0.5, 58.5], id="int8"
        ),
        pytest.param(QuantParams(np.dtype("uint8"), 0.25, 128), [0, 128, 255], [-32, 0, 31.75], id="uint8"),
        pytest.param(QuantParams(np.dtype("int8"), 1 / 255, -128), [-128, 127], [0, 1], id="input"),
        pytest.param(FLOAT, [-1.5, 0, 3.25], [-1.5, 0, 3.25], id="float32"),
    ],
)
def test_by_hand(quant, quantized, real):
    quantized = np.array([quantized], quant.dtype)
    assert quant.dequantize(quantized).dtype == np.float32
    np.testing.assert_allclose(quant.dequantize(quantized), [real], rtol=1e-6)
    again = quant.quantize(np.array([real]))
    assert again.dtype == quant.dtype
    np.testing.assert_array_equal(again, quantized)


@pytest.mark.parametrize(
    ("real", "quantized"),
    [
        pytest.param(1e9, 127, id="above"),
        pytest.param(-1e9, -128, id="below"),
        pytest.param(np.inf, 127, id="infinite"),
        pytest.param(0.74, 1, id="rounds-down"),
        pytest.param(0.76, 2, id="rounds-up"),
    ],
)
def test_quantize_clips_and_rounds(real, quantized):
    assert QuantParams(np.dtype("int8"), 0.5, 0).quantize(np.array([real]))[0] == quantized


@pytest.mark.parametrize("quant", EVERY_KIND, ids=label)
def test_every_quantized_number_survives_the_round_trip(quant):
    quantized = every_number(quant)
    np.testing.assert_array_equal(quant.quantize(quant.dequantize(quantized)), quantized)


@pytest.mark.parametrize("quant", [*INT8, *UINT8], ids=label)
def test_a_real_number_comes_back_within_half_a_step(quant, rng):
    low, high = quant.dequantize(every_number(quant)[[0, -1]])
    real = rng.uniform(low, high, 10_000)
    error = np.abs(quant.dequantize(quant.quantize(real)) - real)
    assert error.max() <= quant.scale * 0.501


def test_dequantize_leaves_its_argument_alone():
    quantized = np.array([1.0, 2.0], np.float32)
    FLOAT.dequantize(quantized)[:] = 7
    np.testing.assert_array_equal(quantized, [1, 2])
