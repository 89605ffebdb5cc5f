"""Atomic writing: a file or folder appears whole under its name, or not at all."""

import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import shutil
from collections.abc import Iterator

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""This machine, in the names of temporary files; its process numbers mean nothing elsewhere."""

LONG_NAME_BYTES = 200
"""A longer name is replaced in the names of temporary files, which file systems limit to 255."""


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary path next to `path`, and move it to `path` if the block succeeds.

    The block writes a file or a folder to the temporary path. Readers see either the old or the
    new content, never a partial one. If the block fails, `path` stays unchanged and the temporary
    file or folder is removed. Several processes may write to the same path. What killed processes
    of this machine left behind in the folder is removed.
    """
    _clean_up(path.parent)
    encoded = os.fsencode(path.name)
    name = path.name if len(encoded) < LONG_NAME_BYTES else hashlib.sha256(encoded).hexdigest()
    temporary = path.with_name(f".{name}.{HOST}.{os.getpid()}.tmp")
    old = temporary.with_suffix(".old")
    _remove(temporary)  # left behind by a killed process with the same number
    if path.exists():
        _remove(old)
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            path.rename(old)  # os.replace cannot replace a folder that is not empty
        os.replace(temporary, path)
    finally:
        if old.is_dir() and not path.exists():
            old.rename(path)
        _remove(temporary)
        _remove(old)


@functools.lru_cache
def _clean_up(folder: pathlib.Path) -> None:
    """Remove temporary files of killed processes, or put the old content back, once per folder."""
    for path in folder.glob(f".*.{HOST}.*.*"):
        name, _, process, kind = path.name[1:].rsplit(".", 3)
        if kind not in ("tmp", "old") or not process.isdecimal() or _is_running(int(process)):
            continue
        if kind == "old" and not path.with_name(name).exists():
            path.rename(path.with_name(name))
        else:
            _remove(path)


def _is_running(process: int) -> bool:
    """Return whether this machine runs a process with this number."""
    try:
        os.kill(process, 0)
    except PermissionError:  # a process of another user
        return True
    except OSError:
        return False
    return True


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
