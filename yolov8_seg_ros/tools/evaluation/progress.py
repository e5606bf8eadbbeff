"""Store the results image by image, so that an interrupted run continues where it was: on a board it takes hours."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from yolov8_seg_ros.core.options import SegmenterOptions
from yolov8_seg_ros.core.segmenter import StageTimes
from yolov8_seg_ros.files import read_file, replacing
from yolov8_seg_ros.media.coco import CocoResult


@dataclass(frozen=True)
class ImageResult:
    """Results of a model in one image.

    Attributes:
        image_hw: height and width in pixels.
        times: of the stages.
        results: in COCO's form; `category_id` is the model's class index, `image_id` is 0.
    """

    image_hw: tuple[int, int]
    times: StageTimes
    results: list[CocoResult]


def run_key(model_sha256: str, backend: str, options: SegmenterOptions) -> dict[str, Any]:
    """Return what decides on the results: those of runs with different keys must not be mixed.

    Args:
        model_sha256: of its file.
        backend: the backend's description.
        options: of the segmenter.
    """
    key = {"model_sha256": model_sha256, "backend": backend, "options": asdict(options)}
    # As it comes back from JSON, in which a tuple is a list.
    return dict(json.loads(json.dumps(key)))


class Progress:
    """A file of results that grows by a line an image, each with a checksum. A context manager that closes it.

    Args:
        path: of the file; its results are used if it is of the same key, else it is started again.
        key: what decides on the results, as `run_key` returns it.

    Raises:
        OSError: if the file cannot be read or written.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self._path = path
        lines = list(_sound_lines(path))
        is_same = bool(lines) and lines[0] == key
        self._lines = {line["image"]: line for line in lines[1:]} if is_same else {}
        # Written anew without damaged lines, and appended to from here on.
        with replacing(path) as temporary:
            temporary.write_bytes(b"".join(map(_written, (key, *self._lines.values()))))
        self._file = path.open("ab")

    @property
    def count(self) -> int:
        """Return the number of images that it has results of."""
        return len(self._lines)

    def find(self, image: Path) -> ImageResult | None:
        """Return the results of an image; None where it has not been segmented, or was changed since."""
        line = self._lines.get(str(image))
        if line is None or line["stamp"] != _stamp(image):
            return None
        height, width = line["image_hw"]
        return ImageResult((height, width), StageTimes(*line["times_ms"]), line["results"])

    def add(self, image: Path, result: ImageResult) -> None:
        """Store the results of an image.

        Raises:
            OSError: if they cannot be written.
        """
        line = {
            "image": str(image),
            "stamp": _stamp(image),
            "image_hw": result.image_hw,
            "times_ms": astuple(result.times),
            "results": result.results,
        }
        self._lines[str(image)] = line
        try:
            self._file.write(_written(line))
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def remove(self) -> None:
        """Remove the file when the run is complete: the next one must use the program as it is then."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _written(line: Mapping[str, Any]) -> bytes:
    text = json.dumps(line).encode()
    return f"{zlib.crc32(text):08x} ".encode() + text + b"\n"


def _sound_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines whose checksum is right: a run may have been killed while it wrote, or the disk may be full."""
    with suppress(FileNotFoundError):
        for line in read_file(path).split(b"\n"):
            checksum, _, text = line.partition(b" ")
            if text and checksum == f"{zlib.crc32(text):08x}".encode():
                yield json.loads(text)


def _stamp(image: Path) -> list[int]:
    status = image.stat()
    return [status.st_size, status.st_mtime_ns]
