"""A lock on a workdir, so that two runs do not write to it at the same time."""

import contextlib
import errno
import fcntl
import os
import pathlib
import platform
import sys
from collections.abc import Iterator
from typing import IO

import jax
import numpy as np
from jax.experimental import multihost_utils

from va_jax.types import InputError

NAME = "lock"
CONFIG = "config.json"
WITH_CONFIG = ("data.json", "metrics.jsonl", "metrics.json", "report.html")
"""Files of a run, which never exist without `CONFIG`."""

NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Error codes from file systems without locks."""


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[None]:
    """Hold the lock on `workdir` during the block; only process 0 of a job takes it.

    The operating system releases the lock when the process ends, even if it is killed. A workdir
    that the block leaves empty is removed.

    Raises:
        InputError: another run holds the lock, or the folder contains files of the same names that
            no run has written; all processes of the job raise it.
    """
    _refuse_foreign(workdir)
    file = _take(workdir) if jax.process_index() == 0 else None
    try:
        if jax.process_count() > 1:
            taken = multihost_utils.broadcast_one_to_all(np.array(file is not None))
        else:
            taken = file is not None
        if not taken:
            raise InputError(
                f"{workdir}: {_holder(workdir)} is training in this workdir; wait until it ends, "
                "or choose a different --workdir"
            )
        yield
    finally:
        if file:
            _release(file, workdir)


def _refuse_foreign(workdir: pathlib.Path) -> None:
    """Raise InputError if a folder contains files with the names of a run's, but no run."""
    is_run = (workdir / CONFIG).exists()
    foreign = [name for name in WITH_CONFIG if not is_run and (workdir / name).exists()]
    with contextlib.suppress(FileNotFoundError):
        content = (workdir / NAME).read_bytes()
        if content and not content.startswith(b"process "):
            foreign.append(NAME)
    if foreign:
        raise InputError(
            f"{workdir / foreign[0]}: not a file of a run, so it will not be replaced; choose a "
            "different --workdir"
        )


def _take(workdir: pathlib.Path) -> IO[str] | None:
    """Return the locked file, or None if another process has locked it."""
    path = workdir / NAME
    while True:
        workdir.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
            print(
                f"warning: {path}: this file system does not support locks ({error.strerror}); do "
                "not start a second run in this workdir",
                file=sys.stderr,
            )
        if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
            break
        file.close()  # the run that has just ended removed it
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
    return file


def _holder(workdir: pathlib.Path) -> str:
    """Describe the process that holds the lock."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (workdir / NAME).read_text() or "another process"
    return "another process"


def _release(file: IO[str], workdir: pathlib.Path) -> None:
    if [path.name for path in workdir.iterdir()] == [NAME]:
        (workdir / NAME).unlink()
        workdir.rmdir()
    file.close()
