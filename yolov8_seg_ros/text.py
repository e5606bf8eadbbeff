"""Clean and name what is printed, drawn and sent."""

from __future__ import annotations

import unicodedata

#: Longest text that is shown as a whole, in characters.
MAX_SHOWN_CHARS = 2000
#: The stages of an image's way through the package, as output names them.
STAGES = ("preprocess", "inference", "postprocess")
#: The name of what no instance covers.
BACKGROUND = "background"
_ELLIPSIS = "…"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
#: They reverse the order of what follows, so that a name could show as another one.
_BIDI_CONTROLS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def clean_text(text: str, limit: int = MAX_SHOWN_CHARS) -> str:
    """Return text without what breaks terminals, logs, fonts and UTF-8.

    Pairs of surrogates become the character that they stand for, as JSON writes emoji. Single surrogates, as in file
    names that are not UTF-8, and control characters become U+FFFD; line ends and tabs become blanks. Text of more than
    `limit` characters is cut and ends with an ellipsis.
    """
    # Twice as long, since two surrogates make one character.
    units = text[: 2 * limit + 2].encode("utf-16-le", "surrogatepass")
    shown = "".join(map(_shown, units.decode("utf-16-le", "replace")))
    return shown if len(shown) <= limit else shown[: limit - 1] + _ELLIPSIS


def numbered_class(class_id: int) -> str:
    """Return the name of a class that has no name of its own."""
    return f"class_{class_id}"


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    is_control = unicodedata.category(character) in ("Cc", "Cs") or character in _BIDI_CONTROLS
    return _REPLACEMENT if is_control else character
