"""Test that files appear whole or not at all, whatever they are called and whatever goes wrong."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys

import pytest

from yolov8_seg_ros.files import is_file, is_folder, replacing, scratch_folder, sha256_of, user_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_not_there_before_its_end(tmp_path):
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert "a.txt" not in names(tmp_path)
        assert temporary.suffix == ".txt"

    assert names(tmp_path) == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text(str(1 // 0))

    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_is_whole_or_not_there(tmp_path):
    with contextlib.suppress(FileExistsError), replacing(tmp_path / "folder") as temporary:
        temporary.mkdir()
        temporary.mkdir()
    assert names(tmp_path) == []

    with replacing(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "a").touch()
    assert names(tmp_path / "folder") == ["a"]


@pytest.mark.parametrize("name", ["x" * 251 + ".jpg", "ü" * 125 + ".jpg", "a." + "x" * 253], ids=len)
def test_the_longest_names_leave_room(name, tmp_path):
    with replacing(tmp_path / name) as temporary:
        temporary.touch()
    assert names(tmp_path) == [name]


def test_two_files_of_a_beginning_do_not_mix(tmp_path):
    paths = [tmp_path / f"{'x' * 50}{number}.txt" for number in range(2)]
    with replacing(paths[0]) as first, replacing(paths[1]) as second:
        first.write_text("0")
        second.write_text("1")
    assert [path.read_text() for path in paths] == ["0", "1"]


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_a_missing_folder_names_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "none" / "a.txt"
    with pytest.raises(FileNotFoundError) as caught, replacing(path) as temporary:
        temporary.write_text("x")
    assert caught.value.filename == str(path)


TERMINATED = """
import sys, time
from pathlib import Path
from yolov8_seg_ros import executables
from yolov8_seg_ros.cli import main
from yolov8_seg_ros.files import replacing

def write():
    with replacing(Path(sys.argv[1])) as temporary:
        temporary.touch()
        print("writing", flush=True)
        time.sleep(60)

main.main = write
sys.exit(executables.yolov8_seg())
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_a_signal_to_the_tool_leaves_nothing(number, code, tmp_path):
    command = [sys.executable, "-c", TERMINATED, str(tmp_path / "a.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(number)
        process.wait()
    assert names(tmp_path) == []
    assert process.returncode == code


def test_sha256(tmp_path):
    content = bytes(3_000_000)
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_scratch_folder_is_removed_with_what_is_in_it(tmp_path):
    with scratch_folder(tmp_path / "new" / "bag") as folder:
        (folder / "part").write_text("half")
        assert folder.parent == tmp_path / "new"
    assert list((tmp_path / "new").iterdir()) == []


def test_an_error_in_a_scratch_folder_names_what_was_to_be_written(tmp_path):
    with pytest.raises(OSError, match="bag") as raised, scratch_folder(tmp_path / "bag") as folder:
        (folder / "missing" / "file").write_text("")
    assert raised.value.filename == str(tmp_path / "bag")


def test_a_home_is_found_and_nobody_has_none(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert [str(user_path(text)) for text in ("~/a", "a/~", "~nosuchuser/a")] == ["/home/me/a", "a/~", "~nosuchuser/a"]


@pytest.mark.parametrize("name", ["a" * 5000, "a/" * 3000, "\0", "absent"], ids=["name", "path", "NUL", "absent"])
def test_what_cannot_be_looked_at_is_not_there(tmp_path, name):
    assert not is_file(tmp_path / name)
    assert not is_folder(tmp_path / name)


def test_files_and_folders_are_told_apart(tmp_path):
    path = tmp_path / "file"
    path.touch()
    assert (is_file(path), is_folder(path), is_file(tmp_path), is_folder(tmp_path)) == (True, False, False, True)
