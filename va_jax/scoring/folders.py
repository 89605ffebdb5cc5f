"""Find the csv file and the group of each recording."""

import os
import pathlib
from collections.abc import Iterator

from va_jax.io import read_csv
from va_jax.scoring.predicted import SUMMARY, is_summary
from va_jax.types import InputError, track_name


def find_recordings(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return {recording: csv file} for `folder` and its sub-folders, sorted by name.

    The name of the recording is the path relative to `folder`, without its suffix and decoded by
    `track_name`: `part/a.csv` and `part%2Fa.csv` both stand for the recording `part/a`. Links to
    folders are followed. Hidden folders, the metadata files of macOS (`._NAME`) and the summary
    that `va_jax predict` adds to a folder are skipped.

    Raises:
        InputError: there are no files, or two files belong to the same recording.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; pass one that contains RECORDING.csv files")
    found: dict[str, pathlib.Path] = {}
    for path in csv_files(folder):
        if path.name == SUMMARY and is_summary(path):
            continue
        parts = path.relative_to(folder).with_suffix("").parts
        name = "/".join(map(track_name, parts))
        if name in found:
            raise InputError(
                f"{found[name]} and {path} both belong to recording {name!r}; remove one of them"
            )
        found[name] = path
    if not found:
        raise InputError(f"{folder}: contains no .csv files; pass a folder of RECORDING.csv files")
    return dict(sorted(found.items()))


def csv_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the csv files in a folder and its sub-folders, sorted by name within a folder."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (real := os.path.realpath(place)) in seen:
            folders.clear()  # a link to a folder that contains the link
            continue
        seen.add(real)
        for name in sorted(names):
            if name.casefold().endswith(".csv") and not name.startswith("._"):
                yield pathlib.Path(place, name)


def _refuse_folder(error: OSError) -> None:
    raise InputError(
        f"{error.filename}: {error.strerror}; check the permissions of the folder"
    ) from error


def find_traces(place: pathlib.Path, split: str) -> pathlib.Path:
    """Return the folder of traces for `split` if `place` is a workdir, else `place` itself."""
    if not place.is_dir():
        raise InputError(f"{place}: not a folder; pass the workdir of a run or a folder of traces")
    root = place / "traces"
    if root.is_dir() and not (root / split).is_dir():
        known = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir()))
        raise InputError(
            f"{root}: there is no split {split!r}, only {known or 'an empty folder'}; evaluate "
            "the split or choose a different --split"
        )
    return root / split if root.is_dir() else place


def read_groups(path: pathlib.Path) -> dict[str, str]:
    """Read the group of each recording from a csv file with the columns `recording` and `group`."""
    table = read_csv(path)
    recording, group = table.columns("recording", "group")
    groups: dict[str, str] = {}
    for line, cells in table.rows:
        if groups.setdefault(cells[recording], cells[group]) != cells[group]:
            raise InputError(
                f"{path}: line {line}: recording {cells[recording]!r} is in group "
                f"{cells[group]!r} here, but in {groups[cells[recording]]!r} on an earlier line; "
                "remove one of the lines"
            )
    return groups
