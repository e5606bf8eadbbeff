"""Define every setting once: ROS parameters, command-line options, config/seg.yaml and the documents follow from it."""
