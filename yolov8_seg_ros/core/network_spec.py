"""Define what the user of a network needs to know: what goes into it, and its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.errors import ModelError, OptionError
from yolov8_seg_ros.text import numbered_class


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: as the file has it.
        shape: as the file has it, batch included.
        quant: type and quantization.
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
class NetworkSpec:
    """A YOLOv8-seg network as its user needs to know it.

    Attributes:
        input: RGB, 1 x height x width x 3, real range 0 to 1.
        class_names: a name for each class, by index.
        names_given: False where the model has no names, so that they are numbered.
    """

    input: TensorSpec
    class_names: tuple[str, ...]
    names_given: bool

    @property
    def input_hw(self) -> tuple[int, int]:
        """Return height and width of the network's input, in pixels."""
        return self.input.shape[1], self.input.shape[2]

    def class_indices(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the indices of classes called by name or by number.

        Raises:
            OptionError: for a class that the model does not have.
        """
        return tuple(self._class_index(name) for name in names)

    def _class_index(self, name: str) -> int:
        if name in self.class_names:
            return self.class_names.index(name)
        if name.isdecimal() and int(name) < len(self.class_names):
            return int(name)
        raise OptionError(f"class '{name}' is not one of the model's: {', '.join(self.class_names)}")


def names_or_numbers(num_classes: int, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return a name for each class: those given, or numbered ones.

    Raises:
        ModelError: if their number is another.
    """
    if names is None:
        return tuple(numbered_class(index) for index in range(num_classes))
    if len(names) != num_classes:
        raise ModelError(f"{len(names)} class names for a model of {num_classes} classes: give one name a class")
    return tuple(names)
