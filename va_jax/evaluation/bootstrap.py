"""Bootstrap over recordings: how far a score would move had other recordings been drawn.

Frames of a recording depend on each other, so recordings are what is drawn again; a resample costs
no frame, for it is a weighted sum of the recordings' moments. The intervals are those of the
bootstrap-t (Efron, 1981): with some tens of recordings the percentile interval is too narrow.
"""

import numpy as np
from jaxtyping import Float

RESAMPLES = 1000
LEVEL = 0.95
FEWEST = 5
"""Recordings below which no interval is given."""

METHOD = "bootstrap-t over recordings"

RANGES = {"ccc": (-1, 1), "pcc": (-1, 1), "rmse": (0, np.inf), "mse": (0, np.inf), "sagr": (0, 1)}
"""Metric -> the lowest and the highest value it can take."""


def resamples(
    recordings: int, count: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "count recordings"]:
    """How often each recording is drawn, in `count` draws of as many recordings as there are."""
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
    """Lower and upper end of the interval of `value`, whose standard error is `error`.

    `resampled` and `errors` are the same of every resample. An end may be infinite where resamples
    without any spread abound.
    """
    away = _studentised(resampled - value, errors)
    outer = (1 + level) / 2
    upper, lower = (np.quantile(away, q, axis=0, method="nearest") for q in (outer, 1 - outer))
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
    """Lower and upper end of the interval around a paired difference that agrees with `p_value`.

    It holds every value from which the difference has a p above 1 - `level`. Differences of two
    systems have heavy tails rather than skewed ones, and there an interval of equal arms covers as
    often as it says where that of `interval` is too narrow (Hall, 1988).
    """
    away = np.sort(np.abs(_studentised(resampled - difference, errors)), axis=0)
    rank = min(int(np.ceil(round(level * (1 + len(away)), 6))), len(away))
    arm = np.where(error > 0, np.where(error > 0, error, 1) * away[rank - 1], 0)
    return difference - arm, difference + arm


def p_value(
    difference: Float[np.ndarray, "*dims"],
    error: Float[np.ndarray, "*dims"],
    resampled: Float[np.ndarray, "count *dims"],
    errors: Float[np.ndarray, "count *dims"],
) -> Float[np.ndarray, "*dims"]:
    """Two-sided p of a paired difference of zero, never below 1 / (count + 1).

    The share of resamples that lie as many of their standard errors from `difference` as that lies
    from zero; 1 where the two sides do not differ at all.
    """
    observed = np.abs(_studentised(difference, error))
    away = np.abs(_studentised(resampled - difference, errors))
    return (1 + (away >= observed).sum(0)) / (1 + len(away))


def _studentised(difference: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Difference in standard errors; without any spread 0 or infinite."""
    known = error > 0
    infinite = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
    return np.where(known, difference / np.where(known, error, 1), infinite)
