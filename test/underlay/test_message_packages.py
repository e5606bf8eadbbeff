"""The message types are, on the wire, those of the distribution: vision_msgs 4.x, tf2_msgs, bond, foxglove_msgs 3.4."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

packages = pytest.importorskip("ament_index_python.packages", reason="needs ROS 2 or the .venv")

UNDERLAY = Path(__file__).resolve().parents[2] / "underlay"
# Printed by the distribution's packages.
TYPE_HASHES = {
    "bond": {
        "Status": "RIHS01_87eaccffa254ffffadc0b61600452e8251740f06c25659a2dbda4927fdb1f70a",
    },
    "foxglove_msgs": {
        "CircleAnnotation": "RIHS01_8bd0a9869b14ed054b6e3fbfb09bd0dbaa90946083adcca96c964a20191fd99a",
        "Color": "RIHS01_ed1b16da40c954e6456b950c2ef4559c179e5cb98f1363cb28c3b90c6ee14120",
        "ImageAnnotations": "RIHS01_bc4e578b1ef80953415d6f966a4cab305c8a44c8b64fc405312b6f06a08fc45e",
        "KeyValuePair": "RIHS01_3a1aafc9b6c5876181434af49e3077c3e63174d48c4be9fbc8f65547c59aaded",
        "Point2": "RIHS01_d85e823b78e2e88bc31629e305558bcdd2ecc9225f5f9390f96d91930f5696f0",
        "PointsAnnotation": "RIHS01_e151e5042d911c2949ff9ef427944596eefdf9672ff93d381e8d24e60addf8e6",
        "TextAnnotation": "RIHS01_9678167e063be85463865db2383506c704498e5f8657f24c576a996e7f2ed2e4",
    },
    "tf2_msgs": {
        "TFMessage": "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
    },
    "vision_msgs": {
        "BoundingBox2D": "RIHS01_008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f",
        "BoundingBox2DArray": "RIHS01_2464e82838009386d371b523211c21c91d74d313fcdd6788223c531d621cf691",
        "BoundingBox3D": "RIHS01_bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698",
        "BoundingBox3DArray": "RIHS01_a81938db9576b10c2eecd7c5a5da3eac496efd00221b25ed051dfbc81fb56da6",
        "Classification": "RIHS01_f74db28d0eaef3afb78f48bf2161cd709a1383a0309d3454383b25be11345143",
        "Detection2D": "RIHS01_0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
        "Detection2DArray": "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
        "Detection3D": "RIHS01_ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b",
        "Detection3DArray": "RIHS01_793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
        "LabelInfo": "RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
        "ObjectHypothesis": "RIHS01_51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90",
        "ObjectHypothesisWithPose": "RIHS01_41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc",
        "Point2D": "RIHS01_eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247",
        "Pose2D": "RIHS01_b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648",
        "VisionClass": "RIHS01_1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
        "VisionInfo": "RIHS01_95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284",
    },
}
#: Packages whose messages get new fields in minor releases.
CHANGING = {"foxglove_msgs"}
MESSAGES = [(package, name) for package, hashes in TYPE_HASHES.items() for name in hashes]


def share(package: str) -> Path:
    try:
        return Path(packages.get_package_share_directory(package))
    except packages.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")


def version(folder: Path) -> str | None:
    return ElementTree.parse(folder / "package.xml").findtext("version")


@pytest.mark.parametrize(("package", "name"), MESSAGES)
def test_type_hash_is_that_of_the_distribution(package: str, name: str) -> None:
    if package in CHANGING and version(share(package)) != version(UNDERLAY / package):
        pytest.skip(f"another release of {package} is installed")
    description = json.loads((share(package) / "msg" / f"{name}.json").read_text())

    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}

    assert hashes[f"{package}/msg/{name}"] == TYPE_HASHES[package][name]


def test_every_message_is_held_to_its_hash() -> None:
    sources = UNDERLAY.glob("*/msg/*.msg")

    assert {(path.parts[-3], path.stem) for path in sources} == set(MESSAGES)
