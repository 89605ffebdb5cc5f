"""Read and check `videos.csv`, the one file by which a user brings videos and labels."""

import csv
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import NoReturn

from va_jax.types import SPLITS, InputError

REQUIRED = ("video", "labels")
OPTIONAL = ("subject", "split", "group")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the listing: a video file or a folder of crops, and what belongs to it."""

    line: int
    video: pathlib.Path
    labels: pathlib.Path | None  # None: unlabelled
    track_id: str  # the video's path as listed, without its suffix
    subject: str
    split: str | None  # None: the file has no split column
    group: str


def find_listing(manual_dir: pathlib.Path) -> pathlib.Path:
    """`videos.csv`, or the only csv of the folder."""
    named = manual_dir / "videos.csv"
    if named.is_file():
        return named
    found = sorted(manual_dir.glob("*.csv"))
    if len(found) != 1:
        raise InputError(
            f"{manual_dir}: {len(found)} csv files and none named videos.csv; "
            "list the videos in videos.csv with the columns video,labels[,subject][,split]"
        )
    return found[0]


def read_listing(path: pathlib.Path) -> list[Row]:
    """All rows, checked: files exist, no video twice, legal splits, a subject in one split only.

    Columns `video` and `labels` (may be empty), optional `subject` (default: the video's stem),
    `split` and `group`; cells are separated by `,` or `;`; paths are relative to the file.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; save it as a csv") from error
    first = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=";" if ";" in first else ",", skipinitialspace=True)
    header = [name.strip().lower() for name in next(reader, [])]
    if set(REQUIRED) - set(header) or set(header) - {*REQUIRED, *OPTIONAL}:
        _refuse(path, 1, f"columns {','.join(header)}; expected video,labels[,subject][,split]")
    rows = []
    for cells in reader:
        if any(cell.strip() for cell in cells):
            if len(cells) != len(header):
                _refuse(path, reader.line_num, f"{len(cells)} cells, the header has {len(header)}")
            values = dict(zip(header, map(str.strip, cells), strict=True))
            rows.append(_row(path, reader.line_num, values))
    if not rows:
        raise InputError(f"{path}: lists no video")
    _check_together(path, rows)
    return rows


def _row(path: pathlib.Path, line: int, values: Mapping[str, str]) -> Row:
    if not values["video"]:
        _refuse(path, line, "the video cell is empty")
    video = path.parent / values["video"]
    if not video.exists():
        _refuse(path, line, f"video {video} does not exist; paths are relative to the csv")
    labels = path.parent / values["labels"] if values["labels"] else None
    if labels is not None and not labels.is_file():
        _refuse(path, line, f"labels {labels} does not exist; leave the cell empty for none")
    split = values.get("split")
    if split is not None and split not in SPLITS:
        _refuse(path, line, f"split {split!r} is none of {', '.join(SPLITS)}")
    listed = pathlib.PurePath(values["video"])
    track = listed if video.is_dir() else listed.with_suffix("")
    subject = values.get("subject") or track.name
    return Row(line, video, labels, track.as_posix(), subject, split, values.get("group", ""))


def _check_together(path: pathlib.Path, rows: list[Row]) -> None:
    videos: dict[pathlib.Path, int] = {}
    tracks: dict[str, int] = {}
    subjects: dict[str, Row] = {}
    for row in rows:
        earlier = videos.setdefault(row.video.resolve(), row.line)
        if earlier != row.line:
            _refuse(path, row.line, f"video {row.video} is listed before, in line {earlier}")
        earlier = tracks.setdefault(row.track_id, row.line)
        if earlier != row.line:
            problem = f"{row.video.name} and the video of line {earlier} differ only in suffix"
            _refuse(path, row.line, f"{problem}; rename one")
        first = subjects.setdefault(row.subject, row)
        if first.split != row.split:
            problem = f"subject {row.subject!r} is in {row.split}, in line {first.line} in"
            _refuse(path, row.line, f"{problem} {first.split}; keep a subject in one split")


def _refuse(path: pathlib.Path, line: int, problem: str) -> NoReturn:
    raise InputError(f"{path}: line {line}: {problem}")
