"""Install cv_bridge with its entry in the ament index."""

from setuptools import setup

setup(
    name="cv-bridge",
    version="4.1.0",
    description="Converts between ROS image messages and OpenCV arrays",
    license="Apache-2.0",
    packages=["cv_bridge"],
    package_data={"cv_bridge": ["py.typed"]},
    python_requires=">=3.10",
    install_requires=["numpy", "opencv-python-headless"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/cv_bridge"]),
        ("share/cv_bridge", ["package.xml"]),
    ],
    zip_safe=False,
)
