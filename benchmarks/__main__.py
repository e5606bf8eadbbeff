"""Print all tables."""

from yolov8_seg_ros.executables import prepare_process

if __name__ == "__main__":
    prepare_process()
    from benchmarks import overlap, stages

    stages.main()
    overlap.main([])
