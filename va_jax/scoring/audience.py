"""Audience curves: the mean of many viewers on the time line of a stimulus, with a band and peaks.

The unit is the viewer: the band states how well the mean over all possible viewers is known, and
the number of frames does not matter.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import signal, stats

from va_jax.scoring.viewings import Viewing, choose_dims, on_time_line, read_files
from va_jax.types import InputError, natural_key

LEVEL = 0.95
"""Coverage of the band, at each time separately."""

PEAK_SHARE = 0.5
"""Peaks are searched for where at least this share of the viewers, and at least two of them, have
values (our choice)."""


@dataclasses.dataclass(frozen=True)
class AudienceOptions:
    """How viewers are aggregated.

    Raises:
        InputError: a value is out of range.
    """

    fps: float = 5.0  # points per second
    centre: bool = False  # whether to subtract from each viewer their own mean over the stimulus
    prominence: float = 0.1  # of a peak, on the scale of the values
    dims: Sequence[str] | None = None  # None: all that every file has

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise InputError(f"--fps={self.fps:g}: must be greater than 0 and at most 1000")
        if not 0 <= self.prominence < math.inf:
            raise InputError(f"--prominence={self.prominence:g}: must not be negative")


class Peak(NamedTuple):
    """A local extremum of a mean."""

    dim: str
    kind: str  # maximum or minimum
    place: int  # index of its time
    prominence: float


@dataclasses.dataclass(frozen=True)
class Curve:
    """The values of all viewers of a stimulus."""

    stimulus: str
    dims: tuple[str, ...]
    time_s: Float[np.ndarray, " times"]  # since the stimulus began
    viewers: tuple[str, ...]  # sorted
    values: Float[np.ndarray, "viewers times dims"]  # NaN where a viewer's face is not visible
    without_face: tuple[str, ...] = ()  # viewers who are left out, since no frame shows their face
    centred: bool = False  # whether each viewer's own mean was subtracted

    @property
    def count(self) -> Int[np.ndarray, " times"]:
        """The number of viewers with values at each time."""
        return np.sum(np.isfinite(self.values).all(2), axis=0)

    def mean(self) -> Float[np.ndarray, "times dims"]:
        """Return the mean over the viewers at each time; NaN if there is none."""
        count = self.count[:, None]
        total = np.nansum(self.values, axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def band(self) -> tuple[Float[np.ndarray, "times dims"], Float[np.ndarray, "times dims"]]:
        """Return the ends of the interval for the mean, from Student's t over the viewers.

        They are NaN where fewer than two viewers have values. The ends are not clipped.
        """
        count, mean = self.count[:, None], self.mean()
        squares = np.nansum((self.values - mean) ** 2, axis=0)
        free = np.maximum(count - 1, 1)
        error = np.sqrt(squares / free / np.maximum(count, 1))
        arm = np.where(count > 1, stats.t.ppf((1 + LEVEL) / 2, free) * error, np.nan)
        return mean - arm, mean + arm

    def peaks(self, prominence: float) -> list[Peak]:
        """Return the extrema of the mean, by dimension and time.

        A maximum is at least `prominence` higher than the lowest point between it and any higher
        one; a minimum is the same for the negative curve. The first and last point never count.
        """
        enough: np.ndarray = self.count >= max(PEAK_SHARE * len(self.viewers), 2)
        mean, found = self.mean(), []
        for (column, dim), (first, last) in itertools.product(enumerate(self.dims), _runs(enough)):
            for kind, sign in (("maximum", 1), ("minimum", -1)):
                places, facts = signal.find_peaks(
                    sign * mean[first:last, column], prominence=prominence
                )
                found += [
                    Peak(dim, kind, first + int(place), float(high))
                    for place, high in zip(places, facts["prominences"], strict=True)
                ]
        return sorted(found, key=lambda peak: (self.dims.index(peak.dim), peak.place))


def curves(viewings: Sequence[Viewing], options: AudienceOptions) -> list[Curve]:
    """Return a curve for every stimulus, sorted by name; the order of the viewings has no effect.

    A viewer who saw a stimulus several times counts once, with the mean of these viewings.

    Raises:
        InputError: a file of predictions cannot be used; see `on_time_line`.
    """
    files = read_files(viewings)
    dims = choose_dims(list(files.values()), options.dims)
    found = []
    ordered = sorted(viewings, key=lambda each: (natural_key(each.stimulus), each.stimulus))
    for stimulus, group in itertools.groupby(ordered, key=lambda each: each.stimulus):
        seen: dict[str, list[np.ndarray]] = {}
        for each in sorted(group, key=lambda each: each.order):
            row = on_time_line(each, files[each.path], dims, options.fps)
            seen.setdefault(each.viewer, []).append(
                np.where(row.shown[:, None], row.values, np.nan)
            )
        found.append(_curve(stimulus, dims, seen, options))
    return found


def _curve(
    stimulus: str, dims: Sequence[str], seen: dict[str, list[np.ndarray]], options: AudienceOptions
) -> Curve:
    """Return the curve of a stimulus from the values of each viewer's viewings."""
    times = max(len(values) for viewings in seen.values() for values in viewings)
    viewers = sorted(seen, key=lambda name: (natural_key(name), name))
    values = np.stack([_mean_of(seen[viewer], times) for viewer in viewers])
    present = np.any(np.isfinite(values), axis=(1, 2))
    if options.centre:
        values[present] -= np.nanmean(values[present], axis=1, keepdims=True)
    named = list(zip(viewers, present.tolist(), strict=True))
    return Curve(
        stimulus,
        tuple(dims),
        np.arange(times) / options.fps,
        tuple(viewer for viewer, there in named if there),
        values[present],
        tuple(viewer for viewer, there in named if not there),
        options.centre,
    )


def _mean_of(viewings: Sequence[np.ndarray], times: int) -> Float[np.ndarray, "times dims"]:
    """Return the mean over the viewings that have values at a time; NaN if there is none."""
    padded = np.full((len(viewings), times, viewings[0].shape[1]), np.nan)
    for place, values in enumerate(viewings):
        padded[place, : len(values)] = values
    count = np.sum(np.isfinite(padded), axis=0)
    return np.where(count > 0, np.nansum(padded, axis=0) / np.maximum(count, 1), np.nan)


def _runs(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the start and the end (exclusive) of every run of True."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
