"""Test a board with the bridge firmware: its results are those of the CPU, whatever happens to board and line."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import closing, suppress

import numpy as np
import pytest
from support.bridge_harness import (
    OPTIONS,
    SHORT_LIMITS,
    SILENT,
    BridgeHarness,
    Checker,
    EchoNetwork,
    Noise,
    assert_same,
    open_bridge,
    random_image,
)
from support.fakes import FLOAT32, UINT8, make_raw_spec, make_spec

from yolov8_seg_ros.backends.n6.backend import WantedModel
from yolov8_seg_ros.backends.n6.bridge import BridgeProtocol
from yolov8_seg_ros.backends.n6.bridge_wire import Packet, PacketType
from yolov8_seg_ros.backends.n6.serial_port import open_port
from yolov8_seg_ros.backends.n6.simulator.bridge_core import BoardOptions
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BackendError, BoardError, LinkError, ModelError, RunInterruptedError

#: Frames of each kind of fault; set the variable to 5000 for a long run.
NUM_FRAMES = int(os.environ.get("YOLOV8_SEG_BRIDGE_FRAMES", "20"))
DEADLINE_S = 60.0
QUIET_S = 0.1


@pytest.fixture(params=["pty", "tcp"])
def board(request, tmp_path):
    with closing(BridgeHarness(tmp_path if request.param == "pty" else None, seed=request.node.name)) as made:
        yield made


@pytest.fixture
def backend(board):
    with open_bridge(board) as opened:
        yield opened


@pytest.fixture
def checker(board, backend):
    return Checker(backend, board.network)


def until(condition, what):
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        time.sleep(0.001)


def until_good(checker, rng):
    """Segment images until one succeeds; return how many were lost."""
    lost = 0

    def succeeds():
        nonlocal lost
        with suppress(BackendError):
            checker.check(random_image(rng))
            return True
        lost += 1
        return False

    until(succeeds, "a result")
    return lost


def test_results_are_those_of_the_same_network_here(checker):
    rng = random.Random(1)
    assert sum(checker.check(random_image(rng)) for _ in range(20)) > 20


def test_without_masks(checker):
    rng = random.Random(2)
    for masks in (False, True, False):
        checker.check(random_image(rng), masks)


@pytest.mark.parametrize(
    "spec",
    [
        make_raw_spec(input_hw=(32, 64), quant=UINT8, layout="channels-first"),
        make_raw_spec(num_classes=11, num_coefficients=32, quant=FLOAT32, logits_quant=FLOAT32),
        make_spec(input_hw=(32, 32)),
        make_spec(input_hw=(64, 32), quant=UINT8, channels_first=False, prototypes_first=True),
    ],
    ids=["wide", "float outputs", "decoded", "decoded-uint8"],
)
def test_other_models(spec):
    network, rng = EchoNetwork(spec), random.Random(3)
    with closing(BridgeHarness(None, network)) as board, open_bridge(board) as backend:
        checker = Checker(backend, network)
        for _ in range(10):
            checker.check(random_image(rng))


def test_options_hold_from_the_next_image_on(board, backend):
    rng = random.Random(4)
    here, there = Segmenter(board.network, OPTIONS), Segmenter(backend, OPTIONS)
    choices = [
        DetectionOptions(score_threshold=0.9),
        DetectionOptions(classes=(1,), agnostic_nms=True, mask_threshold=0.5),
        DetectionOptions(max_instances=1, multi_label=False, vote_boxes=False, iou_threshold=0.3),
        DetectionOptions(mask_threshold=0.0),
        DetectionOptions(mask_threshold=1.0),
    ]
    for detection in choices:
        here.set_detection(detection)
        there.set_detection(detection)
        for _ in range(3):
            image = random_image(rng)
            assert_same(there.segment(image), here.segment(image))


def in_threads(checker, count, images_each, change=lambda number: None):
    """Segment images in several threads at a time."""
    errors = []

    def work(seed):
        rng = random.Random(seed)
        try:
            for number in range(images_each):
                change(number)
                checker.check(random_image(rng))
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S + NUM_FRAMES)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("threads", [2, 4])
def test_several_threads_each_get_their_own_results(checker, backend, threads):
    assert backend.info.frames_in_flight == 2
    in_threads(checker, threads, NUM_FRAMES)


def test_a_jpeg_is_a_picture_too(board):
    spec = make_raw_spec(input_hw=(32, 32))
    seen = []

    class Recorder(EchoNetwork):
        def run(self, network_input):
            seen.append(network_input.copy())
            return super().run(network_input)

    with (
        closing(BridgeHarness(None, Recorder(spec), BoardOptions(max_jpeg_bytes=1500))) as board,
        open_bridge(board, jpeg_quality=95) as backend,
    ):
        assert "images travel JPEG of quality 95, as asked for" in backend.info.description
        segmenter = Segmenter(backend, OPTIONS)
        smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
        segmenter.segment(smooth)
        expected = segmenter._frame.network_input
        assert np.abs(seen[-1].astype(int) - expected.astype(int)).mean() < 4
        # Noise does not fit into the board's room before the quality is lowered.
        segmenter.segment(np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8))


@pytest.mark.parametrize(
    ("has_jpeg", "wanted", "path", "text"),
    [
        (True, -1, "pty", "JPEG of quality 90 or less, since a serial line is slower than the NPU"),
        (True, -1, "tcp", "raw, since the line is fast"),
        (True, 0, "pty", "raw, as asked for"),
        (True, 70, "tcp", "JPEG of quality 70, as asked for"),
        (False, -1, "pty", "raw, since the board has no JPEG decoder"),
        (False, 70, "pty", "raw, since the board has no JPEG decoder"),
    ],
)
def test_how_images_travel(has_jpeg, wanted, path, text, tmp_path):
    options = BoardOptions(max_jpeg_bytes=20_000 if has_jpeg else 0)
    with (
        closing(BridgeHarness(tmp_path if path == "pty" else None, options=options)) as board,
        open_bridge(board, jpeg_quality=wanted) as backend,
    ):
        assert f"images travel {text}" in backend.info.description


@pytest.mark.parametrize(("room_bytes", "fits"), [(150, True), (4, False)], ids=["coarser", "error"])
def test_masks_that_do_not_fit_come_coarser_or_are_an_error(room_bytes, fits):
    network, rng, few = EchoNetwork(), random.Random(5), 5
    options = BoardOptions(max_instances=few, max_result_bytes=40 + 36 * few + room_bytes)
    with closing(BridgeHarness(None, network, options)) as board, open_bridge(board) as backend:
        wanted = SegmenterOptions(detection=DetectionOptions(score_threshold=0.5, max_instances=few))
        there, image = Segmenter(backend, wanted), random_image(rng)
        expected = Segmenter(network, wanted).segment(image)
        assert len(expected) == few
        if fits:
            found = there.segment(image)
            np.testing.assert_array_equal(found.xyxy, expected.xyxy)
            assert len(found.masks) == len(expected)
        else:
            with pytest.raises(BoardError, match="lower max_instances"):
                there.segment(image)


def test_more_instances_than_the_board_sends_are_told_once():
    lines, rng = [], random.Random(12)
    with (
        closing(BridgeHarness(None, options=BoardOptions(max_instances=3))) as board,
        open_bridge(board, log=lines.append) as backend,
    ):
        segmenter = Segmenter(backend, OPTIONS)
        assert [len(segmenter.segment(random_image(rng))) for _ in range(3)] == [3, 3, 3]
    assert lines == ["the board sends 3 instances of an image at most, 20 were asked for"]


def test_a_network_that_fails_is_an_error_and_the_next_frame_is_good(board, backend, checker):
    rng = random.Random(6)
    board.network.error = RuntimeError("hot")
    with pytest.raises(BoardError, match="NETWORK_FAILED"):
        Segmenter(backend, OPTIONS).segment(random_image(rng))
    board.network.error = None
    until_good(checker, rng)


NOISES = {
    "bits": Noise(flipped_bits=1e-5),
    "many bits": Noise(flipped_bits=5e-5),
    "lost": Noise(lost=1e-4),
    "doubled": Noise(doubled=1e-4),
    "swapped": Noise(swapped=1e-4),
    "all": Noise(2e-5, 2e-5, 2e-5, 2e-5),
}


@pytest.mark.parametrize("kind", NOISES)
def test_noise(board, backend, checker, kind):
    """No result is wrong, and what is sent while it is quiet arrives."""
    rng, lost, slowest_s = random.Random(kind), 0, 0.0
    for number in range(1, NUM_FRAMES + 1):
        board.stream.noise = NOISES[kind]
        with suppress(BackendError):
            lost += 1
            checker.check(random_image(rng))
            lost -= 1
        if number % max(5, NUM_FRAMES // 100) == 0:
            board.stream.noise = SILENT
            time.sleep(QUIET_S)
            # In much noise a board may seem to be gone.
            until(lambda: backend.fault == "", "the board")
            started_s = time.monotonic()
            checker.check(random_image(rng))
            slowest_s = max(slowest_s, time.monotonic() - started_s)
    print(f"{kind}: {lost} of {NUM_FRAMES} frames lost; the first one in quiet took {slowest_s:.3f} s at most")


def test_noise_with_two_frames_in_flight(board, backend, checker):
    board.stream.noise = NOISES["all"]

    class Patient:
        def check(self, image):
            with suppress(BackendError):
                checker.check(image)

    in_threads(Patient(), 2, NUM_FRAMES)
    board.stream.noise = SILENT
    until(lambda: backend.fault == "", "the board")
    in_threads(checker, 2, 5)


def test_a_board_that_was_reset_gets_a_new_session(board, backend, checker):
    rng = random.Random(7)
    for number in range(NUM_FRAMES // 5):
        checker.check(random_image(rng))
        before = board._board
        board.reset()
        until(lambda before=before: board._board is not before, "the board")
        # Nothing is lost: the frame is sent again.
        checker.check(random_image(rng), masks=bool(number % 2))
    assert backend.fault == ""


@pytest.mark.parametrize("fault", ["reset", "pull"])
def test_faults_amid_frames(board, backend, checker, fault):
    rng = random.Random(fault)
    until_good(checker, rng)
    for _ in range(NUM_FRAMES // 5):
        timer = threading.Timer(rng.uniform(0, 0.02), getattr(board, fault))
        timer.start()
        for _ in range(5):
            with suppress(BackendError):
                checker.check(random_image(rng))
        timer.join()
        until_good(checker, rng)
    until(lambda: backend.fault == "", "the fault to be over")


def test_a_host_that_dies_at_any_byte_leaves_a_board_that_works(board):
    rng = random.Random(8)
    with open_bridge(board) as backend:
        checker = Checker(backend, board.network)
        checker.check(random_image(rng))
    picture = b"".join(
        Packet(kind, 99, sequence, payload).to_bytes()
        for sequence, (kind, payload) in enumerate(
            [
                (PacketType.HELLO, bytes.fromhex("4e36524201000000")),
                (PacketType.DESCRIBE, b""),
                (PacketType.PICTURE, bytes(3088)),
                (PacketType.PING, bytes(500)),
            ]
        )
    )
    for _ in range(max(5, NUM_FRAMES // 10)):
        with closing(open_port(board.port, 921600)) as port:
            port.write(picture[: rng.randrange(1, len(picture))], DEADLINE_S)
        with open_bridge(board) as backend:
            Checker(backend, board.network).check(random_image(rng))


def test_a_pause_ends_a_frame_at_once_and_a_later_one_is_good(board, backend, checker):
    rng = random.Random(9)
    for _ in range(5):
        until_good(checker, rng)
        board.stream.noise = Noise(lost=1.0)
        pauser = threading.Timer(0.02, backend.pause)
        pauser.start()
        with pytest.raises(RunInterruptedError):
            checker.check(random_image(rng))
        pauser.join()
        board.stream.noise = SILENT
        assert backend.fault == ""
        backend.resume()
    until_good(checker, rng)


def test_it_closes_while_frames_are_in_flight(board):
    rng = random.Random(10)
    backend = open_bridge(board)
    checker = Checker(backend, board.network)
    ended = []

    def work(seed):
        images = random.Random(seed)
        with suppress(BackendError):
            while True:
                checker.check(random_image(images))
        ended.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(rng.uniform(0.02, 0.1))
    backend.close()
    for thread in threads:
        thread.join(DEADLINE_S + NUM_FRAMES)
    assert sorted(ended) == [0, 1]


def test_another_network_on_the_board_is_not_taken_for_the_first(board, backend, checker):
    rng = random.Random(11)
    checker.check(random_image(rng))
    first, board.network = board.network, EchoNetwork(make_raw_spec(num_classes=3, input_hw=(32, 32)))
    board.reset()
    until(lambda: fails(checker, rng) and "has another network" in backend.fault, "the network to be refused")
    board.network = first
    board.reset()
    until_good(checker, rng)


def fails(checker, rng):
    try:
        checker.segmenter.segment(random_image(rng))
    except BackendError:
        return True
    return False


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (make_raw_spec(input_hw=(32, 64)), "32x32, 2 classes, a raw head, is not that of model.tflite"),
        (make_raw_spec(input_hw=(32, 32), num_classes=3), "is not that of model.tflite"),
        (make_spec(input_hw=(32, 32)), "is not that of model.tflite"),
    ],
    ids=["size", "classes", "head"],
)
def test_another_network_than_the_file_is_refused(board, wanted, message):
    with pytest.raises(ModelError, match=message):
        open_bridge(board, wanted=WantedModel("model.tflite", (wanted,)))


def test_a_network_of_another_file_of_the_same_form_is_refused():
    network = EchoNetwork()
    with closing(BridgeHarness(None, network)) as board:
        board.sha256 = bytes(range(32))
        board.reset()
        wanted = WantedModel("model.tflite", (network.spec,), sha256s=(bytes(32), bytes(range(32))))
        until(lambda: opens(board, wanted), "the board")
        with pytest.raises(ModelError, match=r"was made of another file than model.tflite \(SHA-256 0001020304"):
            open_bridge(board, wanted=WantedModel("model.tflite", (network.spec,), sha256s=(bytes(32),)))


def opens(board, wanted):
    with open_bridge(board, wanted=wanted) as backend:
        return bool(backend.info.description)


def test_names_are_the_users_or_numbers(board):
    with open_bridge(board, wanted=WantedModel(class_names=("bolt", "nut"))) as backend:
        assert backend.spec.class_names == ("bolt", "nut")
        assert backend.spec.names_given
    with open_bridge(board) as backend:
        assert backend.spec.class_names == ("class_0", "class_1")
        assert not backend.spec.names_given


def test_what_does_not_answer_is_no_board(tmp_path):
    with closing(BridgeHarness(tmp_path)) as board:
        board.stream.noise = Noise(lost=1.0)
        with pytest.raises(LinkError, match="no board with the bridge firmware answers"):
            BridgeProtocol(SHORT_LIMITS).connect(open_port(board.port, 921600))


def test_a_tcp_port_without_a_listener_is_one_line():
    with pytest.raises(LinkError, match=r"tcp://127\.0\.0\.1:1: nothing answers there"):
        open_port("tcp://127.0.0.1:1", 0)
    with pytest.raises(LinkError, match="expected tcp://HOST:PORT"):
        open_port("tcp://nowhere", 0)
