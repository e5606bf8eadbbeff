"""Work for a workstation rather than a robot: data sets, evaluation, export, segmenting files."""
