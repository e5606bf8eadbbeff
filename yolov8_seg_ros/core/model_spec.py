"""Find out from a model's tensors what its numbers mean, for any YOLOv8-seg export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

from yolov8_seg_ros.core.network_spec import NetworkSpec, names_or_numbers
from yolov8_seg_ros.core.network_spec import TensorSpec as TensorSpec
from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.errors import ModelError

#: Downsampling of the detection heads; each element of a head's map is an anchor.
STRIDES_PX = (8, 16, 32)
#: Network pixels per cell of the prototypes' grid.
PROTOTYPE_STRIDE_PX = 4
#: Of a decoded box: centre x, centre y, width, height.
BOX_CHANNELS = 4
#: Bins a side of YOLOv8's box logits; other numbers are possible.
USUAL_BOX_BINS = 16
#: What a head consists of, in the order of its channels, or of its outputs where each part is an output.
HEAD_PARTS = ("boxes", "scores", "coefficients")
TENSOR_TYPES = ("int8", "uint8", "float32")
#: The limit of the decoder: SEG_MAX_CLASSES.
MAX_CLASSES = 10_000


@dataclass(frozen=True)
class HeadPart:
    """Place of the boxes, the class scores or the mask coefficients of a level in an output.

    Attributes:
        output_index: which output.
        channels: which of the output's channels.
        output_channels: the number of channels of the output.
        num_anchors: the number of anchors, which are the output's other axis.
        channels_first: True for channels x anchors in memory, False for anchors x channels.
        quant: type and quantization.
    """

    output_index: int
    channels: slice
    output_channels: int
    num_anchors: int
    channels_first: bool
    quant: QuantParams

    @property
    def num_channels(self) -> int:
        """Return the number of channels."""
        return int(self.channels.stop - self.channels.start)

    @property
    def channel_step(self) -> int:
        """Return the elements from a channel to the next one in memory."""
        return self.num_anchors if self.channels_first else 1

    @property
    def anchor_step(self) -> int:
        """Return the elements from an anchor to the next one in memory."""
        return 1 if self.channels_first else self.output_channels

    def view(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return quantized numbers (channels, anchors), a view of the output."""
        output = outputs[self.output_index]
        if self.channels_first:
            return output.reshape(self.output_channels, self.num_anchors)[self.channels]
        return output.reshape(self.num_anchors, self.output_channels).T[self.channels]


@dataclass(frozen=True)
class Level:
    """The anchors of one stride; of a decoded head, all anchors.

    Attributes:
        stride_px: network pixels from anchor to anchor; 0 for a decoded head.
        grid_hw: rows and columns of anchors; 1 row for a decoded head.
        boxes: raw: 4 x bins logits; decoded: centre x and y, width and height, as fractions of the input's size.
        scores: raw: a logit a class; decoded: a probability a class.
        coefficients: a mask coefficient a prototype.
    """

    stride_px: int
    grid_hw: tuple[int, int]
    boxes: HeadPart
    scores: HeadPart
    coefficients: HeadPart


@dataclass(frozen=True)
class ModelSpec(NetworkSpec):
    """A YOLOv8-seg network whose outputs are decoded here.

    Attributes:
        outputs: in the order in which a backend returns them.
        levels: of a raw head one a stride, finest first; of a decoded head one.
        prototypes_index: which output holds the prototypes, 1 x height / 4 x width / 4 x count.
    """

    outputs: tuple[TensorSpec, ...]
    levels: tuple[Level, ...]
    prototypes_index: int

    @property
    def is_raw(self) -> bool:
        """Return whether the head is raw: logits a stride, rather than boxes and scores."""
        return self.levels[0].stride_px > 0

    @property
    def box_bins(self) -> int:
        """Return the bins a side of a raw head's box logits; 0 for a decoded head."""
        return self.levels[0].boxes.num_channels // 4 if self.is_raw else 0

    @property
    def prototypes(self) -> TensorSpec:
        """Return the output that holds the prototypes."""
        return self.outputs[self.prototypes_index]

    @property
    def num_anchors(self) -> int:
        """Return the number of anchors, over all strides."""
        return anchor_count(self.input_hw)

    @property
    def num_coefficients(self) -> int:
        """Return the number of mask coefficients of an instance, which is the number of prototypes."""
        return self.prototypes.shape[3]

    @classmethod
    def from_tensors(
        cls,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        class_names: Sequence[str] | None = None,
    ) -> ModelSpec:
        """Find out which tensor is what, by rank and size.

        A decoded head is one output, or three: boxes, scores and coefficients. A raw head is these three for each
        stride, as maps or flattened. Where sizes leave it open which output is which, names decide that contain
        these words, and else the order.

        Args:
            inputs: all inputs of the model.
            outputs: all outputs of the model, in the order in which they will be returned.
            class_names: a name for each class; numbered names where None.

        Raises:
            ModelError: if these are not the tensors of a YOLOv8-seg model, or the names do not fit them.
        """
        try:
            network_input = find_input(inputs)
            prototypes_index = _find_prototypes(network_input, outputs)
            heads = _Heads(network_input, outputs, prototypes_index, None if class_names is None else len(class_names))
            levels = heads.levels()
            if levels[0].scores.num_channels > MAX_CLASSES:
                raise ModelError(f"{levels[0].scores.num_channels} classes, expected at most {MAX_CLASSES}.")
        except ModelError as error:
            raise ModelError(f"{error}{_tables(inputs, outputs)}") from error
        return cls(
            input=network_input,
            outputs=tuple(outputs),
            levels=levels,
            prototypes_index=prototypes_index,
            class_names=names_or_numbers(levels[0].scores.num_channels, class_names),
            names_given=class_names is not None,
        )


def anchor_count(input_hw: tuple[int, int]) -> int:
    """Return the number of anchors of a network input of that height and width, in pixels."""
    return sum(height * width for height, width in _grids_hw(input_hw).values())


def _grids_hw(input_hw: tuple[int, int]) -> dict[int, tuple[int, int]]:
    """Return rows and columns of anchors by stride."""
    return {stride: (input_hw[0] // stride, input_hw[1] // stride) for stride in STRIDES_PX}


def find_input(inputs: Sequence[TensorSpec]) -> TensorSpec:
    """Return the input of a YOLOv8-seg model.

    Raises:
        ModelError: if these are not the inputs of one, or the input's quantization cannot be.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[0] != 1 or inputs[0].shape[3] != 3:
        raise ModelError("expected one input of 1 x height x width x 3 (NHWC, RGB).")
    height, width = inputs[0].shape[1:3]
    if height < 1 or width < 1 or height % STRIDES_PX[-1] or width % STRIDES_PX[-1]:
        raise ModelError(f"the input is {width}x{height}, expected multiples of {STRIDES_PX[-1]} pixels.")
    _check_type(inputs[0])
    return inputs[0]


def _find_prototypes(network_input: TensorSpec, outputs: Sequence[TensorSpec]) -> int:
    height, width = (size // PROTOTYPE_STRIDE_PX for size in network_input.shape[1:3])
    for tensor in outputs:
        _check_type(tensor)
    fitting = [
        index
        for index, tensor in enumerate(outputs)
        if len(tensor.shape) == 4 and tensor.shape[:3] == (1, height, width) and tensor.shape[3] > 0
    ]
    if len(fitting) == 1:
        return fitting[0]
    if outputs and all(len(tensor.shape) == 3 for tensor in outputs):
        raise ModelError(
            "this looks like a detection model: it has a head but no prototypes to build masks from; "
            "export the segmentation network (yolov8n-seg)."
        )
    raise ModelError(f"expected prototypes of 1 x {height} x {width} x count (NHWC).")


def _check_type(tensor: TensorSpec) -> None:
    quant = tensor.quant
    if quant.dtype.name not in TENSOR_TYPES:
        raise ModelError(f"'{tensor.name}' is {quant.dtype.name}, expected {', '.join(TENSOR_TYPES)}.")
    if quant.is_float:
        return
    if not 0 < quant.scale < float("inf"):
        raise ModelError(f"'{tensor.name}' has no scale of its own; quantize it per tensor, not per channel.")
    low, high = quant.limits
    if not low <= quant.zero_point <= high:
        raise ModelError(f"'{tensor.name}' has the zero point {quant.zero_point}, expected {low} to {high}.")


class _Heads:
    """Search for the levels among the outputs that are not the prototypes."""

    def __init__(
        self,
        network_input: TensorSpec,
        outputs: Sequence[TensorSpec],
        prototypes_index: int,
        num_classes: int | None,
    ) -> None:
        self._input_hw = (network_input.shape[1], network_input.shape[2])
        self._outputs = outputs
        self._indices = [index for index in range(len(outputs)) if index != prototypes_index]
        self._num_coefficients = outputs[prototypes_index].shape[3]
        self._num_classes = num_classes

    def levels(self) -> tuple[Level, ...]:
        if len(self._indices) in (1, len(HEAD_PARTS)):
            return (self._decoded(),)
        if len(self._indices) == len(HEAD_PARTS) * len(STRIDES_PX):
            return self._raw()
        raise ModelError(
            f"expected prototypes and a head of 1 output, of {len(HEAD_PARTS)} (boxes, scores, coefficients), "
            f"or of {len(HEAD_PARTS) * len(STRIDES_PX)} (these for each of the strides {_listed(STRIDES_PX)})."
        )

    def _decoded(self) -> Level:
        anchors = anchor_count(self._input_hw)
        parts = [self._decoded_part(index, anchors) for index in self._indices]
        if len(parts) == 1:
            boxes, scores, coefficients = self._split_joint_head(parts[0])
        else:
            boxes, scores, coefficients = self._assign(parts, raw=False)
        return Level(0, (1, anchors), boxes, scores, coefficients)

    def _decoded_part(self, index: int, anchors: int) -> HeadPart:
        shape = self._outputs[index].shape
        if len(shape) == 3 and shape[0] == 1 and anchors in shape[1:]:
            return self._part(index, anchors, channels_first=shape[2] == anchors)
        raise ModelError(f"expected a head of 1 x channels x {anchors} or 1 x {anchors} x channels.")

    def _split_joint_head(self, head: HeadPart) -> list[HeadPart]:
        scores_stop = head.num_channels - self._num_coefficients
        if scores_stop <= BOX_CHANNELS:
            raise ModelError(
                f"the head has {head.num_channels} channels, expected {BOX_CHANNELS} for the box, at least 1 class "
                f"and {self._num_coefficients} mask coefficients."
            )
        bounds = ((0, BOX_CHANNELS), (BOX_CHANNELS, scores_stop), (scores_stop, head.num_channels))
        return [
            HeadPart(
                head.output_index,
                slice(start, stop),
                head.output_channels,
                head.num_anchors,
                head.channels_first,
                head.quant,
            )
            for start, stop in bounds
        ]

    def _raw(self) -> tuple[Level, ...]:
        """Return the levels of a raw head; flattened outputs are anchors x channels, or else all the other way."""
        grids = _grids_hw(self._input_hw)
        for channels_first in (False, True):
            by_stride = {
                stride: [part for index in self._indices if (part := self._raw_part(index, grid_hw, channels_first))]
                for stride, grid_hw in grids.items()
            }
            if all(len(parts) == len(HEAD_PARTS) for parts in by_stride.values()):
                break
        else:
            maps = ", ".join(f"{height} x {width}" for height, width in grids.values())
            raise ModelError(
                f"expected {len(HEAD_PARTS)} outputs of each of {maps} anchors (1 x rows x columns x channels)."
            )
        levels = tuple(
            Level(stride, grids[stride], *self._assign(parts, raw=True)) for stride, parts in by_stride.items()
        )
        if len({tuple(getattr(level, part).num_channels for part in HEAD_PARTS) for level in levels}) > 1:
            raise ModelError("expected the same numbers of channels for each stride.")
        return levels

    def _raw_part(self, index: int, grid_hw: tuple[int, int], channels_first: bool) -> HeadPart | None:
        shape, anchors = self._outputs[index].shape, grid_hw[0] * grid_hw[1]
        if len(shape) == 4 and shape[:3] == (1, *grid_hw):
            return self._part(index, anchors, channels_first=False)
        if len(shape) == 3 and shape[0] == 1 and shape[2 if channels_first else 1] == anchors:
            return self._part(index, anchors, channels_first)
        return None

    def _part(self, index: int, anchors: int, channels_first: bool) -> HeadPart:
        shape = self._outputs[index].shape
        channels = shape[1] if channels_first else shape[-1]
        return HeadPart(index, slice(0, channels), channels, anchors, channels_first, self._outputs[index].quant)

    def _assign(self, parts: Sequence[HeadPart], raw: bool) -> tuple[HeadPart, ...]:
        """Return which of three outputs are boxes, scores and coefficients."""

        def fits(order: Sequence[HeadPart]) -> bool:
            boxes, _, coefficients = (part.num_channels for part in order)
            is_box = boxes >= 2 * BOX_CHANNELS and boxes % BOX_CHANNELS == 0 if raw else boxes == BOX_CHANNELS
            return is_box and coefficients == self._num_coefficients

        def preference(order: Sequence[HeadPart]) -> tuple[bool, int, bool]:
            names = (self._outputs[part.output_index].name for part in order)
            well_named = sum(word in name for word, name in zip(HEAD_PARTS, names, strict=True))
            # Class names of another number are reported when the classes are known.
            has_classes = order[1].num_channels == self._num_classes
            return has_classes, well_named, order[0].num_channels == BOX_CHANNELS * USUAL_BOX_BINS

        fitting = [order for order in permutations(parts) if fits(order)]
        if not fitting:
            raise ModelError(
                f"expected outputs of {BOX_CHANNELS}{' x bins' if raw else ''} channels for the boxes, "
                f"any number for the scores and {self._num_coefficients} for the mask coefficients."
            )
        # Of those that are preferred equally, `max` returns the first: the order of the outputs.
        return max(fitting, key=preference)


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _tables(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    rows = [f"  input {index}: {tensor}" for index, tensor in enumerate(inputs)]
    rows += [f"  output {index}: {tensor}" for index, tensor in enumerate(outputs)]
    return "\nThe model has\n" + "\n".join(rows)
