"""Attack what opens models and what decodes images, as a program: `attack.py models COUNT` prints what became of them.

It is a program since it forks, which a process with threads, such as that of the tests, had better not do.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from damage import ANY_DATA, ANY_MODEL
from forked import CRASH, OK, TOLD, outcome, outcomes
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.image_file import decode_image
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.model_files.store import SCENE_MODEL, find_model

IMAGE_SUFFIXES = (".jpg", ".png", ".bmp", ".tiff", ".webp", ".ppm")
#: Number of the first attack: one of those that follow it crashes the runtime, which a short run shall meet too.
FIRST = 96
#: What need not be reported.
_FINE = (OK, TOLD)
_MAX_REPORTED = 20
_BATCH = 50

#: Kind of damage, number of the attack, what became of it, and details.
Result = tuple[str, int, str, str]


def models(numbers: Iterable[int]) -> Iterator[Result]:
    """Open damaged models, and segment an image with those that open.

    What crashes the runtime must be told by `open_backend`, which is to survive it.
    """
    # Imported by each child, it would take longer than all else.
    importlib.import_module("ai_edge_litert.interpreter")
    image = SyntheticScene().frame(0).image
    with tempfile.TemporaryDirectory() as folder:
        sound = [find_model(SCENE_MODEL).read_bytes()]
        for raw in (False, True):
            path = write_segmentation_model(Path(folder, "sound.tflite"), raw=raw, names={0: "cat", 1: "dog"})
            sound.append(path.read_bytes())
        damaged = Path(folder, "damaged.tflite")
        for number in numbers:
            kind = list(ANY_MODEL)[number % len(ANY_MODEL)]
            content = sound[number // len(ANY_MODEL) % len(sound)]
            damaged.write_bytes(ANY_MODEL[kind](content, np.random.default_rng(number)))
            what, details = outcome(lambda: _segment(damaged, image))
            if what == CRASH:
                what, details = outcome(lambda: open_backend(str(damaged), "cpu"))
                what = "crash told" if what == TOLD else f"crash, then {what}"
            yield kind, number, what, details


def _segment(path: Path, image: np.ndarray) -> None:
    with TfliteBackend(path, 1) as backend:
        found = Segmenter(backend).segment(image)
    found.label_image()
    if not (np.isfinite(found.xyxy).all() and np.isfinite(found.score).all()):
        raise ValueError(f"not finite: {found.xyxy} {found.score}")


def images(numbers: Iterable[int]) -> Iterator[Result]:
    """Decode damaged images, some in each process."""
    frame = SyntheticScene().frame(0).image
    sound = {suffix: cv2.imencode(suffix, frame)[1].tobytes() for suffix in IMAGE_SUFFIXES}

    def decode(number: int) -> None:
        kind, suffix = _kind_and_suffix(number)
        decode_image(ANY_DATA[kind](sound[suffix], np.random.default_rng(number)))

    waiting = list(numbers)
    while waiting:
        batch = waiting[:_BATCH]
        for number, (what, details) in zip(batch, outcomes(decode, batch), strict=False):
            yield " ".join(_kind_and_suffix(number)), number, what, details
            waiting.remove(number)


def _kind_and_suffix(number: int) -> tuple[str, str]:
    kinds = list(ANY_DATA)
    return kinds[number % len(kinds)], IMAGE_SUFFIXES[number // len(kinds) % len(IMAGE_SUFFIXES)]


ATTACKS: dict[str, Callable[[Iterable[int]], Iterator[Result]]] = {"models": models, "images": images}


def main() -> None:
    """Attack, and print counts and what went wrong as JSON."""
    counts: Counter[str] = Counter()
    wrong = []
    for kind, number, what, details in ATTACKS[sys.argv[1]](range(FIRST, FIRST + int(sys.argv[2]))):
        counts[what] += 1
        if what not in (*_FINE, "crash told"):
            wrong.append(f"{kind} {number}: {what}: {details[-500:]}")
    print(json.dumps({"counts": counts, "wrong": wrong[:_MAX_REPORTED]}))


if __name__ == "__main__":
    main()
