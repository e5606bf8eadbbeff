"""Test the bridge as Arm code in QEMU: a host gets the recorded pictures' instances through the protocol."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.bridge_board import (
    CONFIGURE,
    CONFIGURED,
    DESCRIBE,
    ERROR,
    JPEG,
    MODEL,
    NETWORK_FAILED,
    PICTURE,
    RESULT,
    TENSOR,
    WELCOME,
    Packet,
    configuration,
    decode_all,
    hello,
    picture,
)
from support.bridge_core import CHECKOUT, decode_jpeg
from support.bridge_results import LocalDecoder, check_masks, read_result
from support.decoder_cases import SPECS, likely_outputs
from support.shared_data import SHARED_FILES, shared_path

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.image_file import read_image

FIRMWARE = CHECKOUT / "firmware" / "n6_bridge"
BOOT_TEXT = b"bridge firmware on MPS3 AN547\r\n"
OPTIONS = DetectionOptions(
    score_threshold=np.float32(0.1).item(), iou_threshold=np.float32(0.7).item(), max_instances=20
)
#: A machine that is busy with other things is slow.
LIMIT_S = 180.0
#: As in the program.
MAX_CANDIDATES = 2048
LARGEST_STACK_BYTES = 2048
LARGEST_FLASH_BYTES = 32768

pytestmark = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
)


@pytest.fixture(scope="module")
def tools():
    """Return the module that writes recordings."""
    sys.path.insert(0, str(FIRMWARE / "tools"))
    try:
        import record
    finally:
        sys.path.pop(0)
    return record


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Return the folder of recordings, and of the program: what both programs have in common is built once."""
    return tmp_path_factory.mktemp("recording")


def build(folder: Path) -> Path:
    """Build the program with the recording in a folder; return where it is."""
    out = folder / "build"
    command = ["make", "-s", "-j2", "-C", FIRMWARE / "mps3_an547", f"RECORDING={folder}", f"OUT={out}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return out


class Machine:
    """QEMU with the program, and the serial line to it."""

    def __init__(self, program: Path, folder: Path) -> None:
        path = folder / "uart"
        # By counted instructions, the program's time passes more slowly than ours: a busy machine makes no gaps.
        self.process = subprocess.Popen(
            ["qemu-system-arm", "-M", "mps3-an547", "-display", "none", "-monitor", "none", "-icount", "shift=0",
             "-kernel", program, "-serial", f"unix:{path},server=on,wait=on"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.deadline_s = time.monotonic() + LIMIT_S
        self.socket = socket.socket(socket.AF_UNIX)
        self.received = b""
        self.sequence = 0
        while self.process.poll() is None:
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                assert time.monotonic() < self.deadline_s
                time.sleep(0.02)
        self.socket.settimeout(LIMIT_S)

    def close(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def read(self) -> None:
        data = self.socket.recv(1 << 16)
        assert data, "QEMU has ended"
        self.received += data

    def ask(self, kind: int, payload: bytes, answer: int) -> Packet:
        """Send a packet; return the answer of a type, or an error."""
        self.sequence += 1
        self.socket.sendall(Packet(kind, 7, self.sequence, payload).encode())
        return self.wait_for(answer)

    def wait_for(self, answer: int) -> Packet:
        while True:
            packets, self.received = decode_all(self.received)
            for packet in packets:
                if packet.type in (answer, ERROR):
                    return packet
            self.read()

    def begin(self) -> None:
        while len(self.received) < len(BOOT_TEXT):
            self.read()
        assert self.received == BOOT_TEXT
        self.received = b""
        self.socket.sendall(hello(7).encode())
        assert self.wait_for(WELCOME).payload.endswith(b"MPS3 AN547")
        assert self.ask(CONFIGURE, configuration(), CONFIGURED).type == CONFIGURED


@pytest.fixture
def run_program(tmp_path):
    """Return a function that starts a program and begins a session."""
    machines = []

    def started(out):
        machines.append(Machine(out / "bridge.elf", tmp_path))
        machines[-1].begin()
        return machines[-1]

    yield started
    for machine in machines:
        machine.close()


def check(machine, frame, data, kind, spec, outputs):
    """Send a picture; compare what comes with what the package's decoder finds in the recorded outputs."""
    packet = machine.ask(PICTURE, picture(frame, data, kind), RESULT)
    assert packet.type == RESULT, packet
    result = read_result(packet.payload)
    decoder = LocalDecoder(spec, outputs, MAX_CANDIDATES)
    expected = decoder.decode(OPTIONS)
    assert len(expected) > 0
    for name in ("xyxy_px", "score", "class_id"):
        np.testing.assert_array_equal(result.records[name], expected[name])
    check_masks(result, decoder, expected)
    assert result.frame == frame


def encode(rgb):
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def test_recorded_pictures(tools, run_program, recording, rng, capsys):
    spec = SPECS["raw-published"]()
    height, width = spec.input_hw
    scenes = [cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), 3) for _ in range(3)]
    jpeg = encode(scenes[2])
    inputs = [*scenes[:2], decode_jpeg(jpeg, width, height)[1] ^ 0x80]
    recordings = [(image, likely_outputs(spec, rng)) for image in inputs]
    tools.write_recordings(recording, spec, "tiny", bytes(32), recordings)
    out = build(recording)
    report = subprocess.run(
        [sys.executable, FIRMWARE / "tools" / "report.py", out], capture_output=True, text=True, check=True
    ).stdout
    with capsys.disabled():
        print(f"\nbridge firmware on a Cortex-M55:\n{report}", end="")
    numbers = {line.split(":")[0]: int(line.split(": ")[1].split()[0]) for line in report.splitlines()}
    assert 0 < numbers["flash, together"] < LARGEST_FLASH_BYTES
    assert 0 < numbers["worst stack of n6_bridge_poll"] < LARGEST_STACK_BYTES
    machine = run_program(out)
    assert b"\4tiny" in machine.ask(DESCRIBE, b"", MODEL).payload
    pictures = [(inputs[0].tobytes(), TENSOR), (inputs[1].tobytes(), TENSOR), (jpeg, JPEG)]
    for frame, ((data, kind), (_, outputs)) in enumerate(zip(pictures, recordings, strict=True), 1):
        check(machine, frame, data, kind, spec, outputs)
    failed = machine.ask(PICTURE, picture(4, bytes(height * width * 3)), RESULT)
    assert (failed.type, failed.payload[8]) == (ERROR, NETWORK_FAILED)


def test_the_published_model_and_photographs(tools, run_program, recording):
    model = shared_path(SHARED_FILES["256"])
    photographs = sorted(shared_path("data/coco_val").rglob("*.jpg"))[:3]
    recordings, jpegs = [], []
    with TfliteBackend(model) as backend:
        spec, segmenter = backend.spec, Segmenter(backend)
        for path in photographs:
            frame = segmenter.new_frame()
            segmenter.preprocess(frame, ColorImage(read_image(path)))
            jpegs.append(encode(frame.network_input[0].view(np.uint8) ^ 0x80))
            tensor = (decode_jpeg(jpegs[-1], 256, 256)[1] ^ 0x80).view(np.int8)[None]
            recordings.append((tensor, [output.copy() for output in backend.run(tensor)]))
    tools.write_recordings(recording, spec, model.stem, bytes(32), recordings)
    machine = run_program(build(recording))
    for frame, (jpeg, (_, outputs)) in enumerate(zip(jpegs, recordings, strict=True), 1):
        check(machine, frame, jpeg, JPEG, spec, outputs)
