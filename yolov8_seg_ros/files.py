"""Find, write and read files: written whole or not at all, read only where that is certain to end."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK_BYTES = 1 << 20
#: Characters of a file's name in that of its temporary file, so that the longest name leaves room for the rest.
_KEPT_CHARS = 20
_numbers = itertools.count()


def user_path(text: str) -> Path:
    """Return the path that a user means: `~` is a home folder, `~nobody` stays as it is where nobody is called so."""
    return Path(os.path.expanduser(text))


def is_file(path: Path) -> bool:
    """Return whether there is a regular file; False where that cannot be found out, as with a name that is too long."""
    return _is(Path.is_file, path)


def is_folder(path: Path) -> bool:
    """Return whether there is a folder; False where that cannot be found out."""
    return _is(Path.is_dir, path)


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except OSError:
        return False


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write a file or folder to; it takes the place of `path` at the end, and is removed on an error.

    It lies beside `path` and has its suffix. A folder can only take the place of none, or of an empty one.

    Raises:
        OSError: if it cannot be written; its `filename` is `path`.
    """
    temporary = _temporary_beside(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # A full disk is reported without a name, other errors with that of the temporary file.
        if error.errno is not None and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside a path; it is removed at the end, with what is still in it.

    Raises:
        OSError: if it, or something in it, cannot be written; its `filename` is `path`.
    """
    folder = _temporary_beside(path)
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        if error.errno is not None and (error.filename is None or Path(error.filename).is_relative_to(folder)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_file(path: Path, max_bytes: int | None = None) -> bytes:
    """Read a file, but no pipe and no device, which could block for ever or never end.

    Args:
        path: of the file.
        max_bytes: refuse a larger one.

    Raises:
        OSError: if it cannot be read, is not a regular file, or is too large.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    if max_bytes is not None and len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"has more than {max_bytes} bytes", str(path))
    return data


def sha256_of(path: Path) -> str:
    """Return a file's sha256, in hexadecimal.

    Raises:
        OSError: if it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.stem[:_KEPT_CHARS]}.{os.getpid()}.{next(_numbers)}.part{path.suffix[:_KEPT_CHARS]}")
