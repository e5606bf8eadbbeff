"""Read from a model's tensors what its numbers mean, for any YOLOv8-seg export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.errors import ModelError

#: Downsampling of the three detection heads; each cell is one anchor point.
STRIDES_PX = (8, 16, 32)
#: Network pixels per prototype cell.
PROTOTYPE_STRIDE_PX = 4
BOX_CHANNELS = 4
#: What the head consists of, in the order of its channels, or of its outputs where each part is one.
HEAD_PARTS = ("boxes", "scores", "coefficients")
TENSOR_TYPES = ("int8", "uint8", "float32")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: as the file has it.
        shape: as the file has it, batch included.
        quant: stored type and quantisation.
    """

    name: str
    shape: tuple[int, ...]
    quant: QuantParams

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape))
        text = f"{self.name}  {self.quant.dtype.name}  {size}"
        if self.quant.is_float:
            return text
        return f"{text}  scale {self.quant.scale:.7g}, zero point {self.quant.zero_point}"


@dataclass(frozen=True)
class HeadPart:
    """Where the boxes, the class scores or the mask coefficients lie among a model's outputs.

    Attributes:
        output_index: which output.
        channels: which of its channels.
        channels_first: True for 1 x channels x anchors, False for 1 x anchors x channels.
        quant: stored type and quantisation.
    """

    output_index: int
    channels: slice
    channels_first: bool
    quant: QuantParams

    @property
    def num_channels(self) -> int:
        """Give the number of channels."""
        return int(self.channels.stop - self.channels.start)

    def view(self, outputs: Sequence[Tensor]) -> Tensor:
        """Give stored numbers (channels, anchors), a view of the output."""
        head = outputs[self.output_index][0]
        return (head if self.channels_first else head.T)[self.channels]


@dataclass(frozen=True)
class ModelSpec:
    """A YOLOv8-seg network as its user needs to know it.

    Attributes:
        input: RGB, 1 x height x width x 3, real range 0 to 1.
        outputs: in the order in which a backend returns them.
        boxes: 4 channels, centre x and y, width and height, as fractions of the network's input.
        scores: a channel a class, sigmoid already applied.
        coefficients: a channel a prototype.
        prototypes_index: which output holds the prototypes, 1 x height / 4 x width / 4 x count.
        class_names: a name for each class, by index.
        names_given: False where names were not to be found and are numbered.
    """

    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    boxes: HeadPart
    scores: HeadPart
    coefficients: HeadPart
    prototypes_index: int
    class_names: tuple[str, ...]
    names_given: bool

    @property
    def input_hw(self) -> tuple[int, int]:
        """Give height and width of the network's input, in pixels."""
        return self.input.shape[1], self.input.shape[2]

    @property
    def prototypes(self) -> TensorSpec:
        """Give the output that holds the prototypes."""
        return self.outputs[self.prototypes_index]

    @property
    def num_anchors(self) -> int:
        """Give the number of anchor points, over all strides."""
        return anchor_count(self.input_hw)

    @property
    def num_coefficients(self) -> int:
        """Give the number of mask coefficients of an instance, which is the number of prototypes."""
        return self.prototypes.shape[3]

    @classmethod
    def from_tensors(
        cls,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        class_names: Sequence[str] | None = None,
    ) -> ModelSpec:
        """Find out which tensor is what, by rank and size.

        The head is one output, or three: boxes, scores and coefficients. Where sizes leave it open which of the
        three is which, names that contain these words tell, and else their order.

        Args:
            inputs: all inputs of the model.
            outputs: all outputs of the model, in the order in which they will be returned.
            class_names: a name for each class; numbered names where None.

        Raises:
            ModelError: if these are not the tensors of a YOLOv8-seg model, or the names do not fit them.
        """
        tables = _tables(inputs, outputs)
        network_input = _find_input(inputs, tables)
        head_indices, prototypes_index = _find_outputs(outputs, tables)
        prototypes = outputs[prototypes_index]
        _check_prototypes(network_input, prototypes, tables)
        heads = [_head(network_input, index, outputs[index], tables) for index in head_indices]
        arrange = _cut_apart if len(heads) == 1 else _told_apart
        boxes, scores, coefficients = arrange(heads, outputs, prototypes.shape[3], class_names, tables)
        return cls(
            input=network_input,
            outputs=tuple(outputs),
            boxes=boxes,
            scores=scores,
            coefficients=coefficients,
            prototypes_index=prototypes_index,
            class_names=_named(scores.num_channels, class_names),
            names_given=class_names is not None,
        )

    def class_indices(self, names: Sequence[str]) -> tuple[int, ...]:
        """Give the indices of classes called by name or by number.

        Raises:
            ValueError: for a class that the model does not have.
        """
        return tuple(self._class_index(name) for name in names)

    def _class_index(self, name: str) -> int:
        if name in self.class_names:
            return self.class_names.index(name)
        if name.isdecimal() and int(name) < len(self.class_names):
            return int(name)
        raise ValueError(f"class '{name}' is not one of the model's: {', '.join(self.class_names)}")


def anchor_count(input_hw: tuple[int, int]) -> int:
    """Give the number of anchor points of a network input of that height and width, in pixels."""
    height, width = input_hw
    return sum((height // stride) * (width // stride) for stride in STRIDES_PX)


def _find_input(inputs: Sequence[TensorSpec], tables: str) -> TensorSpec:
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[0] != 1 or inputs[0].shape[3] != 3:
        raise ModelError(f"expected one input of 1 x height x width x 3 (NHWC, RGB).{tables}")
    height, width = inputs[0].shape[1:3]
    if height < 1 or width < 1 or height % STRIDES_PX[-1] or width % STRIDES_PX[-1]:
        raise ModelError(f"the input is {width}x{height}, expected multiples of {STRIDES_PX[-1]} pixels.{tables}")
    _check_type(inputs[0], tables)
    return inputs[0]


def _find_outputs(outputs: Sequence[TensorSpec], tables: str) -> tuple[list[int], int]:
    heads = [index for index, tensor in enumerate(outputs) if len(tensor.shape) == 3]
    prototypes = [index for index, tensor in enumerate(outputs) if len(tensor.shape) == 4]
    if len(heads) == 1 and not prototypes:
        raise ModelError(
            "this looks like a detection model: it has a head but no prototypes to build masks from; "
            f"export the segmentation network (yolov8n-seg).{tables}"
        )
    if len(heads) not in (1, len(HEAD_PARTS)) or len(prototypes) != 1 or len(outputs) != len(heads) + 1:
        raise ModelError(
            "expected two outputs, a head of rank 3 and prototypes of rank 4, "
            f"or four, the head's boxes, scores and coefficients apart.{tables}"
        )
    for tensor in outputs:
        _check_type(tensor, tables)
    return heads, prototypes[0]


def _check_type(tensor: TensorSpec, tables: str) -> None:
    if tensor.quant.dtype.name not in TENSOR_TYPES:
        raise ModelError(f"'{tensor.name}' is {tensor.quant.dtype.name}, expected {', '.join(TENSOR_TYPES)}.{tables}")
    if not tensor.quant.is_float and not tensor.quant.scale > 0:
        raise ModelError(f"'{tensor.name}' has no scale of its own; quantise it per tensor, not per channel.{tables}")


def _check_prototypes(network_input: TensorSpec, prototypes: TensorSpec, tables: str) -> None:
    height, width = (size // PROTOTYPE_STRIDE_PX for size in network_input.shape[1:3])
    if prototypes.shape[:3] != (1, height, width) or prototypes.shape[3] < 1:
        raise ModelError(f"expected prototypes of 1 x {height} x {width} x count (NHWC).{tables}")


def _head(network_input: TensorSpec, index: int, output: TensorSpec, tables: str) -> HeadPart:
    anchors = anchor_count((network_input.shape[1], network_input.shape[2]))
    batch, rows, columns = output.shape
    if batch == 1 and columns == anchors:
        return HeadPart(index, slice(0, rows), True, output.quant)
    if batch == 1 and rows == anchors:
        return HeadPart(index, slice(0, columns), False, output.quant)
    raise ModelError(f"expected a head of 1 x channels x {anchors} or 1 x {anchors} x channels.{tables}")


def _cut_apart(
    heads: Sequence[HeadPart],
    outputs: Sequence[TensorSpec],
    num_coefficients: int,
    class_names: Sequence[str] | None,
    tables: str,
) -> list[HeadPart]:
    """Give boxes, scores and coefficients of the one output that holds them all."""
    [head] = heads
    scores_stop = head.num_channels - num_coefficients
    if scores_stop <= BOX_CHANNELS:
        raise ModelError(
            f"the head has {head.num_channels} channels, expected {BOX_CHANNELS} for the box, at least 1 class "
            f"and {num_coefficients} mask coefficients.{tables}"
        )
    bounds = ((0, BOX_CHANNELS), (BOX_CHANNELS, scores_stop), (scores_stop, head.num_channels))
    return [replace(head, channels=slice(start, stop)) for start, stop in bounds]


def _told_apart(
    heads: Sequence[HeadPart],
    outputs: Sequence[TensorSpec],
    num_coefficients: int,
    class_names: Sequence[str] | None,
    tables: str,
) -> list[HeadPart]:
    """Give boxes, scores and coefficients, each an output of its own."""
    num_classes = None if class_names is None else len(class_names)

    def fits(order: tuple[HeadPart, ...]) -> bool:
        boxes, scores, coefficients = (part.num_channels for part in order)
        sizes_fit = (boxes, coefficients) == (BOX_CHANNELS, num_coefficients)
        return sizes_fit and (num_classes is None or scores == num_classes)

    def well_named(order: tuple[HeadPart, ...]) -> int:
        return sum(name in outputs[part.output_index].name for name, part in zip(HEAD_PARTS, order, strict=True))

    fitting = [order for order in permutations(heads) if fits(order)]
    if not fitting:
        raise ModelError(
            f"expected outputs of {BOX_CHANNELS} channels for the boxes, {num_classes or 'any number'} for the "
            f"scores and {num_coefficients} for the mask coefficients.{tables}"
        )
    # Of those that names do not prefer, `max` gives the first: the order of the outputs.
    best = max(fitting, key=well_named)
    return list(best)


def _named(num_classes: int, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return tuple(f"class_{index}" for index in range(num_classes))
    if len(names) != num_classes:
        raise ModelError(f"{len(names)} class names for a model of {num_classes} classes: give one name a class")
    return tuple(names)


def _tables(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    rows = [f"  input {index}: {tensor}" for index, tensor in enumerate(inputs)]
    rows += [f"  output {index}: {tensor}" for index, tensor in enumerate(outputs)]
    return "\nThe model has\n" + "\n".join(rows)
