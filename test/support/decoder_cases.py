"""Make models and outputs for tests of the decoder: all layouts of heads, numbers as networks have them, and worse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.fakes import network_input, prototypes_spec, raw_shape
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.model_spec import HEAD_PARTS, STRIDES_PX, ModelSpec, TensorSpec, anchor_count
from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.quantization import QuantParams

FLOAT32 = QuantParams(np.dtype("float32"))
Outputs = tuple[NDArray[Any], ...]


def int8(scale: float, zero_point: int) -> QuantParams:
    """Return a quantization to int8."""
    return QuantParams(np.dtype("int8"), scale, zero_point)


def uint8(scale: float, zero_point: int) -> QuantParams:
    """Return a quantization to uint8."""
    return QuantParams(np.dtype("uint8"), scale, zero_point)


@dataclass(frozen=True)
class Quants:
    """Quantization of the parts of a head and of the prototypes."""

    boxes: QuantParams
    scores: QuantParams
    coefficients: QuantParams
    prototypes: QuantParams


FLOATS = Quants(FLOAT32, FLOAT32, FLOAT32, FLOAT32)
#: Of the published 256 file, whose nine convolutions have these.
PUBLISHED_RAW = Quants(int8(0.2066, 5), int8(0.2066, 5), int8(0.02, 25), int8(0.0207487, -115))
UINT8_RAW = Quants(uint8(0.11, 90), uint8(0.0731, 200), uint8(0.017, 101), uint8(0.0213, 13))
INT8_DECODED = Quants(*[int8(0.0043, -101)] * 4)
UINT8_DECODED = Quants(*[uint8(0.0043, 27)] * 4)


def raw(
    input_hw: tuple[int, int],
    num_classes: int,
    box_bins: int,
    num_coefficients: int,
    layout: str,
    *quants: Quants,
) -> ModelSpec:
    """Return the spec of a raw head; `quants` are those of all levels, or one for each."""
    outputs = []
    for index, stride in enumerate(STRIDES_PX):
        level = quants[index % len(quants)]
        for part, channels in zip(HEAD_PARTS, (4 * box_bins, num_classes, num_coefficients), strict=True):
            shape = raw_shape(input_hw, stride, channels, layout)
            outputs.append(TensorSpec(f"{part}_{stride}", shape, getattr(level, part)))
    outputs.insert(4, prototypes_spec(input_hw, num_coefficients, quants[0].prototypes))
    return ModelSpec.from_tensors([network_input(input_hw)], outputs)


def decoded(
    input_hw: tuple[int, int], num_classes: int, num_coefficients: int, channels_first: bool, quants: Quants
) -> ModelSpec:
    """Return the spec of a decoded head in one output, quantized like its boxes."""
    shape = (4 + num_classes + num_coefficients, anchor_count(input_hw))
    head = TensorSpec("head", (1, *(shape if channels_first else shape[::-1])), quants.boxes)
    prototypes = prototypes_spec(input_hw, num_coefficients, quants.prototypes)
    return ModelSpec.from_tensors([network_input(input_hw)], [head, prototypes])


def three_outputs(input_hw: tuple[int, int], num_classes: int, num_coefficients: int, quants: Quants) -> ModelSpec:
    """Return the spec of a decoded head whose boxes, scores and coefficients are outputs of their own."""
    anchors = anchor_count(input_hw)
    outputs = [
        prototypes_spec(input_hw, num_coefficients, quants.prototypes),
        TensorSpec("scores", (1, anchors, num_classes), quants.scores),
        TensorSpec("boxes", (1, 4, anchors), quants.boxes),
        TensorSpec("coefficients", (1, num_coefficients, anchors), quants.coefficients),
    ]
    return ModelSpec.from_tensors([network_input(input_hw)], outputs)


#: Class counts 1, 2, 5, 64, 80; bins 4, 16, 32; coefficients 4, 8, 32.
SPECS: dict[str, Callable[[], ModelSpec]] = {
    "raw-published": lambda: raw((64, 96), 80, 16, 32, "maps", PUBLISHED_RAW),
    "raw-256x192": lambda: raw((192, 256), 80, 16, 32, "maps", PUBLISHED_RAW),
    "raw-uint8-anchors-first": lambda: raw((32, 32), 2, 16, 8, "anchors-first", UINT8_RAW),
    "raw-int8-channels-first": lambda: raw((64, 96), 5, 4, 4, "channels-first", PUBLISHED_RAW),
    "raw-float": lambda: raw((64, 96), 1, 16, 32, "maps", FLOATS),
    "raw-float-channels-first": lambda: raw((96, 32), 5, 32, 8, "channels-first", FLOATS),
    "raw-each-level-its-own": lambda: raw((64, 96), 64, 16, 32, "maps", UINT8_RAW, FLOATS, PUBLISHED_RAW),
    "raw-one-anchor-a-level": lambda: raw((32, 32), 1, 32, 4, "channels-first", PUBLISHED_RAW),
    "raw-zero-points-at-the-ends": lambda: raw(
        (64, 96), 2, 16, 8, "maps", Quants(int8(0.1, -128), int8(0.1, 127), uint8(0.02, 0), uint8(0.02, 255))
    ),
    "raw-integers-and-floats": lambda: raw(
        (64, 96), 5, 16, 8, "anchors-first", Quants(FLOAT32, int8(0.07, 40), int8(0.02, 3), FLOAT32)
    ),
    "decoded-int8": lambda: decoded((64, 96), 80, 32, True, INT8_DECODED),
    "decoded-uint8-anchors-first": lambda: decoded((64, 96), 5, 8, False, UINT8_DECODED),
    "decoded-float": lambda: decoded((64, 96), 2, 4, True, FLOATS),
    "decoded-one-class": lambda: decoded((96, 32), 1, 4, False, INT8_DECODED),
    "decoded-three-outputs": lambda: three_outputs(
        (64, 96), 5, 8, Quants(int8(0.0041, -120), uint8(1 / 256, 0), int8(0.017, 9), uint8(0.021, 117))
    ),
}


def same_size(spec: ModelSpec) -> Letterbox:
    """Return the letterbox of an image of the network's size: image pixels are network pixels."""
    return Letterbox.fit(spec.input_hw, spec.input_hw)


def likely_outputs(spec: ModelSpec, rng: np.random.Generator) -> Outputs:
    """Return outputs with crowded boxes, some of them without area, few high scores, and smooth prototypes."""
    outputs = tuple(np.zeros(tensor.shape, tensor.quant.dtype) for tensor in spec.outputs)
    for level in spec.levels:
        for name in HEAD_PARTS:
            part = getattr(level, name)
            view = part.view(outputs)
            view[...] = part.quant.quantize(_likely_real(name, view.shape, spec.is_raw, rng))
    plane = outputs[spec.prototypes_index]
    coarse = rng.normal(size=(1, -(-plane.shape[1] // 4), -(-plane.shape[2] // 4), plane.shape[3]))
    smooth = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)[:, : plane.shape[1], : plane.shape[2]]
    plane[...] = spec.prototypes.quant.quantize(smooth)
    return outputs


def _likely_real(name: str, shape: tuple[int, ...], raw_head: bool, rng: np.random.Generator) -> NDArray[Any]:
    if name == "coefficients":
        return rng.normal(size=shape)
    if name == "scores":
        numbers = rng.normal(-4, 3, shape) if raw_head else rng.uniform(-0.1, 1, shape) ** 4
        # Floats are seldom equal, quantized numbers often: let half of the floats be.
        return np.where(rng.random(shape) < 0.5, np.round(numbers, 1), numbers)
    if raw_head:
        return rng.normal(0, 3, shape)
    return np.concatenate([rng.uniform(0.1, 0.9, (2, shape[1])), rng.uniform(-0.05, 0.7, (2, shape[1]))])


def any_outputs(spec: ModelSpec, rng: np.random.Generator) -> Outputs:
    """Return outputs of any numbers that their types can store, NaN and infinity among the floats."""
    return tuple(any_numbers(tensor.shape, tensor.quant.dtype, rng) for tensor in spec.outputs)


def any_numbers(shape: tuple[int, ...], dtype: np.dtype[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return random bytes of a shape and type."""
    count = int(np.prod(shape)) * dtype.itemsize
    return rng.integers(0, 256, count, np.uint8).view(dtype).reshape(shape)


def few_values(spec: ModelSpec, rng: np.random.Generator, count: int = 2) -> Outputs:
    """Return likely outputs in which all anchors are copies of a few: scores and boxes are equal on purpose."""
    outputs = likely_outputs(spec, rng)
    for level in spec.levels:
        chosen = rng.integers(0, min(count, level.boxes.num_anchors), level.boxes.num_anchors)
        for name in HEAD_PARTS:
            view = getattr(level, name).view(outputs)
            view[...] = view[:, chosen]
    return outputs


@dataclass(frozen=True)
class Case:
    """One image for the decoder: all that it is given."""

    spec: ModelSpec
    outputs: Outputs
    options: DetectionOptions
    letterbox: Letterbox
    max_candidates: int


def random_case(rng: np.random.Generator, dtypes: Sequence[str] = ("int8", "uint8", "float32")) -> Case:
    """Return a case of any layout, type, size and options, with outputs of any numbers or likely ones."""
    spec = _random_spec(rng, dtypes)
    outputs = (any_outputs, likely_outputs, few_values)[rng.integers(3)](spec, rng)
    options = DetectionOptions(
        score_threshold=float(rng.choice([0.0, 0.1, 0.3, 1.0])),
        iou_threshold=float(rng.choice([0.0, 0.5, 0.7, 1.0])),
        max_instances=int(rng.integers(1, 60)),
        classes=None if rng.random() < 0.7 else tuple(np.flatnonzero(rng.random(len(spec.class_names)) < 0.5).tolist()),
        agnostic_nms=bool(rng.random() < 0.5),
        multi_label=bool(rng.random() < 0.5),
        vote_boxes=bool(rng.random() < 0.5),
        mask_threshold=float(rng.choice([0.0, 0.5, 0.62, 1.0])),
    )
    image_hw = (int(rng.integers(1, 300)), int(rng.integers(1, 300)))
    letterbox = Letterbox.fit(image_hw, spec.input_hw, str(rng.choice(["letterbox", "stretch"])))
    return Case(spec, outputs, options, letterbox, int(rng.choice([1, 20, 1000])))


def _random_spec(rng: np.random.Generator, dtypes: Sequence[str]) -> ModelSpec:
    def quant() -> QuantParams:
        dtype = np.dtype(rng.choice(dtypes))
        if dtype.kind == "f":
            return QuantParams(dtype)
        limits = np.iinfo(dtype)
        scale = float(rng.choice([1e-38, 1e-6, 0.004, 0.02, 0.2, 5.0, 1e30, 1e38]))
        return QuantParams(dtype, scale, int(rng.integers(limits.min, limits.max, endpoint=True)))

    def quants() -> Quants:
        return Quants(quant(), quant(), quant(), quant())

    input_hw = [(32, 32), (64, 96), (96, 32)][rng.integers(3)]
    num_classes, num_coefficients = int(rng.integers(1, 9)), int(rng.integers(1, 40))
    kind = str(rng.choice(["maps", "anchors-first", "channels-first", "decoded", "three"]))
    if kind == "decoded":
        return decoded(input_hw, num_classes, num_coefficients, bool(rng.random() < 0.5), quants())
    if kind == "three":
        return three_outputs(input_hw, num_classes, num_coefficients, quants())
    return raw(input_hw, num_classes, int(rng.integers(2, 20)), num_coefficients, kind, quants(), quants(), quants())
