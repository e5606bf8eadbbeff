"""Test the verb `bag`: what it refuses, and that nothing is overwritten or left half-written."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest
from support.shared_data import CHECKOUT

pytest.importorskip("rosbags")

from support import bags
from support.bags import CAMERA, recording


def check_one_line(error, message):
    lines = [line for line in error.splitlines() if line.startswith("yolov8_seg")]
    assert len(lines) == 1
    assert "Traceback" not in error
    assert re.search(message, lines[0])


def test_a_topic_that_could_not_be_read_again_is_refused(run, output, tmp_path, capsys):
    path = recording(tmp_path, "mcap alone")
    path.write_bytes(path.read_bytes().replace(b"\x03\0\0\0cdr", b"\x03\0\0\0xyz"))
    assert run(path) == 1
    check_one_line(capsys.readouterr().err, "is serialized as 'xyz', expected cdr; give --only-results")
    assert not output.exists()
    assert run(path, "--only-results") == 0


def test_an_existing_recording_is_replaced_only_by_force(run, output, tmp_path, capsys):
    path = recording(tmp_path)
    assert run(path) == 0
    before = bags.content_of(output)
    assert run(path, "--only-results") == 1
    assert "is there already" in capsys.readouterr().err
    assert bags.content_of(output) == before
    assert run(path, "--only-results", "--force") == 0
    assert CAMERA not in bags.topics_in(output)
    assert [file.name for file in output.parent.iterdir()] == [output.name]


def test_force_replaces_nothing_but_recordings(run, output, tmp_path, capsys):
    output.mkdir(parents=True)
    (output / "thesis.txt").write_text("the only copy")
    assert run(recording(tmp_path), "--force") == 1
    assert "is not a recording and nothing else" in capsys.readouterr().err
    assert (output / "thesis.txt").read_text() == "the only copy"


@pytest.mark.parametrize("through_link", [False, True], ids=["directly", "through a link"])
def test_the_recording_itself_is_never_overwritten(through_link, run, tmp_path, capsys):
    path = recording(tmp_path)
    before = bags.content_of(path)
    target = path
    if through_link:
        target = tmp_path / "link"
        target.symlink_to(path)
    assert run(path, "--force", output=target) == 1
    assert "is where the recording" in capsys.readouterr().err
    assert run(next(path.glob("*.mcap")), "--force", output=target) == 1
    assert bags.content_of(path) == before


def test_more_than_four_cameras_must_be_named(run, output, tmp_path, capsys):
    topics = [f"/camera_{number}/image" for number in range(5)]
    path = recording(tmp_path, count=1, topics=topics)
    assert run(path) == 1
    error = capsys.readouterr().err
    assert "5 image topics: /camera_0/image, " in error
    assert "--topic" in error
    assert run(path, "--topic", topics[1], "--topic", topics[3]) == 0
    assert "/yolov8_seg/camera_1/detections" in bags.topics_in(output)


#: Arguments that cannot be carried out, and what the line says.
WRONG = {
    "no such topic": (["--topic", "/nothing"], f"no image topic of .*there are: {CAMERA}"),
    "a topic of another type": (["--topic", "/odd"], "no image topic"),
    "end before start": (["--start", "2", "--end", "1"], "expected more than --start"),
    "after the end": (["--start", "60"], "no images at that time"),
    "unknown result": (["--write", "boxes"], "expected some of detections, instances, semantic"),
    "too many instances": (["--max-instances", "300"], "numbers 255 at most"),
    "a video in the recording": (["--overlay", "out/drive_segmented/drive.mp4"], "in the folder of the new recording"),
    "no video": (["--overlay", "drive.avi"], "ends with .mp4"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_told_in_one_line(arguments, message, run, output, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = recording(tmp_path)
    try:
        code = run(path, *arguments)
    except SystemExit as ended:
        code = ended.code
    assert code in (1, 2)
    check_one_line(capsys.readouterr().err, message)
    assert not output.parent.exists() or not any(output.parent.iterdir())


def test_results_of_an_earlier_run_are_not_mixed_up(run, output, tmp_path, capsys):
    assert run(recording(tmp_path)) == 0
    assert run(output, "--topic", CAMERA, output=tmp_path / "again") == 1
    check_one_line(capsys.readouterr().err, "--results: .* has a topic /yolov8_seg/")
    assert run(output, "--topic", CAMERA, "--results", "/again", output=tmp_path / "again") == 0


def test_an_interrupted_run_leaves_nothing(model, tmp_path):
    path = recording(tmp_path, count=60)
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "yolov8_seg_ros.executables", "yolov8_seg", "bag", str(path), "--model", model]
    process = subprocess.Popen(
        [*command, "--output", str(folder / "found"), "--overlay", str(folder / "found.mp4")],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while process.poll() is None and not (folder.is_dir() and any(folder.rglob("*.mcap"))):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert "Traceback" not in told
    # Where the signal arrives in code that a C library runs, Python dies of it at its end; a shell shows 130 for both.
    is_interrupted = process.returncode in (130, -signal.SIGINT)
    # A run that had ended before is whole.
    assert is_interrupted or (folder / "found" / "metadata.yaml").is_file()
    if is_interrupted:
        assert list(folder.iterdir()) == []


def test_without_rosbags_it_says_what_to_install(run, output, tmp_path, capsys, monkeypatch):
    path = recording(tmp_path)
    for name in [
        name
        for name in sys.modules
        if name.startswith(("rosbags", "yolov8_seg_ros.media.bag", "yolov8_seg_ros.tools.bag"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [bags.WithoutRosbags, *sys.meta_path])
    assert run(path) == 1
    assert "pip install rosbags" in capsys.readouterr().err
    assert not output.exists()
