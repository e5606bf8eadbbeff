"""Measure speed. `python -m benchmarks.NAME` prints tables; nothing here is installed."""
