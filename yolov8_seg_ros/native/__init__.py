"""The decoder in C: `seg.h` is its manual, `core/native.py` calls it."""
