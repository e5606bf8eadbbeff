"""Write small .tflite files with YOLOv8-seg's decoded head: real convolutions, with random weights, and a real tail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from yolov8_seg_ros.core.model_spec import STRIDES_PX

FEATURES = 6
_TYPES = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8, "uint8": schema.TensorType.UINT8}


@dataclass(frozen=True)
class HeadGraphOptions:
    """Options of a file.

    Attributes:
        dtype: of all that is computed: int8, uint8 or float32.
        num_classes: class logits of an anchor point.
        num_coefficients: mask coefficients of an anchor point, and prototypes.
        bins: of one side of a box.
        input_hw: height and width of the input in pixels.
        one_tail: boxes and classes go through the tail together, as in ST's files, rather than apart.
        anchors_first: the head is 1 x anchors x channels.
        split_head: boxes, scores and coefficients are outputs of their own.
        prototypes_first: the prototypes are output 0.
        float_ends: float32 in and out, converted at both ends.
        channels_first: input and prototypes are NCHW.
        gain: coefficients are divided by this, prototypes multiplied by it.
        class_order: which class logit becomes which score; as they are where empty.
        bins_first: the channels of box logits are bins x 4 instead of 4 x bins.
        logistic_coefficients: coefficients go through the logistic function, as scores do.
        slices: first and last channel + 1 of slices of the features, which are concatenated; as they are where empty.
        slices_axis: by which the concatenation names the channels.
        doubles: the image is padded and convolved 3x3 with stride 2 first, and prototypes are doubled twice: by the
            nearest pixel, then by a transposed convolution.
        per_channel: weights have a scale for each channel.
    """

    dtype: str = "int8"
    num_classes: int = 3
    num_coefficients: int = 8
    bins: int = 16
    input_hw: tuple[int, int] = (64, 96)
    one_tail: bool = True
    anchors_first: bool = False
    split_head: bool = False
    prototypes_first: bool = False
    float_ends: bool = False
    channels_first: bool = False
    gain: float = 1.0
    class_order: tuple[int, ...] = ()
    bins_first: bool = False
    logistic_coefficients: bool = False
    slices: tuple[tuple[int, int], ...] = ()
    slices_axis: int = 3
    doubles: bool = False
    per_channel: bool = False


@dataclass
class HeadGraph:
    """A file, and where its raw head lies.

    Attributes:
        options: what the file looks like.
        model: as the schema's object API has it; change it, then `pack` it.
        raw: the tensors of the raw head, by the names that they should be given.
    """

    options: HeadGraphOptions
    model: Any
    raw: dict[str, int] = field(default_factory=dict)

    def pack(self, weights_behind: bool = False) -> bytes:
        """Return the file's content; with constants behind the flatbuffer where so wished, as some quantizers do."""
        moved = [buffer for buffer in self.model.buffers if weights_behind and buffer.data is not None]
        content = [buffer.data.tobytes() for buffer in moved]
        for buffer, data in zip(moved, content, strict=True):
            # What is 0 is not stored, and the size of the flatbuffer depends on it.
            buffer.data, buffer.offset, buffer.size = None, 1 << 32, len(data)
        end, behind = len(_pack(self.model)), b""
        for buffer, data in zip(moved, content, strict=True):
            behind += bytes(-(end + len(behind)) % 16)
            buffer.offset = end + len(behind)
            behind += data
        return _pack(self.model) + behind


def _pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def head_graph(**options: Any) -> HeadGraph:
    """Return a file with a decoded head; `options` as in `HeadGraphOptions`."""
    writer = _Writer(HeadGraphOptions(**options))
    writer.write()
    return writer.finished()


class _Writer:
    def __init__(self, options: HeadGraphOptions) -> None:
        self.options = options
        self.rng = np.random.default_rng(7)
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        # Buffer 0 is empty by convention: what points there is computed.
        self.buffers = [schema.BufferT()]
        self.codes: list[str] = []
        self.raw: dict[str, int] = {}
        height, width = options.input_hw
        self.sizes = [(height // stride, width // stride) for stride in STRIDES_PX]
        self.num_anchors = sum(rows * columns for rows, columns in self.sizes)

    def finished(self) -> HeadGraph:
        model = schema.ModelT()
        model.version, model.description, model.buffers = 3, "decoded head", self.buffers
        model.subgraphs, model.operatorCodes = [self.graph], [_code(kind) for kind in self.codes]
        model.signatureDefs = [_signature(self.graph)]
        return HeadGraph(self.options, model, self.raw)

    def write(self) -> None:
        o = self.options
        image = self.input()
        if o.doubles:
            stem = self.padded_convolution(image)
            prototypes = self.transposed_convolution(self.nearest(self.convolution(stem, 8, 5, 0.02)))
            features = [self.convolution(stem, stride // 2, FEATURES, 0.01) for stride in STRIDES_PX]
        else:
            prototypes = self.convolution(image, 4, o.num_coefficients, 0.02)
            features = [self.convolution(image, stride, FEATURES, 0.01) for stride in STRIDES_PX]
        if o.slices:
            features = [
                self.concatenated([self.channels(x, *ends) for ends in o.slices], o.slices_axis) for x in features
            ]
        channels = {"boxes": 4 * o.bins, "scores": o.num_classes, "coefficients": o.num_coefficients}
        maps = {role: [self.convolution(x, 1, count, 0.08) for x in features] for role, count in channels.items()}
        for role, tensors in maps.items():
            self.raw |= {f"{role}_{stride}": tensor for stride, tensor in zip(STRIDES_PX, tensors, strict=True)}
        self.raw["prototypes"] = prototypes
        distances, scores = (self.one_tail if o.one_tail else self.two_tails)(maps["boxes"], maps["scores"])
        if o.class_order:
            scores = self.op("GATHER", [scores, self.integers(o.class_order)], self.shape(scores), axis=1)
        coefficients = self.concatenated([self.flat(tensor) for tensor in maps["coefficients"]], 2)
        if o.logistic_coefficients:
            coefficients = self.logistic(coefficients)
        if o.gain != 1.0:
            shape = self.shape(coefficients)
            coefficients = self.op("MUL", [coefficients, self.constant(1 / o.gain)], shape, 0.08 / o.gain)
            prototypes = self.op("MUL", [prototypes, self.constant(o.gain)], self.shape(prototypes), 0.02 * o.gain)
        self.outputs([self.boxes(distances), scores, coefficients], prototypes)

    def input(self) -> int:
        o = self.options
        shape = (1, 3, *o.input_hw) if o.channels_first else (1, *o.input_hw, 3)
        image = self.tensor(shape, 1 / 255, -128, "float32" if o.float_ends else o.dtype)
        self.graph.inputs = [image]
        if o.float_ends:
            image = self.op("QUANTIZE", [image], shape, 1 / 255, -128)
        if o.channels_first:
            image = self.transposed(image, (0, 2, 3, 1))
        return image

    def outputs(self, parts: list[int], prototypes: int) -> None:
        o = self.options
        if o.channels_first:
            prototypes = self.transposed(prototypes, (0, 3, 1, 2))
        if not o.split_head:
            parts = [self.concatenated([self.requantized(part) for part in parts], 1)]
        if o.anchors_first:
            parts = [self.transposed(part, (0, 2, 1)) for part in parts]
        outputs = [prototypes, *parts] if o.prototypes_first else [*parts, prototypes]
        if o.float_ends:
            outputs = [self.op("DEQUANTIZE", [x], self.shape(x), dtype="float32") for x in outputs]
        self.graph.outputs = outputs

    def one_tail(self, boxes: list[int], scores: list[int]) -> tuple[int, int]:
        """Return distances (1, 4, anchors) in cells, and scores (1, classes, anchors)."""
        bins, classes = self.options.bins, self.options.num_classes
        both = [self.flat(self.concatenated(list(pair), 3)) for pair in zip(boxes, scores, strict=True)]
        joined = self.concatenated(both, 2)
        logits = self.strided_slice(joined, 0, 4 * bins)
        if self.options.bins_first:
            logits = self.transposed(self.reshaped(logits, (1, bins, 4, -1)), (0, 2, 3, 1))
        else:
            logits = self.transposed(self.reshaped(logits, (1, 4, bins, -1)), (0, 1, 3, 2))
        likely = self.softmax(logits)
        weights = self.constant(np.arange(bins).reshape(1, 1, 1, bins))
        shape = (1, 4, self.num_anchors, 1)
        inputs = [likely, weights, self.bias(np.zeros(1), likely, weights)]
        means = self.op("CONV_2D", inputs, shape, bins / 256, -128, strideW=1, strideH=1)
        distances = self.op("RESHAPE", [means, self.integers(shape[:3])], shape[:3])
        return distances, self.requantized(self.logistic(self.strided_slice(joined, 4 * bins, classes)))

    def two_tails(self, boxes: list[int], scores: list[int]) -> tuple[int, int]:
        """Return the same as `one_tail`, by other operators."""
        bins, count = self.options.bins, self.num_anchors
        rows = [self.reshaped(tensor, (1, -1, 4 * bins)) for tensor in boxes]
        likely = self.softmax(self.reshaped(self.concatenated(rows, 1), (1, count, 4, bins)))
        product = self.op("MUL", [likely, self.constant(np.arange(bins))], self.shape(likely), bins / 256, -128)
        distances = self.op("SUM", [product, self.integers([3])], (1, count, 4), bins / 256, -128)
        scores = [self.flat(self.logistic(tensor)) for tensor in scores]
        return self.transposed(distances, (0, 2, 1)), self.concatenated(scores, 2)

    def boxes(self, distances: int) -> int:
        """Return boxes (1, 4, anchors), centre and size as fractions of the input, of distances in cells."""
        shape, bins = (1, 2, self.num_anchors), self.options.bins
        anchors = self.constant(np.concatenate([_anchor_points(size) for size in self.sizes], 1)[np.newaxis])
        near, far = self.split(distances)
        low = self.op("SUB", [anchors, near], shape, 0.5)
        high = self.op("ADD", [anchors, far], shape, 0.5)
        doubled = self.op("ADD", [low, high], shape, 0.5)
        centre = self.op("MUL", [doubled, self.constant(0.5)], shape, 0.5)
        size = self.op("SUB", [high, low], shape, bins / 64)
        both = self.concatenated([centre, self.requantized(size, 0.5)], 1)
        height, width = self.options.input_hw
        strides = np.repeat(STRIDES_PX, [rows * columns for rows, columns in self.sizes])
        fractions = strides / np.array([[width], [height], [width], [height]])
        return self.op("MUL", [both, self.constant(fractions[np.newaxis])], (1, 4, self.num_anchors), 0.02)

    def convolution(self, source: int, stride: int, channels: int, scale: float) -> int:
        _, rows, columns, inputs = self.shape(source)
        weights = self.constant(self.rng.normal(0, (stride * inputs**0.5) ** -1, (channels, stride, stride, inputs)))
        bias = self.bias(self.rng.normal(0, 0.5, channels), source, weights)
        shape = (1, rows // stride, columns // stride, channels)
        options = {"strideW": stride, "strideH": stride}
        return self.op("CONV_2D", [source, weights, bias], shape, scale, **options)

    def padded_convolution(self, image: int) -> int:
        _, height, width, channels = self.shape(image)
        around = self.integers(((0, 0), (1, 1), (1, 1), (0, 0)))
        padded = self.op("PAD", [image, around], (1, height + 2, width + 2, channels))
        weights = self.weights(self.rng.normal(0, 0.2, (4, 3, 3, channels)))
        bias = self.bias(self.rng.normal(0, 0.5, 4), padded, weights)
        valid = schema.Padding.VALID
        shape = (1, height // 2, width // 2, 4)
        return self.op("CONV_2D", [padded, weights, bias], shape, 0.02, padding=valid, strideW=2, strideH=2)

    def nearest(self, source: int) -> int:
        _, rows, columns, channels = self.shape(source)
        inputs, shape = [source, self.integers((2 * rows, 2 * columns))], (1, 2 * rows, 2 * columns, channels)
        return self.op("RESIZE_NEAREST_NEIGHBOR", inputs, shape, halfPixelCenters=True)

    def transposed_convolution(self, source: int) -> int:
        _, rows, columns, channels = self.shape(source)
        shape = (1, 2 * rows, 2 * columns, self.options.num_coefficients)
        weights = self.weights(self.rng.normal(0, 0.5, (shape[3], 2, 2, channels)))
        bias = self.bias(self.rng.normal(0, 0.5, shape[3]), source, weights)
        inputs = [self.integers(shape), weights, source, bias]
        return self.op("TRANSPOSE_CONV", inputs, shape, 0.02, padding=schema.Padding.VALID, strideW=2, strideH=2)

    def softmax(self, source: int) -> int:
        return self.op("SOFTMAX", [source], self.shape(source), 1 / 256, -128, beta=1.0)

    def logistic(self, source: int) -> int:
        return self.op("LOGISTIC", [source], self.shape(source), 1 / 256, -128)

    def flat(self, source: int) -> int:
        """Return (1, channels, anchors) of a map."""
        return self.reshaped(self.transposed(source, (0, 3, 1, 2)), (1, self.shape(source)[3], -1))

    def reshaped(self, source: int, shape: tuple[int, ...]) -> int:
        shape = np.empty(self.shape(source), np.bool_).reshape(shape).shape
        return self.op("RESHAPE", [source, self.integers(shape)], shape)

    def transposed(self, source: int, axes: tuple[int, ...]) -> int:
        shape = self.shape(source)
        return self.op("TRANSPOSE", [source, self.integers(axes)], tuple(shape[axis] for axis in axes))

    def concatenated(self, sources: list[int], axis: int) -> int:
        shape = list(self.shape(sources[0]))
        shape[axis] = sum(self.shape(source)[axis] for source in sources)
        return self.op("CONCATENATION", sources, tuple(shape), axis=axis)

    def strided_slice(self, source: int, start: int, count: int) -> int:
        begin, end = self.integers((0, start, 0)), self.integers((0, start + count, 0))
        shape = (1, count, self.num_anchors)
        return self.op("STRIDED_SLICE", [source, begin, end, self.integers((1, 1, 1))], shape, beginMask=5, endMask=5)

    def channels(self, source: int, start: int, stop: int) -> int:
        """Return channels of a map; where all are taken up to the last one, the end is left to the mask."""
        begin, end = self.integers((0, 0, 0, start)), self.integers((0, 0, 0, stop))
        shape = (*self.shape(source)[:3], stop - start)
        inputs = [source, begin, end, self.integers((1, 1, 1, 1))]
        return self.op("STRIDED_SLICE", inputs, shape, beginMask=7, endMask=15 if stop == FEATURES else 7)

    def split(self, source: int) -> tuple[int, int]:
        first = self.op("SPLIT", [self.integers(1), source], (1, 2, self.num_anchors), numSplits=2)
        second = self.tensor((1, 2, self.num_anchors), quantization=self.graph.tensors[source].quantization)
        self.graph.operators[-1].outputs = [first, second]
        return first, second

    def requantized(self, source: int, scale: float = 0.02) -> int:
        if self.options.dtype == "float32":
            return source
        return self.op("QUANTIZE", [source], self.shape(source), scale)

    def op(
        self,
        kind: str,
        inputs: list[int],
        shape: tuple[int, ...],
        scale: float = 0.0,
        zero_point: int = 0,
        dtype: str = "",
        **options: Any,
    ) -> int:
        """Add an operator; without a scale its output is quantized as its last input that is computed."""
        operator = schema.OperatorT()
        if kind not in self.codes:
            self.codes.append(kind)
        operator.opcodeIndex = self.codes.index(kind)
        operator.inputs = inputs
        kept = self.graph.tensors[inputs[_SOURCES.get(kind, 0)]].quantization
        output = self.tensor(shape, scale, zero_point, dtype, None if scale else kept)
        operator.outputs = [output]
        table = _OPTION_TABLES.get(kind, f"{kind.title()}Options")
        if hasattr(schema, f"{table}T"):
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, f"{table}T")()
            for name, value in options.items():
                assert hasattr(operator.builtinOptions, name)
                setattr(operator.builtinOptions, name, value)
        self.graph.operators.append(operator)
        return output

    def tensor(
        self,
        shape: tuple[int, ...],
        scale: float = 0.0,
        zero_point: int = 0,
        dtype: str = "",
        quantization: Any = None,
    ) -> int:
        """Add a tensor that is computed; the zero point is that of int8."""
        dtype = dtype or self.options.dtype
        record = schema.TensorT()
        # Names mean nothing: what is called boxes may be anything.
        record.name = f"boxes_{len(self.graph.tensors)}"
        record.shape, record.type, record.buffer = list(shape), _TYPES[dtype], 0
        if dtype != "float32":
            shift = 128 if dtype == "uint8" else 0
            record.quantization = quantization or _quantization(scale, zero_point + shift)
        self.graph.tensors.append(record)
        return len(self.graph.tensors) - 1

    def constant(self, values: Any) -> int:
        """Add a constant of the type that is computed with; it is quantized symmetrically."""
        values, dtype = np.asarray(values, np.float32), self.options.dtype
        scale = float(np.abs(values).max()) / 127 or 1.0
        tensor = self.tensor(values.shape, scale)
        if dtype != "float32":
            shift = 128 if dtype == "uint8" else 0
            values = (np.rint(values / scale) + shift).astype(dtype)
        self._fill(tensor, values)
        return tensor

    def weights(self, values: NDArray[Any]) -> int:
        """Add weights, of channels along axis 0."""
        weights = self.constant(values)
        if self.options.per_channel:
            quantization = self.graph.tensors[weights].quantization
            quantization.scale = [quantization.scale[0] * (1 + k / 8) for k in range(len(values))]
            quantization.zeroPoint = [0] * len(values)
        return weights

    def integers(self, values: Any) -> int:
        values = np.asarray(values, np.int32)
        tensor = self.tensor(values.shape, dtype="float32")
        self.graph.tensors[tensor].type = schema.TensorType.INT32
        self._fill(tensor, values)
        return tensor

    def bias(self, values: NDArray[Any], source: int, weights: int) -> int:
        if self.options.dtype == "float32":
            return self.constant(values)
        scales, factors = (self.graph.tensors[tensor].quantization.scale for tensor in (weights, source))
        products = np.multiply(scales, factors[0])
        tensor = self.integers(np.rint(values / products))
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = products.tolist(), [0] * len(products)
        self.graph.tensors[tensor].quantization = quantization
        return tensor

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self.graph.tensors[tensor].shape)

    def _fill(self, tensor: int, values: NDArray[Any]) -> None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.graph.tensors[tensor].buffer = len(self.buffers)
        self.buffers.append(buffer)


_SOURCES = {"SPLIT": 1, "TRANSPOSE_CONV": 2}
_OPTION_TABLES = {
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "CONV_2D": "Conv2DOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUM": "ReducerOptions",
    "LOGISTIC": "",
}


def _anchor_points(size: tuple[int, int]) -> NDArray[Any]:
    """Return x and y (2, anchors) of a map's anchor points, in cells."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return np.stack([x.ravel(), y.ravel()])


def _quantization(scale: float, zero_point: int) -> Any:
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [scale], [zero_point]
    return quantization


def _code(kind: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    # The runtime accepts the first version of these with any type.
    code.version = 1
    return code


def _signature(graph: Any) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [_entry(f"input_{k}", tensor) for k, tensor in enumerate(graph.inputs)]
    signature.outputs = [_entry(f"output_{k}", tensor) for k, tensor in enumerate(graph.outputs)]
    return signature


def _entry(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
