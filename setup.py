"""Install yolov8_seg_ros, with colcon (ament_python) as with pip."""

from glob import glob

from setuptools import find_packages, setup

PACKAGE = "yolov8_seg_ros"
SHARE = f"share/{PACKAGE}"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Instance segmentation with int8 YOLOv8-seg models on STM32MP2, STM32N6 and any CPU.",
    license="Apache-2.0",
    maintainer="yolov8_seg_ros maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed"]},
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
    zip_safe=True,
    entry_points={
        "console_scripts": [
            "seg_node = yolov8_seg_ros.executables:seg_node",
            "image_source = yolov8_seg_ros.executables:image_source",
            "yolov8_seg = yolov8_seg_ros.executables:yolov8_seg",
        ],
    },
)
