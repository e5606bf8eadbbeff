"""Send random outputs through the library named on the command line; whoever started this watches its memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from fakes import make_spec
from yolov8_seg_ros.core.compiled import CompiledPostprocess
from yolov8_seg_ros.core.head import HeadOptions
from yolov8_seg_ros.core.library import open_library

from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.quantization import QuantParams

NUM_IMAGES = 600
#: Odd numbers of all there is, and steps from tiny boxes to ones far larger than the image.
NETWORKS_HW = [(32, 32), (64, 96), (96, 32)]
SCALES = [1e-6, 0.004, 0.02, 5.0, 1e30]


def main() -> None:
    """Segment random outputs in images of random size."""
    rng = np.random.default_rng(7)
    library = open_library(Path(sys.argv[1]))
    for image in range(NUM_IMAGES):
        dtype = np.dtype(rng.choice(["int8", "uint8"]))
        quant = QuantParams(dtype, float(rng.choice(SCALES)), int(rng.integers(-128, 128)) + 128 * (dtype == "uint8"))
        network_hw = NETWORKS_HW[image % len(NETWORKS_HW)]
        spec = make_spec(int(rng.integers(1, 9)), int(rng.integers(1, 40)), network_hw, quant, bool(image % 2))
        limits = np.iinfo(dtype)
        outputs = [rng.integers(limits.min, limits.max, t.shape, dtype, endpoint=True) for t in spec.outputs]
        head = HeadOptions(
            score_threshold=float(rng.choice([0.0, 0.3, 1.0])),
            iou_threshold=float(rng.random()),
            max_instances=int(rng.integers(1, 60)),
            multi_label=bool(rng.random() < 0.5),
            agnostic_nms=bool(rng.random() < 0.5),
            vote_boxes=bool(rng.random() < 0.5),
        )
        postprocess = CompiledPostprocess(library, spec, bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        image_hw = (int(rng.integers(1, 300)), int(rng.integers(1, 300)))
        letterbox = Letterbox.fit(image_hw, network_hw, str(rng.choice(["letterbox", "stretch"])))
        postprocess(outputs, letterbox, head).label_image()
    print(f"{NUM_IMAGES} images")


if __name__ == "__main__":
    main()
