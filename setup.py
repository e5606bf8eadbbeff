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
#: The module that cffi generates from seg.h: its types and functions, without an extension module.
BINDING = "_seg"


class BuildNative(build_ext):
    """Command that builds the C library plainly, so that it serves any Python, and the module that declares it."""

    def get_ext_filename(self, ext_name):
        """Return the library's path, without a tag of this Python's version."""
        return str(Path(*ext_name.split(".")).with_suffix(".so"))

    def build_extension(self, ext):
        """Compile the library and generate the module."""
        try:
            super().build_extension(ext)
        except (CCompilerError, ExecError) as error:
            raise PlatformError(
                f"the decoder needs a C compiler: run 'apt install gcc', build again ({error})"
            ) from error
        write_binding(Path(self.get_ext_fullpath(ext.name)).with_name(f"{BINDING}.py"))

    def copy_extensions_to_source(self):
        """Copy the library into the checkout, and generate the module there."""
        super().copy_extensions_to_source()
        write_binding(NATIVE / f"{BINDING}.py")


def write_binding(path):
    """Write the module that declares what seg.h declares."""
    try:
        from cffi import FFI
    except ModuleNotFoundError as error:
        raise PlatformError("the build needs the Python package cffi: run 'apt install python3-cffi'") from error
    ffi = FFI()
    # cffi has no preprocessor.
    ffi.cdef(re.sub(r"^#.*$", "", (NATIVE / "seg.h").read_text(encoding="utf-8"), flags=re.MULTILINE))
    ffi.set_source(f"{PACKAGE}.native.{BINDING}", None)
    path.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_python_code(str(path))


LIBRARY = Extension(
    f"{PACKAGE}.native.libseg",
    sources=sorted(map(str, NATIVE.glob("*.c"))),
    depends=sorted(map(str, NATIVE.glob("*.h"))),
    extra_compile_args=["-std=c99", "-O3", "-ffp-contract=off"],
    libraries=["m"],
)

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
    ext_modules=[LIBRARY],
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
