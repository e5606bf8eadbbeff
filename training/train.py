"""Train the bundled model on the synthetic scene: `python -m training.train`."""

from __future__ import annotations

import argparse
import time
from copy import deepcopy
from pathlib import Path

import torch

from training.losses import Anchors, Losses, compute_losses, join_levels, make_anchors
from training.network import ShapesNetwork, save
from training.scenes import Batch, training_batches
from yolov8_seg_ros.media.scene import SCENE_CLASSES

INPUT_HW = (192, 256)
NUM_STEPS = 2400
BATCH_SIZE = 16
PEAK_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02
#: The result is a moving average of the weights over about this many steps.
AVERAGED_STEPS = 100
MAX_GRADIENT = 10.0
SEED = 0
_REPORT_STEPS = 50


def main() -> None:
    """Train, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/shapes.pt"), help="weights (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=NUM_STEPS, help="batches of 16 (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads beside the one that renders")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    save(train(args.steps), args.output)
    print(f"written to {args.output}")


def train(num_steps: int) -> ShapesNetwork:
    """Train for `num_steps` batches; the result is reproducible on the same machine."""
    torch.manual_seed(SEED)
    network = ShapesNetwork(len(SCENE_CLASSES), INPUT_HW).train()
    averaged = deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, num_steps, pct_start=0.1)
    anchors = make_anchors(INPUT_HW)
    started = time.monotonic()
    for step, batch in enumerate(training_batches(num_steps, BATCH_SIZE, INPUT_HW)):
        losses = _learn(network, batch, anchors, optimizer)
        schedule.step()
        _average(averaged, network, min(1 / AVERAGED_STEPS, 1) if step > AVERAGED_STEPS else 1.0)
        if step % _REPORT_STEPS == 0:
            parts = ", ".join(f"{name} {float(value.detach()):.3f}" for name, value in losses._asdict().items())
            print(f"step {step}: {parts}, {time.monotonic() - started:.0f} s", flush=True)
    return averaged


def _learn(network: ShapesNetwork, batch: Batch, anchors: Anchors, optimizer: torch.optim.Optimizer) -> Losses:
    """Run one training step; return its losses."""
    losses = compute_losses(join_levels(*network(batch.images)), batch, anchors)
    optimizer.zero_grad()
    losses.total().backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT)
    optimizer.step()
    return losses


@torch.no_grad()
def _average(averaged: ShapesNetwork, network: ShapesNetwork, weight: float) -> None:
    for kept, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, weight)


if __name__ == "__main__":
    main()
