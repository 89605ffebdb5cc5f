"""Read `subjects.csv`, the user's own list of who is in which video of Aff-Wild."""

import pathlib
from collections.abc import Mapping

from va_jax.io import read_csv
from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES

NAME = "subjects.csv"


def read_subjects(path: pathlib.Path, split_of: Mapping[str, str]) -> dict[str, str]:
    """Return {video: subject} for all videos.

    Args:
        path: Csv file with the columns `video` (with or without its suffix) and `subject`.
        split_of: {video: its official split} for all videos in the set.

    Raises:
        InputError: A video is not in the set, is listed twice or not at all, or a subject is in two
            splits.
    """
    file = read_csv(path)
    video_column, subject_column = file.columns("video", "subject")
    line_of: dict[str, int] = {}
    subjects: dict[str, str] = {}
    first_video: dict[str, str] = {}  # subject -> its first video
    for line, cells in file.rows:
        video, subject = _without_suffix(cells[video_column]), cells[subject_column]
        if not video or not subject:
            raise InputError(
                f"{path}: line {line}: a cell is empty; expected a video and its subject"
            )
        if video not in split_of:
            raise InputError(
                f"{path}: line {line}: video {video!r} does not exist; correct the name"
            )
        if video in line_of:
            raise InputError(
                f"{path}: line {line}: video {video!r} already appears on line {line_of[video]}; "
                "remove one of the two lines"
            )
        first = first_video.setdefault(subject, video)
        if split_of[first] != split_of[video]:
            raise InputError(
                f"{path}: line {line}: subject {subject!r} is in {split_of[video]} (video "
                f"{video!r}), but in {split_of[first]} on line {line_of[first]} (video {first!r}); "
                "correct the subjects"
            )
        line_of[video], subjects[video] = line, subject
    missing = sorted(set(split_of) - set(subjects))
    if missing:
        others = f" and {len(missing) - 1} more" * (len(missing) > 1)
        raise InputError(
            f"{path}: contains no subject for video {missing[0]!r}{others}; add a row for each "
            "video"
        )
    return subjects


def _without_suffix(video: str) -> str:
    name = pathlib.PurePath(video)
    return name.stem if name.suffix.lower() in VIDEO_SUFFIXES else video
