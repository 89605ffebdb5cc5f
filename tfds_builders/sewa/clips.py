"""The clips in SEWA Basic: their names, their files, and the numbering of their frames."""

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
"""Pattern of landmark file names, which are frame numbers; other text files are ignored."""

DEPTH = 2
"""Number of folder levels (from unpacked archives) to search for files in a clip's folder."""


class Clip(NamedTuple):
    """A clip, described by the name of its folder.

    Ids contain the culture, because different cultures may use the same numbers.
    """

    name: str
    culture: str  # C1 to C6
    session: str
    participant: str
    first: int  # number of the clip's first frame in the original recording
    last: int

    @property
    def frames(self) -> int:
        return self.last - self.first + 1


def parse(name: str) -> Clip:
    """Parse the name of a clip.

    Raises:
        InputError: `name` is not the name of a clip.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise InputError(f"{name!r} is not the name of a clip; restore the folder's original name")
    culture = f"C{match[1]}"
    session, participant = f"{culture}_S{match[2]}", f"{culture}_P{match[3]}"
    return Clip(name, culture, session, participant, int(match[4]), int(match[5]))


def find_clips(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return {name of a clip: its folder}, sorted, for clips up to one folder level below `root`.

    Raises:
        InputError: A clip is in two places.
    """
    found: dict[str, pathlib.Path] = {}
    for folder in (root, *(each for each in _folders(root) if not NAME.fullmatch(each.name))):
        for each in _folders(folder):
            if NAME.fullmatch(each.name):
                other = found.setdefault(each.name, each)
                if other != each:
                    raise InputError(
                        f"{each}: also exists in {other.parent}; remove one of the two"
                    )
    return dict(sorted(found.items()))


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir())


def files_of(folder: pathlib.Path, depth: int = DEPTH) -> list[pathlib.Path]:
    """Return the files in a clip's folder, followed by those up to `depth` levels below."""
    with os.scandir(folder) as entries:
        shown = [each for each in entries if not each.name.startswith(".")]
    shown.sort(key=operator.attrgetter("name"))
    files = [folder / each.name for each in shown if each.is_file()]
    below = [folder / each.name for each in shown if depth and each.is_dir()]
    return files + [path for each in below for path in files_of(each, depth - 1)]


def find_video(folder: pathlib.Path, files: Sequence[pathlib.Path]) -> pathlib.Path:
    """Return the video of a clip.

    Raises:
        InputError: There is no video, or more than one.
    """
    found = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(found) != 1:
        raise InputError(f"{folder}: contains {len(found)} videos; it must contain exactly one")
    return found[0]


def find_labels(
    folder: pathlib.Path, files: Sequence[pathlib.Path], dim: str, annotation: str
) -> pathlib.Path:
    """Return the csv file for one dimension and annotation.

    Raises:
        InputError: There is no such file; the message lists the available annotations.
    """
    wanted = f"{folder.name}_{dim}_{annotation}_Aligned.csv".lower()
    for path in files:
        if path.name.lower() == wanted:
            return path
    other = re.compile(rf"_{dim}_(\w+)_aligned\.csv$", re.IGNORECASE)
    kinds = {match[1] for path in files if (match := other.search(path.name))}
    remedy = f"unpack the annotations of {dim}"
    if kinds:
        remedy = f"set annotation={' or '.join(sorted(kinds))}"
    raise InputError(
        f"{folder}: contains no {folder.name}_{dim.capitalize()}_{annotation}_Aligned.csv; {remedy}"
    )


def find_landmarks(folder: pathlib.Path, files: Sequence[pathlib.Path]) -> pathlib.Path:
    """Return the folder that contains a landmark file for each frame.

    Raises:
        InputError: There is no such folder, or more than one.
    """
    found = sorted({path.parent for path in files if LANDMARKS.fullmatch(path.name)})
    if not found:
        raise InputError(
            f"{folder}: contains no landmarks (1.txt and so on); unpack them, or use a `_detect` "
            "configuration, which detects the faces"
        )
    if len(found) > 1:
        raise InputError(
            f"{folder}: contains landmarks in both {found[0]} and {found[1]}; remove one of the two"
        )
    return found[0]


def offset(source: pathlib.Path, clip: Clip, numbers: np.ndarray) -> int:
    """Return the number to add to the frame numbers in a clip's files to match those in its name.

    The set does not document whether they start at the first frame number in the name, or at 0 or
    1. Our choice: the start for which more frame numbers lie within the clip or, in a tie, the one
    in the name. The alternative start is 0 if number 0 occurs, and 1 otherwise.

    Args:
        source: The file or folder, for the error message.
        clip: The clip.
        numbers: Frame numbers in its files.

    Raises:
        InputError: With either start, fewer than half of the numbers lie within the clip.
    """
    start = int(0 not in numbers)
    in_name, in_clip = (
        int(((numbers >= low) & (numbers < low + clip.frames)).sum()) for low in (clip.first, start)
    )
    if 2 * max(in_name, in_clip) < len(numbers):
        raise InputError(
            f"{source}: frames {numbers.min()} to {numbers.max()} match neither {clip.first} to "
            f"{clip.last}, as in the clip's name, nor {clip.frames} frames from {start}; replace "
            "the data, which may belong to a different clip"
        )
    return 0 if in_name >= in_clip else clip.first - start
