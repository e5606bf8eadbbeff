"""Test the bundled model's network and its training data, where torch is installed (`make export-env`)."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the environment of 'make export-env'")

from training import train as training  # noqa: E402
from training.network import ShapesNetwork, load, save  # noqa: E402
from training.scenes import MASK_STRIDE_PX, collate, render_example  # noqa: E402
from yolov8_seg_ros.errors import ExportError  # noqa: E402
from yolov8_seg_ros.media.scene import SCENE_CLASSES  # noqa: E402
from yolov8_seg_ros.tools.export.checkpoint import load_network  # noqa: E402
from yolov8_seg_ros.tools.export.network import check_outputs  # noqa: E402

HW = (64, 96)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ShapesNetwork(len(SCENE_CLASSES), HW).eval()


def test_outputs_are_a_raw_head(network, tmp_path):
    save(network, tmp_path / "shapes.pt")
    exported = load_network(tmp_path / "shapes.pt", "training.network:trained")
    check_outputs(exported, HW)
    assert exported.class_names == SCENE_CLASSES
    assert exported.metadata["license"] == "Apache-2.0"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        pytest.param("training.absent:trained", "No module named", id="no-module"),
        pytest.param("training.network:absent", "has no attribute 'absent'", id="no-function"),
        pytest.param("training.network", "expected module:function", id="no-name"),
        pytest.param("training.network:load", "returns ShapesNetwork, expected Network", id="other-type"),
    ],
)
def test_functions_that_do_not_read_a_network_are_refused(network, tmp_path, function, message):
    save(network, tmp_path / "shapes.pt")
    with pytest.raises(ExportError, match=message):
        load_network(tmp_path / "shapes.pt", function)


def test_weights_are_saved_and_loaded(network, tmp_path):
    save(network, tmp_path / "shapes.pt")
    images = torch.rand(1, 3, *HW)
    (levels, prototypes), (loaded_levels, loaded_prototypes) = network(images), load(tmp_path / "shapes.pt")(images)
    assert torch.equal(prototypes, loaded_prototypes)
    for level, loaded in zip(levels, loaded_levels, strict=True):
        assert all(torch.equal(part, loaded_part) for part, loaded_part in zip(level, loaded, strict=True))


def test_examples_are_reproducible_and_differ():
    first, again, other = (render_example(seed, HW) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", range(4))
def test_masks_lie_in_their_boxes(seed):
    example = render_example(seed, HW)
    rows, columns = (size // MASK_STRIDE_PX for size in HW)
    assert example.masks.shape == (len(example.class_id), rows, columns)
    for mask, (left, top, right, bottom) in zip(example.masks, example.xyxy, strict=True):
        ys, xs = np.nonzero(mask > 0.5)
        assert left * columns - 1 <= xs.min() <= xs.max() + 1 <= right * columns + 1
        assert top * rows - 1 <= ys.min() <= ys.max() + 1 <= bottom * rows + 1


def test_batches_join_the_objects_of_their_images():
    examples = [render_example(seed, HW) for seed in range(3)]
    batch = collate(examples)
    assert batch.images.shape == (3, 3, *HW)
    assert batch.image_index.tolist() == [k for k, example in enumerate(examples) for _ in example.class_id]
    assert len(batch.masks) == len(batch.xyxy) == len(batch.class_id)


def test_weights_are_finite_after_two_steps(monkeypatch):
    monkeypatch.setattr(training, "INPUT_HW", HW)
    monkeypatch.setattr(training, "BATCH_SIZE", 2)
    network = training.train(2)
    assert all(torch.isfinite(weights).all() for weights in network.state_dict().values())
