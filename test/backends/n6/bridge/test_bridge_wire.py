"""Test packets of the bridge protocol: against the vectors of both sides, and with whatever a line does to them."""

from __future__ import annotations

import hashlib
import json
import random

import pytest
from support.shared_data import CHECKOUT

from yolov8_seg_ros.backends.n6.bridge_wire import (
    CHUNK_BYTES,
    GAP_S,
    Packet,
    PacketType,
    Receiver,
    SequenceCheck,
    crc16,
    num_line_bytes,
)

VECTORS = json.loads((CHECKOUT / "test" / "n6_bridge" / "vectors.json").read_text(encoding="utf-8"))
NUM_DAMAGES = 300


def named(kind):
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda vector: vector["name"].replace(" ", "-"))


def payload_of(vector):
    if "payload" in vector:
        return bytes.fromhex(vector["payload"])
    length, seed = vector["pattern"]
    return bytes((7 * i + seed) & 0xFF for i in range(length))


@pytest.mark.parametrize("vector", VECTORS["checksums"], ids=lambda vector: str(len(vector["bytes"]) // 2))
def test_checksum_of_a_header(vector):
    assert crc16(bytes.fromhex(vector["bytes"])) == vector["crc16"]


@named("packets")
def test_a_packet_has_the_bytes_of_the_vector(vector):
    packet = Packet(vector["type"], vector["session"], vector["sequence"], payload_of(vector))
    data = packet.to_bytes()
    assert len(data) == num_line_bytes(len(packet.payload))
    if "bytes" in vector:
        assert data.hex() == vector["bytes"]
    else:
        assert hashlib.sha256(data).hexdigest() == vector["sha256"]
    assert Receiver(from_board=packet.type > 0x80).feed(data) == [packet]


@named("streams")
def test_a_stream_is_received_as_the_vector_says(vector):
    receiver, found = Receiver(from_board=vector["to"] == "host"), []
    for piece in vector["pieces"]:
        if isinstance(piece, str):
            found += receiver.feed(bytes.fromhex(piece))
        elif piece >= GAP_S * 1e3:
            found += receiver.give_up()
    expected = [
        Packet(item["type"], item["session"], item["sequence"], payload_of(item)) for item in vector["received"]
    ]
    assert found == expected
    assert receiver.num_damaged == vector["broken"]


def make_packets(rng, count):
    sizes = (0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7)
    return [Packet(PacketType.RESULT, 7, number, rng.randbytes(rng.choice(sizes))) for number in range(count)]


def test_however_the_bytes_arrive():
    rng = random.Random(1)
    packets = make_packets(rng, 40)
    data = b"".join(packet.to_bytes() for packet in packets)
    for longest in (1, 20, 5000, len(data)):
        receiver, found, start = Receiver(), [], 0
        while start < len(data):
            end = start + rng.randint(1, longest)
            found += receiver.feed(data[start:end])
            start = end
        assert found == packets
        assert not receiver.is_amid_packet


def flip(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def lose(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 50) :]


def double(data, rng):
    at = rng.randrange(len(data))
    return data[: at + rng.randint(1, 50)] + data[at:]


def swap(data, rng):
    at = rng.randrange(len(data) - 1)
    return data[:at] + data[at + 1 : at + 2] + data[at : at + 1] + data[at + 2 :]


def insert(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randint(1, 50)) + data[at:]


@pytest.mark.parametrize("damage", [flip, lose, double, swap, insert], ids=lambda damage: damage.__name__)
def test_no_damaged_packet_is_taken_and_the_next_ones_are(damage):
    rng = random.Random(damage.__name__)
    for _ in range(NUM_DAMAGES):
        before, after = make_packets(rng, 3), make_packets(rng, 2)
        data = damage(b"".join(packet.to_bytes() for packet in before), rng)
        receiver = Receiver()
        found = receiver.feed(data)
        # What is behind a packet that seems to go on needs a pause to be found.
        while receiver.is_amid_packet:
            found += receiver.give_up()
        assert all(packet in before for packet in found)
        assert receiver.feed(b"".join(packet.to_bytes() for packet in after)) == after


def test_bytes_from_anywhere_are_no_packets():
    rng = random.Random(3)
    receiver = Receiver()
    for _ in range(NUM_DAMAGES):
        assert receiver.feed(rng.randbytes(500).replace(b"\xc5", b"\xc5\x6e")) == []
    while receiver.is_amid_packet:
        assert receiver.give_up() == []


@pytest.mark.parametrize(
    ("sequences", "accepted", "lost"),
    [
        ([0, 1, 2], [True, True, True], 0),
        ([0, 0, 1, 0], [True, False, True, False], 0),
        ([0, 3, 1, 4], [True, True, False, True], 2),
        ([1023, 1024], [True, True], 1023),
        ([1024, 0], [False, True], 0),
        ([65535, 0], [False, True], 0),
    ],
    ids=["in order", "repeated", "lost and overtaken", "far ahead", "too far", "from before"],
)
def test_sequence(sequences, accepted, lost):
    check = SequenceCheck()
    assert [check.accept(sequence) for sequence in sequences] == accepted
    assert check.num_lost == lost


def test_sequence_wraps():
    check = SequenceCheck(65534)
    assert [check.accept(sequence) for sequence in (65534, 65535, 0, 65535, 2)] == [True, True, True, False, True]
    assert check.num_lost == 1
