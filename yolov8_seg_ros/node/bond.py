"""Send the heartbeats that Nav2's lifecycle manager expects of the nodes it manages.

The manager forms a bond with each node that it has activated, and takes a node for dead whose heartbeats stay away for
`bond_timeout`, 4 s by default. They are sent from a thread of their own, so that a long inference keeps none back.

Source: the protocol of ROS's bond_core; the names are those of Nav2's lifecycle manager (nav2_lifecycle_manager).
"""

from __future__ import annotations

import threading
import uuid
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile

#: In the namespace of the node, as the manager has it.
TOPIC = "bond"
#: Nav2's own; each side tells the other what it does.
HEARTBEAT_PERIOD_S = 0.25
HEARTBEAT_TIMEOUT_S = 4.0
#: A shorter queue loses heartbeats when several nodes have bonds.
_DEPTH = 100
#: How often the end of a bond is announced.
_FAREWELLS = 3


def bond_messages_are_installed() -> bool:
    """Return whether the package with the messages of bonds is there."""
    try:
        import bond.msg  # noqa: F401
    except ImportError:
        return False
    return True


class Bond:
    """The bond of one node, formed while it is active.

    Args:
        name: of the node as in the manager's `node_names`, which identifies the bond.
        namespace: of the node.
        context: ROS context; None: the default one.
        period_s: of the heartbeats.
    """

    def __init__(
        self,
        name: str,
        namespace: str = "/",
        context: rclpy.Context | None = None,
        period_s: float = HEARTBEAT_PERIOD_S,
    ) -> None:
        self._name, self._namespace, self._context, self._period_s = name, namespace, context, period_s
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def is_alive(self) -> bool:
        """Return whether heartbeats are being sent."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Begin to send heartbeats; return whether it can: False where the package `bond` is not installed."""
        if not bond_messages_are_installed():
            return False
        if not self.is_alive:
            # A new object each time: the thread of an earlier bond may still be ending.
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._send, args=(self._stop,), daemon=True)
            self._thread.start()
        return True

    def stop(self) -> None:
        """Announce the end of the bond and end it; the manager then takes the node for deactivated, not for dead."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _send(self, stop: threading.Event) -> None:
        """Send heartbeats until told to stop, or ROS ends.

        A node of its own: publishing on one that another thread destroys would fail.
        """
        from bond.msg import Status

        node = Node(
            f"{self._name.replace('/', '_')}_bond",
            namespace=self._namespace,
            context=self._context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        try:
            publisher = node.create_publisher(Status, TOPIC, QoSProfile(depth=_DEPTH))
            status = Status(
                id=self._name,
                # Each bond is another one, so that the manager does not mistake a new one for the last.
                instance_id=str(uuid.uuid4()),
                active=True,
                heartbeat_timeout=HEARTBEAT_TIMEOUT_S,
                heartbeat_period=self._period_s,
            )
            while not stop.wait(self._period_s) and node.context.ok():
                _publish(node, publisher, status)
            status.active = False
            for _ in range(_FAREWELLS):
                if node.context.ok():
                    _publish(node, publisher, status)
        finally:
            node.destroy_node()


def _publish(node: Node, publisher: Any, status: Any) -> None:
    if not publisher.get_subscription_count():
        return
    status.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(status)
