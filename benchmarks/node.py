"""Measure the segmentation node from outside, against the least that any node with this network could take.

    python -m benchmarks.node --model yolov8n_256 --image FILE

Camera, node and listener are processes of their own, over DDS, with and without this package's transport profile.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np

from benchmarks.bare_invoke import BareInvoke, InvokeTimes
from benchmarks.end_to_end import Feed, Measured, answering_node, measure
from benchmarks.images import IMAGE_HW, absolute_path, size_hw, size_text
from yolov8_seg_ros.backends.tflite import automatic_threads
from yolov8_seg_ros.errors import ModelError
from yolov8_seg_ros.model_files.store import SCENE_MODEL

OUTPUTS = {
    "detections": ("detections",),
    "instances": ("detections", "instances"),
    "overlay": ("detections", "instances", "overlay"),
}
PROFILES = {"with": True, "without": False}
_COLUMNS = (
    f"{'profile':8}{'subscribed':15}{'what':13}{'median':>8}{'p95':>8}{'/loop':>7}{'/paced':>7}{'CPU':>7}{'MiB':>6}"
    f"{'start':>6}{'sent':>6}{'rec.':>6}{'drop.':>7}{'proc.':>6}{'seen':>6}"
)
_LEGEND = """\
subscribed    instances: detections and instance mask; overlay: these and the overlay
median, p95   ms from publishing an image to having all that is subscribed to in another process; of invoke() in a loop,
              and below /paced at the camera's rate
/loop, /paced median over (that of the node that answers at once with such messages + invoke()), invoke() being run in
              a loop, or at the camera's rate, where most take longer
CPU           ms of processor time of the node's process an image; of invoke() at the camera's rate
MiB           resident memory of the node at the end, shared segments included
start         s from the start of the node's process until it logs that it listens, its model loaded and warmed up
sent          images published, warm-up included, as in what follows
rec., proc.   received and processed, as the node says: sent - rec. were lost on their way to it
drop.         dropped by the node, as a newer one had come
seen          of which all results came: proc. - seen were lost on their way from it"""


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    args = _parse(arguments)
    try:
        network = BareInvoke(args.model, args.threads)
    except ModelError as error:
        sys.exit(str(error))
    feed = Feed(absolute_path(args.image), args.size, args.hz, args.frames)
    print(
        f"{args.model}, {args.threads} thread{'s'[: args.threads > 1]}, {size_text(args.size)} at {args.hz:g} Hz,"
        f" {args.frames} images a row; load average {os.getloadavg()[0]:.2f}\n{_COLUMNS}"
    )
    for profile in args.profiles:
        for subscribed in args.subscribed:
            _print_rows(args, feed, profile, subscribed, network)
    print(_LEGEND)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL, help="path or name of a model (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="of the network; default: as the node chooses them")
    parser.add_argument("--image", default="", help="default: one of the built-in scene")
    parser.add_argument("--size", type=size_hw, default=IMAGE_HW, help="WIDTHxHEIGHT of the image (default: 640x480)")
    parser.add_argument("--hz", type=float, default=10.0, help="images a second (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=200, help="measured a row (default: %(default)s)")
    parser.add_argument("--subscribed", nargs="+", choices=OUTPUTS, default=list(OUTPUTS), help="rows; default: all")
    parser.add_argument("--profiles", nargs="+", choices=PROFILES, default=list(PROFILES), help="rows; default: both")
    args = parser.parse_args(arguments)
    if args.hz <= 0 or args.frames < 1 or args.threads < 0:
        parser.error("--hz and --frames must be above 0, and --threads not below it")
    args.threads = args.threads or automatic_threads()
    return args


def _print_rows(args: argparse.Namespace, feed: Feed, profile: str, subscribed: str, network: BareInvoke) -> None:
    outputs, has_profile = OUTPUTS[subscribed], PROFILES[profile]
    start = f"{profile:8}{subscribed:15}"
    floor = measure(answering_node(args.model, feed), outputs, feed, has_profile)
    print(f"{start}{'answers':13}{_times(floor)}{'':14}{floor.cpu_ms:7.2f}{'':12}{_counts(floor)}", flush=True)
    invoke = network.measure(args.frames, feed.rate_hz)
    paced = f"{invoke.paced_ms:7.2f}{invoke.paced_cpu_ms:7.2f}"
    print(f"{start}{'invoke()':13}{invoke.loop_ms:8.2f}{'':15}{paced}", flush=True)
    node = measure(_segmentation_node(args), outputs, feed, has_profile)
    own = f"{node.cpu_ms:7.2f}{node.resident_mib:6.0f}{node.active_s:6.2f}"
    what = f"segments {node.found}"
    print(f"{start}{what:13}{_times(node)}{_ratios(node, floor, invoke)}{own}{_counts(node)}", flush=True)


def _segmentation_node(args: argparse.Namespace) -> tuple[str, ...]:
    parameters = ("-p", f"model:={args.model}", "-p", f"num_threads:={args.threads}")
    return ("yolov8_seg_ros.executables", "seg_node", "--ros-args", *parameters)


def _times(run: Measured) -> str:
    if not len(run.latency_ms):
        return f"{'none came':>16}"
    median_ms, p95_ms = np.percentile(run.latency_ms, [50, 95])
    return f"{median_ms:8.2f}{p95_ms:8.2f}"


def _ratios(node: Measured, floor: Measured, invoke: InvokeTimes) -> str:
    if not len(node.latency_ms) or not len(floor.latency_ms):
        return f"{'':14}"
    floor_ms, node_ms = np.median(floor.latency_ms), np.median(node.latency_ms)
    return f"{node_ms / (floor_ms + invoke.loop_ms):7.2f}{node_ms / (floor_ms + invoke.paced_ms):7.2f}"


def _counts(run: Measured) -> str:
    received, dropped, processed = (
        "" if count is None else count for count in (run.received, run.dropped, run.processed)
    )
    return f"{run.sent:6}{received:>6}{dropped:>7}{processed:>6}{run.complete:6}"


if __name__ == "__main__":
    sys.exit(main())
