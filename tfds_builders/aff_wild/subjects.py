"""Read `subjects.csv`, by which a user says who is in which video of Aff-Wild."""

import pathlib
from collections.abc import Mapping
from typing import NoReturn

from va_jax.io import read_lines
from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES

NAME = "subjects.csv"
HEADER = ["video", "subject"]


def read_subjects(path: pathlib.Path, split_of: Mapping[str, str]) -> dict[str, str]:
    """{video: subject} for all videos of `split_of`, {video: its official split}.

    Columns `video` (with its suffix or without) and `subject`, separated by `,` or `;`. Raises
    InputError, with file and line, for everything else: a video that is not in the tree, is listed
    twice or not at all, or a subject in two splits.
    """
    rows = read_lines(path)
    delimiter = ";" if ";" in rows[0][1] else ","
    cells = [(n, [cell.strip(' "') for cell in text.split(delimiter)]) for n, text in rows]
    if [name.lower() for name in cells[0][1]] != HEADER:
        _refuse(path, cells[0][0], f"header {rows[0][1].strip()!r}, expected video,subject")
    line_of: dict[str, int] = {}
    subjects: dict[str, str] = {}
    firsts: dict[str, str] = {}  # subject -> the first video listed with it
    for line, row in cells[1:]:
        if len(row) != len(HEADER) or "" in row:
            _refuse(path, line, f"{delimiter.join(row)!r} is not a video and its subject")
        video, subject = _without_suffix(row[0]), row[1]
        if video not in split_of:
            _refuse(path, line, f"no video {video!r} in the tree; correct the name")
        if video in line_of:
            _refuse(path, line, f"video {video!r} is listed before, in line {line_of[video]}")
        first = firsts.setdefault(subject, video)
        if split_of[first] != split_of[video]:
            _refuse(
                path,
                line,
                f"subject {subject!r} is in {split_of[video]} (video {video!r}), by line "
                f"{line_of[first]} in {split_of[first]} (video {first!r}); correct {path.name}",
            )
        line_of[video], subjects[video] = line, subject
    missing = sorted(set(split_of) - set(subjects))
    if missing:
        others = f" and {len(missing) - 1} more" * (len(missing) > 1)
        raise InputError(f"{path}: lists no subject for video {missing[0]!r}{others}; add a row")
    return subjects


def _without_suffix(video: str) -> str:
    name = pathlib.PurePath(video)
    return name.stem if name.suffix.lower() in VIDEO_SUFFIXES else video


def _refuse(path: pathlib.Path, line: int, problem: str) -> NoReturn:
    raise InputError(f"{path}: line {line}: {problem}")
