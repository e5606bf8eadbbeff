"""Measure speed: `make bench`, or one of the modules as README.md says."""
