"""The ROS 2 nodes: a thin shell around the core."""
