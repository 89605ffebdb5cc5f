"""Compare the images of all recordings to find copies, even if a copy was edited."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from tfds_builders import pictures
from tfds_builders.inspect_recording import Finding, Footage, Inspected
from va_jax.data import duplicates

LENGTH = 0.02
"""Largest relative difference in length between copies of one video that hardly moves; our
choice."""

TOO_HIGH = "scores on these splits will be too high: remove one of the two"


def same_pictures(inspected: Sequence[Inspected]) -> tuple[list[Finding], list[str]]:
    """Return a finding for each pair of copies in different splits, and notes on all others.

    Recordings that move too little to be compared over time are compared by a few images.
    """
    shown = [each for each in inspected if each.footage]
    footage = {each.recording.track_id: each.footage for each in shown if each.footage}
    split = {each.recording.track_id: each.recording.split for each in shown}
    found = [each.look for each in footage.values() if each.look is not None]
    findings, notes = [], []
    for pair in duplicates.find_duplicates(found):
        one, other = footage[pair.one].pictures, footage[pair.other].pictures
        if one == other:  # several faces in one video
            continue
        problem = f"{other}: shows the same pictures as {one}: {pair.text()}"
        if split[pair.one] != split[pair.other]:
            where = f"{split[pair.other]} and {split[pair.one]}"
            findings.append(Finding("same pictures", f"{problem}, in {where}", TOO_HIGH))
        else:
            notes.append(f"{problem}, both in {split[pair.one]}")
    still = [each for each in footage.values() if not _moves(each)]
    return findings + list(_same_still_pictures(still)), notes


def _moves(footage: Footage) -> bool:
    return footage.look is not None and duplicates.is_comparable(footage.look)


def _same_still_pictures(footage: Sequence[Footage]) -> Iterator[Finding]:
    """Yield a finding for each recording whose few images are those of an earlier one."""
    lengths = np.array([len(each.number) for each in footage])
    for index, each in enumerate(footage):
        if pictures.plain(each.thumbnails):
            continue
        close = np.abs(lengths[:index] - lengths[index]) <= LENGTH * lengths[index]
        earlier = itertools.compress(footage, close)
        alike = (other for other in earlier if pictures.alike(other.thumbnails, each.thumbnails))
        first = next((other for other in alike if other.pictures != each.pictures), None)
        if first:
            problem = f"{each.pictures}: shows the same pictures as {first.pictures}"
            yield Finding(
                "same pictures", problem, "both recordings will be kept; remove one of the two"
            )
