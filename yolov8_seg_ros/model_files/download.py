"""Download the published models: resumable, checked, whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from yolov8_seg_ros.errors import DownloadError
from yolov8_seg_ros.files import sha256_of
from yolov8_seg_ros.model_files.store import PublishedModel

#: Where the publisher keeps the files; each is checked by its sha256.
PUBLISHER_URL = (
    "https://raw.githubusercontent.com/stm32-hotspot/ultralytics/main/"
    "examples/YOLOv8-STEdgeAI/stedgeai_models/segmentation/"
)
#: Names a mirror to be used instead: the folder of the files.
URL_VARIABLE = "YOLOV8_SEG_MODEL_URL"
#: Without a byte for so long the connection is given up; and after so long altogether.
TIMEOUT_S, MAX_DURATION_S = 30.0, 3600.0
_CHUNK_BYTES = 1 << 16


def download_model(
    model: PublishedModel, folder: Path, on_progress: Callable[[int], None] = lambda size_bytes: None
) -> Path:
    """Download a published model into a folder, or continue a download that was interrupted.

    Args:
        model: which one.
        folder: made where it does not exist; holds `<file>.part` until the file is whole.
        on_progress: called with the number of bytes that are there, now and then.

    Returns:
        the file; a right one that is there already is not downloaded again.

    Raises:
        DownloadError: if the server cannot be reached, does not have the file, breaks off, or sends another file.
        OSError: if the file cannot be written.
    """
    present = downloaded(model, folder)
    if present is not None:
        return present
    target = folder / model.file_name
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{model.file_name}.part"
    with _opened(part) as file:
        _lock(file, part)
        _fetch_rest(model, file, on_progress)
        _check_content(model, part)
        os.replace(part, target)
    return target


def downloaded(model: PublishedModel, folder: Path) -> Path | None:
    """Return the file of a published model in a folder; None if it is not there, or is another one."""
    target = folder / model.file_name
    return target if target.is_file() and sha256_of(target) == model.sha256 else None


def model_url(model: PublishedModel) -> str:
    """Return the address of a model, at the publisher or at the mirror that the environment names.

    Raises:
        DownloadError: if the mirror's address has a password, which would be printed.
    """
    base = os.environ.get(URL_VARIABLE) or PUBLISHER_URL
    if "@" in base.partition("//")[2].partition("/")[0]:
        raise DownloadError(f"${URL_VARIABLE}: its address has a user name or password, which is not supported")
    return f"{base.rstrip('/')}/{model.file_name}"


def _opened(part: Path) -> BinaryIO:
    try:
        return open(part, "ab", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o666))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DownloadError(f"{part}: this is a link, which is not written through; remove it") from error
        raise


def _lock(file: BinaryIO, part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DownloadError(f"{part}: another process is downloading this file; wait for it") from error


def _fetch_rest(model: PublishedModel, file: BinaryIO, on_progress: Callable[[int], None]) -> None:
    """Append what is missing; a file that is too long already is started again."""
    if file.tell() > model.size_bytes:
        _empty(file)
    if file.tell() == model.size_bytes:
        return
    url = model_url(model)
    deadline_s = time.monotonic() + MAX_DURATION_S
    with _open_url(url, start=file.tell()) as response:
        _check_announced_size(model, url, response)
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            _empty(file)
        on_progress(file.tell())
        while file.tell() < model.size_bytes:
            chunk = _read(url, response, model.size_bytes - file.tell())
            if not chunk:
                raise DownloadError(
                    f"{url}: the connection was closed after {file.tell()} of {model.size_bytes} bytes; "
                    "run the command again to go on from there"
                )
            file.write(chunk)
            on_progress(file.tell())
            if time.monotonic() > deadline_s:
                raise DownloadError(f"{url}: not complete after {MAX_DURATION_S:g} s; run the command again to go on")
    file.flush()


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _open_url(url: str, start: int) -> http.client.HTTPResponse:
    try:
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
        if request.type not in ("http", "https"):
            raise ValueError(f"unknown url type '{request.type}'")
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)
        return response
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url}: the server answers {error.code} {error.reason}; {_advice()}") from error
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise DownloadError(f"{url}: cannot be reached ({why}); {_advice()}") from error
    except ValueError as error:
        raise DownloadError(f"{url}: not an http or https address ({error}); check ${URL_VARIABLE}") from error


def _advice() -> str:
    return (
        f"check the network, name a mirror in ${URL_VARIABLE}, "
        "or copy the file from another machine and give its path as the model"
    )


def _check_announced_size(model: PublishedModel, url: str, response: http.client.HTTPResponse) -> None:
    """Raise for an error page or a sign-in page before anything of it is kept."""
    size = response.headers.get("Content-Length", "")
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
    if size.isdecimal() and int(size) != model.size_bytes:
        raise DownloadError(
            f"{url}: the server offers {size} bytes, the published file has {model.size_bytes}: "
            f"this is another file; {_advice()}"
        )


def _read(url: str, response: http.client.HTTPResponse, wanted_bytes: int) -> bytes:
    try:
        # Unlike read, it returns what has arrived, so that a slow server is noticed.
        return response.read1(min(wanted_bytes, _CHUNK_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: the connection broke ({error}); run the command again to go on") from error


def _check_content(model: PublishedModel, part: Path) -> None:
    found = sha256_of(part)
    if found != model.sha256:
        part.unlink()
        raise DownloadError(
            f"{model_url(model)}: wrong content, removed: sha256 {found}, expected {model.sha256}; "
            "run the command again, or check the mirror"
        )
