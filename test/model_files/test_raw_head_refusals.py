"""Test that a .tflite file whose head cannot be cut off is refused with the reason, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ai_edge_litert import schema_py_generated as schema
from support.head_graphs import HeadGraph, head_graph
from support.head_mutations import damage, mutate
from support.shared_data import CHECKOUT
from support.tiny_models import write_detection_model, write_segmentation_model

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.errors import NoDecodedHeadError
from yolov8_seg_ros.model_files.raw_head import expose


def _nothing(graph: HeadGraph) -> None:
    pass


def _second_graph(graph: HeadGraph) -> None:
    graph.model.subgraphs *= 2


def _other_types(graph: HeadGraph) -> None:
    graph.model.subgraphs[0].tensors[graph.raw["scores_16"]].type = schema.TensorType.INT16


def _a_scale_for_each_channel(graph: HeadGraph) -> None:
    quantization = graph.model.subgraphs[0].tensors[graph.raw["coefficients_8"]].quantization
    quantization.scale, quantization.zeroPoint = [0.08] * 8, [0] * 8


def _gain_undone_by_a_tenth_too_much(graph: HeadGraph) -> None:
    [graph_] = graph.model.subgraphs
    [last] = [operator for operator in graph_.operators if operator.outputs[0] == graph_.outputs[1]]
    graph_.tensors[last.inputs[1]].quantization.scale[0] *= 1.1


def _scores_of_one_stride_without_logistic_function(graph: HeadGraph) -> None:
    [graph_] = graph.model.subgraphs
    kind = [code.builtinCode for code in graph.model.operatorCodes].index(schema.BuiltinOperator.LOGISTIC)
    logistic = [operator for operator in graph_.operators if operator.opcodeIndex == kind][1]
    [after] = [operator for operator in graph_.operators if logistic.outputs[0] in operator.inputs]
    after.inputs = [logistic.inputs[0], *after.inputs[1:]]


def _gain_not_undone(graph: HeadGraph) -> None:
    graph.model.subgraphs[0].outputs[1] = graph.raw["prototypes"]


def _huge(graph: HeadGraph) -> None:
    tensors = graph.model.subgraphs[0].tensors
    tensors[0].shape = [1, 1 << 30, 1 << 30, 3]
    for name, tensor in graph.raw.items():
        for size in STRIDES_PX:
            if name.endswith(f"_{size}"):
                tensors[tensor].shape = [1, (1 << 30) // size, (1 << 30) // size, 64]


def _cyclic(graph: HeadGraph) -> None:
    [graph_] = graph.model.subgraphs
    last = graph_.operators[-1]
    last.inputs = [*last.inputs[:-1], last.outputs[0]]


def _out_of_order(graph: HeadGraph) -> None:
    graph.model.subgraphs[0].operators.reverse()


def _two_inputs(graph: HeadGraph) -> None:
    [graph_] = graph.model.subgraphs
    graph_.inputs = [*graph_.inputs, graph_.inputs[0]]


def _prototypes_alone(graph: HeadGraph) -> None:
    [graph_] = graph.model.subgraphs
    graph_.outputs = graph_.outputs[1:]


def _without_convolutions(graph: HeadGraph) -> None:
    [graph_] = graph.model.subgraphs
    graph_.operators = [operator for operator in graph_.operators if operator.outputs[0] != graph.raw["scores_16"]]


REFUSALS: dict[str, tuple[dict, Callable[[HeadGraph], None], str]] = {
    "several graphs": ({}, _second_graph, "the file has 2 graphs, expected 1"),
    "two inputs": ({}, _two_inputs, "expected one RGB image of multiples of 32 pixels"),
    "prototypes alone": ({}, _prototypes_alone, "expected a head of rank 3 and prototypes of rank 4"),
    "classes in another order": ({"class_order": (1, 0, 2)}, _nothing, "in another order"),
    "classes left out": ({"class_order": (0, 1, 1)}, _nothing, "in another order"),
    "coefficients through a logistic function": ({"logistic_coefficients": True}, _nothing, "and 0 through none"),
    "bins of a side apart": ({"bins_first": True}, _nothing, "not taken over the bins of one side of a box"),
    "numbers of another type": ({}, _other_types, "scores_16 would be int16, expected int8, uint8, float32"),
    "gain of coefficients alone": (
        {"gain": 4.0},
        _gain_not_undone,
        "multiplied by 0.25, prototypes by 1, expected the inverse",
    ),
    "gain undone by a tenth too much": (
        {"gain": 4.0},
        _gain_undone_by_a_tenth_too_much,
        r"multiplied by 0\.25, prototypes by 4\.4, expected the inverse",
    ),
    "scores of one stride without logistic function": (
        {"one_tail": False},
        _scores_of_one_stride_without_logistic_function,
        "a channel of the head holds different things for different anchor points",
    ),
    "a scale for each channel": ({}, _a_scale_for_each_channel, "coefficients_8 would have no scale"),
    "huge": ({}, _huge, "more than 67108864 numbers"),
    "a cycle": ({}, _cyclic, "(used before|not yield)"),
    "out of order": ({}, _out_of_order, "used before it is computed"),
    "no convolution": ({}, _without_convolutions, "depend on the network's input by no convolution"),
}


@pytest.mark.parametrize(("options", "change", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refuses_with_the_reason(options, change, reason):
    graph = head_graph(**options)
    change(graph)

    with pytest.raises(NoDecodedHeadError, match=reason) as caught:
        expose(graph.pack())
    assert "\n" not in str(caught.value)


def test_refuses_what_is_raw_already():
    with pytest.raises(NoDecodedHeadError, match="raw already"):
        expose(expose(head_graph().pack()))


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 64, b"PK\3\4" + b"x" * 50], ids=repr)
def test_refuses_what_is_no_model(content):
    with pytest.raises(NoDecodedHeadError, match=r"this is no \.tflite file"):
        expose(content)


def test_refuses_constant_heads_and_detection_models(tmp_path):
    for write in (write_segmentation_model, write_detection_model):
        with pytest.raises(NoDecodedHeadError):
            expose(write(tmp_path / "model.tflite").read_bytes())


def test_the_bundled_model_is_raw_already():
    with pytest.raises(NoDecodedHeadError, match="the head is raw already"):
        expose((CHECKOUT / "models" / "shapes_256x192.tflite").read_bytes())


def test_a_thousand_damaged_files_are_refused_or_cut(rng):
    contents = [head_graph(input_hw=(32, 64), **options).pack() for options in ({}, {"one_tail": False})]
    cut = 0
    for _ in range(700):
        content = bytearray(contents[rng.integers(2)])
        for _ in range(rng.integers(1, 12)):
            damage(content, rng)
        cut += _is_cut(bytes(content))
    for content in contents:
        cut += sum(_is_cut(content[:length]) for length in rng.integers(0, len(content), 50))
    assert 0 < cut < 800


def test_hundreds_of_wrong_graphs_are_refused_or_cut(rng):
    cut = 0
    for _ in range(250):
        graph = head_graph(input_hw=(32, 64), one_tail=bool(rng.integers(2)))
        for _ in range(rng.integers(1, 4)):
            mutate(graph, rng)
        cut += _is_cut(graph.pack())
    assert 0 < cut < 250


def _is_cut(content: bytes) -> bool:
    try:
        expose(content)
    except NoDecodedHeadError:
        return False
    return True
