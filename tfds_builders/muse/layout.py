"""Find the folders of a MuSe package, and read the partition that gives its splits."""

import pathlib
from collections.abc import Iterator, Sequence

from va_jax.io import read_csv
from va_jax.types import InputError

DEPTH = 5
"""Number of levels to search; unpacked archives nest as deep as raw/data/raw/video."""

SKIPPED = ("feature_segments", "faces", "audio_segments", "transcription_segments")
"""Folders that are not searched because they contain too many files."""

PARTITION = "partition.csv"
COLUMNS = ("proposal", "partition")
"""Names of the column with the partition in the packages and in MuSe-Toolbox, in any case."""

SPLITS = {"train": "train", "devel": "dev", "dev": "dev", "test": "test"}
"""Value in the partition file -> split."""


def find_folder(
    root: pathlib.Path, given: str, names: Sequence[str], option: str
) -> pathlib.Path | None:
    """Return the folder that an option names, or else the only one with one of these names.

    Args:
        root: Folder with the source material.
        given: Value of the option: a path relative to `root`, or "" to search.
        names: Names of the folder, in lower case.
        option: Name of the option.

    Returns:
        The folder, or None if the search finds none.

    Raises:
        InputError: The folder does not exist, or the search finds several.
    """
    if given:
        if not (root / given).is_dir():
            raise InputError(f"{option}={given}: {root / given} is not a folder; correct the path")
        return root / given
    return _only(root, [each for each in folders(root) if each.name.lower() in names], option)


def require_folder(
    root: pathlib.Path, given: str, names: Sequence[str], option: str
) -> pathlib.Path:
    """Return the folder found by `find_folder`; raise InputError if there is none."""
    found = find_folder(root, given, names, option)
    if found is None:
        raise InputError(
            f"{root}: cannot find a folder named {' or '.join(names)}; if your copy has a "
            f"different layout, set {option} to the folder"
        )
    return found


def find_partition(root: pathlib.Path, labels: pathlib.Path, given: str) -> pathlib.Path | None:
    """Return the partition file: the given one, that of the task, or the only one in the folder.

    Args:
        root: Folder with the source material.
        labels: Folder with the labels of the task.
        given: Value of the option `partition_file`.

    Raises:
        InputError: The given file does not exist, or there are several.
    """
    if given:
        if not (root / given).is_file():
            raise InputError(
                f"partition_file={given}: {root / given} is not a file; correct the path"
            )
        return root / given
    for place in (labels.parent / "metadata", labels.parent):
        if (place / PARTITION).is_file():
            return place / PARTITION
    found = [each / PARTITION for each in (root, *folders(root))]
    return _only(root, [each for each in found if each.is_file()], "partition_file")


def folders(root: pathlib.Path, depth: int = DEPTH) -> Iterator[pathlib.Path]:
    """Yield the folders below `root` in order, except hidden ones and those inside SKIPPED."""
    for each in sorted(root.iterdir()):
        if each.is_dir() and not each.name.startswith("."):
            yield each
            if depth > 1 and each.name.lower() not in SKIPPED:
                yield from folders(each, depth - 1)


def _only(root: pathlib.Path, found: Sequence[pathlib.Path], option: str) -> pathlib.Path | None:
    if len(found) > 1:
        names = ", ".join(str(each.relative_to(root)) for each in found)
        raise InputError(f"{root}: {names} may be meant; set {option} to one of them")
    return found[0] if found else None


def read_partition(path: pathlib.Path, column: str) -> dict[str, str]:
    """Return {recording: split} from a csv file with a column `Id` and a column for the partition.

    Args:
        path: Csv file. A recording may appear several times in the same partition.
        column: Name of the column with the partition; "" if it has one of COLUMNS.

    Raises:
        InputError: A column is missing, a partition is unknown, or a recording is in two of them.
    """
    file = read_csv(path)
    names = [name.casefold() for name in file.header]
    found = [name for name in ([column.casefold()] if column else COLUMNS) if name in names]
    if len(found) != 1:
        raise InputError(
            f"{path}: line {file.header_line}: cannot tell which column holds the partition "
            f"(columns: {', '.join(file.header)}); set partition_column to its name"
        )
    id_column, split_column = file.columns("id", found[0])
    splits: dict[str, str] = {}
    for line, cells in file.rows:
        name, partition = cells[id_column], cells[split_column]
        split = SPLITS.get(partition.lower())
        if split is None:
            raise InputError(
                f"{path}: line {line}: partition {partition!r} of {name!r} is not one of "
                "train, devel, test; correct it"
            )
        if splits.setdefault(name, split) != split:
            raise InputError(
                f"{path}: line {line}: {name!r} is in {partition}, but in {splits[name]} above; "
                "remove one of the two lines"
            )
    return splits
