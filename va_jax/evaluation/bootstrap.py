"""Bootstrap over recordings: intervals of scores, and p of a difference between two systems.

Frames of a recording depend on each other, so whole recordings are drawn. A resample is a weighted
sum of the moments of the recordings and reads no frame. Intervals are those of the bootstrap-t
(Efron, 1981): with some tens of recordings, percentile intervals are too narrow.
"""

import numpy as np
from jaxtyping import Float

RESAMPLES = 1000
LEVEL = 0.95
FEWEST = 5
"""With fewer recordings there is no interval."""

METHOD = "bootstrap-t over recordings"

RANGES = {"ccc": (-1, 1), "pcc": (-1, 1), "rmse": (0, np.inf), "mse": (0, np.inf), "sagr": (0, 1)}
"""Metric -> the lowest and the highest value it can take."""


def resamples(
    recordings: int, count: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "count recordings"]:
    """Return how often each recording is drawn in `count` draws with replacement."""
    rng = np.random.default_rng([seed, recordings])
    share = np.full(recordings, 1 / recordings)
    return rng.multinomial(recordings, share, size=count).astype(np.float64)


def interval(
    value: Float[np.ndarray, "*dims"],
    error: Float[np.ndarray, "*dims"],
    resampled: Float[np.ndarray, "count *dims"],
    errors: Float[np.ndarray, "count *dims"],
    level: float = LEVEL,
) -> tuple[Float[np.ndarray, "*dims"], Float[np.ndarray, "*dims"]]:
    """Return the lower and the upper end of the interval of a score.

    An end can be infinite if many resamples have a standard error of 0.

    Args:
        value: the score.
        error: its standard error.
        resampled: the score of every resample.
        errors: the standard error of every resample.
        level: coverage of the interval.
    """
    studentised = _studentise(resampled - value, errors)
    outer = (1 + level) / 2
    upper, lower = (
        np.quantile(studentised, q, axis=0, method="nearest") for q in (outer, 1 - outer)
    )
    spread = np.where(error > 0, error, 1)
    upper, lower = (np.where(error > 0, end, 0) for end in (upper, lower))
    return value - spread * upper, value - spread * lower


def symmetric_interval(
    difference: Float[np.ndarray, "*dims"],
    error: Float[np.ndarray, "*dims"],
    resampled: Float[np.ndarray, "count *dims"],
    errors: Float[np.ndarray, "count *dims"],
    level: float = LEVEL,
) -> tuple[Float[np.ndarray, "*dims"], Float[np.ndarray, "*dims"]]:
    """Return the ends of the interval of a paired difference that agrees with `p_value`.

    It contains every value from which the difference has a p above 1 - `level`. Differences of two
    systems have heavy tails rather than skewed ones; for these a symmetric interval reaches its
    nominal coverage, while that of `interval` is too narrow (Hall, 1988). The arguments are those
    of `interval`.
    """
    distance = np.sort(np.abs(_studentise(resampled - difference, errors)), axis=0)
    rank = min(int(np.ceil(round(level * (1 + len(distance)), 6))), len(distance))
    arm = np.where(error > 0, np.where(error > 0, error, 1) * distance[rank - 1], 0)
    return difference - arm, difference + arm


def p_value(
    difference: Float[np.ndarray, "*dims"],
    error: Float[np.ndarray, "*dims"],
    resampled: Float[np.ndarray, "count *dims"],
    errors: Float[np.ndarray, "count *dims"],
) -> Float[np.ndarray, "*dims"]:
    """Return the two-sided p of a paired difference of zero, at least 1 / (count + 1).

    It is the share of resamples that lie at least as many standard errors from `difference` as
    `difference` lies from zero; 1 if the two sides are equal. The arguments are those of
    `interval`.
    """
    observed = np.abs(_studentise(difference, error))
    distance = np.abs(_studentise(resampled - difference, errors))
    return (1 + (distance >= observed).sum(0)) / (1 + len(distance))


def _studentise(difference: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return a difference in standard errors; 0 or infinite if the error is 0."""
    known = error > 0
    infinite = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
    return np.where(known, difference / np.where(known, error, 1), infinite)
