"""Bootstrap over recordings: intervals for scores, and p-values for differences between systems.

Frames within a recording are not independent, so whole recordings are drawn. The moments of a
resample are computed as a weighted sum of those of the recordings, without reading any frames. The
intervals use the bootstrap-t (Efron, 1981), because percentile intervals are too narrow for a few
dozen recordings.
"""

import numpy as np
from jaxtyping import Float

RESAMPLES = 1000
LEVEL = 0.95
FEWEST = 5
"""Minimum number of recordings for an interval."""

METHOD = "bootstrap-t over recordings"

RANGES = {"ccc": (-1, 1), "pcc": (-1, 1), "rmse": (0, np.inf), "mse": (0, np.inf), "sagr": (0, 1)}
"""Lowest and highest possible values of each metric."""


def resamples(
    recordings: int, count: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "count recordings"]:
    """Draw resamples with replacement, and return how often each recording occurs in each."""
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
    """Return the lower and upper ends of the interval for a score.

    An end can be infinite if many resamples have a standard error of 0.

    Args:
        value: the score.
        error: its standard error.
        resampled: the score in each resample.
        errors: the standard error in each resample.
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
    """Return the ends of the interval for a paired difference; it is consistent with `p_value`.

    It contains every value that a test at the level 1 - `level` does not reject. The differences
    between two systems are heavy-tailed rather than skewed, so a symmetric interval reaches its
    nominal coverage, while the one from `interval` is too narrow (Hall, 1988). The arguments are
    the same as for `interval`.
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
    """Return the two-sided p-value for a paired difference; it is at least 1 / (count + 1).

    It is the share of resamples that are at least as many standard errors away from `difference` as
    `difference` is from zero; it is 1 if the two systems score the same. The arguments are the same
    as for `interval`.
    """
    observed = np.abs(_studentise(difference, error))
    distance = np.abs(_studentise(resampled - difference, errors))
    return (1 + (distance >= observed).sum(0)) / (1 + len(distance))


def _studentise(difference: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return a difference in units of its standard error; 0 or infinite if the error is 0."""
    known = error > 0
    infinite = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
    return np.where(known, difference / np.where(known, error, 1), infinite)
