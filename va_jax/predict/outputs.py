"""Output files: where results go, which files may be replaced, and how a folder is resumed."""

import collections
import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from va_jax.data.csv_format import PLAIN, CsvFormat
from va_jax.io import read_json, write_json
from va_jax.predict import page
from va_jax.predict.drawings import Drawing, plots
from va_jax.predict.inputs import InputFile
from va_jax.scoring.predicted import FOLDER_FILE, source_of
from va_jax.types import InputError
from va_jax.video.write import FORMATS

FIXED = (
    "sources", "model", "checkpoint_step", "track", "every", "processed", "sep", "decimal", "fps",
)  # fmt: skip
"""Entries in the side file that must be the same for all csv files in a folder."""

BEFORE = {"sep": ",", "decimal": ".", "fps": None}
"""Values of entries that older side files do not have."""

OVERLAY_IMAGES = (".png", ".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where results are written: a csv file per source in `out`, or all rows in one `csv`."""

    out: pathlib.Path | None = None  # None for the default of each source, see `search.find`
    csv: str | None = None  # path to a file, or "-" for standard output
    overlay: pathlib.Path | None = None
    plot: pathlib.Path | None = None  # a .png file, or a folder of them
    overwrite: bool = False
    progress: bool = True
    csv_format: CsvFormat = PLAIN
    fps: float | None = None  # rows per second; None for a row per frame
    page: pathlib.Path | None = None  # an .html file, or a folder of them
    page_video: str = "auto"  # one of page.VIDEOS

    @property
    def common_csv(self) -> pathlib.Path | None:
        """Path to the csv file shared by all sources; None if there is none."""
        return None if self.csv in (None, "-") else pathlib.Path(self.csv)

    @property
    def drawings(self) -> list[Drawing]:
        """The kinds of drawings to make."""
        drawn = [] if self.plot is None else [plots(self.plot)]
        video, csv_format = self.page_video, self.csv_format
        return drawn + ([] if self.page is None else [page.drawing(self.page, video, csv_format)])

    @property
    def pages_folder(self) -> pathlib.Path | None:
        """Path to the folder for the pages of all sources; None if there is none."""
        folders = [each.path for each in self.drawings if each.is_folder and each.path == self.page]
        return folders[0] if folders else None

    def facts(self) -> dict[str, Any]:
        """Return the entries in a side file that describe the rows."""
        return dataclasses.asdict(self.csv_format) | {"fps": self.fps}

    def named_csvs(self, files: Sequence[InputFile]) -> list[pathlib.Path]:
        """Return the csv files to write, except those for a folder, which can be resumed."""
        if self.csv is None:
            return [file.csv for file in files if file.folder is None]
        return [] if self.common_csv is None else [self.common_csv]

    def check(self, files: Sequence[InputFile]) -> None:
        """Check that all outputs for these files can be written.

        Raises:
            InputError: a file would be overwritten, or an output cannot be created.
        """
        if self.csv is None:
            _check_distinct(files)
        single = [each for each in self.drawings if not each.is_folder]
        drawings = [each.path for each in single]
        drawings += [] if self.overlay is None else [self.overlay]
        if drawings and len(files) > 1:
            raise InputError(
                f"{drawings[0]}: --overlay, and --plot and --page with a file, require a single "
                f"source, but there are {len(files)}; pass a folder without an extension for the "
                "plots or pages, and draw overlays one source at a time"
            )
        folders = [each for each in self.drawings if each.is_folder]
        inside = [(file, each.path_of(file)) for each in folders for file in files]
        written = [*drawings, *(path for _, path in inside), *self.named_csvs(files)]
        taken = collections.Counter(
            path.resolve() for path in (*written, *(file.path for file in files))
        )
        if twice := [path for path in written if taken[path.resolve()] > 1]:
            raise InputError(
                f"{twice[0]} is also a source or another output; choose a different file"
            )
        for path in drawings:
            if not path.parent.is_dir():
                raise InputError(
                    f"{path}: the folder {path.parent} does not exist; create it first"
                )
        if self.overlay is not None and files:
            suffixes = OVERLAY_IMAGES if files[0].is_image else tuple(FORMATS)
            _check_suffix(self.overlay, f"the overlay of {files[0].path}", suffixes)
        for each in single:
            _check_suffix(each.path, f"the {each.flag[2:]}", each.suffixes)
        resumed = {path for file, path in inside if file.folder is not None}
        self.check_replaceable([path for path in written if path not in resumed])

    def check_replaceable(self, paths: Sequence[pathlib.Path]) -> None:
        """Raise InputError if a file exists and must not be replaced."""
        for path in paths:
            if path.exists() and not path.is_file():
                raise InputError(f"{path} is not a regular file; choose a different file")
            if path.exists() and not self.overwrite:
                raise InputError(
                    f"{path} already exists; choose a different file or pass --overwrite"
                )

    def is_complete(self, file: InputFile) -> bool:
        """Return whether a file from a folder has a newer csv file, written by this command.

        An old file that was moved into the folder counts as new, because its status has changed.

        Raises:
            InputError: something else exists at the path of the csv file; it is never replaced.
        """
        if self.csv is not None or file.folder is None:
            return False
        try:
            written_s = file.csv.lstat().st_mtime
        except FileNotFoundError:
            return False
        except OSError as error:
            raise InputError(
                f"{file.path}: {file.csv} cannot be written: {error.strerror}; rename the source "
                "or choose a different --out"
            ) from error
        source = source_of(file.csv)
        if source is None:
            raise InputError(
                f"{file.path}: {file.csv} was not written by this command, so it will not be "
                "replaced; move it or choose a different --out"
            )
        status = file.path.stat()
        same = pathlib.PurePath(source).name == file.path.name and not self.overwrite
        return same and written_s >= max(status.st_mtime, status.st_ctime)


def _check_distinct(files: Sequence[InputFile]) -> None:
    sources: dict[pathlib.Path, pathlib.Path] = {}
    for file in files:
        other = sources.setdefault(file.csv, file.path)
        if other is not file.path:
            raise InputError(
                f"the results for {other} and {file.path} would both be written to {file.csv}; "
                "process each file with a different --out, or pass --csv=FILE to write all rows to "
                "one file"
            )


def _check_suffix(path: pathlib.Path, what: str, suffixes: Sequence[str]) -> None:
    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"Cannot write {what} to {path}: unsupported extension. Use {' or '.join(suffixes)}."
        )


def make_folder(folder: pathlib.Path) -> None:
    """Create the folder for the results and check that it is writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"{folder}: cannot write to this folder ({error.strerror}); choose a different one "
            "with --out"
        ) from error


def claim_folder(out: pathlib.Path, facts: Mapping[str, Any], overwrite: bool) -> None:
    """Write the side file of a folder, after checking that its results use the same settings.

    Raises:
        InputError: the folder contains results with different settings and `overwrite` is False,
            or a side file that was not written by this command.
    """
    path = out / FOLDER_FILE
    if path.exists():
        before = read_json(path, "restore or remove it")
        if not isinstance(before, dict) or not before.keys() >= {"model", "checkpoint_step"}:
            raise InputError(
                f"{path} was not written by this command, so it will not be replaced; choose a "
                "different --out"
            )
        for key in () if overwrite else FIXED:
            value = before.get(key, BEFORE.get(key))
            if value != facts[key]:
                raise InputError(
                    f"{path}: the results in this folder were written with "
                    f"{key}={value!r}, but this command uses {facts[key]!r}; "
                    "choose a different --out or pass --overwrite"
                )
    make_folder(out)
    write_json(path, facts)
