"""Run the segmentation node as a process, attack it through its topics and services, and see how it fares."""

from __future__ import annotations

import array
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool
from support.ros_harness import DOMAIN_ID, RosHarness, parameters
from vision_msgs.msg import Detection2DArray, LabelInfo

from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.model_files.store import SCENE_MODEL

NAME = "yolov8_seg"
OUTPUTS = {"detections": Detection2DArray, "instances": Image, "semantic": Image, "overlay": Image}
#: From which state a transition leads to which.
TRANSITIONS = {
    Transition.TRANSITION_CONFIGURE: (State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE),
    Transition.TRANSITION_ACTIVATE: (State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE),
    Transition.TRANSITION_DEACTIVATE: (State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_INACTIVE),
    Transition.TRANSITION_CLEANUP: (State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_UNCONFIGURED),
}
#: The transitions that lead from unconfigured to active, and back.
UP = (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
DOWN = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
#: Up to Jazzy, rclpy raises in place of an answer when a transition is impossible.
ANSWERS_WHAT_IS_IMPOSSIBLE = os.environ.get("ROS_DISTRO") not in ("humble", "iron", "jazzy")
_STOP_S = 20.0


@dataclass(frozen=True)
class Usage:
    """Memory, descriptors and threads of a process."""

    rss_mib: float
    descriptors: int
    threads: int


class AttackedNode(Node):
    """A process of the segmentation node, and the camera, the user and the subscribers that attack it.

    Args:
        harness: spins the attackers.
        log: file for what the process prints.
        settings: parameters of the node.
    """

    def __init__(self, harness: RosHarness, log: Path, **settings: object) -> None:
        super().__init__("attacker")
        self._harness = harness
        self._log = log
        self._seen: set[int] = set()
        self._stamp = 0
        self._subscriptions_made: dict[str, Any] = {}
        harness.add(self)
        image = SyntheticScene((240, 320)).frame(0).image
        self.sound = Image(height=240, width=320, encoding="bgr8", step=960, data=array.array("B", image.tobytes()))
        self.images = self.create_publisher(Image, "image", 10)
        self.compressed = self.create_publisher(CompressedImage, "image/compressed", 10)
        self._transitions = self.create_client(ChangeState, f"{NAME}/change_state")
        self._states = self.create_client(GetState, f"{NAME}/get_state")
        self._settings = self.create_client(SetParameters, f"{NAME}/set_parameters")
        self._switch = self.create_client(SetBool, f"{NAME}/set_enabled")
        self.create_subscription(Detection2DArray, f"{NAME}/detections", self._see, 100)
        arguments = parameters(model=SCENE_MODEL, **settings)
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "yolov8_seg_ros.executables", "seg_node", "--ros-args", *arguments],
                env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN_ID)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Spin until a condition holds; fail at once where the process has ended."""

        def holds() -> object:
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}: {self.tail()}"
            return condition()

        self._harness.until(holds, what)

    def send_until_processed(self, send: Callable[[int], None] | None = None) -> None:
        """Send a sound image again and again until its detections come."""
        first = self._stamp + 1
        timer = self.create_timer(0.05, lambda: self._send_sound(send))
        self.until(lambda: any(stamp >= first for stamp in self._seen), "the results of a sound image")
        self.destroy_timer(timer)

    def change(self, transition: int) -> bool:
        """Request a transition; return whether the node says that it was made."""
        if not ANSWERS_WHAT_IS_IMPOSSIBLE and self.state() != TRANSITIONS[transition][0]:
            return False
        return self.call(self._transitions, ChangeState.Request(transition=Transition(id=transition))).success

    def state(self) -> int:
        """Return the node's state."""
        return self.call(self._states, GetState.Request()).current_state.id

    def set_parameters(self, changes: Sequence[ParameterMessage]) -> list[bool]:
        """Set parameters; return of each whether it was set."""
        answer = self.call(self._settings, SetParameters.Request(parameters=list(changes)))
        return [result.successful for result in answer.results]

    def misuse(self, change: ParameterMessage) -> None:
        """Send a change of a parameter that is no valid message; nobody answers it."""
        self.until(self._settings.service_is_ready, "the parameters' service")
        self._settings.call_async(SetParameters.Request(parameters=[change]))

    def enable(self, enabled: bool) -> bool:
        """Switch listening on or off; return whether that was done."""
        return self.call(self._switch, SetBool.Request(data=enabled)).success

    def call(self, client: Any, request: Any) -> Any:
        """Return the answer of one of the node's services."""
        self.until(client.service_is_ready, f"service {client.srv_name}")
        future = client.call_async(request)
        self.until(future.done, f"an answer of {client.srv_name}")
        return future.result()

    def toggle_subscriber(self, name: str) -> None:
        """Subscribe to one of the node's outputs, or unsubscribe from it."""
        made = self._subscriptions_made.pop(name, None)
        if made is not None:
            self.destroy_subscription(made)
        else:
            topic = f"{NAME}/{name}"
            kind = OUTPUTS.get(name, LabelInfo)
            self._subscriptions_made[name] = self.create_subscription(kind, topic, lambda message: None, 10)

    def unsubscribe(self) -> None:
        """Unsubscribe from all outputs but the detections that are watched."""
        for name in list(self._subscriptions_made):
            self.toggle_subscriber(name)

    def usage(self) -> Usage:
        """Return what the process holds."""
        proc = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
        descriptors = len(list((proc / "fd").iterdir()))
        return Usage(int(status["VmRSS"].split()[0]) / 1024, descriptors, int(status["Threads"]))

    def tail(self) -> str:
        """Return the last lines that the process printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def stop(self, tracebacks: bool = False) -> None:
        """End the process by a signal; check that it lived until then and, without `tracebacks`, printed none."""
        assert self.process.poll() is None, f"the node ended with {self.process.returncode}: {self.tail()}"
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(_STOP_S) == 0, self.tail()
        text = self._log.read_text(errors="replace")
        assert tracebacks or "Traceback" not in text, text[-5000:]

    def kill(self) -> None:
        """End the process if it still runs."""
        self.process.kill()
        self.process.wait()

    def send_sound(self) -> None:
        """Send a sound image with a stamp of its own."""
        self._send_sound(None)

    def _send_sound(self, send: Callable[[int], None] | None) -> None:
        self._stamp += 1
        if send is not None:
            send(self._stamp)
            return
        self.sound.header.stamp.sec = self._stamp
        self.images.publish(self.sound)

    def _see(self, message: Detection2DArray) -> None:
        self._seen.add(message.header.stamp.sec)
