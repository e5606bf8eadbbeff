"""Install yolov8_seg_ros, with colcon (ament_python) as with pip."""

from glob import glob
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

PACKAGE = "yolov8_seg_ros"
SHARE = f"share/{PACKAGE}"
NATIVE = f"{PACKAGE}/native"


class BuildLibrary(build_ext):
    """Build a plain library, which serves any Python: it is opened by core/library.py, not imported."""

    def get_ext_filename(self, ext_name):
        """Give the library's path, without a tag of this Python's."""
        return str(Path(*ext_name.split(".")).with_suffix(".so"))


POSTPROCESS = Extension(
    f"{NATIVE}/libpostprocess".replace("/", "."),
    sources=sorted(glob(f"{NATIVE}/*.c")),
    depends=glob(f"{NATIVE}/*.h"),
    extra_compile_args=["-std=c99", "-O3"],
    libraries=["m"],
    # A machine without a compiler does without it, and the node says so.
    optional=True,
)

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Instance segmentation with int8 YOLOv8-seg models on STM32MP2, STM32N6 and any CPU.",
    license="Apache-2.0",
    maintainer="yolov8_seg_ros maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "tools/evaluation/report.html", "tools/evaluation/chart.svg"]},
    cmdclass={"build_ext": BuildLibrary},
    ext_modules=[POSTPROCESS],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/config", glob("config/*")),
        (f"{SHARE}/launch", glob("launch/*.launch.py")),
        (f"{SHARE}/models", glob("models/*")),
    ],
    install_requires=["setuptools"],
    # By this `colcon test` knows which tests these are.
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "seg_node = yolov8_seg_ros.executables:seg_node",
            "image_source = yolov8_seg_ros.executables:image_source",
            "yolov8_seg = yolov8_seg_ros.executables:yolov8_seg",
        ],
    },
)
