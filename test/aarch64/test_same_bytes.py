"""Test that an ARM processor decodes to the same bytes as this one. Needs a cross compiler and an emulator."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from reference import logit
from support.decoder_cases import Case, random_case
from support.native_library import SOURCE_FOLDER, SOURCES, STRICT, build

from yolov8_seg_ros.core.native import model_fields, native

NUM_CASES = 200
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
#: Where Debian puts the ARM libraries.
LIBRARIES = "/usr/aarch64-linux-gnu"
DRIVER = Path(__file__).with_name("decode_cases.c")


def recorded(case: Case) -> bytes:
    """Return a case as decode_cases.c reads it."""
    seg = native()
    options = {
        name: getattr(case.options, name)
        for name in ("score_threshold", "iou_threshold", "max_instances", "agnostic_nms", "multi_label", "vote_boxes")
    }
    (scale_x, scale_y), (pad_x, pad_y) = case.letterbox.scale_xy, case.letterbox.pad_xy
    letterbox = [scale_x, scale_y, pad_x, pad_y, *case.letterbox.image_hw[::-1]]

    def structure(name: str, fields: object) -> bytes:
        return bytes(seg.ffi.buffer(seg.ffi.new(f"struct {name} *", fields)))

    return b"".join(
        [
            structure("seg_model", model_fields(case.spec, seg.types)),
            struct.pack("<ii", case.max_candidates, len(case.outputs)),
            *[struct.pack("<q", output.nbytes) + output.tobytes() for output in case.outputs],
            structure("seg_options", options),
            structure("seg_letterbox", letterbox),
            struct.pack("<f", logit(case.options.mask_threshold)),
        ]
    )


def decoded_by(*command: str | Path, cases: bytes) -> bytes:
    done = subprocess.run(command, input=cases, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.decode() == f"{NUM_CASES} cases\n"
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> tuple[Path, Path]:
    """Return the driver for this processor and for the ARM one."""
    folder = tmp_path_factory.mktemp("programs")
    options = [*STRICT, f"-I{SOURCE_FOLDER}"]
    host = build(folder / "host", [DRIVER, *SOURCES], *options)
    return host, build(folder / "arm", [DRIVER, *SOURCES], *options, cc=COMPILER)


@pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
    reason="apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user",
)
@pytest.mark.parametrize("dtypes", [["int8", "uint8"], ["int8", "float32"]], ids=["integers", "floats-too"])
def test_same_bytes(programs, rng, dtypes):
    cases = b"".join(recorded(random_case(rng, dtypes)) for _ in range(NUM_CASES))
    host, arm = programs
    expected = decoded_by(host, cases=cases)
    found = decoded_by(EMULATOR, "-L", LIBRARIES, arm, cases=cases)
    assert len(expected) > 1_000_000
    assert np.array_equal(np.frombuffer(found, np.uint8), np.frombuffer(expected, np.uint8))
