"""Instance segmentation for ROS 2 robots with int8 YOLOv8-seg models."""
