"""Write vectors.json: bytes of the bridge protocol, made from its document alone, for both implementations.

Run `python test/n6_bridge/make_vectors.py` after a change of the protocol. It uses neither implementation.

- `checksums`: `crc16` and `crc32` of bytes.
- `packets`: fields, and the bytes on the line. A long payload is `pattern`: byte i is (7 i + seed) mod 256; its bytes
  are then given by their SHA-256.
- `streams`: what comes over a line, in pieces; a number is that many milliseconds without a byte. `received` are the
  packets that a receiver takes (before it looks at session and sequence), `broken` how many it breaks off.
- `payloads`: fields of a payload, and its bytes.
- `masks`: logits in a window, and both ways to pack them.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("vectors.json")
CHUNK_BYTES = 8192
LONGEST_HEX_BYTES = 600


def pattern(length: int, seed: int) -> bytes:
    """Return bytes that look like a picture to nobody."""
    return bytes((7 * i + seed) & 0xFF for i in range(length))


def header(kind: int, session: int, sequence: int, length: int, flags: int = 0) -> bytes:
    """Return the 14 bytes of a header."""
    head = bytes([0xC5, 0x6E, kind, flags]) + struct.pack("<HHI", session, sequence, length)
    return head + struct.pack("<H", binascii.crc_hqx(head, 0xFFFF))


def chunks(head: bytes, payload: bytes) -> list[bytes]:
    """Return the chunks with their checksums."""
    crc, found = zlib.crc32(head), []
    for start in range(0, len(payload), CHUNK_BYTES):
        chunk = payload[start : start + CHUNK_BYTES]
        crc = zlib.crc32(chunk, crc)
        found.append(chunk + struct.pack("<I", crc))
    return found


def packet(kind: int, session: int, sequence: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a packet."""
    head = header(kind, session, sequence, len(payload))
    return head + b"".join(chunks(head, payload))


def described(kind: int, session: int, sequence: int, payload: bytes, seed: int | None = None) -> dict[str, Any]:
    """Return a packet's fields for the file."""
    fields: dict[str, Any] = {"type": kind, "session": session, "sequence": sequence}
    if seed is None:
        fields["payload"] = payload.hex()
    else:
        assert payload == pattern(len(payload), seed)
        fields["pattern"] = [len(payload), seed]
    return fields


def packet_vectors() -> list[dict[str, Any]]:
    """Return packets of both sides."""
    rows: list[tuple[str, int, int, int, bytes, int | None]] = [
        ("describe, no payload", 0x02, 0x1234, 1, b"", None),
        ("hello", 0x01, 0xBEEF, 0, PAYLOADS["hello"], None),
        ("ping", 0x05, 1, 65535, struct.pack("<I", 3) + b"echo", None),
        ("credit", 0x86, 65535, 256, struct.pack("<II", 5, 3), None),
        ("one byte", 0x05, 2, 3, pattern(1, 9), 9),
        ("one chunk", 0x04, 2, 4, pattern(8192, 0), 0),
        ("one chunk and a byte", 0x04, 2, 5, pattern(8193, 1), 1),
        ("a picture of 64x64", 0x04, 2, 6, pattern(12304, 2), 2),
        ("a long result", 0x84, 2, 7, pattern(20000, 3), 3),
    ]
    vectors = []
    for name, kind, session, sequence, payload, seed in rows:
        data = packet(kind, session, sequence, payload)
        vectors.append({"name": name, **described(kind, session, sequence, payload, seed)})
        vectors[-1] |= {"bytes": data.hex()} if len(data) <= LONGEST_HEX_BYTES else {"sha256": sha256(data)}
    return vectors


def sha256(data: bytes) -> str:
    """Return the hash as text."""
    return hashlib.sha256(data).hexdigest()


def stream_vectors() -> list[dict[str, Any]]:
    """Return undamaged and damaged streams, to the board and, with other types, to the host."""
    found = []
    for side, kinds in {"board": (0x05, 0x04), "host": (0x85, 0x84)}.items():
        found += [{"to": side, **stream} for stream in streams(*kinds, other=0x86 if side == "board" else 0x05)]
    return found


def flipped(data: bytes, at: int, bit: int = 3) -> bytes:
    """Return bytes of which one bit is wrong."""
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def streams(small: int, large: int, other: int) -> list[dict[str, Any]]:
    """Return streams of packets of two types; `other` is a type of the other side."""
    session = 77
    a, b = packet(small, session, 1, b"first packet"), packet(small, session, 2, b"second packet")
    long = packet(large, session, 1, pattern(9000, 5))
    fields_a = described(small, session, 1, b"first packet")
    fields_b = described(small, session, 2, b"second packet")
    fields_long = described(large, session, 1, pattern(9000, 5), 5)
    noise = bytes.fromhex("c5c56ec5006e05ff") + b"boot text\r\n"
    head = header(large, session, 1, 16384)
    first, second = chunks(head, pattern(16384, 8))
    alien = chunks(header(large, session, 9, 9000), pattern(9000, 5))
    rows: list[tuple[str, list[bytes | int], list[dict[str, Any]], int]] = [
        ("two packets", [a + b], [fields_a, fields_b], 0),
        ("byte by byte", [a[i : i + 1] for i in range(len(a))], [fields_a], 0),
        ("more than a chunk", [long + b], [fields_long, fields_b], 0),
        ("noise before, between and behind", [noise + a + noise + b + noise, 60], [fields_a, fields_b], 0),
        ("a bit in the header", [flipped(a, 6) + b], [fields_b], 0),
        ("a bit in the sync bytes", [flipped(a, 0) + b], [fields_b], 0),
        ("a bit in the header's checksum", [flipped(a, 13) + b], [fields_b], 0),
        ("a bit in the payload", [flipped(a, 20) + b], [fields_b], 1),
        ("a bit in the payload's checksum", [flipped(a, len(a) - 1) + b], [fields_b], 1),
        ("a bit in the second chunk", [flipped(long, 14 + 8196 + 100) + b], [fields_b], 1),
        ("a byte of the payload is lost", [a[:18] + a[19:] + b], [fields_b], 1),
        ("a byte of the payload is doubled", [a[:18] + a[17:] + b], [fields_b], 1),
        ("two bytes are swapped", [a[:17] + a[18:19] + a[17:18] + a[19:] + b], [fields_b], 1),
        ("a byte of the header is lost", [a[:5] + a[6:] + b], [fields_b], 0),
        ("cut in the header", [a[:9] + b], [fields_b], 0),
        ("cut in the header, silence", [a[:9], 60, b], [fields_b], 0),
        ("cut in the payload, silence", [a[:20], 60, b], [fields_b], 1),
        ("cut in the payload, another packet, silence", [long[:500] + a + b, 60], [fields_a, fields_b], 1),
        ("cut in the payload, half a packet, silence, the rest", [long[:500] + a[:9], 60, a[9:] + b], [fields_b], 1),
        ("cut, a header, silence, its payload", [long[:500] + a[:20], 60, a[20:] + b], [fields_a, fields_b], 1),
        ("a short pause is no damage", [a[:20], 40, a[20:], 40, b[:5], 40, b[5:]], [fields_a, fields_b], 0),
        ("both chunks swapped", [head + second + first + b], [fields_b], 1),
        ("a chunk of another packet", [header(large, session, 1, 9000) + alien[0] + alien[1] + b], [fields_b], 1),
        ("flags are set", [header(small, session, 1, 0, flags=1) + b], [fields_b], 0),
        ("session 0", [header(small, 0, 1, 0) + b], [fields_b], 0),
        ("a type of the other side", [packet(other, session, 1, b"12345678") + b], [fields_b], 0),
        ("too long", [header(small, session, 1, 16385) + b], [fields_b], 0),
        ("far too long", [header(large, session, 1, 16777217) + b], [fields_b], 0),
        ("an unknown type", [packet(other ^ 0x80 | 0x40, session, 1, b"?") + b],
         [described(other ^ 0x80 | 0x40, session, 1, b"?"), fields_b], 0),
    ]  # fmt: skip
    return [
        {"name": name, "pieces": [piece if isinstance(piece, int) else piece.hex() for piece in pieces],
         "received": received, "broken": broken}
        for name, pieces, received, broken in rows
    ]  # fmt: skip


def text(value: str) -> bytes:
    """Return a u8 of the length, and the text."""
    return bytes([len(value.encode())]) + value.encode()


MODEL = {
    "status": [4, 2], "input_wh": [320, 256], "input_type": 1, "box_bins": 16, "input_scale": 0.00390625,
    "input_zero_point": 3, "num_classes": 2, "num_coefficients": 32, "grid_columns": 80, "grid_rows": 64,
    "sha256": "0123456789abcdef" * 4, "levels": [[8, 40, 32], [16, 20, 16], [32, 10, 8]],
    "name": "street", "class_names": ["cat", "chien à poil"],
}  # fmt: skip
CONFIGURATION = {
    "configuration": 5, "score_threshold": 0.25, "iou_threshold": 0.5, "mask_logit": 0.48828125, "max_instances": 300,
    "masks": 2, "switches": 6, "num_classes": 10, "classes": [0, 3, 9],
}  # fmt: skip
RECORDS = [
    {"xyxy_px": [-1.5, 8.25, 20.5, 24.0], "score": 0.875, "class": 1, "window": [0, 1, 6, 5], "mask": ""},
    {"xyxy_px": [100.0, 50.0, 101.0, 52.0], "score": 0.25, "class": 0, "window": [0, 0, 0, 0], "mask": ""},
]
TIMES = [8000, 250, 31, 31570, 2100]


def mask_rows() -> list[tuple[str, int, int, float, list[float]]]:
    """Return names, columns, rows, thresholds and logits."""
    disc = [round(2.5 - math.hypot(x - 2.5, y - 2), 3) for y in range(5) for x in range(6)]
    wide = [1.0 if 3 <= i // 20 <= 6 else -1.0 for i in range(200)]
    return [
        ("a disc", 6, 5, 0.48828125, disc),
        ("all inside", 9, 9, 0.5, [0.75] * 81),
        ("all outside", 1, 1, 0.5, [0.5]),
        ("a band", 20, 10, 0.0, wide),
        ("a threshold of infinity", 2, 2, math.inf, [1.0, 2.0, 3.0, 4.0]),
        ("a threshold of minus infinity", 2, 2, -math.inf, [1.0, 2.0, 3.0, -4.0]),
        ("checkers", 9, 8, 0.25, [float((x + y) % 2) for y in range(8) for x in range(9)]),
    ]


def pack(columns: int, rows: int, threshold: float, logits: list[float], has_contour: bool) -> bytes:
    """Return a packed mask, as the document describes it."""
    inside = [value > threshold for value in logits]
    kinds = []
    for y in range(rows):
        for x in range(columns):
            near = [
                inside[v * columns + u]
                for v in range(max(y - 1, 0), min(y + 2, rows))
                for u in range(max(x - 1, 0), min(x + 2, columns))
            ]
            kinds.append(2 if has_contour and len(set(near)) == 2 else int(inside[y * columns + x]))
    packed, at = b"", 0
    while at < len(kinds):
        end = at
        while end < len(kinds) and kinds[end] == kinds[at] and end - at < 64:
            end += 1
        packed += bytes([kinds[at] << 6 | end - at - 1])
        if kinds[at] == 2:
            packed += struct.pack(f"<{end - at}f", *logits[at:end])
        at = end
    return packed


def number(value: float) -> float | str:
    """Return a number, or an infinity's name, as JSON knows it."""
    return str(value) if math.isinf(value) else value


def mask_vectors() -> list[dict[str, Any]]:
    """Return masks and what they are packed to."""
    return [
        {
            "name": name,
            "columns": columns,
            "rows": rows,
            "mask_logit": number(threshold),
            "logits": logits,
            "signs": pack(columns, rows, threshold, logits, False).hex(),
            "contours": pack(columns, rows, threshold, logits, True).hex(),
        }
        for name, columns, rows, threshold, logits in mask_rows()
    ]


def model_bytes() -> bytes:
    """Return the payload of MODEL."""
    data = struct.pack("<II", *MODEL["status"])
    data += struct.pack("<HHBBBB", *MODEL["input_wh"], MODEL["input_type"], MODEL["box_bins"], len(MODEL["levels"]), 0)
    data += struct.pack("<fiHH", MODEL["input_scale"], MODEL["input_zero_point"], 2, MODEL["num_coefficients"])
    data += struct.pack("<HH", MODEL["grid_columns"], MODEL["grid_rows"]) + bytes.fromhex(MODEL["sha256"])
    data += b"".join(struct.pack("<HHHH", *level, 0) for level in MODEL["levels"])
    return data + b"".join(map(text, [MODEL["name"], *MODEL["class_names"]]))


def configuration_bytes() -> bytes:
    """Return the payload of CONFIGURE."""
    names = ("configuration", "score_threshold", "iou_threshold", "mask_logit", "max_instances", "masks", "switches")
    data = struct.pack("<IfffHBBHH", *[CONFIGURATION[name] for name in names], CONFIGURATION["num_classes"], 0)
    return data + sum(1 << index for index in CONFIGURATION["classes"]).to_bytes(2, "little")


def result_bytes() -> bytes:
    """Return the payload of RESULT; the first record's mask is the disc."""
    _, columns, rows, threshold, logits = mask_rows()[0]
    mask = pack(columns, rows, threshold, logits, True)
    RECORDS[0]["mask"] = mask.hex()
    data = struct.pack("<IIII5IHH", 4, 2, 3, 5, *TIMES, len(RECORDS), 1)
    for record in RECORDS:
        size = len(record["mask"]) // 2
        data += struct.pack("<5fH", *record["xyxy_px"], record["score"], record["class"])
        data += struct.pack("<4HHI", *record["window"], 0, size)
    return data + mask


PAYLOADS = {
    "hello": struct.pack("<IHH", 0x4252364E, 1, 0),
    "welcome": struct.pack("<IIHHIIIIHHII", 0, 0, 1, 2, 15, 196624, 65536, 131072, 300, 0, 800_000_000, 1_000_000_000)
    + b"STM32N6570-DK",
    "model": model_bytes(),
    "configure": configuration_bytes(),
    "configured": struct.pack("<III", 4, 2, 5),
    "picture head": struct.pack("<IB3xII", 3, 2, 0, 0),
    "result": result_bytes(),
    "ping": struct.pack("<I", 3) + b"echo",
    "pong": struct.pack("<II", 3, 3) + b"echo",
    "error": struct.pack("<IIHBBHHII", 3, 2, 8, 4, 0, 12, 0, 3, 2) + b"why",
}
FIELDS: dict[str, dict[str, Any]] = {
    "hello": {"version": 1},
    "welcome": {
        "status": [0, 0], "version": 1, "credit": 2, "capabilities": 15, "max_picture_bytes": 196624,
        "max_jpeg_bytes": 65536, "max_result_bytes": 131072, "max_instances": 300, "clock_hz": 800_000_000,
        "npu_hz": 1_000_000_000, "device_name": "STM32N6570-DK",
    },
    "model": MODEL,
    "configure": CONFIGURATION,
    "configured": {"status": [4, 2], "configuration": 5},
    "picture head": {"frame": 3, "format": 2},
    "result": {
        "status": [4, 2], "frame": 3, "configuration": 5, "receive_us": TIMES[0], "prepare_us": TIMES[1],
        "wait_us": TIMES[2], "inference_us": TIMES[3], "decode_us": TIMES[4], "flags": 1, "records": RECORDS,
    },
    "ping": {"last_frame": 3, "echo": b"echo".hex()},
    "pong": {"status": [3, 3], "echo": b"echo".hex()},
    "error": {
        "status": [3, 2], "code": 8, "request_type": 4, "request_sequence": 12, "frame": 3, "detail": 2, "text": "why",
    },
}  # fmt: skip


def vectors() -> dict[str, Any]:
    """Return the file's content."""
    texts = [b"", b"123456789", pattern(300, 4)]
    return {
        "checksums": [
            {"bytes": data.hex(), "crc16": binascii.crc_hqx(data, 0xFFFF), "crc32": zlib.crc32(data)} for data in texts
        ],
        "packets": packet_vectors(),
        "streams": stream_vectors(),
        "payloads": [{"name": name, "fields": FIELDS[name], "bytes": PAYLOADS[name].hex()} for name in PAYLOADS],
        "masks": mask_vectors(),
    }


def as_text(content: dict[str, Any]) -> str:
    """Return JSON with a vector a line."""
    parts = [
        f'"{name}": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]"
        for name, rows in content.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(as_text(vectors()), encoding="utf-8")
