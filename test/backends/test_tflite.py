"""Test the CPU backend on small models of every kind, on files that are none, and on published models."""

from __future__ import annotations

import gc
import subprocess
import sys
import types
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from support import tiny_models
from support.tiny_models import (
    Tensor,
    input_quant,
    output_quant,
    write_detection_model,
    write_model,
    write_segmentation_model,
)

from yolov8_seg_ros.backends import tflite
from yolov8_seg_ros.backends.tflite import TfliteBackend, load_runtime, open_interpreter
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BackendError, ModelError

#: What the constant outputs say, without the mask's say.
PLAIN = SegmenterOptions(detection=DetectionOptions(mask_threshold=0.5))


def zeros_for(backend: TfliteBackend) -> np.ndarray:
    return np.zeros(backend.spec.input.shape, backend.spec.input.quant.dtype)


@pytest.mark.parametrize(
    "export",
    [
        pytest.param({}, id="int8"),
        pytest.param({"input_dtype": "uint8", "output_dtype": "uint8", "num_classes": 1}, id="uint8"),
        pytest.param({"input_dtype": "float32", "output_dtype": "float32"}, id="float32"),
        pytest.param({"output_dtype": "float32", "prototypes_first": True}, id="float-outputs-prototypes-first"),
        pytest.param({"input_dtype": "uint8", "channels_first": False}, id="uint8-input-anchors-first"),
        pytest.param({"input_dtype": "float32", "channels_first": False, "num_classes": 1}, id="float-input-one-class"),
        pytest.param({"channels_first": False, "prototypes_first": True, "num_classes": 3}, id="all-the-other-way"),
    ],
)
def test_any_export_runs(tmp_path, export):
    path = write_segmentation_model(tmp_path / "model.tflite", input_hw=(64, 96), **export)
    output_dtype = export.get("output_dtype", "int8")
    with TfliteBackend(path) as backend:
        scores = backend.spec.levels[0].scores.quant
        assert backend.spec.input_hw == (64, 96)
        assert backend.spec.input.quant.dtype == np.dtype(export.get("input_dtype", "int8"))
        assert scores.dtype == np.dtype(output_dtype)
        assert scores.zero_point == output_quant(output_dtype).zero_point
        assert scores.scale == pytest.approx(output_quant(output_dtype).scale)
        assert backend.info.head.startswith("as in the file: ")
        instances = Segmenter(backend, PLAIN).segment(np.zeros((64, 96, 3), np.uint8))
    np.testing.assert_allclose(instances.xyxy, [[24, 16, 72, 48]], rtol=1e-5)
    np.testing.assert_allclose(instances.score, [tiny_models.DEFAULT_SCORE], rtol=1e-5)
    assert instances.class_id.tolist() == [export.get("num_classes", 2) - 1]
    expected = np.zeros((64, 96), np.bool_)
    expected[16:48, 24:48] = True
    np.testing.assert_array_equal(instances.full_mask(0), expected)


def test_outputs_are_read_where_they_are(tmp_path):
    """All runs return the same arrays, which stay readable when the model is closed, and keep no run from starting."""
    backend = TfliteBackend(write_segmentation_model(tmp_path / "model.tflite"))
    first = backend.run(zeros_for(backend))
    kept = [output.copy() for output in first]
    assert backend.run(zeros_for(backend)) is first
    backend.close()
    del backend
    gc.collect()
    for one, other in zip(kept, first, strict=True):
        np.testing.assert_array_equal(one, other)


def test_outputs_in_place_are_those_of_the_last_run(shared_model, rng):
    interpreter = open_interpreter(load_runtime(), shared_model, 1)
    indices = [details["index"] for details in interpreter.get_output_details()]
    with TfliteBackend(shared_model, raw_head=False) as backend:
        for _ in range(3):
            network_input = rng.integers(-128, 128, backend.spec.input.shape, np.int8)
            outputs = backend.run(network_input)
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], network_input)
            interpreter.invoke()
            for output, index in zip(outputs, indices, strict=True):
                np.testing.assert_array_equal(output, interpreter.get_tensor(index))


@pytest.mark.parametrize(
    ("given", "names", "expected", "names_given"),
    [
        pytest.param(None, {0: "cat", 1: "dog"}, ("cat", "dog"), True, id="metadata"),
        pytest.param(["Katze", "Hund"], {0: "cat", 1: "dog"}, ("Katze", "Hund"), True, id="given-win"),
        pytest.param(["Katze", "Hund"], None, ("Katze", "Hund"), True, id="given"),
        pytest.param(None, None, ("class_0", "class_1"), False, id="none"),
    ],
)
def test_class_names(tmp_path, given, names, expected, names_given):
    with TfliteBackend(write_segmentation_model(tmp_path / "m.tflite", names=names), class_names=given) as backend:
        assert backend.spec.class_names == expected
        assert backend.spec.names_given is names_given


def test_given_names_do_without_the_metadata(tmp_path):
    path = write_segmentation_model(tmp_path / "m.tflite", metadata="not a table")
    with pytest.raises(ModelError, match="cannot be read"):
        TfliteBackend(path)
    with TfliteBackend(path, class_names=["cat", "dog"]) as backend:
        assert backend.spec.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("num_threads", "text"),
    [pytest.param(1, "1 thread", id="one"), pytest.param(3, "3 threads", id="three")],
)
def test_description(tmp_path, num_threads, text):
    with TfliteBackend(write_segmentation_model(tmp_path / "m.tflite"), num_threads) as backend:
        assert backend.info.description.endswith(f"on the CPU, {text}")


def test_automatic_threads_are_few():
    assert 1 <= tflite.automatic_threads() <= tflite.MAX_AUTOMATIC_THREADS


def write_outputs(path: Path, *outputs: Tensor, input_hw=(64, 64), input_dtype: str = "int8") -> Path:
    return write_model(path, [Tensor("images", (1, *input_hw, 3), input_quant(input_dtype))], outputs)


def constant(name: str, *shape: int, dtype: str = "int8", channel_scales=()) -> Tensor:
    return Tensor(name, shape, output_quant(dtype), np.zeros(shape, dtype), channel_scales)


HEAD = constant("head", 1, 10, 84)
PROTOTYPES = constant("protos", 1, 16, 16, 4)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(write_detection_model, "this looks like a detection model", id="detection-only"),
        pytest.param(lambda path: write_outputs(path, HEAD, HEAD), "looks like a detection model", id="two-heads"),
        pytest.param(
            lambda path: write_outputs(path, HEAD, PROTOTYPES, input_hw=(60, 64)), "multiples of 32", id="60-rows"
        ),
        pytest.param(
            lambda path: write_outputs(path, constant("head", 1, 10, 84, channel_scales=[0.02] * 10), PROTOTYPES),
            "'head_out' has no scale of its own; quantize it per tensor",
            id="per-channel",
        ),
        pytest.param(
            lambda path: write_outputs(path, HEAD, constant("protos", 1, 4, 16, 16)),
            "expected prototypes of 1 x 16 x 16 x count",
            id="nchw-prototypes",
        ),
        pytest.param(
            lambda path: write_outputs(path, HEAD, PROTOTYPES, input_dtype="int16"), "is int16, expected", id="int16"
        ),
    ],
)
def test_a_refused_model_is_reported_with_file_and_tables(tmp_path, write, message):
    path = write(tmp_path / "model.tflite")
    with pytest.raises(ModelError) as caught:
        TfliteBackend(path)
    text = str(caught.value)
    assert message in text
    assert text.startswith(f"{path}: ")
    assert text.count(str(path)) == 1
    assert "\n  input 0: images  " in text
    assert "\n  output 0: head_out  int8  1x" in text


def test_names_that_do_not_fit_are_reported(tmp_path):
    path = write_segmentation_model(tmp_path / "m.tflite", names=["cat", "dog", "cow"])
    with pytest.raises(ModelError, match=r"m\.tflite: 3 class names for a model of 2 classes"):
        TfliteBackend(path)


def as_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: None, "cannot be read: No such file or directory", id="missing"),
        pytest.param(as_folder, "cannot be read: Is a directory", id="folder"),
        pytest.param(lambda path: path.write_bytes(b""), "this is no TensorFlow Lite model", id="empty"),
        pytest.param(lambda path: path.write_bytes(b"TFL3"), "this is no TensorFlow Lite model", id="four-bytes"),
        pytest.param(lambda path: path.write_text("<html>not found</html>"), "this is no TensorFlow", id="web-page"),
        pytest.param(
            lambda path: path.write_bytes(b"\x08\0\0\0\0\0\0\0ONNX"), "this is no TensorFlow", id="other-model"
        ),
        pytest.param(lambda path: path.write_bytes(b"\x1c\0\0\0TFL3"), "the model cannot be loaded", id="head-alone"),
        pytest.param(
            lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(256)) * 40),
            "the model cannot be loaded",
            id="noise",
        ),
    ],
)
def test_what_is_no_model(tmp_path, make, message):
    path = tmp_path / "model.tflite"
    make(path)
    with pytest.raises(ModelError, match=message) as caught:
        TfliteBackend(path)
    assert str(path) in str(caught.value)


def test_a_checkpoint_is_to_be_exported(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"PK\3\4 a checkpoint")
    with pytest.raises(ModelError, match="make one of it with 'yolov8_seg export'"):
        TfliteBackend(tmp_path / "best.pt")


#: Opens cut copies of a model, each of which must be refused; a crash of the runtime ends this process alone.
CUT_PROGRAM = """
import sys
from pathlib import Path
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.errors import ModelError

content, cut = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
for length in map(int, sys.argv[3:]):
    cut.write_bytes(content[:length])
    try:
        TfliteBackend(cut)
    except ModelError:
        continue
    sys.exit(f"{length} of {len(content)} bytes were taken for a model")
print("all refused")
"""


def assert_cuts_are_refused(model: Path, folder: Path, lengths: list[int]) -> None:
    arguments = [sys.executable, "-c", CUT_PROGRAM, str(model), str(folder / "cut.tflite"), *map(str, lengths)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert (result.returncode, result.stdout) == (0, "all refused\n"), result.stderr


@pytest.mark.parametrize("names", [None, ["cat", "dog"]], ids=["without-metadata", "with-metadata"])
def test_a_cut_model_is_refused(tmp_path, rng, names):
    model = write_segmentation_model(tmp_path / "model.tflite")
    flatbuffer_bytes = model.stat().st_size
    if names is None:
        lengths = rng.integers(0, flatbuffer_bytes - 64, 300)
    else:
        tiny_models.append_metadata(model, repr({"names": names}))
        lengths = rng.integers(flatbuffer_bytes + 6, model.stat().st_size, 100)
    assert_cuts_are_refused(model, tmp_path, lengths.tolist())


def test_a_cut_published_model_is_refused(tmp_path, rng, st_model_256):
    metadata_bytes = 1652
    lengths = rng.integers(0, st_model_256.stat().st_size - metadata_bytes, 20)
    near_the_end = st_model_256.stat().st_size - np.array([1, 10, 100, 1000])
    assert_cuts_are_refused(st_model_256, tmp_path, [*lengths.tolist(), *near_the_end.tolist()])


def test_a_tensor_whose_name_is_no_text(tmp_path):
    path = write_segmentation_model(tmp_path / "model.tflite")
    path.write_bytes(path.read_bytes().replace(b"head_out", b"h\xffad_out"))
    with pytest.raises(ModelError, match="the name of a tensor is no text"):
        TfliteBackend(path)


def test_an_output_that_no_operation_writes_is_reported(tmp_path):
    path = write_segmentation_model(tmp_path / "model.tflite")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model.subgraphs[0].operators.pop()
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    with pytest.raises(ModelError, match="no operation writes one of the model's outputs"):
        TfliteBackend(path)


class FailingInterpreter:
    """Interpreter that fails when it is invoked, as LiteRT does."""

    def __init__(self, interpreter) -> None:
        self._interpreter = interpreter

    def __getattr__(self, name):
        return getattr(self._interpreter, name)

    def invoke(self):
        raise RuntimeError("Node number 3 (CONV_2D)\n failed to invoke.")


def test_a_network_that_fails_is_reported(tmp_path, monkeypatch):
    runtime = load_runtime()
    interpreter = runtime.Interpreter
    monkeypatch.setattr(runtime, "Interpreter", lambda **options: FailingInterpreter(interpreter(**options)))
    failure = r"the network does not run: Node number 3 \(CONV_2D\) failed to invoke"
    path = write_segmentation_model(tmp_path / "model.tflite")
    with TfliteBackend(path) as backend, pytest.raises(BackendError, match=failure):
        backend.run(zeros_for(backend))


@pytest.fixture
def runtimes(monkeypatch):
    """Return a dictionary of the runtimes that are installed: a module, or what its import raises."""

    def install(**installed: types.ModuleType | ImportError) -> None:
        def import_module(name: str) -> types.ModuleType:
            package = name.partition(".")[0]
            found = installed.get(package, ModuleNotFoundError(f"No module named '{package}'", name=package))
            if isinstance(found, ImportError):
                raise found
            return found

        monkeypatch.setattr(tflite.importlib, "import_module", import_module)

    return install


def test_the_newest_runtime_is_taken(runtimes):
    litert, older = types.ModuleType("ai_edge_litert.interpreter"), types.ModuleType("tflite_runtime.interpreter")
    runtimes(ai_edge_litert=litert, tflite_runtime=older)
    assert load_runtime() is litert
    runtimes(tflite_runtime=older)
    assert load_runtime() is older


def test_the_older_runtime_alone_serves(tmp_path, runtimes):
    older = types.ModuleType("tflite_runtime.interpreter")
    older.Interpreter = load_runtime().Interpreter
    runtimes(tflite_runtime=older)
    with TfliteBackend(write_segmentation_model(tmp_path / "m.tflite"), num_threads=1) as backend:
        assert backend.info.description == "tflite_runtime.interpreter on the CPU, 1 thread"
        assert len(Segmenter(backend, PLAIN).segment(np.zeros((64, 64, 3), np.uint8))) == 1


def test_no_runtime(tmp_path, runtimes):
    runtimes()
    with pytest.raises(
        BackendError, match=r"no TensorFlow Lite runtime is installed: run '.*pip install ai-edge-litert'"
    ):
        TfliteBackend(write_segmentation_model(tmp_path / "m.tflite"))


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ImportError("libLiteRt.so: cannot open shared object file"), id="library"),
        pytest.param(ModuleNotFoundError("No module named 'flatbuffers'", name="flatbuffers"), id="dependency"),
        pytest.param(ModuleNotFoundError("No module named 'ai_edge_litert._x'", name="ai_edge_litert._x"), id="part"),
    ],
)
def test_a_broken_runtime_is_reported_and_not_passed_over(runtimes, error):
    runtimes(ai_edge_litert=error, tflite_runtime=types.ModuleType("tflite_runtime.interpreter"))
    with pytest.raises(BackendError) as caught:
        load_runtime()
    assert str(caught.value) == f"ai_edge_litert is installed but cannot be imported: {error}; install it anew"


@pytest.mark.parametrize(
    ("model", "size", "num_anchors", "input_quant", "head_quant", "prototypes_quant"),
    [
        pytest.param("st_model_256", 256, 1344, (0.00392157, -128), (0.0200201, 25), (0.0207487, -115), id="256"),
        pytest.param("st_model_320", 320, 2100, (0.00392157, -128), (0.0204021, 24), (0.0196691, -114), id="320"),
    ],
)
def test_published_models_as_they_are(request, model, size, num_anchors, input_quant, head_quant, prototypes_quant):
    with TfliteBackend(request.getfixturevalue(model), raw_head=False) as backend:
        spec = backend.spec
    assert backend.info.head == "as in the file, as asked for"
    assert (spec.input_hw, spec.num_anchors, spec.num_coefficients) == ((size, size), num_anchors, 32)
    assert spec.prototypes.shape == (1, size // 4, size // 4, 32)
    (level,) = spec.levels
    assert (level.stride_px, spec.box_bins, level.boxes.channels_first) == (0, 0, True)
    channels = (level.boxes.channels, level.scores.channels, level.coefficients.channels)
    assert channels == (slice(0, 4), slice(4, 84), slice(84, 116))
    for quant, (scale, zero_point) in (
        (spec.input.quant, input_quant),
        (level.scores.quant, head_quant),
        (spec.prototypes.quant, prototypes_quant),
    ):
        assert quant.dtype == np.int8
        assert quant.scale == pytest.approx(scale, rel=1e-5)
        assert quant.zero_point == zero_point
    assert (spec.class_names[0], spec.class_names[79], spec.names_given) == ("person", "toothbrush", True)


@pytest.mark.parametrize(("model", "size"), [("st_model_256", 256), ("st_model_320", 320), ("fish_model", 256)])
def test_published_models_run_with_a_raw_head(request, model, size):
    with TfliteBackend(request.getfixturevalue(model)) as backend:
        spec = backend.spec
        outputs = backend.run(zeros_for(backend))
    assert backend.info.head == "raw, cut out of the file"
    assert [level.stride_px for level in spec.levels] == [8, 16, 32]
    assert (spec.box_bins, spec.num_coefficients) == (16, 32)
    assert spec.prototypes.shape == (1, size // 4, size // 4, 32)
    assert [output.shape for output in outputs] == [tensor.shape for tensor in spec.outputs]
