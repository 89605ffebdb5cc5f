"""Find subjects who look alike, by features of their frames: one person may have two names."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from va_jax.data.features import FeatureSource
from va_jax.types import Track

LEAST_SUBJECTS = 8
"""Number of subjects from which the spread of their similarities can be judged (our choice)."""

SPREADS = 4.0
"""A pair is reported if its similarity is this many spreads above the median of all pairs (our
choice), after Fisher's transform (the inverse hyperbolic tangent), since cosines end at 1. A spread
is 1.4826 times the median distance from the median: the standard deviation, if normal."""

FRAMES = 32
"""Number of frames per track whose features are averaged (our choice)."""


@dataclasses.dataclass(frozen=True)
class Alike:
    """Two subjects who look alike; the names are in alphabetical order."""

    one: str
    other: str
    similarity: float  # cosine of their mean features, after standardisation over all subjects
    usual: float  # the median of all pairs

    def text(self) -> str:
        return (
            f"subjects {self.one!r} and {self.other!r} look alike: similarity "
            f"{self.similarity:.2f}, median of all pairs {self.usual:.2f}; are they the same "
            "person?"
        )


def spaced_frames(track: Track) -> np.ndarray:
    """Return up to FRAMES frame numbers, spread evenly over a track."""
    return np.unique(np.linspace(0, track.frames - 1, FRAMES).astype(np.int64))


def means_of_features(sources: Iterable[FeatureSource]) -> dict[str, np.ndarray]:
    """Return {subject: mean feature} of cached features; frames without a face do not count."""
    sums = SubjectSums()
    for source in sources:
        for number, track in enumerate(source.tracks):
            frames = spaced_frames(track)
            values = np.zeros((len(frames), source.width), np.float32)
            face = source.read(number, frames, values).face
            sums.add(track.subject_id, values[face])
    return sums.means()


class SubjectSums:
    """Adds up features by subject."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[np.ndarray, int]] = {}

    def add(self, subject: str, values: Float[np.ndarray, "frames width"]) -> None:
        """Add the features of some frames of a subject."""
        total, count = self._sums.get(subject, (np.zeros(values.shape[1]), 0))
        self._sums[subject] = (total + values.sum(0, dtype=np.float64), count + len(values))

    def means(self) -> dict[str, np.ndarray]:
        """Return {subject: mean feature} of all subjects with a frame."""
        return {name: total / count for name, (total, count) in self._sums.items() if count}


def similarities(
    means: Mapping[str, Float[np.ndarray, "width"]],
) -> tuple[list[str], Float[np.ndarray, "subjects subjects"]]:
    """Return the names in alphabetical order, and the cosines between the subjects.

    Each feature is standardised over the subjects first, since most of a feature is the same for
    all faces.
    """
    names = sorted(means)
    values = np.array([means[name] for name in names], np.float64)
    values = values - values.mean(0)
    spread = values.std(0)
    values = np.where(spread > 1e-9 * (1 + spread.max()), values / np.maximum(spread, 1e-30), 0)
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    values = values / np.maximum(norm, 1e-30)
    return names, values @ values.T


def find_alike(means: Mapping[str, Float[np.ndarray, "width"]]) -> list[Alike]:
    """Return the pairs of subjects who are much more alike than others, most alike first.

    Args:
        means: mean feature of each subject; with fewer than LEAST_SUBJECTS, none is returned.
    """
    if len(means) < LEAST_SUBJECTS:
        return []
    names, cosines = similarities(means)
    rows, columns = np.triu_indices(len(names), 1)
    pairs = cosines[rows, columns]
    usual = float(np.median(pairs))
    stretched = np.arctanh(np.clip(pairs, -1 + 1e-12, 1 - 1e-12))
    middle = np.median(stretched)
    spread = 1.4826 * np.median(np.abs(stretched - middle))
    above = np.flatnonzero(stretched > middle + SPREADS * spread)
    found = [Alike(names[rows[i]], names[columns[i]], float(pairs[i]), usual) for i in above]
    return sorted(found, key=lambda each: (-each.similarity, each.one, each.other))
