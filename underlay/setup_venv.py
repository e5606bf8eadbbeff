"""Make .venv or .venv-jazzy: pinned ROS 2 wheels and the packages beside this file, for a machine without ROS 2.

Called by the Makefile. Each step leaves a stamp in .venv/underlay with a digest of what it was made from, so
that only what changed is done again. The syntax is kept to that of Python 3.6, so that an old interpreter
gets as far as the message which says that it is too old.
"""

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

UNDERLAY = Path(__file__).resolve().parent
VENV = UNDERLAY.parent / ".venv"
STAMPS = VENV / "underlay"
PYTHON = VENV / "bin" / "python"

#: What .venv is made of; another distribution has an environment of its own.
DEFAULT_DISTRO, OTHER_DISTROS = "kilted", ["jazzy"]
SUPPORTED_PYTHON = [(3, 10), (3, 11), (3, 12), (3, 13)]
COMPILERS = ("c++", "g++", "clang++")
MESSAGE_PACKAGES = ("vision_msgs", "tf2_msgs", "bond", "foxglove_msgs")
PYTHON_PACKAGES = ("cv_bridge", "tf2_ros")

# Variables of a sourced ROS 2 or another environment: each would mix foreign packages into this one.
FOREIGN_VARIABLES = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)

# The wheels restart Python with their library path set, but name no ament prefix: rclpy and
# get_package_share_directory need one. Appended, so that a workspace sourced on top keeps its precedence.
PREFIX_HOOK = (
    "import os, sys; p = [x for x in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if x]; "
    "sys.prefix in p or os.environ.__setitem__('AMENT_PREFIX_PATH', os.pathsep.join(p + [sys.prefix]))\n"
)
# What is not the default's goes by its name.
DISTRO_HOOK = "import os; os.environ.setdefault('ROS_DISTRO', {distro!r})\n"


class SetupError(Exception):
    """Error of one line: what is wrong and what to do."""


def main():
    """Update .venv; exit status 1 and one line on stderr where that is not possible."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dev", action="store_true", help="also install what the tests and linters need")
    parser.add_argument("--switch", action="store_true", help="remake a .venv of another Python version")
    distros = [DEFAULT_DISTRO, *OTHER_DISTROS]
    parser.add_argument("--distro", default=DEFAULT_DISTRO, choices=distros, help="ROS 2 distribution")
    arguments = parser.parse_args()
    if arguments.distro != DEFAULT_DISTRO:
        choose_folder(".venv-" + arguments.distro)
    try:
        with_lock(lambda: set_up(arguments.dev, arguments.switch, arguments.distro))
    except SetupError as error:
        sys.exit(f"setup: {error}")


def choose_folder(name):
    """Work in an environment of another name."""
    global VENV, STAMPS, PYTHON
    VENV = UNDERLAY.parent / name
    STAMPS, PYTHON = VENV / "underlay", VENV / "bin" / "python"


def with_lock(work):
    """Run `work` while no other set-up runs in this checkout."""
    folder = os.open(str(UNDERLAY), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        work()
    finally:
        os.close(folder)


def set_up(dev, switch, distro):
    """Run the steps whose sources changed."""
    make_environment(switch)
    requirements = [UNDERLAY / f"requirements-{distro}.txt", UNDERLAY / "requirements.txt"]
    step("requirements", [*requirements, Path(__file__)], lambda: install_wheels(requirements[0], distro))
    for package in MESSAGE_PACKAGES:
        step(package, [*requirements, *sources(package)], lambda package=package: build_messages(package))
    for package in PYTHON_PACKAGES:
        step(package, sources(package), lambda package=package: install_python(package))
    if dev:
        requirements_dev = UNDERLAY / "requirements-dev.txt"
        step("requirements-dev", [requirements_dev], lambda: pip_install("-r", requirements_dev))


def step(name, inputs, work):
    """Run `work` unless the stamp `name` shows that it was done with the same inputs."""
    stamp, key = STAMPS / name, digest(inputs)
    if stamp.exists() and stamp.read_text() == key:
        return
    work()
    stamp.write_text(key)
    (STAMPS / "ready").touch()


def digest(paths):
    """Return one digest of names and contents of the files `paths`."""
    state = hashlib.sha256()
    for path in paths:
        state.update(f"{path.relative_to(UNDERLAY)}\0".encode())
        state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()


def sources(package):
    """List the source files of an underlay package."""
    found = (UNDERLAY / package).rglob("*")
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


# The virtual environment


def make_environment(switch):
    """Create .venv; again where it was moved or left incomplete, or if `switch` asks for another Python."""
    stamp = STAMPS / "environment"
    if VENV.exists() and not STAMPS.exists():
        raise SetupError(f"{VENV} exists and was not made by make: move it away, then try again")
    made = json.loads(stamp.read_text()) if stamp.exists() else {}
    if is_usable(made) and not (switch and made["version"] != list(sys.version_info[:2])):
        return
    check_machine()
    say(f"creating {VENV.name} with Python {platform.python_version()}")
    shutil.rmtree(str(VENV), ignore_errors=True)
    STAMPS.mkdir(parents=True)
    run([sys.executable, "-m", "venv", VENV], f"venv could not create {VENV}")
    stamp.write_text(json.dumps({"version": sys.version_info[:2], "place": str(VENV)}))


def is_usable(made):
    """Return whether .venv, of which `made` is the record, was not moved and still finds its base Python."""
    return made.get("place") == str(VENV) and PYTHON.exists() and works(PYTHON)


def works(python):
    """Return whether an interpreter starts: the base of a .venv may be gone, a version manager's shim be empty."""
    return subprocess.call([str(python), "-c", ""], stderr=subprocess.DEVNULL) == 0


def check_machine():
    """Raise SetupError where the wheels cannot be used or message packages cannot be built."""
    check_python()
    lacks = [(what, package) for present, what, package in needs() if not present]
    if lacks:
        missing = " and ".join(what for what, _ in lacks)
        packages = " ".join(package for _, package in lacks)
        raise SetupError(f"missing: {missing}. On Debian or Ubuntu: sudo apt-get install {packages}")


def check_python():
    """Raise SetupError unless the ROS 2 wheels exist for this interpreter and machine."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SetupError(
            f"the ROS 2 wheels exist for x86-64 Linux, this is {platform.machine()} {platform.system()}; "
            "build with colcon in a workspace of an installed ROS 2 (see README.md)"
        )
    if sys.version_info[:2] not in SUPPORTED_PYTHON or platform.python_implementation() != "CPython":
        raise SetupError(
            f"{sys.executable} is {platform.python_implementation()} {platform.python_version()}, "
            f"but the ROS 2 wheels need CPython 3.10 to 3.13: {other_python()}"
        )


def other_python():
    """Return how to choose a supported interpreter."""
    names = ["python{}.{}".format(*version) for version in reversed(SUPPORTED_PYTHON)]
    found = [name for name in names if shutil.which(name) and works(name)]
    return f"try make PYTHON={found[0]}" if found else "install one and name it, make PYTHON=python3.x"


def needs():
    """List (present, what it is, Debian package) of all that the machine itself must offer."""
    python = "python{}.{}".format(*sys.version_info[:2])
    compilers = [os.environ["CXX"].split()[0]] if os.environ.get("CXX") else COMPILERS
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return [
        (any(shutil.which(name) for name in compilers), "a C++ compiler", "g++"),
        (bool(shutil.which("make")), "make", "make"),
        (headers.exists(), f"the headers of {python}", python + "-dev"),
        (bool(find_spec("ensurepip")), f"the venv module of {python}", python + "-venv"),
    ]


# What is installed into it


def install_wheels(requirements, distro):
    """Install the pinned wheels and make them a working ROS 2 prefix."""
    say(f"installing {requirements.relative_to(UNDERLAY.parent)} (about 200 MB to download the first time)")
    pip_install("-r", requirements)
    (site_packages() / "ros_prefix.pth").write_text(PREFIX_HOOK)
    if distro != DEFAULT_DISTRO:
        (site_packages() / "ros_distro.pth").write_text(DISTRO_HOOK.format(distro=distro))
    repair_exports()


def repair_exports():
    """Replace the include folders of the machine that built the wheels by those of this one.

    The CMake exports of the wheels' message packages name Python's and NumPy's headers by absolute path.
    """
    question = "import numpy, sysconfig; print(sysconfig.get_path('include')); print(numpy.get_include())"
    python_include, numpy_include = ask_python(question)
    for path in VENV.glob("share/*/cmake/*Export*.cmake"):
        text = path.read_text()
        repaired = re.sub(r"/opt/python/[^/;\"]+/include/python3\.\d+", lambda _: python_include, text)
        repaired = re.sub(r"/opt/python/[^;\"]+/numpy/_core/include", lambda _: numpy_include, repaired)
        if repaired != text:
            path.write_text(repaired)


def build_messages(package):
    """Build a message package by colcon, merged into .venv."""
    say("building " + package)
    build, log = STAMPS / "build", STAMPS / "log"
    command = [VENV / "bin" / "colcon", "--log-base", log, "build", "--merge-install"]
    command += ["--base-paths", UNDERLAY / package, "--build-base", build, "--install-base", VENV]
    command += ["--cmake-args", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"]
    command += [f"-DPython3_EXECUTABLE={PYTHON}", "-Wno-dev"]
    run(command, "colcon could not build underlay/" + package)
    shutil.rmtree(str(build))


def install_python(package):
    """Install a Python package from a copy, since setuptools leaves its build folders beside the sources."""
    say("installing " + package)
    copy = STAMPS / (package + "-sources")
    shutil.rmtree(str(copy), ignore_errors=True)
    shutil.copytree(str(UNDERLAY / package), str(copy), ignore=shutil.ignore_patterns("__pycache__"))
    pip_install("--no-build-isolation", "--force-reinstall", copy)
    shutil.rmtree(str(copy))


# Running programs


def pip_install(*arguments):
    """Install with pip, nothing but what the arguments name."""
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
    run([PYTHON, "-m", "pip", "install", *options, *arguments], "pip failed; is the package registry reachable?")


def site_packages():
    """Return the folder of .venv in which Python packages lie."""
    return Path(ask_python("import sysconfig; print(sysconfig.get_path('purelib'))")[0])


def ask_python(code):
    """Return the lines that `code` prints in .venv's Python."""
    return subprocess.check_output([str(PYTHON), "-c", code], env=clean_environment()).decode().splitlines()


def run(command, failure):
    """Run `command` quietly; where it fails, show what it said and raise SetupError(failure)."""
    command = [str(part) for part in command]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    answer = subprocess.run(command, env=clean_environment(), **output)
    if answer.returncode:
        sys.stderr.write(answer.stdout.decode(errors="replace"))
        raise SetupError(f"{failure} (exit status {answer.returncode}; its words are above)")


def clean_environment():
    """Return the environment for programs of .venv, which come first on the path."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    environment["PATH"] = os.pathsep.join([str(VENV / "bin"), environment.get("PATH", os.defpath)])
    if (VENV / "share").exists():
        environment.update(CMAKE_PREFIX_PATH=str(VENV), AMENT_PREFIX_PATH=str(VENV))
    return environment


def say(text):
    """Print what is being done."""
    print("setup: " + text, flush=True)


if __name__ == "__main__":
    main()
