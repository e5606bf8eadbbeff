"""Print flash, RAM and worst stack of the bridge on a Cortex-M55, from the folder that mps3_an547 was built in.

    python firmware/n6_bridge/tools/report.py build/mps3_an547

The stack is the deepest path of calls in the call graph that GCC writes (-fcallgraph-info=su). A call through a pointer
may reach any function that nobody calls by name. Functions of the C library are leaves; they are not counted.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

INDIRECT = "__indirect_call"
NODE = re.compile(r'node: { title: "([^"]+)" label: "([^"]*)"')
EDGE = re.compile(r'edge: { sourcename: "([^"]+)" targetname: "([^"]+)"')
#: Called by the hardware.
STARTUP = {"reset", "hang"}
FRAME = re.compile(r"(\d+) bytes \(([\w,]+)\)")
#: Object files by what they are for.
GROUPS = {
    "decoder (native/)": ("decode", "masks", "packed_masks", "workspace"),
    "JPEG": ("baseline_jpeg", "jpeg_bits", "jpeg_pixels"),
    "protocol and session": (
        "answers", "bridge", "checksums", "frames", "pictures", "receiver", "results", "sender", "setup", "slots",
    ),
}  # fmt: skip


def short(name: str) -> str:
    """Return a function's name without the file that GCC names static ones after."""
    return name.split(":")[-1]


def symbols(folder: Path) -> list[tuple[int, str, str]]:
    """Return size, kind and name of each symbol of the program; a static variable's number is left out."""
    command = ["arm-none-eabi-nm", "--print-size", folder / "bridge.elf"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\w+ (\w+) (\w) (\w+?)(?:\.\d+)?$", output, re.MULTILINE)
    return [(int(size, 16), kind, name) for size, kind, name in found]


class CallGraph:
    """Functions with their stack frames, and who calls whom.

    Args:
        paths: the .ci files of all objects.
        linked: the functions that the program contains.

    Raises:
        SystemExit: for a frame that has no fixed size.
    """

    def __init__(self, paths: list[Path], linked: set[str]) -> None:
        self.frame_bytes: dict[str, int] = {}
        self.called: dict[str, set[str]] = defaultdict(set)
        for path in paths:
            text = path.read_text()
            for title, label in NODE.findall(text):
                if frame := FRAME.search(label):
                    if frame[2] != "static":
                        raise SystemExit(f"the stack frame of {title} has no fixed size: {frame[2]}")
                    self.frame_bytes[title] = int(frame[1])
            for source, target in EDGE.findall(text):
                self.called[source].add(target)
        by_name = set().union(*self.called.values())
        self.by_pointer = {name for name in self.frame_bytes if short(name) in linked - STARTUP and name not in by_name}

    def deepest(self, name: str, path: tuple[str, ...] = ()) -> tuple[int, tuple[str, ...]]:
        """Return the bytes of the deepest path from a function on, and the path.

        Raises:
            SystemExit: for a function that calls itself.
        """
        if name in path:
            raise SystemExit(f"{name} calls itself: {' -> '.join(path)}")
        callees = set().union(*[self.by_pointer if target == INDIRECT else {target} for target in self.called[name]])
        below = [self.deepest(callee, (*path, name)) for callee in callees if callee in self.frame_bytes]
        size, names = max(below, default=(0, ()))
        return self.frame_bytes[name] + size, (name, *names)


def flash_bytes(folder: Path) -> dict[str, int]:
    """Return code and constants of each group of objects."""
    sizes = {}
    for group, names in GROUPS.items():
        objects = [folder / f"{name}.o" for name in names]
        output = subprocess.run(["arm-none-eabi-size", *objects], capture_output=True, text=True, check=True).stdout
        sizes[group] = sum(int(line.split()[0]) for line in output.splitlines()[1:])
    return sizes


def report(folder: Path) -> str:
    """Return the report."""
    flash, found = flash_bytes(folder), symbols(folder)
    variables = {name: size for size, kind, name in found if kind in "bBdD"}
    linked = {name for _, kind, name in found if kind in "tT"}
    stack, path = CallGraph(sorted(folder.glob("*.ci")), linked).deepest("n6_bridge_poll")
    rows = [f"flash, {name}: {size} bytes" for name, size in flash.items()]
    rows.append(f"flash, together: {sum(flash.values())} bytes")
    rows.append(f"RAM, bridge: {variables['bridge']} bytes")
    rows.append(f"RAM, JPEG decoder: {variables['decoder']} bytes")
    rows.append(f"worst stack of n6_bridge_poll: {stack} bytes ({' -> '.join(map(short, path))})")
    return "\n".join(rows)


if __name__ == "__main__":
    print(report(Path(sys.argv[1])))
