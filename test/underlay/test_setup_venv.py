"""Setting .venv up: what a machine lacks is said in one line, and only what changed is done again."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "underlay" / "setup_venv.py"


@pytest.fixture
def setup_venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the script as a module that works in an empty folder."""
    spec = importlib.util.spec_from_file_location("setup_venv", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "UNDERLAY", tmp_path / "underlay")
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "STAMPS", tmp_path / ".venv" / "underlay")
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
    module.STAMPS.mkdir(parents=True)
    module.UNDERLAY.mkdir()
    return module


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 9, 18), (3, 14, 0)], ids=lambda v: f"{v[0]}.{v[1]}")
def test_unsupported_python_is_named(
    setup_venv: ModuleType, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)

    with pytest.raises(setup_venv.SetupError, match=r"need CPython 3\.10 to 3\.13: .*make PYTHON="):
        setup_venv.check_machine()


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 13, 9)], ids=["3.10", "3.13"])
def test_supported_python_passes(
    setup_venv: ModuleType, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)

    setup_venv.check_python()


def test_other_processor_is_sent_to_colcon(setup_venv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_venv.platform, "machine", lambda: "aarch64")

    with pytest.raises(setup_venv.SetupError, match=r"x86-64 Linux, this is aarch64 Linux; build with colcon"):
        setup_venv.check_machine()


def test_all_that_is_missing_is_said_at_once(
    setup_venv: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(setup_venv, "find_spec", lambda _: None)

    with pytest.raises(setup_venv.SetupError) as error:
        setup_venv.check_machine()

    assert str(error.value).endswith(f"apt-get install g++ make {python}-dev {python}-venv")
    assert "\n" not in str(error.value)


def test_missing_compiler_is_one_line_and_a_failure(tmp_path: Path) -> None:
    copy = tmp_path / "underlay" / SCRIPT.name
    copy.parent.mkdir()
    copy.write_bytes(SCRIPT.read_bytes())

    answer = subprocess.run(
        [sys.executable, copy], env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True
    )

    assert answer.returncode == 1
    assert answer.stderr.startswith("setup: missing: a C++ compiler")
    assert answer.stderr.count("\n") == 1
    assert not (tmp_path / ".venv").exists()


def test_foreign_environment_is_left_alone(setup_venv: ModuleType) -> None:
    setup_venv.STAMPS.rmdir()

    with pytest.raises(setup_venv.SetupError, match="was not made by make"):
        setup_venv.make_environment(switch=False)

    assert setup_venv.VENV.exists()


def test_step_is_done_again_only_when_its_input_changed(setup_venv: ModuleType) -> None:
    source, done = setup_venv.UNDERLAY / "a.txt", []
    source.write_text("one")
    for _ in range(2):
        setup_venv.step("a", [source], lambda: done.append(source.read_text()))
    source.write_text("two")
    setup_venv.step("a", [source], lambda: done.append(source.read_text()))

    assert done == ["one", "two"]


def test_failed_step_is_tried_again(setup_venv: ModuleType) -> None:
    def fail() -> None:
        raise setup_venv.SetupError("no")

    with pytest.raises(setup_venv.SetupError):
        setup_venv.step("a", [], fail)

    assert not (setup_venv.STAMPS / "a").exists()


def test_failing_program_shows_its_words(setup_venv: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(setup_venv.SetupError, match=r"it broke \(exit status 3"):
        setup_venv.run([sys.executable, "-c", "print('why'); raise SystemExit(3)"], "it broke")

    assert "why" in capfd.readouterr().err


def test_exports_name_the_headers_of_this_machine(setup_venv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    export = setup_venv.VENV / "share" / "std_msgs" / "cmake" / "export_std_msgsExport.cmake"
    export.parent.mkdir(parents=True)
    built_on = "/opt/python/cp313-cp313"
    export.write_text(
        f'set("${{_IMPORT_PREFIX}}/include;{built_on}/include/python3.13;'
        f'{built_on}/lib/python3.13/site-packages/numpy/_core/include")\n'
    )
    monkeypatch.setattr(setup_venv, "ask_python", lambda _: ["/here/python3.11", "/here/numpy"])

    setup_venv.repair_exports()

    assert export.read_text() == 'set("${_IMPORT_PREFIX}/include;/here/python3.11;/here/numpy")\n'


@pytest.mark.parametrize("before", ["", "/workspace/install", "{prefix}"], ids=["empty", "workspace", "set"])
def test_prefix_hook_appends_this_prefix_once(
    setup_venv: ModuleType, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    before = before.format(prefix=sys.prefix)
    monkeypatch.setenv("AMENT_PREFIX_PATH", before)

    exec(setup_venv.PREFIX_HOOK)

    kept = [entry for entry in (before, sys.prefix) if entry]
    assert os.environ["AMENT_PREFIX_PATH"].split(":") == list(dict.fromkeys(kept))


@pytest.mark.parametrize("name", ["", "-kilted", "-jazzy", "-dev"], ids=["common", "kilted", "jazzy", "dev"])
def test_every_requirement_is_pinned(name: str) -> None:
    lines = (ROOT / "underlay" / f"requirements{name}.txt").read_text().splitlines()
    loose = [line for line in lines if line and not line.startswith(("#", "-r ")) and "==" not in line]
    assert not loose


def test_every_distribution_has_its_requirements(setup_venv: ModuleType) -> None:
    distros = {setup_venv.DEFAULT_DISTRO, *setup_venv.OTHER_DISTROS}
    listed = {path.stem.removeprefix("requirements-"): path for path in (ROOT / "underlay").glob("requirements-*.txt")}
    assert {name for name, path in listed.items() if "ros-rclpy" in path.read_text()} == distros


def test_another_distribution_has_a_folder_of_its_own(setup_venv: ModuleType) -> None:
    before = setup_venv.VENV
    setup_venv.choose_folder(".venv-jazzy")
    assert setup_venv.VENV.name == ".venv-jazzy"
    assert before != setup_venv.VENV
    assert setup_venv.VENV in setup_venv.STAMPS.parents
    assert setup_venv.VENV in setup_venv.PYTHON.parents


def test_only_another_distribution_is_named(setup_venv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    exec(setup_venv.PREFIX_HOOK)
    assert "ROS_DISTRO" not in os.environ
    exec(setup_venv.DISTRO_HOOK.format(distro="jazzy"))
    assert os.environ["ROS_DISTRO"] == "jazzy"


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="needs the .venv that make made")
def test_requirements_leave_nothing_unresolved() -> None:
    answer = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)

    # What TrackEval declares serves its plots and its own data sets, which are not used here.
    unresolved = [line for line in answer.stdout.splitlines() if not line.startswith("trackeval ")]
    assert answer.returncode == 0 or not unresolved, answer.stdout
