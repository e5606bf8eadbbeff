"""Print all tables."""

from yolov8_seg_ros.executables import set_environment

if __name__ == "__main__":
    set_environment()
    from benchmarks import overlap, stages

    stages.main()
    overlap.main([])
