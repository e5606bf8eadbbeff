"""Write an annotated video of each camera of a recording."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.media.overlay import draw_overlay
from yolov8_seg_ros.media.writers import VideoFile, video_file

if TYPE_CHECKING:
    # They need rosbags, which is reported where it is missing.
    from yolov8_seg_ros.media.bag import Bag
    from yolov8_seg_ros.tools.bag.cameras import Camera

#: A video of fewer frames a second is no video.
_MIN_FPS = 1.0


@contextmanager
def camera_videos(
    bag: Bag, cameras: Sequence[Camera], path: Path, class_names: Sequence[str], *, every: int, replace: bool
) -> Iterator[Callable[[Camera, ColorImage, Instances], None]]:
    """Yield what appends a frame to the video of its camera; a frame of another size than the first is left out.

    Args:
        bag: the recording.
        cameras: that are segmented.
        path: of the video; the name of the camera is added to the file's name where there are several.
        class_names: a name for each class.
        every: of so many images one is a frame.
        replace: whether files that are there already are replaced.

    Raises:
        CommandError: if a file is there already.
        MediaError: if a file cannot be written.
    """
    paths = {camera.name: _video_path(path, camera.name) for camera in cameras}
    for target in paths.values():
        if target.exists() and not replace:
            raise CommandError(f"--overlay: '{target}' is there already; give another name, or --force to replace it")
    files: dict[str, VideoFile] = {}
    sizes: dict[str, tuple[int, int]] = {}
    left_out: Counter[str] = Counter()
    with ExitStack() as stack:

        def write(camera: Camera, image: ColorImage, instances: Instances) -> None:
            if camera.name not in files:
                fps = max(_MIN_FPS, bag.rate_hz(camera.topic) / every)
                files[camera.name] = stack.enter_context(video_file(paths[camera.name], fps))
                sizes[camera.name] = image.hw
            if image.hw == sizes[camera.name]:
                files[camera.name].write(draw_overlay(image.to_bgr(), instances, class_names))
            else:
                left_out[camera.name] += 1

        yield write
    for name, count in left_out.items():
        print(f"{paths[name]}: {count} frames of another size than the first are left out", file=sys.stderr)


def _video_path(path: Path, camera_name: str) -> Path:
    return path.with_stem(f"{path.stem}_{camera_name.replace('/', '_')}") if camera_name else path
