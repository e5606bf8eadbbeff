"""Keep what was found picture by picture, so that an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from yolov8_seg_ros.core.options import SegmenterOptions
from yolov8_seg_ros.core.segmenter import StageTimes
from yolov8_seg_ros.media.coco import CocoResult

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Found:
    """Hold what a model found in one picture.

    Attributes:
        image_hw: height and width in pixels.
        times: that it took.
        results: in COCO's form; `category_id` is the model's class index, `image_id` is 0.
    """

    image_hw: tuple[int, int]
    times: StageTimes
    results: list[CocoResult]


def run_key(model: Path, backend: str, options: SegmenterOptions) -> dict[str, Any]:
    """Give what decides on the results: those of runs with different keys are not to be mixed.

    Args:
        model: its file.
        backend: the backend's description.
        options: of the segmenter.

    Raises:
        OSError: if the model cannot be read.
    """
    digest = hashlib.sha256()
    with model.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    # As it comes back from JSON, in which a tuple is a list.
    key: dict[str, Any] = json.loads(
        json.dumps({"model_sha256": digest.hexdigest(), "backend": backend, "options": asdict(options)})
    )
    return key


class Progress:
    """A file of results that grows by a line a picture. A context manager that closes it.

    Args:
        path: of the file; what it holds is taken up if it is of the same key, else it is begun anew.
        key: what decides on the results, as `run_key` gives it.

    Raises:
        OSError: if the file cannot be written.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self._path = path
        kept = _read_lines(path)
        is_same = bool(kept) and kept[0] == key
        self._found = {line["picture"]: line for line in kept[1:]} if is_same else {}
        # Written again rather than appended to: its last line may have been cut short.
        self._file = path.open("w", encoding="utf-8")
        self._write(dict(key))
        for line in self._found.values():
            self._write(line)

    @property
    def count(self) -> int:
        """The number of pictures that it holds."""
        return len(self._found)

    def find(self, picture: Path) -> Found | None:
        """Give what was found in a picture; None where it has not been segmented, or was changed since."""
        line = self._found.get(str(picture))
        if line is None or line["stamp"] != _stamp(picture):
            return None
        height, width = line["image_hw"]
        return Found((height, width), StageTimes(*line["times_ms"]), line["results"])

    def add(self, picture: Path, found: Found) -> None:
        """Keep what was found in a picture."""
        times = found.times
        line = {
            "picture": str(picture),
            "stamp": _stamp(picture),
            "image_hw": found.image_hw,
            "times_ms": [times.preprocess_ms, times.inference_ms, times.postprocess_ms],
            "results": found.results,
        }
        self._found[str(picture)] = line
        self._write(line)

    def remove(self) -> None:
        """Remove the file, since the run is complete: the next one is to see the program as it is then."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Give the whole lines of the file, as far as they can be read."""
    lines: list[dict[str, Any]] = []
    # There is none yet, or the run was killed while it wrote the last line: what comes before is sound.
    with suppress(FileNotFoundError, ValueError), path.open(encoding="utf-8") as file:
        lines.extend(map(json.loads, file))
    return lines


def _stamp(picture: Path) -> list[int]:
    status = picture.stat()
    return [status.st_size, status.st_mtime_ns]
