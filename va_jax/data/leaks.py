"""Check a built data set for copies of a recording in several splits."""

import concurrent.futures
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import simplejpeg

from va_jax.data import duplicates, looks
from va_jax.data.alike import Alike
from va_jax.data.duplicates import Duplicate
from va_jax.data.looks import Look
from va_jax.data.sources import Source
from va_jax.types import CLIP_FRAMES

QUICK_FRAMES = 60_000
"""Number of frames that the check at the start of training describes (our choice)."""

QUICK_RECORDINGS = 3000
"""Number of recordings from which that check is skipped (our choice): a few seconds of each are
not enough to find anything."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two recordings that show the same events, and the splits in which they are."""

    duplicate: Duplicate
    splits: tuple[str, str]

    @property
    def across(self) -> bool:
        return self.splits[0] != self.splits[1]

    def text(self) -> str:
        one, other = (
            f"{name} ({split})"
            for name, split in zip(
                (self.duplicate.one, self.duplicate.other), self.splits, strict=True
            )
        )
        return f"{one} and {other} show {self.duplicate.text()}"


@dataclasses.dataclass(frozen=True)
class Leaks:
    """The result of a check."""

    recordings: dict[str, int]  # number of recordings in each split
    too_little: list[str]  # recordings with too little motion, or too short, to be compared
    part_s: float | None  # only this many seconds in the middle of each were compared; None: all
    pairs: list[Pair]
    alike: list[Alike] = dataclasses.field(default_factory=list)

    @property
    def across(self) -> list[Pair]:
        """Return the pairs in different splits."""
        return [each for each in self.pairs if each.across]

    def to_json(self) -> dict[str, Any]:
        pairs = [{**dataclasses.asdict(p.duplicate), "splits": list(p.splits)} for p in self.pairs]
        return {
            "recordings": self.recordings,
            "too_little_motion": self.too_little,
            "compared_s": self.part_s,
            "same_recording": pairs,
            "alike": [dataclasses.asdict(each) for each in self.alike],
        }

    def text(self) -> str:
        """Return a readable report: problems, then information."""
        counts = ", ".join(f"{count} in {split}" for split, count in self.recordings.items())
        lines = [f"recordings: {counts}"]
        for pair in self.across:
            lines.append(
                f"same recording in several splits: {pair.text()}; scores on these splits will be "
                "too high: remove one of the two"
            )
        inside = [pair for pair in self.pairs if not pair.across]
        lines += [f"for information: {pair.text()}" for pair in inside]
        lines += [f"question: {each.text()}" for each in self.alike]
        if self.too_little:
            names = ", ".join(self.too_little[:3]) + ", ..." * (len(self.too_little) > 3)
            lines.append(
                f"for information: {len(self.too_little)} recordings are too short or move too "
                f"little to be compared: {names}"
            )
        count = len(self.across)
        lines.append(f"problems: {count}" if count else "no recording is in several splits")
        return "\n".join(lines)


def find_leaks(sources: Mapping[str, Source], threads: int, quick: bool = False) -> Leaks:
    """Compare all recordings of the given splits.

    The result does not depend on the order of the tracks or on the number of threads.

    Args:
        sources: {split: its source}.
        threads: number of threads that decode frames.
        quick: whether to compare only recordings in different splits, and only the middle of each,
            such that QUICK_FRAMES frames are decoded.
    """
    count = sum(len(source.tracks) for source in sources.values())
    part_s = QUICK_FRAMES / looks.RATE / count if quick else None
    longest_s = max(t.frames / t.fps for source in sources.values() for t in source.tracks)
    if part_s is not None and part_s >= longest_s:
        part_s = None
    work = [(s, split, n) for split, s in sources.items() for n in range(len(s.tracks))]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda each: look_of_track(*each, part_s=part_s), work))
    split_of = {each.name: each.group for each in found}
    pairs = [
        Pair(each, (split_of[each.one], split_of[each.other]))
        for each in duplicates.find_duplicates(found, across=quick)
    ]
    return Leaks(
        {split: len(source.tracks) for split, source in sources.items()},
        sorted(each.name for each in found if not duplicates.is_comparable(each)),
        part_s,
        pairs,
    )


def look_of_track(source: Source, split: str, number: int, part_s: float | None) -> Look:
    """Return the look of a track, or of its middle `part_s` seconds.

    Frames that cannot be read or do not show the face are unknown.
    """
    track = source.tracks[number]
    clips: Sequence[int] = range(track.records)
    if part_s is not None:
        kept = min(len(clips), max(1, round(part_s * track.fps / CLIP_FRAMES)))
        first = (len(clips) - kept) // 2
        clips = clips[first : first + kept]
    sampler = None
    for clip in clips:
        record = source.record(number, clip)
        time_s = record["time_s"].astype(np.float64)
        sampler = sampler or looks.Sampler(float(time_s[0]))
        chosen = looks.nearest(time_s, sampler.start_s)
        for index, point, off_s in zip(chosen.frame, chosen.point, chosen.off_s, strict=True):
            if record["face"][index]:
                vector = _describe(record["frames"][index])
                if vector is not None:
                    sampler.put(int(point), float(off_s), vector)
    return (sampler or looks.Sampler(0.0)).look(track.track_id, split)


def _describe(stored: bytes | np.ndarray) -> np.ndarray | None:
    """Return the vector of a stored frame; None if it cannot be decoded."""
    if isinstance(stored, np.ndarray):
        return looks.describe(stored)
    try:
        return looks.describe(simplejpeg.decode_jpeg(stored, colorspace="GRAY"))
    except ValueError:  # an unreadable frame; reading it in training reports it
        return None


def across_splits(alike: Sequence[Alike], subjects: Mapping[str, Sequence[str]]) -> list[Alike]:
    """Return the pairs of subjects of which one is in a split without the other.

    Args:
        alike: pairs of subjects.
        subjects: {split: its subjects}.
    """
    where = {
        name: {split for split, names in subjects.items() if name in set(names)}
        for name in itertools.chain.from_iterable(subjects.values())
    }
    return [each for each in alike if where.get(each.one) != where.get(each.other)]
