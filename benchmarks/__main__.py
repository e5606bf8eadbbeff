"""Print all tables."""

import argparse
import sys

from yolov8_seg_ros.executables import prepare_process
from yolov8_seg_ros.model_files.store import SCENE_MODEL


def main() -> int:
    """Run the benchmarks that need nothing but this package."""
    prepare_process()
    from benchmarks import depth, node, overlap, simulation, stages, tracker

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--model", default=SCENE_MODEL, help="path or name of a model (default: %(default)s)")
    parser.add_argument("--image", default="", help="of the node's tables; default: one of the built-in scene")
    args = parser.parse_args()
    model = ["--model", args.model]
    stages.main(model)
    for benchmark in (node, overlap):
        print(flush=True)
        benchmark.main([*model, "--image", args.image])
    for small in (tracker, depth, simulation):
        print(flush=True)
        small.main([])
    return 0


if __name__ == "__main__":
    sys.exit(main())
