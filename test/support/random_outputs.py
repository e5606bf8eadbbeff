"""Send random outputs and images through the library named on the command line; the caller watches its memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from support.decoder_cases import random_case
from support.resize_cases import random_planes, random_resize
from yolov8_seg_ros.core.native import Decoder, Native

NUM_IMAGES = 300


def main() -> None:
    """Decode random outputs of all layouts, draw their masks in images of random size, and resize random images."""
    rng = np.random.default_rng(7)
    library = Native(Path(sys.argv[1]))
    instances = 0
    for _ in range(NUM_IMAGES):
        case = random_case(rng)
        decoder = Decoder(case.spec, case.max_candidates, library)
        _, placements = decoder.place(decoder.decode(case.outputs, case.options), case.letterbox)
        decoder.draw_masks(placements, case.options.mask_threshold)
        instances += len(placements)
        random_resize(rng).resized_by(library)
        random_planes(rng).resized_by(library)
    print(f"{NUM_IMAGES} images, {instances} instances")


if __name__ == "__main__":
    main()
