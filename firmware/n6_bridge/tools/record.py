"""Record a network's outputs for some pictures, for a board that has no network: sources for mps3_an547.

    python firmware/n6_bridge/tools/record.py model.tflite -o build/recording street.jpg dog.jpg bus.jpg

The board knows a picture by the CRC-32 of the network's input.
"""

from __future__ import annotations

import argparse
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from describe_model import source_of
from numpy.typing import NDArray

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.image_file import read_image

ALIGNMENT = 8
#: The input of a network, and its outputs.
Recording = tuple[NDArray[Any], Sequence[NDArray[Any]]]


def write_recordings(folder: Path, spec: ModelSpec, name: str, sha256: bytes, recordings: Sequence[Recording]) -> None:
    """Write model.c, recording.c, recording.S and recording.bin into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    crcs = [f"0x{zlib.crc32(np.ascontiguousarray(tensor).tobytes()):08x}u" for tensor, _ in recordings]
    (folder / "model.c").write_text(source_of(spec, name, sha256), encoding="ascii")
    (folder / "recording.c").write_text(
        '#include "recording.h"\n\n'
        f"const int32_t n6_num_recordings = {len(crcs)};\n"
        f"const uint32_t n6_recorded_crcs[] = {{{', '.join(crcs)}}};\n",
        encoding="ascii",
    )
    (folder / "recording.S").write_text(
        '.section .recording, "a"\n.balign 8\n.global n6_recorded_outputs\nn6_recorded_outputs:\n'
        '.incbin "recording.bin"\n',
        encoding="ascii",
    )
    with (folder / "recording.bin").open("wb") as file:
        for _, outputs in recordings:
            for output in outputs:
                data = np.ascontiguousarray(output).tobytes()
                file.write(data + bytes(-len(data) % ALIGNMENT))


def record(model: Path, pictures: Sequence[Path]) -> tuple[ModelSpec, list[Recording]]:
    """Run the model on pictures; return what its tensors mean, and its inputs and outputs."""
    recordings: list[Recording] = []
    with TfliteBackend(model) as backend:
        segmenter = Segmenter(backend)
        for path in pictures:
            frame = segmenter.new_frame()
            segmenter.preprocess(frame, ColorImage(read_image(path)))
            segmenter.infer(frame)
            recordings.append((frame.network_input.copy(), [output.copy() for output in frame.outputs]))
        return backend.spec, recordings


def main() -> None:
    """Write the sources."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    arguments = parser.parse_args()
    spec, recordings = record(arguments.model, arguments.pictures)
    sha256 = hashlib.sha256(arguments.model.read_bytes()).digest()
    write_recordings(arguments.output, spec, arguments.model.stem, sha256, recordings)


if __name__ == "__main__":
    main()
