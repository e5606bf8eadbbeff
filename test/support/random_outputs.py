"""Send random outputs through the library named on the command line; the caller watches its memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from support.decoder_cases import random_case
from yolov8_seg_ros.core.native import Decoder, Native

NUM_IMAGES = 300


def main() -> None:
    """Decode random outputs of all layouts, and draw their masks in images of random size."""
    rng = np.random.default_rng(7)
    library = Native(Path(sys.argv[1]))
    instances = 0
    for _ in range(NUM_IMAGES):
        case = random_case(rng)
        decoder = Decoder(case.spec, case.max_candidates, library)
        _, placements = decoder.place(decoder.decode(case.outputs, case.options), case.letterbox)
        decoder.draw_masks(placements, case.options.mask_threshold)
        instances += len(placements)
    print(f"{NUM_IMAGES} images, {instances} instances")


if __name__ == "__main__":
    main()
