"""Read text files as people's programs write them: with byte order marks, Windows line ends, old encodings."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from yolov8_seg_ros.tools.dataset.finding import Finding, Kind

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class TextFile:
    """Hold a text with plain line ends, and what was irregular about its bytes."""

    text: str
    findings: tuple[Finding, ...]


def read_text(path: Path) -> TextFile:
    """Read a text file whatever its encoding.

    Raises:
        OSError: if it cannot be read.
    """
    data = path.read_bytes()
    text, kinds = _decode(data)
    if "\r" in text:
        kinds.append(Kind.CRLF)
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.strip() and not text.endswith("\n"):
        kinds.append(Kind.NO_LINE_END)
    return TextFile(text, tuple(Finding(kind, path) for kind in kinds))


def _decode(data: bytes) -> tuple[str, list[Kind]]:
    if data.startswith(_UTF_16_MARKS):
        return data.decode("utf-16", errors="replace"), [Kind.ENCODING]
    marked = data.startswith(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8-sig"), [Kind.BYTE_ORDER_MARK] if marked else []
    except UnicodeDecodeError:
        # Every byte is a character of Latin-1, and what counts here, digits and points, are the same in all.
        return data.decode("latin-1"), [Kind.ENCODING]
