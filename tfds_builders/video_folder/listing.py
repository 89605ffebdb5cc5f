"""Read and check `videos.csv`, the user's list of videos and label files."""

import dataclasses
import pathlib
import unicodedata
from collections.abc import Mapping

from va_jax.io import read_csv
from va_jax.types import SPLITS, InputError

REQUIRED = ("video", "labels")
OPTIONAL = ("subject", "split", "group")


@dataclasses.dataclass(frozen=True)
class Row:
    """One row in the listing: a video file or folder of crops, with its labels and names."""

    line: int
    video: pathlib.Path
    labels: pathlib.Path | None  # None: unlabelled
    track_id: str  # the video's path as listed, without its suffix
    subject: str
    split: str | None  # None: the file has no split column
    group: str


def find_listing(manual_dir: pathlib.Path) -> pathlib.Path:
    """Return `videos.csv` or, if it does not exist, the only csv file in the folder.

    Raises:
        InputError: There is no `videos.csv`, and there is no other csv file or more than one.
    """
    named = manual_dir / "videos.csv"
    if named.is_file():
        return named
    found = sorted(manual_dir.glob("*.csv"))
    if len(found) != 1:
        raise InputError(
            f"{manual_dir}: contains no videos.csv (other csv files: {len(found)}); "
            "list the videos in videos.csv with the columns video,labels[,subject][,split]"
        )
    return found[0]


def read_listing(path: pathlib.Path) -> list[Row]:
    """Read and check all rows.

    The columns are `video` and `labels` (whose cells may be empty), and optionally `subject`
    (default: the video's name without suffix), `split` and `group`. Paths are relative to the
    listing.

    Raises:
        InputError: A file does not exist, a video is listed twice, a split is unknown, or a subject
            is in two splits.
    """
    file = read_csv(path)
    header = [name.lower() for name in file.header]
    if not {*REQUIRED} <= {*header} <= {*REQUIRED, *OPTIONAL}:
        raise InputError(
            f"{path}: line {file.header_line}: the columns are {','.join(header)}; expected "
            f"{','.join(REQUIRED)} and optionally {','.join(OPTIONAL)}"
        )
    if len(set(header)) < len(header):
        raise InputError(
            f"{path}: line {file.header_line}: two columns have the same name "
            f"({','.join(header)}); rename or remove one"
        )
    rows = [
        _row(path, line, dict(zip(header, cells, strict=True)))
        for line, cells in file.rows
        if any(cells)
    ]
    if not rows:
        raise InputError(f"{path}: lists no videos; add a row for each video")
    _check_together(path, rows)
    return rows


def _row(path: pathlib.Path, line: int, values: Mapping[str, str]) -> Row:
    where = f"{path}: line {line}"
    if not values["video"]:
        raise InputError(f"{where}: the video cell is empty; add a video or remove the line")
    video = path.parent / values["video"]
    if not video.exists():
        raise InputError(
            f"{where}: video {video} does not exist; use a path relative to the folder of "
            f"{path.name}"
        )
    labels = path.parent / values["labels"] if values["labels"] else None
    if labels is not None and not labels.is_file():
        raise InputError(
            f"{where}: label file {labels} does not exist; correct the path, or leave the cell "
            "empty if the video has no labels"
        )
    split = values.get("split")
    if split is not None and split not in SPLITS:
        raise InputError(f"{where}: split {split!r} is not one of {', '.join(SPLITS)}")
    listed = pathlib.PurePath(values["video"])
    track = listed if video.is_dir() else listed.with_suffix("")
    subject = values.get("subject") or track.name
    return Row(line, video, labels, track.as_posix(), subject, split, values.get("group", ""))


def _check_together(path: pathlib.Path, rows: list[Row]) -> None:
    """Raise InputError if a video or track is listed twice, or a subject is in two splits."""
    videos: dict[pathlib.Path, int] = {}
    tracks: dict[str, int] = {}
    subjects: dict[str, Row] = {}  # by name, without regard to case and to how accents are stored
    for row in rows:
        where = f"{path}: line {row.line}"
        earlier = videos.setdefault(row.video.resolve(), row.line)
        if earlier != row.line:
            raise InputError(
                f"{where}: video {row.video} is already on line {earlier}; remove one of the two"
            )
        earlier = tracks.setdefault(row.track_id, row.line)
        if earlier != row.line:
            raise InputError(
                f"{where}: {row.video.name} and the video on line {earlier} differ only in their "
                "suffix; rename one of the two"
            )
        same = unicodedata.normalize("NFC", row.subject).casefold()
        first = subjects.setdefault(same, row)
        if first.subject != row.subject:
            raise InputError(
                f"{where}: subject {row.subject!r} is spelled {first.subject!r} on line "
                f"{first.line}; use one spelling, or clearly different names"
            )
        if first.split != row.split:
            raise InputError(
                f"{where}: subject {row.subject!r} is in {row.split}, but in {first.split} on line "
                f"{first.line}; keep each subject in one split"
            )
