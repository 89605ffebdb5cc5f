"""What the folder of a clip is called, what it holds, and how the frames of its files count."""

import operator
import os
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES

NAME = re.compile(r"S[AVS][HLD]_C([1-6])_S(\d+)_P(\d+)_VC1_(\d{1,9})_(\d{1,9})")

LANDMARKS = re.compile(r"(\d+)\.txt", re.IGNORECASE)
"""Names of the landmark files, by frame number; other text files may lie beside them."""

DEPTH = 2
"""Folders below that of the clip in which its files are looked for: unpacked archives lie there."""


class Clip(NamedTuple):
    """What the name of a clip's folder tells; ids are of a culture, so they carry its name."""

    name: str
    culture: str  # C1 to C6
    session: str
    participant: str
    first: int  # number of the clip's first frame in the recording it was cut from
    last: int

    @property
    def frames(self) -> int:
        return self.last - self.first + 1


def parse(name: str) -> Clip | None:
    """The clip of a folder's name; None where it is not called like one."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    culture = f"C{match[1]}"
    session, participant = f"{culture}_S{match[2]}", f"{culture}_P{match[3]}"
    return Clip(name, culture, session, participant, int(match[4]), int(match[5]))


def find_clips(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """{clip: its folder} in `root` and the folders directly in it, in the order of the names."""
    found: dict[str, pathlib.Path] = {}
    for folder in (root, *(each for each in _folders(root) if parse(each.name) is None)):
        for each in _folders(folder):
            if parse(each.name):
                other = found.setdefault(each.name, each)
                if other != each:
                    raise InputError(f"{each}: is the same clip as {other}; remove one")
    return dict(sorted(found.items()))


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir())


def members(folder: pathlib.Path, depth: int = DEPTH) -> list[pathlib.Path]:
    """The files in the folder of a clip, then those in the folders up to `depth` below it."""
    with os.scandir(folder) as entries:
        shown = [each for each in entries if not each.name.startswith(".")]
    shown.sort(key=operator.attrgetter("name"))
    files = [folder / each.name for each in shown if each.is_file()]
    below = [folder / each.name for each in shown if depth and each.is_dir()]
    return files + [path for each in below for path in members(each, depth - 1)]


def find_video(folder: pathlib.Path, files: Sequence[pathlib.Path]) -> pathlib.Path:
    """The video of a clip; raises InputError where there is none or more than one."""
    found = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(found) != 1:
        raise InputError(f"{folder}: holds {len(found)} videos; leave the one of the clip there")
    return found[0]


def find_labels(
    folder: pathlib.Path, files: Sequence[pathlib.Path], dim: str, annotation: str
) -> pathlib.Path:
    """The csv of one dimension and annotation; raises InputError where there is none."""
    wanted = f"{folder.name}_{dim}_{annotation}_Aligned.csv".lower()
    for path in files:
        if path.name.lower() == wanted:
            return path
    other = re.compile(rf"_{dim}_(\w+)_aligned\.csv$", re.IGNORECASE)
    kinds = {match[1] for path in files if (match := other.search(path.name))}
    remedy = f"unpack the annotations of {dim}"
    if kinds:
        remedy = f"set the option annotation to what there is: {', '.join(sorted(kinds))}"
    raise InputError(
        f"{folder}: holds no {folder.name}_{dim.capitalize()}_{annotation}_Aligned.csv; {remedy}"
    )


def find_landmarks(folder: pathlib.Path, files: Sequence[pathlib.Path]) -> pathlib.Path:
    """The folder with a text file for each frame; raises InputError unless it is exactly one."""
    found = sorted({path.parent for path in files if LANDMARKS.fullmatch(path.name)})
    if not found:
        raise InputError(
            f"{folder}: holds no landmarks (1.txt and so on); unpack them, or build a "
            "configuration called detect, which finds the faces"
        )
    if len(found) > 1:
        raise InputError(f"{folder}: landmarks lie in {found[0]} and in {found[1]}; remove one")
    return found[0]


def offset(source: pathlib.Path, clip: Clip, numbers: np.ndarray) -> int:
    """What to add to the frame numbers of a clip's files to make them those of its name.

    From where they count is not documented. Ours: as the name does, where at least as many of them
    lie between the name's frames as would if they counted within the clip, from 0 if there is a 0,
    else from 1. Raises InputError where not even half of them fit.
    """
    start = int(0 not in numbers)
    in_name, in_clip = (
        int(((numbers >= low) & (numbers < low + clip.frames)).sum()) for low in (clip.first, start)
    )
    if 2 * max(in_name, in_clip) < len(numbers):
        raise InputError(
            f"{source}: frames {numbers.min()} to {numbers.max()} are neither {clip.first} to "
            f"{clip.last}, as in the clip's name, nor of {clip.frames} frames from {start}; are "
            "they of another clip?"
        )
    return 0 if in_name >= in_clip else clip.first - start
