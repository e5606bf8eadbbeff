"""Test cutting a decoded head off a .tflite file."""

from __future__ import annotations

import io
import os
import zipfile

import cv2
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from support.head_graphs import HeadGraph, head_graph
from support.tiny_models import append_metadata

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.model_files.class_names import read_metadata
from yolov8_seg_ros.model_files.raw_head import expose, summarize

pytestmark = pytest.mark.filterwarnings("ignore:.*preserve_all_tensors")
NAMES = [f"{role}_{stride}" for stride in STRIDES_PX for role in ("boxes", "scores", "coefficients")] + ["prototypes"]
VARIANTS = {
    "int8": {},
    "uint8": {"dtype": "uint8"},
    "float32": {"dtype": "float32"},
    "int8, other operators": {"one_tail": False},
    "uint8, other operators": {"one_tail": False, "dtype": "uint8"},
    "float32, other operators": {"one_tail": False, "dtype": "float32"},
    "one class, square": {"num_classes": 1, "input_hw": (128, 128)},
    "as many classes as prototypes": {"num_classes": 8, "one_tail": False},
    "as many classes as box logits": {"num_classes": 64, "dtype": "float32"},
    "80 classes, anchors first": {"num_classes": 80, "anchors_first": True},
    "8 bins, as many prototypes as box logits": {"bins": 8, "num_coefficients": 32},
    "square prototypes": {"num_coefficients": 32, "input_hw": (128, 128), "channels_first": True},
    "split head": {"split_head": True, "one_tail": False},
    "split head, float": {"split_head": True, "dtype": "float32", "anchors_first": True},
    "prototypes first": {"prototypes_first": True},
    "float ends": {"float_ends": True, "prototypes_first": True},
    "float ends, channels first": {"float_ends": True, "channels_first": True, "one_tail": False},
    "gain": {"gain": 3.0, "channels_first": True},
    "gain, float": {"gain": 0.25, "dtype": "float32"},
    "classes gathered in order": {"class_order": (0, 1, 2)},
    "slices that are joined again": {"slices": ((0, 2), (2, 6), (0, 3))},
    "slices that are joined again, float": {"slices": ((1, 4), (0, 3), (3, 6)), "dtype": "float32"},
    "tall": {"input_hw": (96, 32), "dtype": "float32"},
}
FLOAT_VARIANTS = {title: options for title, options in VARIANTS.items() if options.get("dtype") == "float32"}
#: Read from the graphs of the two published files, in the order of `NAMES`.
PUBLISHED_TENSORS = (448, 455, 438, 411, 418, 402, 385, 392, 376, 431)
#: All of them by hand, few where time counts.
NUM_IMAGES = 3 if os.environ.get("CI") else 20


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def graph(request) -> HeadGraph:
    return head_graph(**request.param)


def test_the_outputs_are_those_of_the_convolutions_bit_for_bit(graph, rng):
    content = graph.pack()
    cut = _interpreter(expose(content))
    network_input = _random_input(cut, rng)

    expected = _kept_tensors(content, network_input, [graph.raw[name] for name in NAMES])

    assert [output["name"] for output in cut.get_output_details()] == NAMES
    for name, output, tensor in zip(NAMES, _run(cut, network_input), expected, strict=True):
        assert output.dtype == tensor.dtype, name
        np.testing.assert_array_equal(output, tensor, err_msg=name)


@pytest.mark.parametrize("options", FLOAT_VARIANTS.values(), ids=FLOAT_VARIANTS.keys())
def test_decoding_the_raw_head_gives_what_the_file_decodes_itself(options, rng):
    options = {**options, "split_head": False, "anchors_first": False}
    graph = head_graph(**options)
    whole, cut = _interpreter(graph.pack()), _interpreter(expose(graph.pack()))
    network_input = _random_input(whole, rng)

    [head], [prototypes] = _run(whole, network_input)
    boxes, scores, coefficients, raw_prototypes = _decode(_run(cut, network_input), graph.options.input_hw)

    np.testing.assert_allclose(head[:4], boxes, atol=1e-5)
    np.testing.assert_allclose(head[4 : 4 + len(scores)], scores, atol=1e-5)
    logits = np.einsum("cn,hwc->nhw", head[4 + len(scores) :], prototypes)
    np.testing.assert_allclose(logits, np.einsum("cn,hwc->nhw", coefficients, raw_prototypes), atol=1e-4)


def test_what_is_dead_goes_and_the_rest_stays(graph):
    before, after = (schema.ModelT.InitFromPackedBuf(content) for content in (graph.pack(), expose(graph.pack())))
    [old], [new] = before.subgraphs, after.subgraphs

    assert len(new.operators) < len(old.operators)
    used = {tensor for operator in new.operators for tensor in [*operator.inputs, *operator.outputs]} - {-1}
    assert used | {*new.inputs} == set(range(len(new.tensors)))
    assert {operator.opcodeIndex for operator in new.operators} == set(range(len(after.operatorCodes)))
    assert {tensor.buffer for tensor in new.tensors} == set(range(len(after.buffers)))
    assert after.signatureDefs == []
    # The operators that are left are the first ones, with the weights they had.
    for old_operator, new_operator in zip(_convolutions(before), _convolutions(after), strict=False):
        for old_index, new_index in zip(old_operator.inputs, new_operator.inputs, strict=True):
            old_data, new_data = _data(before, old_index), _data(after, new_index)
            assert (old_data is None) == (new_data is None)
            assert old_data is None or old_data.tobytes() == new_data.tobytes()


def test_weights_behind_the_flatbuffer_and_metadata_stay(tmp_path, rng):
    path = tmp_path / "model.tflite"
    path.write_bytes(head_graph().pack(weights_behind=True))
    append_metadata(path, "{'names': {0: 'cat', 1: 'dog', 2: 'emu'}}")
    expected = _interpreter(expose(head_graph().pack()))

    path.write_bytes(expose(path.read_bytes()))

    assert read_metadata(path) == {"names": {0: "cat", 1: "dog", 2: "emu"}}
    cut = _interpreter(path.read_bytes())
    network_input = _random_input(cut, rng)
    for output, wanted in zip(_run(cut, network_input), _run(expected, network_input), strict=True):
        np.testing.assert_array_equal(output, wanted)


def test_metadata_written_in_place_stay(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(head_graph().pack())
    # The archive's offsets then count from the start of the file.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.txt", "{'task': 'segment'}")

    path.write_bytes(expose(path.read_bytes()))

    assert read_metadata(path) == {"task": "segment"}


def test_buffers_of_metadata_stay():
    graph = head_graph()
    graph.model.metadata = [schema.MetadataT()]
    graph.model.metadata[0].name, graph.model.metadata[0].buffer = "note", len(graph.model.buffers)
    graph.model.buffers.append(schema.BufferT())
    graph.model.buffers[-1].data = np.frombuffer(b"kept", np.uint8)

    after = schema.ModelT.InitFromPackedBuf(expose(graph.pack()))

    [entry] = after.metadata
    assert after.buffers[entry.buffer].data.tobytes() == b"kept"
    assert entry.buffer < graph.model.metadata[0].buffer


def test_summary_says_operators_and_outputs():
    before, after = summarize(head_graph().pack()), summarize(expose(head_graph().pack()))

    assert (before.num_operators, after.num_operators) == (52, 13)
    assert [len(before.outputs), len(after.outputs)] == [2, 10]
    assert str(after.outputs[0]) == "boxes_8  int8  1x8x12x64  scale 0.08, zero point 0"


@pytest.mark.parametrize("size", ["256", "320"])
def test_published_files_run_as_they_did(size, request, coco_images):
    path = request.getfixturevalue(f"st_model_{size}")
    content = path.read_bytes()
    cut_content = expose(content)
    cut = _interpreter(cut_content)
    whole = _interpreter(content, experimental_preserve_all_tensors=True)

    assert (summarize(content).num_operators, summarize(cut_content).num_operators) == (293, 249)
    for image in coco_images[:NUM_IMAGES]:
        network_input = _network_input(str(image), int(size))
        _run(whole, network_input)
        expected = [whole.get_tensor(tensor) for tensor in PUBLISHED_TENSORS]
        for name, output, tensor in zip(NAMES, _run(cut, network_input), expected, strict=True):
            np.testing.assert_array_equal(output, tensor, err_msg=f"{image.name} {name}")


def test_reference_models_keep_their_metadata(shared_model, tmp_path):
    (tmp_path / "raw.tflite").write_bytes(expose(shared_model.read_bytes()))

    assert read_metadata(tmp_path / "raw.tflite") == read_metadata(shared_model)
    with zipfile.ZipFile(io.BytesIO((tmp_path / "raw.tflite").read_bytes())) as archive:
        assert archive.testzip() is None


def _interpreter(content: bytes, **options: bool) -> Interpreter:
    interpreter = Interpreter(model_content=content, num_threads=1, **options)
    interpreter.allocate_tensors()
    return interpreter


def _random_input(interpreter: Interpreter, rng: np.random.Generator):
    [details] = interpreter.get_input_details()
    if details["dtype"] == np.float32:
        return rng.random(details["shape"], np.float32)
    limits = np.iinfo(details["dtype"])
    return rng.integers(limits.min, limits.max + 1, details["shape"], details["dtype"])


def _network_input(image_path: str, size: int):
    image = cv2.resize(cv2.imread(image_path), (size, size))
    return (image[np.newaxis, ..., ::-1] ^ 0x80).view(np.int8)


def _run(interpreter: Interpreter, network_input):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], network_input)
    interpreter.invoke()
    return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]


def _kept_tensors(content: bytes, network_input, tensors):
    interpreter = _interpreter(content, experimental_preserve_all_tensors=True)
    _run(interpreter, network_input)
    return [interpreter.get_tensor(tensor) for tensor in tensors]


def _decode(outputs, input_hw):
    """Decode a float raw head in plain NumPy: boxes (4, n) as fractions, scores, coefficients, prototypes."""
    *maps, [prototypes] = outputs
    parts = []
    for level, stride in enumerate(STRIDES_PX):
        boxes, scores, coefficients = (tensor[0] for tensor in maps[3 * level : 3 * level + 3])
        rows, columns, channels = boxes.shape
        likely = np.exp(boxes.reshape(-1, 4, channels // 4))
        left, top, right, bottom = (likely @ np.arange(channels // 4) / likely.sum(axis=2)).T
        y, x = (axis.ravel() + 0.5 for axis in np.mgrid[:rows, :columns])
        xywh = np.stack([x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom])
        fractions = xywh * stride / np.array([*input_hw[::-1], *input_hw[::-1]])[:, np.newaxis]
        parts.append((fractions, *(tensor.reshape(rows * columns, -1).T for tensor in (scores, coefficients))))
    boxes, logits, coefficients = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return boxes, 1 / (1 + np.exp(-logits)), coefficients, prototypes


def _convolutions(model):
    kinds = [code.builtinCode for code in model.operatorCodes]
    [graph] = model.subgraphs
    return [operator for operator in graph.operators if kinds[operator.opcodeIndex] == schema.BuiltinOperator.CONV_2D]


def _data(model, tensor: int):
    return model.buffers[model.subgraphs[0].tensors[tensor].buffer].data
