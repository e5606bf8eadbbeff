"""Test how the tool starts, and how it reports errors."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys

import pytest

from yolov8_seg_ros import cli
from yolov8_seg_ros.cli import main as tool
from yolov8_seg_ros.cli import model
from yolov8_seg_ros.cli.output import package_version
from yolov8_seg_ros.errors import BackendError, CommandError, DownloadError, MediaError, ModelError


@pytest.fixture
def failing(monkeypatch):
    """Return a function that makes a verb raise."""

    def fail_with(error):
        def run(_args):
            raise error

        monkeypatch.setattr(model, "run_list", run)

    return fail_with


def test_help_names_each_verb():
    command = [sys.executable, "-m", "yolov8_seg_ros.cli.main", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(verb in text for verb in tool.VERBS)


VERBS_OF_VERBS = {"model": ("info", "download", "list"), "n6": ("info", "ping", "simulate")}


@pytest.mark.parametrize(
    "verb",
    [(verb,) for verb in tool.VERBS if verb not in VERBS_OF_VERBS]
    + [(verb, own) for verb, own_verbs in VERBS_OF_VERBS.items() for own in own_verbs],
    ids=" ".join,
)
def test_help_of_a_verb_has_an_example(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main([*verb, "--help"])

    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "example" in text.lower()
    assert f"yolov8_seg {' '.join(verb)}" in text
    assert ("--output" in text) == ("-o " in text)


def test_the_tools_own_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom yolov8_seg_ros.cli.main import build_parser\nbuild_parser([]).format_help()\n"
        "print(*sys.modules)"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"numpy", "cv2", "rclpy", "tqdm"} & set(modules)


def test_each_verb_is_a_module():
    modules = {module.name for module in pkgutil.iter_modules(cli.__path__)}
    assert {verb.replace("-", "_") for verb in tool.VERBS} <= modules


@pytest.mark.parametrize(
    "error",
    [
        BackendError("told"),
        CommandError("told"),
        DownloadError("told"),
        MediaError("told"),
        ModelError("told"),
        OSError("told"),
        OSError(28, "told", "file.json"),
    ],
    ids=repr,
)
def test_a_mistake_is_reported_in_one_line(error, failing, capsys):
    failing(error)

    assert tool.main(["model", "list"]) == 1

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("yolov8_seg: error: ")
    assert lines[0].endswith("told")
    assert "Errno" not in lines[0]


def test_a_missing_optional_package_is_reported(failing, capsys):
    failing(ModuleNotFoundError("No module named 'pycocotools'", name="pycocotools"))

    assert tool.main(["model", "list"]) == 1
    assert "pip install pycocotools'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("ours", name="yolov8_seg_ros.oops"), ZeroDivisionError()], ids=repr
)
def test_a_fault_of_ours_is_not_hidden(error, failing):
    failing(error)

    with pytest.raises(type(error)):
        tool.main(["model", "list"])


def test_an_interrupt_ends_quietly(failing, capsys):
    failing(KeyboardInterrupt())

    assert tool.main(["model", "list"]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_leaves_early_is_no_fault():
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-m", "yolov8_seg_ros.cli.main", "model", "list"], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)

    assert b"Traceback" not in result.stderr
    assert b"Exception" not in result.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["model"], ["model", "nonsense"]], ids=" ".join)
def test_an_unknown_verb_shows_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main(arguments)

    assert caught.value.code == 2
    assert "usage: yolov8_seg" in capsys.readouterr().err


@pytest.mark.parametrize(("verb", "own_verb"), [("model", "download"), ("n6", "simulate"), ("dataset", "from-bag")])
def test_a_missing_verb_shows_those_there_are(verb, own_verb, capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main([verb])

    assert caught.value.code == 2
    assert own_verb in capsys.readouterr().err


@pytest.mark.parametrize("verb", [("segment", "a.jpg"), ("n6", "info")], ids=" ".join)
def test_an_unknown_option_points_to_the_help_of_its_verb(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main([*verb, "--nonsense"])

    assert caught.value.code == 2
    name = " ".join(word for word in verb if word != "a.jpg")
    expected = f"yolov8_seg {name}: error: unrecognized arguments: --nonsense; see 'yolov8_seg {name} --help'"
    assert capsys.readouterr().err.splitlines() == [expected]


def test_without_arguments_the_help_is_shown(capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main([])

    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("examples:", *tool.VERBS))


def test_the_version_is_shown(capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"yolov8_seg {package_version()}\n"


def test_a_mistake_is_reported_in_the_names_of_the_options(failing, capsys):
    failing(BackendError("no ST-LINK is plugged in; plug it in, or set n6.port"))

    assert tool.main(["model", "list"]) == 1
    assert "or set --n6-port" in capsys.readouterr().err
