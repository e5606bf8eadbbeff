"""Install yolov8_seg_ros, with colcon (ament_python) as with pip."""

import re
from glob import glob
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

PACKAGE = "yolov8_seg_ros"
SHARE = f"share/{PACKAGE}"
NATIVE = Path(PACKAGE, "native")
BRIDGE = Path("firmware", "n6_bridge")
#: Of each library: the module, without an extension module, that cffi generates from its headers.
BINDINGS = {
    "libseg": ("_seg", [NATIVE / "seg.h"]),
    "libcapture": ("_capture", [NATIVE / "capture" / "capture.h"]),
    "libn6board": (
        "_n6board",
        [NATIVE / "seg.h", BRIDGE / "core" / "model_description.h", BRIDGE / "host" / "n6_board.h"],
    ),
}


class BuildNative(build_ext):
    """Command that builds C libraries plainly, so that they serve any Python, and the modules that declare them."""

    def get_ext_filename(self, ext_name):
        """Return the library's path, without a tag of this Python's version."""
        return str(Path(*ext_name.split(".")).with_suffix(".so"))

    def build_extension(self, ext):
        """Compile the library and generate the module."""
        try:
            super().build_extension(ext)
        except (CCompilerError, ExecError) as error:
            raise PlatformError(
                f"the package needs a C compiler: run 'apt install gcc', build again ({error})"
            ) from error
        write_binding(Path(self.get_ext_fullpath(ext.name)))

    def copy_extensions_to_source(self):
        """Copy the libraries into the checkout, and generate the modules there."""
        super().copy_extensions_to_source()
        for library in BINDINGS:
            write_binding(NATIVE / library)


def write_binding(library):
    """Write the module that declares what a library's headers declare, beside the library."""
    try:
        from cffi import FFI
    except ModuleNotFoundError as error:
        raise PlatformError("the build needs the Python package cffi: run 'apt install python3-cffi'") from error
    ffi = FFI()
    module, headers = BINDINGS[library.stem]
    for header in headers:
        # cffi has no preprocessor.
        ffi.cdef(re.sub(r"^#.*$", "", header.read_text(encoding="utf-8"), flags=re.MULTILINE))
    ffi.set_source(f"{PACKAGE}.native.{module}", None)
    library.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_python_code(str(library.with_name(f"{module}.py")))


def library(name, folders):
    """Return a C library of all sources in the folders."""
    return Extension(
        f"{PACKAGE}.native.{name}",
        sources=sorted(str(path) for folder in folders for path in folder.glob("*.c")),
        depends=sorted(str(path) for folder in folders for path in folder.glob("*.h")),
        include_dirs=list(map(str, folders)),
        # Python's own flags hold -fwrapv, with which gcc vectorizes no loop of the resize: it takes twice as long then.
        extra_compile_args=["-std=c99", "-O3", "-ffp-contract=off", "-fno-wrapv"],
        libraries=["m"],
    )


LIBRARIES = [
    library("libseg", [NATIVE]),
    library("libcapture", [NATIVE / "capture"]),
    library("libn6board", [NATIVE, BRIDGE / "core", BRIDGE / "host"]),
]

setup(
    name=PACKAGE,
    version="0.2.0",
    description="Instance segmentation with int8 YOLOv8-seg models on STM32MP2, STM32N6 and any CPU.",
    license="Apache-2.0",
    maintainer="yolov8_seg_ros maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "cli/demo.html", "tools/evaluation/report.html", "tools/evaluation/chart.svg"]},
    cmdclass={"build_ext": BuildNative},
    ext_modules=LIBRARIES,
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/config", glob("config/*")),
        (f"{SHARE}/launch", glob("launch/*.launch.py")),
        (f"{SHARE}/examples", glob("examples/*.py")),
        (f"{SHARE}/models", glob("models/*")),
    ],
    install_requires=["setuptools", "cffi"],
    # By this `colcon test` knows which tests these are.
    extras_require={"test": ["pytest"], "tracks": ["trackeval"], "bags": ["rosbags>=0.11"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "seg_node = yolov8_seg_ros.executables:seg_node",
            "depth_node = yolov8_seg_ros.executables:depth_node",
            "image_source = yolov8_seg_ros.executables:image_source",
            "yolov8_seg = yolov8_seg_ros.executables:yolov8_seg",
        ],
    },
)
