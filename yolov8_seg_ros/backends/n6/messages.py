"""Define the messages that ST's validation firmware and its host exchange, as protocol buffers.

The types are built here rather than generated, so that one file serves protobuf 3.12 to 7.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

__all__ = [
    "Acknowledge",
    "Capability",
    "Command",
    "ErrorCode",
    "Request",
    "Response",
    "RunMode",
    "State",
    "TensorData",
    "TensorFlag",
    "decoded",
    "encoded",
    "parse",
]

#: A message of one of the types below; protobuf makes them at run time.
Message = Any

#: Revision of the messages, major and minor.
PROTOCOL_VERSION = (3, 1)
#: What a run request's `opt` says of the first sample of a series.
FIRST_SAMPLE = 1
#: Longest text that a board takes, and longest line that it logs.
MAX_NAME_CHARS, MAX_LOG_CHARS = 63, 127


class Command(IntEnum):
    """What a request asks for."""

    SYNC = 0
    SYSTEM_INFO = 1
    MODEL_INFO = 10
    RUN = 11


class State(IntEnum):
    """What the board says it is doing."""

    IDLE = 0
    WAITING = 1
    PROCESSING = 2
    DONE = 3
    ERROR = 4


class ErrorCode(IntEnum):
    """Why the board refuses."""

    NONE = 0
    INVALID_SIZE = 1
    INVALID_FORMAT = 2
    INVALID_STATE = 3
    INVALID_PARAM = 4
    INVALID_SHAPE = 5
    INVALID_COMMAND = 6
    UNINITIALIZED = 7
    MEMORY_OVERFLOW = 8
    GENERIC = 10


class RunMode(IntFlag):
    """How a run goes; only the first is used by this package."""

    IO_ONLY = 1
    PER_LAYER = 2
    PER_LAYER_WITH_DATA = 4
    PERFORMANCE = 8


class Capability(IntFlag):
    """What the board offers besides running a model."""

    OBSERVER = 1
    RELOCATABLE = 2
    READ_WRITE = 8
    RANDOM = 16
    FILTERING = 32
    SELF_TEST = 128


class TensorFlag(IntFlag):
    """What a tensor is."""

    INPUT = 1
    OUTPUT = 2
    INTERNAL = 4
    LAST = 256
    NO_DATA = 512


#: Each message's fields: number, name, type; `...` behind a type is a list of it, `?` one of those of which there is
#: exactly one. All others are required. Enumerations travel as numbers, so that values not known here survive, and
#: texts as bytes, since protobuf's own strings treat what is no UTF-8 differently from version to version.
_FIELDS: dict[str, str] = {
    "Request": "1 reqid uint32, 2 cmd uint32, 3 param uint32, 4 name text, 5 opt uint32",
    "TensorData": "1 type uint32, 2 size uint32, 3 addr uint32, 4 datas bytes",
    "Acknowledge": "1 param uint32, 2 error uint32",
    "Sync": "1 version uint32, 4 capability uint32, 5 rtid uint32",
    "SystemInfo": "1 devid uint32, 2 sclock uint32, 3 hclock uint32, 4 cache uint32, 5 extra uint32...",
    "Log": "1 level uint32, 2 str text",
    "TensorDescription": (
        "1 name text, 2 format uint32, 3 size uint32, 4 n_dims uint32, 5 dims uint32..., 6 scale float, "
        "7 zeropoint int32, 8 addr uint32, 9 flags uint32"
    ),
    "Tensor": "1 desc TensorDescription, 2 data TensorData",
    "Operator": (
        "1 name text, 2 type uint32, 3 id uint32, 4 duration float, 5 counter_type uint32, 6 counters uint32..., "
        "7 stack_used int32, 8 heap_used int32"
    ),
    "ModelInfo": (
        "1 name text, 2 rtid uint32, 3 signature text, 4 compile_datetime text, 5 runtime_version uint32, "
        "6 tool_version uint32, 7 n_macc uint64, 8 n_nodes uint32, 10 n_inputs uint32, 11 inputs TensorDescription..., "
        "12 n_outputs uint32, 13 outputs TensorDescription..., 14 n_activations uint32, "
        "15 activations TensorDescription..., 16 n_params uint32, 17 params TensorDescription..., "
        "20 runtime_desc text"
    ),
    "Response": (
        "1 reqid uint32, 2 state uint32, 10 sync Sync?, 11 sinfo SystemInfo?, 12 ack Acknowledge?, 13 log Log?, "
        "15 data TensorData?, 16 op Operator?, 17 tensor Tensor?, 22 minfo ModelInfo?"
    ),
}
_PACKAGE = "yolov8_seg_ros.n6"
_FieldProto = descriptor_pb2.FieldDescriptorProto


def _make_types() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="yolov8_seg_ros/n6.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _FIELDS.items():
        _add_message(file, name, fields)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: _message_class(pool, name) for name in _FIELDS}


def _add_message(file: Any, name: str, fields: str) -> None:
    message = file.message_type.add(name=name)
    for definition in fields.split(", "):
        number, field_name, kind = definition.split(" ")
        field = message.field.add(name=field_name, number=int(number), label=_FieldProto.LABEL_REQUIRED)
        if kind.endswith("..."):
            field.label = _FieldProto.LABEL_REPEATED
        elif kind.endswith("?"):
            field.label = _FieldProto.LABEL_OPTIONAL
            field.oneof_index = 0
            if not message.oneof_decl:
                message.oneof_decl.add(name="payload")
        _set_type(field, kind.rstrip(".?"))


def _set_type(field: Any, kind: str) -> None:
    if kind in _FIELDS:
        field.type = _FieldProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
    else:
        field.type = _FieldProto.TYPE_BYTES if kind == "text" else getattr(_FieldProto, f"TYPE_{kind.upper()}")


def _message_class(pool: Any, name: str) -> type[Message]:
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    factory: Any = message_factory
    if hasattr(factory, "GetMessageClass"):
        return factory.GetMessageClass(descriptor)
    # Before protobuf 4.22.
    return factory.MessageFactory(pool).GetPrototype(descriptor)


_TYPES = _make_types()
#: Host to board. What a message is, only its place in the sequence tells.
Request, TensorData, Acknowledge = _TYPES["Request"], _TYPES["TensorData"], _TYPES["Acknowledge"]
#: Board to host: always this one.
Response = _TYPES["Response"]


def parse(kind: type[Message], data: bytes) -> Message | None:
    """Give the message of that type, or None where the bytes are none."""
    try:
        message = kind.FromString(data)
    except DecodeError:
        return None
    # Not every version of protobuf looks into the parts.
    return message if message.IsInitialized() else None


def encoded(text: str) -> bytes:
    """Give a text as a message holds it."""
    return text.encode("utf-8", "replace")


def decoded(text: bytes) -> str:
    """Give a message's text; what is none shows as such."""
    return text.decode("utf-8", "backslashreplace")


def version_word(major: int, minor: int, patch: int = 0) -> int:
    """Pack the version of a runtime or tool."""
    return major << 24 | minor << 16 | patch << 8


def version_text(word: int) -> str:
    """Write a packed version of a runtime or tool."""
    return f"{word >> 24}.{word >> 16 & 0xFF}.{word >> 8 & 0xFF}"
