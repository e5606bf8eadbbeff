"""Find models by path or name, and list the published ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from yolov8_seg_ros.commands import tool_command
from yolov8_seg_ros.errors import ModelError
from yolov8_seg_ros.files import is_file, is_folder, user_path
from yolov8_seg_ros.text import clean_text

PACKAGE = "yolov8_seg_ros"
MODEL_SUFFIX = ".tflite"
#: Folders of the user's own, searched first; separated as in PATH.
FOLDERS_VARIABLE = "YOLOV8_SEG_MODELS"
#: The bundled model, which finds the shapes of the built-in scene.
SCENE_MODEL = "shapes_256x192"
BUNDLED_SHA256 = "7a57fb702fea2c2f3ba3a397b0ec5caf71f5ad3b91d9a5be1c6771b3e19f2c0f"
_MAX_QUOTED_CHARS = 200
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class PublishedModel:
    """A model that can be downloaded.

    Attributes:
        name: what a user types.
        file_name: what the publisher calls it.
        sha256: of the file, in hexadecimal.
        size_bytes: of the file.
        licence: under which it is published.
    """

    name: str
    file_name: str
    sha256: str
    size_bytes: int
    licence: str = "AGPL-3.0"


PUBLISHED_MODELS = (
    PublishedModel(
        "yolov8n_256",
        "yolov8n_256_quant_pc_ii_seg_coco-st.tflite",
        "3316733125a5fb85d66ed33993627b5d293b3baceb348b137132071ca365ebd6",
        3514494,
    ),
    PublishedModel(
        "yolov8n_320",
        "yolov8n_320_quant_pc_ii_seg_coco-st.tflite",
        "bdf4de2abebecba97cca73ce5c85ed82bf8e2e9db41fc2b43988469bb11c1c00",
        3519014,
    ),
)


#: What is run where no model is named.
DEFAULT_MODEL = PUBLISHED_MODELS[0].name


def find_model(name: str) -> Path:
    """Return the file of a model.

    Args:
        name: a path, or the name of a file in one of the model folders, with or without `.tflite`, or the short
            name of a published model, such as `yolov8n_256`.

    Raises:
        ModelError: if there is none; the message lists where it was looked for.
    """
    if not name:
        raise ModelError("no model was named: give the path of a .tflite file, or a name such as yolov8n_256")
    path = user_path(name)
    if is_file(path):
        return path
    if path.name != name:
        raise ModelError(f"model '{_quoted(name)}': {_why_not(path)}")
    file_names = _file_names(name)
    for folder in model_folders():
        for file_name in file_names:
            if is_file(folder / file_name):
                return folder / file_name
    if is_folder(path):
        raise ModelError(f"model '{_quoted(name)}': {_why_not(path)}")
    raise ModelError(_not_found(name))


def available_models() -> dict[str, Path]:
    """Return the models that `find_model` finds by name, by the shortest name of each, sorted."""
    models: dict[str, Path] = {}
    for folder in model_folders():
        for path in folder.glob(f"*{MODEL_SUFFIX}"):
            published = published_model(path.name)
            models.setdefault(published.name if published else path.stem, path)
    return dict(sorted(models.items()))


def published_model(name: str) -> PublishedModel | None:
    """Return the published model of that name, its short one or its file's; None if there is none."""
    file_name = name if name.endswith(MODEL_SUFFIX) else name + MODEL_SUFFIX
    return next((model for model in PUBLISHED_MODELS if name == model.name or file_name == model.file_name), None)


def model_folders() -> list[Path]:
    """Return the folders in which models are found by name, the first one first."""
    return list(dict.fromkeys([*_own_folders(), cache_folder(), *_package_folders()]))


def cache_folder() -> Path:
    """Return the folder of downloaded models; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / PACKAGE


def _own_folders() -> Iterator[Path]:
    for folder in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep):
        if folder:
            yield user_path(folder)


def _package_folders() -> Iterator[Path]:
    if (_CHECKOUT / "package.xml").is_file():
        yield _CHECKOUT / "models"
    yield _share_folder() / "models"


def _share_folder() -> Path:
    try:
        from ament_index_python.packages import get_package_share_directory

        return Path(get_package_share_directory(PACKAGE))
    except (ModuleNotFoundError, LookupError, OSError):
        # Installed by pip, or no ROS 2 environment is set up.
        return Path(sys.prefix) / "share" / PACKAGE


def _file_names(name: str) -> list[str]:
    names = [name] if name.endswith(MODEL_SUFFIX) else [name, name + MODEL_SUFFIX]
    published = published_model(name)
    return [*names, published.file_name] if published else names


def _quoted(name: str) -> str:
    return clean_text(name, _MAX_QUOTED_CHARS)


def _why_not(path: Path) -> str:
    if is_folder(path):
        return "there is a folder at that path; give the .tflite file in it"
    try:
        path.stat()
    except FileNotFoundError:
        return "there is no file at that path"
    except (OSError, ValueError) as error:
        return f"the file cannot be read: {getattr(error, 'strerror', None) or error}"
    return "this is not a regular file"


def _not_found(name: str) -> str:
    places = ", ".join(map(str, model_folders()))
    published = published_model(name)
    if published:
        command = tool_command(f"model download {published.name}")
        return f"model '{_quoted(name)}' is not on this machine (looked in {places}); run: {command}"
    known = ", ".join([*available_models()]) or "none"
    return (
        f"model '{_quoted(name)}': there is no such file, and none of that name in {places} "
        f"(there: {known}); add folders in ${FOLDERS_VARIABLE}"
    )
