"""Test the bundled model's network and what it is trained with, where torch is installed (`make export-env`)."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the environment of 'make export-env'")

from training import train as training  # noqa: E402
from training.network import ShapesNetwork, load, save, trained  # noqa: E402
from training.scenes import MASK_STRIDE_PX, collate, render_example  # noqa: E402
from yolov8_seg_ros.media.scene import SCENE_CLASSES  # noqa: E402
from yolov8_seg_ros.tools.export.network import check_parts, measure  # noqa: E402

HW = (64, 96)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ShapesNetwork(len(SCENE_CLASSES), HW).eval()


def test_outputs_are_those_of_the_contract(network, tmp_path):
    save(network, tmp_path / "shapes.pt")
    exported = trained(tmp_path / "shapes.pt")
    check_parts(exported, HW)
    assert exported.class_names == SCENE_CLASSES
    assert exported.metadata["license"] == "Apache-2.0"


def test_all_of_the_head_lies_between_0_and_1(network):
    _, scores, coefficients, _ = network(torch.rand(1, 3, *HW))
    for part in (scores, coefficients):
        assert 0 <= float(part.min()) <= float(part.max()) <= 1
    assert measure(network, [np.zeros((1, *HW, 3), np.float32)]).gain == 1.0


def test_weights_survive_a_file(network, tmp_path):
    save(network, tmp_path / "shapes.pt")
    pictures = torch.rand(1, 3, *HW)
    for expected, found in zip(network(pictures), load(tmp_path / "shapes.pt")(pictures), strict=True):
        assert torch.equal(expected, found)


def test_examples_are_the_same_each_time_and_differ():
    first, again, other = (render_example(seed, HW) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", range(4))
def test_truth_lies_where_its_boxes_are(seed):
    example = render_example(seed, HW)
    rows, columns = (size // MASK_STRIDE_PX for size in HW)
    assert example.masks.shape == (len(example.class_id), rows, columns)
    for mask, (left, top, right, bottom) in zip(example.masks, example.xyxy, strict=True):
        ys, xs = np.nonzero(mask > 0.5)
        assert left * columns - 1 <= xs.min() <= xs.max() + 1 <= right * columns + 1
        assert top * rows - 1 <= ys.min() <= ys.max() + 1 <= bottom * rows + 1


def test_batches_join_the_objects_of_their_pictures():
    examples = [render_example(seed, HW) for seed in range(3)]
    batch = collate(examples)
    assert batch.images.shape == (3, 3, *HW)
    assert batch.picture.tolist() == [k for k, example in enumerate(examples) for _ in example.class_id]
    assert len(batch.masks) == len(batch.xyxy) == len(batch.class_id)


def test_training_begins(monkeypatch):
    monkeypatch.setattr(training, "INPUT_HW", HW)
    monkeypatch.setattr(training, "BATCH_SIZE", 2)
    network = training.train(2)
    assert all(torch.isfinite(weights).all() for weights in network.state_dict().values())
