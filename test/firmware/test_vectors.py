"""Test the firmware's core against the vectors that the host's side is tested against as well."""

from __future__ import annotations

import hashlib
import json
import struct
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import numpy as np
import pytest
from support.bridge_board import Packet
from support.bridge_core import CHECKOUT, core

FOLDER = CHECKOUT / "test" / "n6_bridge"
VECTORS = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
MAX_PICTURE_BYTES = 1 << 24
NOTHING, BEGINS, CHUNK, WHOLE, BROKEN = range(5)


def named(kind: str) -> Any:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda vector: vector["name"].replace(" ", "-"))


def payload_of(vector: dict[str, Any]) -> bytes:
    if "payload" in vector:
        return bytes.fromhex(vector["payload"])
    length, seed = vector["pattern"]
    return bytes((7 * i + seed) & 0xFF for i in range(length))


class Receiver:
    """The core's receiver."""

    def __init__(self) -> None:
        self.ffi, self.lib = core()
        self.tables = self.ffi.new("struct n6_crc32_tables *")
        self.receiver = self.ffi.new("struct n6_receiver *")
        self.lib.n6_crc32_init(self.tables)
        self.lib.n6_receiver_init(self.receiver, self.tables, MAX_PICTURE_BYTES)
        self.now_us = 0xFFFFF000
        self.packets: list[tuple[int, int, int, bytes]] = []
        self.num_broken = 0
        self._payload = b""

    def feed(self, data: bytes) -> None:
        while data:
            room = self.ffi.new("int32_t *")
            target = self.lib.n6_receiver_room(self.receiver, room)
            count = min(room[0], len(data))
            assert count > 0
            self.ffi.memmove(target, data, count)
            self.lib.n6_receiver_add(self.receiver, count, self.now_us)
            data = data[count:]
            self._drain(False)

    def wait(self, duration_us: int) -> None:
        self.now_us = (self.now_us + duration_us) & 0xFFFFFFFF
        self._drain(True)

    def _drain(self, is_quiet: bool) -> None:
        while (event := self.lib.n6_receive(self.receiver, is_quiet, self.now_us)).kind != NOTHING:
            header = event.header
            if event.kind == BEGINS:
                self._payload = b""
            elif event.kind == CHUNK:
                assert event.offset == len(self._payload)
                self._payload += self.ffi.buffer(event.chunk, event.chunk_bytes)[:]
            elif event.kind == WHOLE:
                assert header.length == len(self._payload)
                self.packets.append((header.type, header.session, header.sequence, self._payload))
            else:
                assert event.offset == len(self._payload)
                self.num_broken += 1


def test_vectors_are_up_to_date():
    spec = spec_from_file_location("make_vectors", FOLDER / "make_vectors.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (FOLDER / "vectors.json").read_text(encoding="utf-8")
    assert text == module.as_text(module.vectors()), "run: python test/n6_bridge/make_vectors.py"


@pytest.mark.parametrize("vector", VECTORS["checksums"], ids=lambda vector: str(len(vector["bytes"]) // 2))
def test_checksums(vector):
    ffi, lib = core()
    data = bytes.fromhex(vector["bytes"])
    tables = ffi.new("struct n6_crc32_tables *")
    lib.n6_crc32_init(tables)
    assert lib.n6_crc16(data, len(data)) == vector["crc16"]
    for cut in range(0, len(data) + 1, 1 + len(data) // 7):
        before = lib.n6_crc32(tables, data[:cut], cut, 0)
        assert lib.n6_crc32(tables, data[cut:], len(data) - cut, before) == vector["crc32"]


@named("packets")
def test_packets_of_the_tests_themselves(vector):
    data = Packet(vector["type"], vector["session"], vector["sequence"], payload_of(vector)).encode()
    assert vector.get("bytes", data.hex()) == data.hex()
    assert vector.get("sha256", hashlib.sha256(data).hexdigest()) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS["streams"] if v["to"] == "board"], ids=lambda v: v["name"].replace(" ", "-")
)
@pytest.mark.parametrize("piece_bytes", [0, 1, 7], ids=["whole", "bytes", "sevens"])
def test_streams(vector, piece_bytes):
    receiver = Receiver()
    for piece in vector["pieces"]:
        if isinstance(piece, int):
            receiver.wait(1000 * piece)
            continue
        data = bytes.fromhex(piece)
        step = piece_bytes or len(data)
        for start in range(0, len(data), step):
            receiver.feed(data[start : start + step])
    expected = [(v["type"], v["session"], v["sequence"], payload_of(v)) for v in vector["received"]]
    assert receiver.packets == expected
    assert receiver.num_broken == vector["broken"]


def payload(name: str) -> tuple[dict[str, Any], bytes]:
    vector = next(vector for vector in VECTORS["payloads"] if vector["name"] == name)
    return vector["fields"], bytes.fromhex(vector["bytes"])


def written(length: int, write: Any) -> bytes:
    ffi, _ = core()
    buffer = ffi.new("uint8_t[]", length + 64)
    return ffi.buffer(buffer, write(buffer))[:]


def test_welcome():
    (ffi, lib), (fields, data) = core(), payload("welcome")
    names = ("credit", "max_jpeg_bytes", "max_result_bytes", "max_instances", "capabilities", "max_picture_bytes")
    device_name = ffi.new("char[]", fields["device_name"].encode())
    welcome = ffi.new(
        "struct n6_welcome *",
        {name: fields[name] for name in (*names, "clock_hz", "npu_hz")} | {"device_name": device_name},
    )
    assert written(len(data), lambda buffer: lib.n6_write_welcome(buffer, welcome)) == data


def test_model():
    (ffi, lib), (fields, data) = core(), payload("model")
    keep = [ffi.new("char[]", name.encode()) for name in [fields["name"], *fields["class_names"]]]
    class_names = ffi.new("char *[]", keep[1:])
    model = ffi.new(
        "struct n6_model_description *",
        {
            "seg": {
                "input_width_px": fields["input_wh"][0],
                "input_height_px": fields["input_wh"][1],
                "num_classes": fields["num_classes"],
                "num_coefficients": fields["num_coefficients"],
                "box_bins": fields["box_bins"],
                "num_levels": len(fields["levels"]),
                "levels": [
                    {"stride_px": stride, "columns": columns, "rows": rows}
                    for stride, columns, rows in fields["levels"]
                ],
                "prototype_columns": fields["grid_columns"],
                "prototype_rows": fields["grid_rows"],
            },
            "input": {"type": 1, "scale": fields["input_scale"], "zero_point": fields["input_zero_point"]},
            "name": keep[0],
            "class_names": class_names,
            "sha256": list(bytes.fromhex(fields["sha256"])),
        },
    )
    assert lib.n6_model_bytes(model) == len(data)
    found = written(len(data), lambda buffer: lib.n6_write_model(buffer, model))
    assert found[8:] == data[8:]


def test_configure():
    (ffi, lib), (fields, data) = core(), payload("configure")
    configuration, detail = ffi.new("struct n6_configuration *"), ffi.new("uint32_t *")
    wanted = ffi.new("uint8_t[]", fields["num_classes"])
    limits = ffi.new("struct n6_configuration_limits *", (fields["num_classes"], fields["max_instances"]))
    assert lib.n6_read_configuration(data, len(data), limits, configuration, wanted, detail) == 0
    options = configuration.options
    assert [i for i, is_wanted in enumerate(wanted) if is_wanted] == fields["classes"]
    assert options.is_class_wanted == wanted
    found = {
        "configuration": configuration.number,
        "score_threshold": options.score_threshold,
        "iou_threshold": options.iou_threshold,
        "mask_logit": configuration.mask_logit,
        "max_instances": options.max_instances,
        "masks": configuration.masks,
        "switches": options.agnostic_nms | options.multi_label << 1 | options.vote_boxes << 2,
    }
    assert found == {name: fields[name] for name in found}


def test_error():
    (ffi, lib), (fields, data) = core(), payload("error")
    error = ffi.new(
        "struct n6_error *",
        {name: fields[name] for name in ("code", "request_type", "request_sequence", "frame", "detail")},
    )
    status = ffi.new("struct n6_status *", fields["status"])[0]
    found = written(300, lambda buffer: lib.n6_write_error(buffer, status, error))
    assert found[:24] == data[:24]
    assert found[24:].decode().isprintable()


def test_head_and_records_of_a_result():
    (ffi, lib), (fields, data) = core(), payload("result")
    records = [
        {"xyxy_px": record["xyxy_px"], "score": record["score"], "class_id": record["class"]}
        for record in fields["records"]
    ]
    instances, writer = ffi.new("struct seg_instance[]", records), ffi.new("struct n6_result_writer *")
    buffer = ffi.new("uint8_t[]", len(data))
    lib.n6_begin_result(writer, buffer, len(data), instances, len(records))
    times = ffi.new("struct n6_times *", {name: fields[name] for name in fields if name.endswith("_us")})
    # Masks are another vector's matter.
    writer.is_cut = fields["flags"]
    length = lib.n6_end_result(writer, fields["frame"], fields["configuration"], times)
    assert length == 40 + 36 * len(records)
    found, expected = bytearray(ffi.buffer(buffer, length)), bytearray(data[:length])
    found[:8] = struct.pack("<II", *fields["status"])
    for index in range(len(records)):
        window = slice(40 + 36 * index + 22, 40 + 36 * index + 36)
        assert not any(found[window])
        expected[window] = bytes(14)
    assert found == expected


@named("masks")
@pytest.mark.parametrize("way", ["signs", "contours"])
def test_masks(vector, way):
    ffi, lib = core()
    window = ffi.new("struct seg_window *", (0, 0, vector["columns"], vector["rows"]))
    logits, threshold = np.array(vector["logits"], np.float32), float(vector["mask_logit"])
    pointer, expected = ffi.cast("float *", logits.ctypes.data), bytes.fromhex(vector[way])
    found = written(
        len(expected), lambda buffer: lib.seg_pack_mask(window, pointer, threshold, way == "contours", buffer, 1 << 16)
    )
    assert found == expected
    assert lib.seg_unpack_mask(found, len(found), window, threshold, pointer) == 0
    expected_inside = [value > threshold for value in np.array(vector["logits"], np.float32).tolist()]
    assert (logits > threshold).tolist() == expected_inside
