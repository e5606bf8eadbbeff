"""Run a node between a camera and a listener, each a process of its own, and measure it from outside."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import camera, listener
from benchmarks.images import IMAGE_HW, size_text
from benchmarks.processes import Process, environment, process

#: What the segmentation node logs when it is active.
_ACTIVE = "listening to"
_START_LIMIT_S = 60.0
#: What the camera may take longer than its frames.
_CAMERA_LIMIT_S = 60.0
#: After this time /diagnostics counts the last frame.
_DIAGNOSTICS_S = 1.2


@dataclass(frozen=True)
class Feed:
    """Images of the camera and their rate.

    Attributes:
        image: path; one of the built-in scene where empty.
        image_hw: size in which it is published.
        rate_hz: frames a second.
        frames: how many are measured.
        warm_up: how many come before them.
        encoding: of the messages, `bgr8` or `yuv422_yuy2`.
    """

    image: str = ""
    image_hw: tuple[int, int] = IMAGE_HW
    rate_hz: float = 10.0
    frames: int = 200
    warm_up: int = 20
    encoding: str = "bgr8"


@dataclass(frozen=True)
class Measured:
    """Figures of one run.

    Attributes:
        latency_ms: from publishing a frame to the arrival of all its results, of each measured frame that has them.
        rate_hz: at which frames were completed.
        cpu_ms: processor time of the node a frame that it processed.
        resident_mib: memory of the node at the end.
        active_s: from the start of the node's process until it was active.
        sent: frames published, those of the warm-up included, as in all that follow.
        received: by the node, as it reports; None for a node without diagnostics, as the next two.
        dropped: which the node left out, as a newer one had come.
        processed: which it brought to an end.
        complete: of which all results arrived.
        found: detections a frame, where those are listened to.
    """

    latency_ms: NDArray[np.float64]
    rate_hz: float
    cpu_ms: float
    resident_mib: float
    active_s: float
    sent: int
    received: int | None
    dropped: int | None
    processed: int | None
    complete: int
    found: int


def answering_node(model: str, feed: Feed) -> tuple[str, ...]:
    """Return module and arguments of the node that answers at once."""
    size = size_text(feed.image_hw)
    return ("benchmarks.answer_at_once", "--model", model, "--image", feed.image, "--size", size)


def measure(node: Sequence[str], outputs: Sequence[str], feed: Feed, profile: bool) -> Measured:
    """Run a node once.

    Args:
        node: its module and arguments.
        outputs: which of its results somebody listens to.
        feed: what it sees.
        profile: whether all processes use this package's transport profile.
    """
    environ = environment(profile)
    with process(environ, "benchmarks.listener", *outputs) as listening:
        listening.wait_for(listener.READY, _START_LIMIT_S)
        started_s = time.monotonic()
        with process(environ, *node) as running:
            running.wait_for(_ACTIVE, _START_LIMIT_S)
            active_s = time.monotonic() - started_s
            listening.wait_for(listener.CONNECTED, _START_LIMIT_S)
            cpu_s = _show(environ, feed, running)
            resident_mib = running.resident_mib()
            time.sleep(_DIAGNOSTICS_S)
            seen = json.loads(listening.last_words(listener.SAW))
    times_ns = np.array([seen["complete"][n] for n in _measured_numbers(seen, feed)]).reshape(-1, 2)
    counts = {name: int(text) for name, text in seen["counts"].items() if name.startswith("frames ")}
    sent = feed.warm_up + feed.frames
    processed = counts.get("frames processed")
    return Measured(
        latency_ms=(times_ns[:, 1] - times_ns[:, 0]) / 1e6,
        rate_hz=_rate_hz(times_ns[:, 1]),
        cpu_ms=cpu_s * 1e3 / feed.frames * sent / (processed or sent),
        resident_mib=resident_mib,
        active_s=active_s,
        sent=sent,
        received=counts.get("frames received"),
        dropped=counts.get("frames dropped for newer ones"),
        processed=processed,
        complete=len(seen["complete"]),
        found=seen["found"],
    )


def _show(environ: dict[str, str], feed: Feed, running: Process) -> float:
    """Run the camera; return the processor time that the node took for the measured frames."""
    options = {
        "--image": feed.image,
        "--size": size_text(feed.image_hw),
        "--hz": str(feed.rate_hz),
        "--encoding": feed.encoding,
        "--warm-up": str(feed.warm_up),
        "--frames": str(feed.frames),
    }
    with process(environ, "benchmarks.camera", *(part for pair in options.items() for part in pair)) as showing:
        showing.wait_for(camera.MEASURING, _CAMERA_LIMIT_S + feed.warm_up / feed.rate_hz)
        before_s = running.cpu_s()
        showing.wait_for(camera.DONE, _CAMERA_LIMIT_S + feed.frames / feed.rate_hz)
        return running.cpu_s() - before_s


def _measured_numbers(seen: dict[str, dict[str, object]], feed: Feed) -> list[str]:
    return [number for number in seen["complete"] if int(number) >= feed.warm_up]


def _rate_hz(done_ns: NDArray[np.int64]) -> float:
    return 0.0 if len(done_ns) < 2 else float((len(done_ns) - 1) / (done_ns.max() - done_ns.min()) * 1e9)
