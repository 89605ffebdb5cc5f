"""The clips of SEWA Basic: their names, their files, and the numbering of their frames."""

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
"""Names of the landmark files, which are frame numbers; other text files are ignored."""

DEPTH = 2
"""Levels of folders below that of the clip, of unpacked archives, that are searched for files."""


class Clip(NamedTuple):
    """A clip, by the name of its folder; ids contain the culture, because each has its own."""

    name: str
    culture: str  # C1 to C6
    session: str
    participant: str
    first: int  # number of the clip's first frame in the recording it was cut from
    last: int

    @property
    def frames(self) -> int:
        return self.last - self.first + 1


def parse(name: str) -> Clip:
    """Return the clip with this name.

    Raises:
        InputError: it is not the name of a clip.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise InputError(f"{name!r} is not the name of a clip; restore the name of its folder")
    culture = f"C{match[1]}"
    session, participant = f"{culture}_S{match[2]}", f"{culture}_P{match[3]}"
    return Clip(name, culture, session, participant, int(match[4]), int(match[5]))


def find_clips(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return {name of a clip: its folder}, sorted, of `root` and the folders directly in it.

    Raises:
        InputError: a clip is in two places.
    """
    found: dict[str, pathlib.Path] = {}
    for folder in (root, *(each for each in _folders(root) if not NAME.fullmatch(each.name))):
        for each in _folders(folder):
            if NAME.fullmatch(each.name):
                other = found.setdefault(each.name, each)
                if other != each:
                    raise InputError(f"{each}: is also in {other.parent}; remove one")
    return dict(sorted(found.items()))


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir())


def files_of(folder: pathlib.Path, depth: int = DEPTH) -> list[pathlib.Path]:
    """Return the files in the folder of a clip, then those in the folders up to `depth` below."""
    with os.scandir(folder) as entries:
        shown = [each for each in entries if not each.name.startswith(".")]
    shown.sort(key=operator.attrgetter("name"))
    files = [folder / each.name for each in shown if each.is_file()]
    below = [folder / each.name for each in shown if depth and each.is_dir()]
    return files + [path for each in below for path in files_of(each, depth - 1)]


def find_video(folder: pathlib.Path, files: Sequence[pathlib.Path]) -> pathlib.Path:
    """Return the video of a clip.

    Raises:
        InputError: there is none, or more than one.
    """
    found = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(found) != 1:
        raise InputError(f"{folder}: contains {len(found)} videos; keep exactly one")
    return found[0]


def find_labels(
    folder: pathlib.Path, files: Sequence[pathlib.Path], dim: str, annotation: str
) -> pathlib.Path:
    """Return the csv of one dimension and annotation.

    Raises:
        InputError: there is none; says which annotations there are.
    """
    wanted = f"{folder.name}_{dim}_{annotation}_Aligned.csv".lower()
    for path in files:
        if path.name.lower() == wanted:
            return path
    other = re.compile(rf"_{dim}_(\w+)_aligned\.csv$", re.IGNORECASE)
    kinds = {match[1] for path in files if (match := other.search(path.name))}
    remedy = f"unpack the annotations of {dim}"
    if kinds:
        remedy = f"set the option annotation to {' or '.join(sorted(kinds))}"
    raise InputError(
        f"{folder}: no {folder.name}_{dim.capitalize()}_{annotation}_Aligned.csv; {remedy}"
    )


def find_landmarks(folder: pathlib.Path, files: Sequence[pathlib.Path]) -> pathlib.Path:
    """Return the folder with a text file for each frame.

    Raises:
        InputError: there is none, or more than one.
    """
    found = sorted({path.parent for path in files if LANDMARKS.fullmatch(path.name)})
    if not found:
        raise InputError(
            f"{folder}: no landmarks (1.txt and so on); unpack them, or build a `_detect` "
            "configuration, which finds the faces"
        )
    if len(found) > 1:
        raise InputError(f"{folder}: landmarks in {found[0]} and in {found[1]}; remove one")
    return found[0]


def offset(source: pathlib.Path, clip: Clip, numbers: np.ndarray) -> int:
    """Return the number that turns the frame numbers of a clip's files into those of its name.

    The set does not document where they start: at the first frame of the name, or at 0 or 1. Our
    choice: the start under which more of them fall into the clip, in doubt that of the name; 0 is
    considered if it occurs, else 1.

    Args:
        source: the file or folder, for an error.
        clip: the clip.
        numbers: frame numbers in its files.

    Raises:
        InputError: less than half of the numbers fit under either start.
    """
    start = int(0 not in numbers)
    in_name, in_clip = (
        int(((numbers >= low) & (numbers < low + clip.frames)).sum()) for low in (clip.first, start)
    )
    if 2 * max(in_name, in_clip) < len(numbers):
        raise InputError(
            f"{source}: frames {numbers.min()} to {numbers.max()} fit neither {clip.first} to "
            f"{clip.last}, as in the clip's name, nor {clip.frames} frames from {start}; replace "
            "it, it may belong to another clip"
        )
    return 0 if in_name >= in_clip else clip.first - start
