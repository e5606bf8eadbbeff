"""Read class names and shapes of outputs, which a compiled graph does not contain, from a file beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from yolov8_seg_ros.backends.first_opening import check_opening
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.errors import BackendError, ModelError
from yolov8_seg_ros.model_files.class_names import read_class_names, read_model_class_names

Shape = tuple[int, ...]


@dataclass(frozen=True)
class SideCar:
    """Facts about a compiled graph from a file beside it.

    Attributes:
        class_names: a name for each class; None where they are unknown.
        output_shapes: of the model that was compiled, in any order: one list, or one for each form that may have been
            compiled; none where they are unknown.
    """

    class_names: tuple[str, ...] | None = None
    output_shapes: tuple[tuple[Shape, ...], ...] = ()

    def shaped(self, graph_shapes: Sequence[Shape], model_path: Path) -> list[Shape]:
        """Return for each output the shape that it had before it was compiled, found by its sizes.

        Args:
            graph_shapes: the outputs' shapes by the compiled graph, perhaps without axes of length 1.
            model_path: for the message.

        Raises:
            ModelError: if the sizes do not fit.
        """
        if not self.output_shapes:
            return list(graph_shapes)
        for known in self.output_shapes:
            shapes = _fitted(graph_shapes, known)
            if shapes is not None:
                return shapes
        raise ModelError(
            f"{model_path}: its outputs {list(graph_shapes)} do not fit those of the file beside it, "
            + " or ".join(str(list(known)) for known in self.output_shapes)
        )


def read_side_car(model_path: Path) -> SideCar:
    """Read `<model>.yaml`, or else the `<model>.tflite` that the graph was made of; nothing is known without either.

    The YAML file holds `names`, a list or a numbered map, and may hold `outputs`, a list of shapes. The .tflite file
    may have been compiled as it is or with its raw head.

    Raises:
        ModelError: if there is one, and it cannot be read.
    """
    described, original = model_path.with_suffix(".yaml"), model_path.with_suffix(".tflite")
    if described.is_file():
        return SideCar(read_class_names(described), _described_shapes(described))
    if original.is_file():
        return SideCar(read_model_class_names(original), _shapes_of_model(original))
    return SideCar()


def _fitted(graph_shapes: Sequence[Shape], known: Sequence[Shape]) -> list[Shape] | None:
    """Return the known shape of each output; None where they do not fit."""
    left, shapes = list(known), []
    for shape in graph_shapes:
        fitting = [candidate for candidate in left if _without_ones(candidate) == _without_ones(shape)]
        fitting += [candidate for candidate in left if math.prod(candidate) == math.prod(shape)]
        if not fitting:
            return None
        shapes.append(fitting[0])
        left.remove(fitting[0])
    return None if left else shapes


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _described_shapes(path: Path) -> tuple[tuple[Shape, ...], ...]:
    outputs: Any = yaml.safe_load(path.read_text(encoding="utf-8")).get("outputs")
    if outputs is None:
        return ()
    try:
        return (tuple(tuple(int(size) for size in shape) for shape in outputs),)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: outputs: expected a list of shapes like [1, 116, 1344], got {outputs!r}") from error


def _shapes_of_model(path: Path) -> tuple[tuple[Shape, ...], ...]:
    shapes = []
    for raw_head in (False, True):
        try:
            check_opening(path, raw_head)
            with TfliteBackend(path, num_threads=1, raw_head=raw_head) as backend:
                shapes.append(tuple(tensor.shape for tensor in backend.spec.outputs))
        except BackendError:
            # STAI_MPU does not need a TensorFlow Lite runtime, so there may be none; the graph's own shapes must do.
            return ()
    return tuple(shapes)
