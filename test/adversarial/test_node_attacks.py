"""Attack the node through its topics and services: it answers, it goes on, and it holds no more than before."""

from __future__ import annotations

import array
import math
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from attacked_node import DOWN, OUTPUTS, TRANSITIONS, UP, AttackedNode
from damage import ANY_DATA
from lifecycle_msgs.msg import State
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from support.amounts import amount, is_long

from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.model_files.store import SCENE_MODEL
from yolov8_seg_ros.node.conversions import ENCODINGS
from yolov8_seg_ros.settings.tables import SEG_NODE_SETTINGS

SEED = 14
IMAGE_RATE_HZ = 60.0
#: After so many attacks a sound image must be processed.
ATTACKS_BETWEEN = 50
#: Part of the soak after which memory may not grow any more, and by how much it may all the same.
SETTLED_SHARE, MAX_GROWTH = 1 / 3, 1.1
#: Values of all types that parameters know, wrong for most of them.
VALUES = (
    *(True, False, 0, 1, -1, 2, 100, 255, 256, 2**31, 2**63 - 1, -(2**63)),
    *(0.0, 0.5, 1.0, -0.5, 1.5, 1e300, 5e-324, math.inf, -math.inf, math.nan),
    *(
        "",
        "auto",
        "cpu",
        "person",
        "0",
        "none",
        "true",
        "\x00\x1b[2J",
        "a" * 100_000,
        "~nosuchuser/x",
        "/dev/zero",
        "🐟",
    ),
    *([], [1, 2], [0.5], ["person", "dog"], [True], [b"\x00", b"\xff"], [2**40] * 1000, ["x"] * 1000),
)
#: Without these parameters, which end the node by themselves or make it wait for a board.
UNTOUCHED = frozenset({"autostart"})


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


@pytest.fixture
def start(ros, tmp_path) -> Iterator[Callable[..., AttackedNode]]:
    """Return what starts a node; it is killed at the end."""
    started = []

    def make(**settings: object) -> AttackedNode:
        started.append(AttackedNode(ros, tmp_path / f"log_{len(started)}.txt", **settings))
        return started[-1]

    yield make
    for node in started:
        node.kill()


def odd_number(rng: np.random.Generator, bits: int = 32) -> int:
    return int(rng.choice([0, 1, 2, 47, 240, 320, 960, 2**16, 2**bits - 1, int(rng.integers(0, 2**31))])) % 2**bits


def damaged_message(sound: Image, rng: np.random.Generator) -> Image:
    """Return an image message with some fields that do not fit."""
    data = array.array("B", sound.data)
    if rng.random() < 0.5:
        del data[int(rng.integers(0, len(data))) :]
    message = Image(height=sound.height, width=sound.width, encoding=sound.encoding, step=sound.step, data=data)
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(0, 6)
        if kind == 0:
            message.encoding = str(rng.choice([*ENCODINGS, "", "32FC1", "\x1b[2J", "x" * 10_000, "BGR8"]))
        elif kind == 1:
            message.header.stamp.sec = int(rng.choice([-(2**31), -1, 0, 2**31 - 1]))
            message.header.stamp.nanosec = odd_number(rng)
        elif kind == 2:
            message.header.frame_id = str(rng.choice(["\x1b[31m", "f" * 2000, "/a b", "🐟"]))
        elif kind == 3:
            message.is_bigendian = odd_number(rng, 8)
        else:
            setattr(message, str(rng.choice(["height", "width", "step"])), odd_number(rng))
    return message


def test_damaged_images(start, rng):
    node = start()
    for name in OUTPUTS:
        node.toggle_subscriber(name)
    node.send_until_processed()
    for number in range(amount(300, 10_000)):
        node.images.publish(damaged_message(node.sound, rng))
        if number % ATTACKS_BETWEEN == 0:
            node.send_until_processed()
    node.send_until_processed()
    node.stop()


def test_damaged_compressed_images(start, rng):
    node = start(image_transport="compressed")
    frame = SyntheticScene((240, 320)).frame(0).image
    sound = [cv2.imencode(suffix, frame)[1].tobytes() for suffix in (".jpg", ".png", ".webp")]

    def send(stamp: int) -> None:
        message = CompressedImage(format="jpeg", data=array.array("B", sound[0]))
        message.header.stamp.sec = stamp
        node.compressed.publish(message)

    node.send_until_processed(send)
    for number in range(amount(300, 10_000)):
        data = ANY_DATA[list(ANY_DATA)[number % len(ANY_DATA)]](sound[number % len(sound)], rng)
        text = str(rng.choice(["jpeg", "", "\x1b[2J", "f" * 10_000]))
        node.compressed.publish(CompressedImage(format=text, data=array.array("B", data)))
        if number % ATTACKS_BETWEEN == 0:
            node.send_until_processed(send)
    node.send_until_processed(send)
    node.stop()


def test_parameters_of_all_kinds_in_all_states(start, rng):
    node = start()
    node.send_until_processed()
    settings = {setting.name: setting for setting in SEG_NODE_SETTINGS if setting.name not in UNTOUCHED}
    for number in range(amount(200, 3_000)):
        name = str(rng.choice([*settings, "use_sim_time", "nonsense"]))
        value = VALUES[rng.integers(0, len(VALUES))]
        if name == "use_sim_time" and isinstance(value, bool):
            continue
        (is_set,) = node.set_parameters([Parameter(name, value=value).to_parameter_msg()])
        if name in settings and is_set:
            assert is_valid(settings[name], value), f"{name} was set to {value!r}"
        if number % ATTACKS_BETWEEN == 0:
            wander(node, rng)
    restore(node, settings)
    node.send_until_processed()
    node.stop()


def test_a_parameter_of_a_type_that_does_not_exist(start):
    node = start()
    change = Parameter("score_threshold", value=0.5).to_parameter_msg()
    change.value.type = 200
    node.misuse(change)
    node.send_until_processed()
    # rclpy raises, which is logged.
    node.stop(tracebacks=True)


def is_valid(setting: object, value: object) -> bool:
    try:
        setting.check(value)
    except OptionError:
        return False
    return True


def wander(node: AttackedNode, rng: np.random.Generator) -> None:
    """Try some transitions, which the parameters may make impossible."""
    for transition in rng.choice(list(TRANSITIONS), 2):
        node.change(int(transition))


def restore(node: AttackedNode, settings: dict[str, object]) -> None:
    """Set the node up as it was at the beginning."""
    for transition in DOWN:
        node.change(transition)
    assert node.state() == State.PRIMARY_STATE_UNCONFIGURED
    defaults = {name: setting.default for name, setting in settings.items()} | {"model": SCENE_MODEL}
    assert all(
        node.set_parameters([Parameter(name, value=value).to_parameter_msg() for name, value in defaults.items()])
    )
    assert node.enable(True)
    for transition in UP:
        assert node.change(transition), node.tail()


def test_lifecycle_steps_with_images(start, rng):
    node = start()
    node.send_until_processed()
    timer = node.create_timer(1 / IMAGE_RATE_HZ, node.send_sound)
    state, usage = State.PRIMARY_STATE_ACTIVE, []
    for _ in range(amount(40, 600)):
        kind = rng.integers(0, 4)
        if kind == 0:
            node.toggle_subscriber(str(rng.choice([*OUTPUTS, "label_info"])))
        elif kind == 1:
            assert node.enable(bool(rng.integers(0, 2)))
        else:
            transition = int(rng.choice(list(TRANSITIONS)))
            before, after = TRANSITIONS[transition]
            assert node.change(transition) == (state == before)
            state = after if state == before else state
        assert node.state() == state
    node.unsubscribe()
    assert node.enable(True)
    while state != State.PRIMARY_STATE_ACTIVE:
        transition, (_, state) = next(item for item in TRANSITIONS.items() if item[1][0] == state)
        assert node.change(transition)
    node.send_until_processed()
    usage.append(node.usage())
    for transition in (*DOWN, *UP):
        assert node.change(transition)
    node.send_until_processed()
    usage.append(node.usage())
    print(usage)
    assert usage[1].descriptors <= usage[0].descriptors
    assert usage[1].threads <= usage[0].threads
    node.destroy_timer(timer)
    node.stop()


def test_soak_with_parameters_and_subscribers_changing(start, rng):
    node = start()
    node.send_until_processed()
    timer = node.create_timer(1 / IMAGE_RATE_HZ, node.send_sound)
    samples, duration_s, began_s = [], amount(6, 1500), time.monotonic()
    while time.monotonic() - began_s < duration_s:
        node.unsubscribe()
        for name in rng.choice([*OUTPUTS, "label_info"], 3, replace=False):
            node.toggle_subscriber(str(name))
        values = {"score_threshold": float(rng.uniform(0.1, 0.9)), "max_instances": int(rng.integers(1, 256))}
        assert all(node.set_parameters([Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]))
        node.send_until_processed()
        samples.append((time.monotonic() - began_s, node.usage()))
    node.unsubscribe()
    settled = [usage for at_s, usage in samples if at_s >= SETTLED_SHARE * duration_s]
    print(f"{len(samples)} samples, first {samples[0]}, settled {settled[0]}, last {settled[-1]}")
    assert max(usage.descriptors for usage in settled) <= max(usage.descriptors for _, usage in samples[:5])
    if is_long():
        assert settled[-1].rss_mib <= MAX_GROWTH * settled[0].rss_mib
    node.destroy_timer(timer)
    node.stop()
