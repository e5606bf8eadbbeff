"""Test that a graph with operators that are faster on the CPU computes the same numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from support.head_graphs import HeadGraph, head_graph
from support.head_mutations import damage, mutate
from support.shared_data import CHECKOUT

from yolov8_seg_ros.errors import NoDecodedHeadError
from yolov8_seg_ros.model_files.cpu_graph import for_cpu
from yolov8_seg_ros.model_files.raw_head import expose

VARIANTS: dict[str, dict[str, Any]] = {
    "int8": {},
    "int8, per channel": {"per_channel": True},
    "uint8": {"dtype": "uint8"},
    "tall, one class": {"input_hw": (96, 32), "num_classes": 1, "num_coefficients": 32},
}
#: All of them by hand, few where time counts.
NUM_IMAGES = 3 if os.environ.get("CI") else 20


def _aligned_corners(graph: HeadGraph) -> None:
    _operator(graph, "RESIZE_NEAREST_NEIGHBOR").builtinOptions.alignCorners = True


def _overlapping_kernels(graph: HeadGraph) -> None:
    _operator(graph, "TRANSPOSE_CONV").builtinOptions.strideW = 1


def _without_bias(graph: HeadGraph) -> None:
    operator = _operator(graph, "TRANSPOSE_CONV")
    operator.inputs = operator.inputs[:3]


def _padded_at_one_side(graph: HeadGraph) -> None:
    [inner] = graph.model.subgraphs
    buffer = graph.model.buffers[inner.tensors[_operator(graph, "PAD").inputs[1]].buffer]
    buffer.data = np.frombuffer(np.array([[0, 0], [0, 2], [1, 1], [0, 0]], np.int32).tobytes(), np.uint8)


def _image_read_twice(graph: HeadGraph) -> None:
    [inner] = graph.model.subgraphs
    second = _operator(graph, "RESIZE_NEAREST_NEIGHBOR")
    second.inputs = [inner.inputs[0], *second.inputs[1:]]


LEFT_ALONE: dict[str, tuple[Callable[[HeadGraph], None], set[str]]] = {
    "corners that lie on each other": (_aligned_corners, {"RESIZE_NEAREST_NEIGHBOR"}),
    "kernels that overlap": (_overlapping_kernels, {"TRANSPOSE_CONV"}),
    "no bias": (_without_bias, {"TRANSPOSE_CONV"}),
    "padding at one side": (_padded_at_one_side, {"PAD"}),
    "an image that is read twice": (_image_read_twice, {"PAD", "RESIZE_NEAREST_NEIGHBOR"}),
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("weights_behind", [False, True], ids=["", "weights-behind-the-tables"])
def test_the_outputs_are_the_same_bit_for_bit(options, weights_behind, rng):
    content = head_graph(doubles=True, slices=((0, 4), (3, 6)), **options).pack(weights_behind)
    for before in (content, expose(content)):
        after = for_cpu(before)

        assert after is not None
        assert not {"RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"} & _kinds(after.content)
        assert after.input_shape == tuple(_interpreter(before).get_input_details()[0]["shape"])
        for _ in range(3):
            limits = np.iinfo(options.get("dtype", "int8"))
            image = rng.integers(limits.min, limits.max + 1, after.input_shape, limits.dtype)
            _check_equal(_interpreter(before), _interpreter(after.content), image)


@pytest.mark.parametrize(("change", "kept"), LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
def test_leaves_alone_what_computes_otherwise(change, kept):
    graph = head_graph(doubles=True)
    change(graph)

    after = for_cpu(graph.pack())

    assert after is not None
    assert _kinds(after.content) & {"RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"} == kept - {"PAD"}
    shape = schema.ModelT.InitFromPackedBuf(after.content).subgraphs[0].tensors[0].shape
    assert (tuple(shape) == after.input_shape) == ("PAD" in kept)


@pytest.mark.parametrize("options", [{}, {"doubles": True, "dtype": "float32"}], ids=["no-such-operators", "float"])
def test_leaves_a_whole_graph_alone(options):
    assert for_cpu(head_graph(**options).pack()) is None


@pytest.mark.parametrize("size", ["256", "320"])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_published_files_compute_the_same(size, num_threads, request, coco_images):
    before = expose(request.getfixturevalue(f"st_model_{size}").read_bytes())
    after = for_cpu(before)

    assert after is not None
    assert not {"RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"} & _kinds(after.content)
    interpreters = [_interpreter(content, num_threads) for content in (before, after.content)]
    for image in coco_images[:NUM_IMAGES]:
        resized = cv2.resize(cv2.imread(str(image)), (int(size), int(size)))
        _check_equal(*interpreters, (resized[np.newaxis, ..., ::-1] ^ 0x80).view(np.int8))


def test_the_bundled_model_computes_the_same(rng):
    before = (CHECKOUT / "models" / "shapes_256x192.tflite").read_bytes()
    after = for_cpu(before)
    content = before if after is None else after.content
    details = _interpreter(before).get_input_details()[0]
    limits = np.iinfo(details["dtype"])
    image = rng.integers(limits.min, limits.max + 1, details["shape"], limits.dtype)
    _check_equal(_interpreter(before), _interpreter(content), image)


def test_hundreds_of_damaged_files_are_changed_or_left_alone(rng):
    content = head_graph(input_hw=(32, 64), doubles=True).pack()
    changed = 0
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 12)):
            damage(damaged, rng)
        changed += for_cpu(bytes(damaged)) is not None
    assert 0 < changed < 400


def test_hundreds_of_wrong_graphs_are_changed_or_left_alone(rng):
    changed = 0
    for _ in range(250):
        graph = head_graph(input_hw=(32, 64), doubles=True)
        for _ in range(rng.integers(1, 40)):
            mutate(graph, rng)
        content = graph.pack()
        changed += for_cpu(content) is not None
        try:
            for_cpu(expose(content))
        except NoDecodedHeadError:
            continue
    assert 0 < changed < 250


def _operator(graph: HeadGraph, kind: str) -> Any:
    codes = [code.builtinCode for code in graph.model.operatorCodes]
    wanted = codes.index(getattr(schema.BuiltinOperator, kind))
    [operator] = [one for one in graph.model.subgraphs[0].operators if one.opcodeIndex == wanted]
    return operator


def _kinds(content: bytes) -> set[str]:
    model = schema.ModelT.InitFromPackedBuf(content)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    return {names[model.operatorCodes[operator.opcodeIndex].builtinCode] for operator in model.subgraphs[0].operators}


def _interpreter(content: bytes, num_threads: int = 1) -> Interpreter:
    interpreter = Interpreter(model_content=content, num_threads=num_threads)
    interpreter.allocate_tensors()
    return interpreter


def _check_equal(before: Interpreter, after: Interpreter, image) -> None:
    results = [_run(interpreter, image) for interpreter in (before, after)]
    for expected, output in zip(*results, strict=True):
        assert output.dtype == expected.dtype
        np.testing.assert_array_equal(output, expected)


def _run(interpreter: Interpreter, image) -> list[Any]:
    details = interpreter.get_input_details()[0]
    interpreter.set_tensor(details["index"], image.reshape(details["shape"]))
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
