"""Test that a noisy line to the board leads to lost frames at most: never to a wrong result, never to silence.

N6_NOISE_FRAMES=5000 makes more frames of each kind of noise than a check needs each time.
"""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
from support.bridge_board import (
    CONFIGURE,
    CONFIGURED,
    ERROR,
    NO_SESSION,
    PICTURE,
    RESULT,
    WELCOME,
    Board,
    Packet,
    configuration,
    hello,
    picture,
)
from support.bridge_results import LocalDecoder, check_masks, read_result
from support.decoder_cases import SPECS, likely_outputs

from yolov8_seg_ros.core.options import DetectionOptions

NUM_FRAMES = int(os.environ.get("N6_NOISE_FRAMES", "250"))
NUM_SCENES = 5
QUIET_US = 100_000
BYTE_US = 1
OPTIONS = DetectionOptions(
    score_threshold=np.float32(0.1).item(), iou_threshold=np.float32(0.7).item(), max_instances=20
)


def flip_bits(data, rng):
    """Flip each bit with a probability of 1e-5."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits ^= (rng.random(len(bits)) < 1e-5).astype(np.uint8)
    return np.packbits(bits).tobytes()


def place(data, rng):
    return int(rng.integers(0, len(data) - 1))


def drop_bytes(data, rng):
    at = place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 40)) :]


def double_bytes(data, rng):
    at = place(data, rng)
    return data[:at] + data[max(at - int(rng.integers(1, 40)), 0) :]


def swap_bytes(data, rng):
    at = place(data, rng)
    return data[:at] + data[at + 1 : at + 2] + data[at : at + 1] + data[at + 2 :]


def cut(data, rng):
    return data[: place(data, rng)]


def begin_late(data, rng):
    return data[place(data, rng) :]


def put_noise_in(data, rng):
    at = place(data, rng)
    return data[:at] + rng.integers(0, 256, int(rng.integers(1, 400)), dtype=np.uint8).tobytes() + data[at:]


def say_twice(data, rng):
    return data + data


NOISES = [flip_bits, drop_bytes, double_bytes, swap_bytes, cut, begin_late, put_noise_in, say_twice]


class Host:
    """A host whose pictures are scenes with known instances; what it receives is not disturbed."""

    def __init__(self, rng):
        self.spec, self.rng = SPECS["raw-int8-channels-first"](), rng
        self.scenes = [likely_outputs(self.spec, rng) for _ in range(NUM_SCENES)]
        decoders = [LocalDecoder(self.spec, outputs) for outputs in self.scenes]
        self.expected = [(decoder, decoder.decode(OPTIONS)) for decoder in decoders]
        self.images = [rng.integers(0, 256, (*self.spec.input_hw, 3), dtype=np.uint8) for _ in range(NUM_SCENES)]
        self.session = self.sequence = self.frame = 0
        self.scene_of_frame = {}
        self.delivered = []
        self.num_wrong = 0
        self.restart_board()

    def restart_board(self):
        self.board = Board(self.spec, self.run)
        self.board.now_us = int(self.rng.integers(0, 1 << 32))

    def run(self, image):
        """Return the outputs of the scene; a picture that is none must never come here."""
        matches = [i for i, known in enumerate(self.images) if np.array_equal(image, known)]
        self.num_wrong += len(matches) != 1
        return self.scenes[matches[0]]

    def begin(self):
        """Begin a session, until HELLO and CONFIGURE are answered."""
        for _ in range(5):
            self.session = self.session % 65535 + 1
            self.sequence = self.frame = 0
            self.scene_of_frame = {}
            self.say(hello(self.session).encode())
            self.take()
            self.say(self.packet(CONFIGURE, configuration()))
            if {packet.type for packet in self.take()} == {CONFIGURED}:
                return
            self.board.pass_time(QUIET_US)
        pytest.fail("the board does not answer")

    def packet(self, kind, payload):
        self.sequence += 1
        return Packet(kind, self.session, self.sequence & 0xFFFF, payload).encode()

    def next_picture(self):
        self.frame += 1
        scene = int(self.rng.integers(NUM_SCENES))
        self.scene_of_frame[self.frame] = scene
        return self.packet(PICTURE, picture(self.frame, self.images[scene].tobytes()))

    def say(self, data):
        self.board.send(data)
        self.board.now_us += BYTE_US * len(data)
        self.board.work()

    def take(self):
        packets = [packet for packet in self.board.packets() if packet.session == self.session]
        for packet in packets:
            if packet.type == RESULT:
                self.check(packet)
        return [packet for packet in packets if packet.type != WELCOME]

    def check(self, packet):
        result = read_result(packet.payload)
        decoder, expected = self.expected[self.scene_of_frame[result.frame]]
        np.testing.assert_array_equal(result.records["xyxy_px"], expected["xyxy_px"])
        np.testing.assert_array_equal(result.records["class_id"], expected["class_id"])
        check_masks(result, decoder, expected)
        self.delivered.append((self.session, result.frame))

    def must_deliver(self):
        """Send a picture after a quiet stretch; it must come back."""
        self.board.pass_time(QUIET_US)
        self.take()
        self.say(self.next_picture())
        packets = self.take()
        if any(
            packet.type == ERROR and struct.unpack_from("<H", packet.payload, 8)[0] == NO_SESSION for packet in packets
        ):
            self.begin()
            self.say(self.next_picture())
            self.take()
        assert self.delivered[-1:] == [(self.session, self.frame)]


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.__name__)
def test_noise(noise, rng):
    host = Host(rng)
    host.begin()
    for index in range(NUM_FRAMES):
        host.say(noise(host.next_picture(), rng))
        host.take()
        if index % 5 == 0:
            host.must_deliver()
    host.must_deliver()
    assert host.num_wrong == 0
    assert len(set(host.delivered)) == len(host.delivered), "a frame was answered twice"


def test_everything_at_once(rng):
    host = Host(rng)
    host.begin()
    for _ in range(NUM_FRAMES):
        data = b"".join(host.next_picture() for _ in range(rng.integers(1, 4)))
        for noise in rng.choice(NOISES, 2):
            data = noise(data, rng)
        host.say(data)
        host.take()
    host.must_deliver()
    assert host.num_wrong == 0
    assert len(set(host.delivered)) == len(host.delivered)


def test_resets_of_the_board(rng):
    host = Host(rng)
    host.begin()
    for _ in range(NUM_FRAMES // 5):
        data = host.next_picture()
        host.say(cut(data, rng))
        host.restart_board()
        host.must_deliver()
    assert host.num_wrong == 0


def test_hosts_killed_at_any_byte(rng):
    host = Host(rng)
    for _ in range(NUM_FRAMES // 2):
        host.begin()
        host.say(cut(host.next_picture(), rng))
        # The next host knows nothing of this one, and waits for nothing.
        host.session = int(rng.integers(1, 60000))
    host.board.pass_time(QUIET_US)
    host.begin()
    host.must_deliver()
    assert host.num_wrong == 0


def test_a_hello_amid_a_picture_is_heard_after_the_gap(rng):
    host = Host(rng)
    host.begin()
    host.say(host.next_picture()[:-3000])
    host.session = 999
    host.board.send(hello(999))
    assert [packet for packet in host.board.packets() if packet.type == WELCOME] == []
    host.board.pass_time(49_999)
    assert [packet for packet in host.board.packets() if packet.type == WELCOME] == []
    host.board.pass_time(1)
    assert [packet.session for packet in host.board.packets() if packet.type == WELCOME] == [999]
