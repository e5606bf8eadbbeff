"""Test that concatenations read a whole tensor in the place of its slices."""

from __future__ import annotations

import pytest
from ai_edge_litert import schema_py_generated as schema
from support.head_graphs import FEATURES, head_graph

from yolov8_seg_ros.model_files.raw_head import expose


@pytest.mark.parametrize(
    ("slices", "widths"),
    [
        pytest.param(((0, 3), (3, 6)), (6,), id="halves"),
        pytest.param(((0, 1), (1, 2), (2, 6)), (6,), id="three-parts"),
        pytest.param(((0, 3), (3, 6), (0, 2)), (6, 2), id="and-another-slice"),
        pytest.param(((0, 3), (0, 3), (3, 6)), (3, 6), id="behind-another-slice"),
        pytest.param(((0, 3), (3, 6), (0, 2), (2, 6)), (6, 6), id="twice"),
        pytest.param(((3, 6), (0, 3)), (3, 3), id="in-another-order"),
        pytest.param(((0, 3), (4, 6)), (3, 2), id="with-a-gap"),
        pytest.param(((0, 4), (3, 6)), (4, 3), id="overlapping"),
        pytest.param(((0, 3), (3, 5)), (3, 2), id="without-the-end"),
        pytest.param(((2, 4), (4, 6)), (2, 2), id="without-the-begin"),
    ],
)
@pytest.mark.parametrize("axis", [3, -1], ids=["axis", "axis-from-the-end"])
def test_what_a_concatenation_reads(slices, widths, axis):
    model = schema.ModelT.InitFromPackedBuf(expose(head_graph(slices=slices, slices_axis=axis).pack()))

    [graph] = model.subgraphs
    joined = [
        operator for operator in graph.operators if _kind(model, operator) == schema.BuiltinOperator.CONCATENATION
    ]
    assert len(joined) == 3
    for operator in joined:
        assert tuple(graph.tensors[tensor].shape[3] for tensor in operator.inputs) == widths
    kept = [operator for operator in graph.operators if _kind(model, operator) == schema.BuiltinOperator.STRIDED_SLICE]
    assert len(kept) == 3 * sum(width < FEATURES for width in widths)


def _kind(model, operator) -> int:
    return model.operatorCodes[operator.opcodeIndex].builtinCode
