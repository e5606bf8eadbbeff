"""Find out beside a compiled graph what it does not tell itself: class names, and how its outputs are shaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.errors import BackendError, ModelError
from yolov8_seg_ros.model_files.class_names import read_class_names, read_model_class_names

Shape = tuple[int, ...]


@dataclass(frozen=True)
class SideCar:
    """What is known of a compiled graph from a file beside it.

    Attributes:
        class_names: a name for each class; None where they are unknown.
        output_shapes: of the model that was compiled, in any order; None where they are unknown.
    """

    class_names: tuple[str, ...] | None = None
    output_shapes: tuple[Shape, ...] | None = None

    def shaped(self, told: Sequence[Shape], model_path: Path) -> list[Shape]:
        """Give each output the shape that it had before it was compiled, found by its size.

        Args:
            told: the outputs' shapes as the compiled graph tells them, perhaps without axes of length 1.
            model_path: for the message.

        Raises:
            ModelError: if the sizes do not fit.
        """
        if self.output_shapes is None:
            return list(told)
        left = list(self.output_shapes)
        shapes = []
        for shape in told:
            fitting = [known for known in left if math.prod(known) == math.prod(shape)]
            if not fitting:
                raise ModelError(
                    f"{model_path}: its outputs {list(told)} do not fit those of the file beside it, "
                    f"{list(self.output_shapes)}"
                )
            shapes.append(shape if shape in fitting else fitting[0])
            left.remove(shapes[-1])
        return shapes


def read_side_car(model_path: Path) -> SideCar:
    """Read `<model>.yaml`, or else the `<model>.tflite` that the graph was made of; nothing is known without either.

    The YAML file holds `names`, a list or a numbered map, and may hold `outputs`, a list of shapes.

    Raises:
        ModelError: if there is one, and it cannot be read.
    """
    described, original = model_path.with_suffix(".yaml"), model_path.with_suffix(".tflite")
    if described.is_file():
        return SideCar(read_class_names(described), _output_shapes(described))
    if original.is_file():
        return SideCar(read_model_class_names(original), _shapes_of_model(original))
    return SideCar()


def _output_shapes(path: Path) -> tuple[Shape, ...] | None:
    outputs: Any = yaml.safe_load(path.read_text(encoding="utf-8")).get("outputs")
    if outputs is None:
        return None
    try:
        return tuple(tuple(int(size) for size in shape) for shape in outputs)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: outputs: expected a list of shapes like [1, 116, 1344], got {outputs!r}") from error


def _shapes_of_model(path: Path) -> tuple[Shape, ...] | None:
    try:
        with TfliteBackend(path, num_threads=1) as backend:
            return tuple(tensor.shape for tensor in backend.spec.outputs)
    except BackendError:
        # STAI_MPU does not need a TensorFlow Lite runtime, so there may be none; the graph's own shapes must do.
        return None
