"""Read `fps.csv`, the user's own list of the frame rates of videos that are not available."""

import pathlib

from va_jax.io import read_csv, require_number
from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES

NAME = "fps.csv"
HIGHEST = 1000.0
"""Highest plausible frame rate (our choice)."""


def read_frame_rates(path: pathlib.Path) -> dict[str, float]:
    """Return {video without its suffix: frames per second}; {} if the file does not exist.

    The file has the columns `video` (with or without its suffix) and `fps`.

    Raises:
        InputError: A rate is not a number above 0, or a video is listed twice.
    """
    if not path.exists():
        return {}
    file = read_csv(path)
    video_column, fps_column = file.columns("video", "fps")
    rates: dict[str, float] = {}
    line_of: dict[str, int] = {}
    for line, cells in file.rows:
        name = pathlib.PurePath(cells[video_column])
        video = name.stem if name.suffix.lower() in VIDEO_SUFFIXES else str(name)
        if not cells[video_column]:
            raise InputError(f"{path}: line {line}: a cell is empty; expected a video and its fps")
        if video in rates:
            raise InputError(
                f"{path}: line {line}: video {video!r} already appears on line {line_of[video]}; "
                "remove one of the two lines"
            )
        fps = require_number(path, line, "fps", cells[fps_column])
        if not 0 < fps <= HIGHEST:
            raise InputError(
                f"{path}: line {line}: fps {cells[fps_column]} must be above 0 and at most "
                f"{HIGHEST:g}"
            )
        rates[video], line_of[video] = fps, line
    return rates
