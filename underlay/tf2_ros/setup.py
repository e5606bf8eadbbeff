"""Install tf2_ros with its entry in the ament index."""

from setuptools import setup

setup(
    name="tf2-ros-py",
    version="0.41.0",
    description="Keeps coordinate frames and looks up transforms between them",
    license="Apache-2.0",
    packages=["tf2_ros"],
    package_data={"tf2_ros": ["py.typed"]},
    python_requires=">=3.10",
    install_requires=["numpy"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/tf2_ros_py"]),
        ("share/tf2_ros_py", ["package.xml"]),
    ],
    zip_safe=False,
)
