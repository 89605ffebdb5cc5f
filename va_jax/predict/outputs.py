"""Output files: where results go, which files may be replaced, how a folder is resumed."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from va_jax.io import read_json, write_json
from va_jax.predict.inputs import InputFile
from va_jax.types import InputError
from va_jax.video.write import FORMATS

FOLDER_FILE = "predict.json"
"""The side file of all csv files in a folder of results."""

FIXED = ("model", "checkpoint_step", "track", "every", "processed")
"""Entries of the side file that must be the same for all csv files in a folder."""

OVERLAY_IMAGES = (".png", ".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where the results go: a csv file for each source in `out`, or all rows in one `csv`."""

    out: pathlib.Path
    csv: str | None = None  # a file; "-" is standard output
    overlay: pathlib.Path | None = None
    plot: pathlib.Path | None = None
    overwrite: bool = False
    progress: bool = True

    @property
    def common_csv(self) -> pathlib.Path | None:
        """The csv file that all sources share, if they share one that is a file."""
        return None if self.csv in (None, "-") else pathlib.Path(self.csv)

    def csv_of(self, file: InputFile) -> pathlib.Path:
        """Return the path of a source's own csv file."""
        return self.out / file.name.with_name(f"{file.name.name}.csv")

    def named_csvs(self, files: Sequence[InputFile]) -> list[pathlib.Path]:
        """Return the csv files to write, except those of a folder, which is resumed."""
        if self.csv is None:
            return [self.csv_of(file) for file in files if not file.searched]
        return [] if self.common_csv is None else [self.common_csv]

    def check(self, files: Sequence[InputFile]) -> None:
        """Check that all outputs for these files may be written.

        Raises:
            InputError: a file would be overwritten, or an output cannot be made.
        """
        drawings = [path for path in (self.overlay, self.plot) if path is not None]
        if drawings and len(files) > 1:
            raise InputError(
                f"--overlay and --plot take one source, {len(files)} are given; predict them one "
                "by one"
            )
        written = [*drawings, *self.named_csvs(files)]
        taken = [path.resolve() for path in (*written, *(file.path for file in files))]
        if twice := [path for path in written if taken.count(path.resolve()) > 1]:
            raise InputError(f"{twice[0]} is also the source or another output; name another file")
        for path in drawings:
            if not path.parent.is_dir():
                raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
        if self.overlay is not None and files:
            suffixes = OVERLAY_IMAGES if files[0].is_image else tuple(FORMATS)
            _check_suffix(self.overlay, f"the overlay of {files[0].path}", suffixes)
        if self.plot is not None:
            _check_suffix(self.plot, "the plot", (".png",))
        self.check_replaceable(written)

    def check_replaceable(self, paths: Sequence[pathlib.Path]) -> None:
        """Raise an InputError if a file exists and may not be replaced."""
        for path in paths:
            if path.exists() and not path.is_file():
                raise InputError(f"{path} is not a regular file; name another file")
            if path.exists() and not self.overwrite:
                raise InputError(f"{path} already exists; name another file or give --overwrite")

    def is_complete(self, file: InputFile) -> bool:
        """Return whether a file of a folder has a csv that is newer than itself.

        An old file that was moved to this place counts as new: its status has changed.
        """
        path = self.csv_of(file)
        if self.csv is not None or self.overwrite or not file.searched or not path.exists():
            return False
        status = file.path.stat()
        return path.stat().st_mtime >= max(status.st_mtime, status.st_ctime)


def _check_suffix(path: pathlib.Path, what: str, suffixes: Sequence[str]) -> None:
    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"Cannot write {what} to {path}: unsupported extension. Use {' or '.join(suffixes)}."
        )


def make_folder(folder: pathlib.Path) -> None:
    """Make the folder of the results and check that it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror}; name another folder with --out"
        ) from error


def claim_folder(out: pathlib.Path, facts: Mapping[str, Any], overwrite: bool) -> None:
    """Write the side file of a folder, whose csv files must all be made with the same settings.

    Raises:
        InputError: the folder holds results with other settings and `overwrite` is False.
    """
    path = out / FOLDER_FILE
    if path.exists() and not overwrite:
        before = read_json(path, "restore it or give --overwrite")
        for key in FIXED:
            if before.get(key) != facts[key]:
                raise InputError(
                    f"{path}: this folder was predicted with {key}={before.get(key)!r}, now it is "
                    f"{facts[key]!r}; choose another --out or give --overwrite"
                )
    make_folder(out)
    write_json(path, facts)
