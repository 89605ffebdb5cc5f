"""Files of an exported model, and the SHA-256 digests that reveal changed files."""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

from va_jax.io import read_json
from va_jax.types import InputError

ARRAYS = "model.safetensors"
METADATA = "passport.json"
CARD = "MODEL_CARD.md"
DIGESTS = "files"
"""Key in the metadata for the digests of all other files, by file name."""

EXPORT_AGAIN = "export the model again with `va_jax export RUN --out=FOLDER`"
"""Remedy for a damaged or outdated export."""


def digests(folder: pathlib.Path) -> dict[str, str]:
    """Return the SHA-256 digest of every file in an exported model except its metadata."""
    return {
        path.name: _digest(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != METADATA and not path.name.startswith(".")
    }


def check(folder: pathlib.Path, metadata: Mapping[str, Any]) -> None:
    """Compare the files in an exported model with the digests in its metadata.

    Exports from earlier versions have no digests and are not compared. Neither is the model card,
    which people may edit. Missing files are reported by the code that needs them.

    Raises:
        InputError: a file has changed since the export; the message names the first one.
    """
    for name, digest in metadata.get(DIGESTS, {}).items():
        path = folder / name
        if name != CARD and path.is_file() and _digest(path) != digest:
            raise InputError(
                f"{path}: the file has changed since the export (its SHA-256 differs from the one "
                f"in {METADATA}); copy the file again, or {EXPORT_AGAIN}"
            )


def check_folder(folder: pathlib.Path) -> None:
    """Do the same as `check`, using the metadata in `folder`; do nothing if it has no metadata."""
    path = folder / METADATA
    metadata = read_json(path, EXPORT_AGAIN) if path.exists() else {}
    files = metadata.get(DIGESTS, {}) if isinstance(metadata, dict) else None
    if not isinstance(files, dict):
        raise InputError(f"{path}: not the metadata of an exported model; {EXPORT_AGAIN}")
    check(folder, metadata)


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
