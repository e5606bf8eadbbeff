"""Turn pixels into instances; nothing here knows of ROS."""
