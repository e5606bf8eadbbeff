"""The command-line tool `yolov8_seg`, one module per verb."""
