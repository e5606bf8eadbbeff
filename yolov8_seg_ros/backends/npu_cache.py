"""Store the graphs that an NPU's delegate has compiled, so that the next start need not compile them again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from yolov8_seg_ros.files import user_path
from yolov8_seg_ros.model_files.store import cache_folder

#: As the value of `npu.cache_dir`: keep nothing.
NO_CACHE = "none"
SUFFIX = ".nbg"
_COMPILING_PREFIX = ".compiling-"
#: What a process that ended while it compiled has left behind is removed after this long.
_ABANDONED_S = 3600.0
#: A compiled graph is hardly larger than its model; a folder with less room than this times that counts as full.
_ROOM_FACTOR = 2


class GraphCache:
    """One file of compiled graph: handed to the delegate if it is there, else written by it and then put in place.

    The delegate writes into a folder of its own, so that no other process ever meets a file that is not whole.

    Args:
        folder: where files are kept; made if need be.
        content: the bytes of the model that runs.
        delegate_identity: text that changes with the delegate and its driver.
        options: all others that the delegate is given.

    Attributes:
        file: where the graph is kept.
        is_warm: whether it was there.
        problem: why it cannot be kept; empty where it can.
    """

    def __init__(self, folder: Path, content: bytes, delegate_identity: str, options: Mapping[str, str]) -> None:
        self.file = folder / _file_name(content, delegate_identity, options)
        self.is_warm = self.file.is_file()
        self.problem = ""
        self._compiling_folder: Path | None = None
        self._model_bytes = len(content)
        if not self.is_warm:
            self._prepare()

    @property
    def options(self) -> dict[str, str]:
        """Return the delegate's options that make it use the cache; none where it cannot be used."""
        if self.is_warm:
            return _cache_options(self.file)
        if self._compiling_folder is not None:
            return _cache_options(self._compiling_folder / self.file.name)
        return {}

    def keep(self) -> None:
        """Put in place what the delegate has compiled; after the first run."""
        if self._compiling_folder is None:
            return
        compiled = self._compiling_folder / self.file.name
        try:
            if not compiled.is_file() or not compiled.stat().st_size:
                self.problem = "the delegate has written no compiled graph"
            elif not shutil.disk_usage(compiled.parent).free:
                self.problem = f"{self.file.parent} is full"
            else:
                os.replace(compiled, self.file)
        except OSError as error:
            self.problem = _in_words(error)
        self.discard()

    def forget(self) -> bool:
        """Remove the graph that is there, so that it is compiled anew; return whether there was one."""
        if not self.is_warm:
            return False
        try:
            self.file.unlink(missing_ok=True)
        except OSError:
            return False
        self.is_warm = False
        self._prepare()
        return True

    def discard(self) -> None:
        """Remove what is not in place."""
        if self._compiling_folder is not None:
            shutil.rmtree(self._compiling_folder, ignore_errors=True)
            self._compiling_folder = None

    def _prepare(self) -> None:
        folder = self.file.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(folder)
            if shutil.disk_usage(folder).free < _ROOM_FACTOR * self._model_bytes:
                self.problem = f"{folder} is full"
            else:
                self._compiling_folder = Path(tempfile.mkdtemp(prefix=_COMPILING_PREFIX, dir=folder))
        except OSError as error:
            self.problem = _in_words(error)


def graph_folder(cache_dir: str) -> Path | None:
    """Return the folder that the setting `npu.cache_dir` names: empty stands for the user's cache, `none` for none."""
    if cache_dir == NO_CACHE:
        return None
    return user_path(cache_dir) if cache_dir else cache_folder() / "npu"


def _cache_options(file: Path) -> dict[str, str]:
    return {"allowed_cache_mode": "true", "cache_file_path": str(file.absolute())}


def _file_name(content: bytes, delegate_identity: str, options: Mapping[str, str]) -> str:
    model = hashlib.sha256(content)
    rest = hashlib.sha256(json.dumps([delegate_identity, sorted(options.items())]).encode())
    return f"{model.hexdigest()[:32]}-{rest.hexdigest()[:32]}{SUFFIX}"


def _remove_abandoned(folder: Path) -> None:
    for compiling in folder.glob(f"{_COMPILING_PREFIX}*"):
        try:
            is_old = time.time() - compiling.stat().st_mtime > _ABANDONED_S
        except FileNotFoundError:
            continue
        if is_old:
            shutil.rmtree(compiling, ignore_errors=True)


def _in_words(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}"
