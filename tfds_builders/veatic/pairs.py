"""Find the ids that show the same frames with different target persons."""

import dataclasses
import filecmp
import functools
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfds_builders import pictures
from va_jax.types import InputError
from va_jax.video.facts import read_key_frames, read_timeline

PAIRED = range(98, 124)
"""Ids that come in pairs; the set does not say which id belongs to which."""

PAIR = re.compile(r"(\d{1,6}):(\d{1,6})", re.ASCII)

SAMPLES = 8
"""Number of key frames to compare in videos whose files differ (our choice)."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The paired ids in a copy of the set."""

    partner: dict[int, int]  # each id of a known pair -> the other one
    alone: tuple[int, ...]  # ids in PAIRED for which there is no other id, or more than one

    def __contains__(self, number: int) -> bool:
        return number in self.partner or number in self.alone

    def video_id(self, number: int) -> str:
        """Return the name of the video that an id shows: that of the lower id of a pair."""
        return str(min(number, self.partner.get(number, number)))


def parse_pairs(texts: Sequence[str]) -> dict[int, int]:
    """Return {id: partner} for both ids of each pair, written `A:B`.

    Raises:
        InputError: A text is not a pair of different ids in PAIRED, or an id is in two pairs.
    """
    partner: dict[int, int] = {}
    for text in texts:
        match = PAIR.fullmatch(text.strip())
        ids = [int(each) for each in match.groups()] if match else []
        if len(set(ids)) != 2 or not set(ids) <= set(PAIRED) or set(ids) & set(partner):
            raise InputError(
                f"pairs={','.join(texts)}: {text!r} is not a pair A:B of two ids from {PAIRED[0]} "
                f"to {PAIRED[-1]} that are in no other pair"
            )
        partner |= {ids[0]: ids[1], ids[1]: ids[0]}
    return partner


def find_pairs(videos: Mapping[int, pathlib.Path], known: Mapping[int, int]) -> Pairs:
    """Find the pairs among the ids in PAIRED by comparing their videos.

    Two videos show the same frames if their files are equal, or if they have equally many frames
    and their key frames look alike.

    Args:
        videos: {id: video}.
        known: Pairs that are given, see `parse_pairs`; those whose videos are missing are ignored.
    """
    known = {one: other for one, other in known.items() if {one, other} <= set(videos)}
    paired = [number for number in sorted(videos) if number in PAIRED and number not in known]
    look = functools.cache(_look)
    matches = {
        number: [o for o in paired if o != number and _same(videos[number], videos[o], look)]
        for number in paired
    }
    partner = {
        number: others[0]
        for number, others in matches.items()
        if len(others) == 1 and matches[others[0]] == [number]
    }
    alone = tuple(number for number in paired if number not in partner)
    return Pairs({**known, **partner}, alone)


Look = tuple[int, np.ndarray] | None
"""Number of frames and thumbnails of key frames; None if the video cannot be read."""


def _same(path: pathlib.Path, other: pathlib.Path, look: Callable[[pathlib.Path], Look]) -> bool:
    if path.stat().st_size == other.stat().st_size and filecmp.cmp(path, other, shallow=False):
        return True
    one, two = look(path), look(other)
    if one is None or two is None or one[0] != two[0]:
        return False
    return not pictures.plain(one[1]) and pictures.alike(one[1], two[1])


def _look(path: pathlib.Path) -> Look:
    """Describe a video; one that cannot be read is refused later, with the reason."""
    try:
        samples = list(read_key_frames(path, SAMPLES))
        return len(read_timeline(path).time_s), pictures.thumbnails(samples)
    except InputError:
        return None
