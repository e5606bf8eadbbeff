"""Measure how well a model does on a data set whose truth is known."""
