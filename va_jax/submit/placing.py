"""A file or a folder that is put in its place when it is whole, or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from va_jax.types import InputError


@contextlib.contextmanager
def placed(out: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives the name to write under; at the end what is there replaces what is at `out`."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if out.is_dir():
            out.rename(old)  # a folder does not replace another that holds anything
        os.replace(temporary, out)
    except OSError as error:
        raise InputError(f"--out={out}: {error.strerror}; choose another place") from error
    finally:
        if old.is_dir() and not out.exists():
            old.rename(out)
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)  # does nothing to a file
            with contextlib.suppress(OSError):
                left.unlink()
