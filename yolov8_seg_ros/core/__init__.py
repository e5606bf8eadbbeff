"""Compute instances from pixels; nothing here depends on ROS."""
