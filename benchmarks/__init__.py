"""Measure speed: `make bench`, or `python -m benchmarks.stages --help`, `python -m benchmarks.overlap --help`."""
