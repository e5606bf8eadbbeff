"""Measure a model's accuracy on a data set with ground truth."""
