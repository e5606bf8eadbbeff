"""Read text files as people's programs write them: with byte order marks, Windows line ends, old encodings."""

from __future__ import annotations

import codecs
from pathlib import Path

from yolov8_seg_ros.files import read_file
from yolov8_seg_ros.tools.dataset.finding import Finding, Kind

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, max_bytes: int | None = None) -> tuple[str, tuple[Finding, ...]]:
    """Read a text file whatever its encoding, with plain line ends; return the text and what is irregular about it.

    Raises:
        OSError: if it cannot be read, or has more than `max_bytes`.
    """
    text, kinds = _decode(read_file(path, max_bytes))
    if "\r" in text:
        kinds.append(Kind.CRLF)
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.strip() and not text.endswith("\n"):
        kinds.append(Kind.NO_LINE_END)
    return text, tuple(Finding(kind, path) for kind in kinds)


def _decode(data: bytes) -> tuple[str, list[Kind]]:
    if data.startswith(_UTF_16_MARKS):
        return data.decode("utf-16", errors="replace"), [Kind.ENCODING]
    try:
        return data.decode("utf-8-sig"), [Kind.BYTE_ORDER_MARK] if data.startswith(codecs.BOM_UTF8) else []
    except UnicodeDecodeError:
        # Every byte is a character of Latin-1, and what counts here, digits and points, are the same in all.
        return data.decode("latin-1"), [Kind.ENCODING]
