"""Fuse several raters' traces into one, and measure how well the raters agree."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from va_jax.types import LABEL_RANGE, InputError

FUSIONS = ("ewe", "mean", "avec2016")
"""Rules that fuse several raters' traces into one, see `fuse_raters`."""

CONSTANT = 1e-9
"""A trace that varies less than this counts as constant; rounding causes smaller variations."""


def check_fusion(fusion: str) -> None:
    """Raise InputError if the option `fusion` is not one of FUSIONS."""
    if fusion not in FUSIONS:
        raise InputError(f"fusion={fusion!r} is not one of {', '.join(FUSIONS)}")


def fuse_raters(
    values: Float[np.ndarray, "raters rows"], fusion: str = "avec2016"
) -> Float[np.ndarray, "rows"]:
    """Fuse several raters' traces into one.

    Each trace is centred by subtracting its mean. The result is a weighted mean of the centred
    traces (the shape) plus a weighted mean of the raters' means (the level), clipped to
    LABEL_RANGE. The weights of both are

    - `ewe`: the correlation of a rater with the mean of the other raters, the evaluator-weighted
      estimator of Grimm and Kroschel (2005);
    - `mean`: equal;
    - `avec2016`: equal for the shape, and the mean CCC with each of the other raters for the level,
      like the gold standard of RECOLA in AVEC 2016.

    Our choice: negative weights are set to 0, equal weights are used if all are 0, and a rater is
    ignored in rows that the rater left unlabelled.

    Args:
        values: The raters' traces, NaN where unlabelled.
        fusion: One of FUSIONS.

    Returns:
        The fused trace, NaN where no rater with a weight above 0 labelled the row.

    Raises:
        InputError: A rater has no labels.
    """
    raters = len(values)
    if raters == 1:
        return values[0]
    known = np.isfinite(values)
    if not known.any(1).all():
        rater = int(np.argmin(known.any(1))) + 1
        raise InputError(f"rater {rater} of {raters} has no labels; remove the rater's column")
    means = np.nanmean(values, axis=1)
    centred = np.where(known, values - means[:, None], 0)
    if fusion == "ewe":
        shape = level = _correlations(centred, known)
    else:
        shape = np.ones(raters)
        level = _mean_ccc(values) if fusion == "avec2016" else shape
    weight = np.where(known, shape[:, None], 0)
    total = weight.sum(0)
    deviation = (weight * centred).sum(0) / np.where(total > 0, total, 1)
    fused = deviation + (level * means).sum() / level.sum()
    return np.where(total > 0, np.clip(fused, *LABEL_RANGE), np.nan)


def _correlations(
    centred: Float[np.ndarray, "raters rows"], known: Bool[np.ndarray, "raters rows"]
) -> Float[np.ndarray, "raters"]:
    """Return the weight of each rater: the correlation with the mean of the other raters."""
    weights = []
    for rater in range(len(centred)):
        others = np.delete(known, rater, 0).sum(0)
        rows = known[rater] & (others > 0)
        one = centred[rater, rows]
        mean = np.delete(centred, rater, 0).sum(0)[rows] / others[rows]
        weights.append(_correlation(one, mean))
    return _positive(weights)


def _correlation(a: Float[np.ndarray, "rows"], b: Float[np.ndarray, "rows"]) -> float:
    """Return Pearson's correlation, or 0 if either trace is constant or there are no rows."""
    if not len(a) or min(np.ptp(a), np.ptp(b)) < CONSTANT:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _mean_ccc(values: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "raters"]:
    """Return the weight of each rater: the mean CCC with each of the other raters."""
    raters = range(len(values))
    return _positive(
        [float(np.mean([_ccc(values[r], values[o]) for o in raters if o != r])) for r in raters]
    )


def _positive(weights: Sequence[float]) -> Float[np.ndarray, "raters"]:
    """Set negative weights to 0, and all weights to 1 if none is above 0."""
    positive = np.maximum(weights, 0)
    return positive if positive.any() else np.ones(len(positive))


def _ccc(a: Float[np.ndarray, "rows"], b: Float[np.ndarray, "rows"]) -> float:
    """Return Lin's CCC over the rows that both raters labelled, or 0 if both are constant."""
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        return 0.0
    a, b = a[both], b[both]
    denominator = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return 2 * float(np.mean((a - a.mean()) * (b - b.mean()))) / denominator if denominator else 0.0


def pair_sums(raters: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "pairs 6"]:
    """Return the number of rows and five sums for each pair of raters a, b.

    The sums of a, b, a*a, b*b and a*b run over the rows that both labelled, and can be added over
    several recordings. Pairs are in the order of `itertools.combinations`.
    """
    sums = []
    for a, b in itertools.combinations(raters, 2):
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
        sums.append([len(a), a.sum(), b.sum(), a @ a, b @ b, a @ b])
    return np.array(sums, np.float64).reshape(-1, 6)


def agreement(recordings: Sequence[Sequence[np.ndarray]], dims: Sequence[str]) -> dict[str, Any]:
    """Measure how well raters agree, from the `pair_sums` of each recording and dimension.

    The CCC of each pair is pooled over all recordings, like that of a model; the mean over pairs is
    the score of one human compared with another. Recordings whose number of raters differs from the
    most common one are left out.

    Args:
        recordings: `pair_sums` of each dimension, for each recording.
        dims: Names of the dimensions.

    Returns:
        {dim: {`raters`, `recordings` (number used), `pairwise_ccc`, `mean_ccc`}}.
    """
    result = {}
    for index, dim in enumerate(dims):
        sums = [each[index].reshape(-1, 6) for each in recordings]
        counts = [len(each) for each in sums if len(each)]
        if not counts:
            continue
        pairs = max(sorted(set(counts)), key=counts.count)
        used = [each for each in sums if len(each) == pairs]
        ccc = [_pooled_ccc(row) for row in np.sum(used, axis=0)]
        result[dim] = {
            "raters": round((1 + np.sqrt(1 + 8 * pairs)) / 2),
            "recordings": len(used),
            "pairwise_ccc": ccc,
            "mean_ccc": float(np.mean(ccc)),
        }
    return result


def _pooled_ccc(sums: Float[np.ndarray, "6"]) -> float:
    n, a, b, aa, bb, ab = sums
    if not n:
        return 0.0
    variances = aa / n - (a / n) ** 2 + bb / n - (b / n) ** 2
    denominator = variances + (a / n - b / n) ** 2
    return float(2 * (ab / n - a * b / n**2) / denominator) if denominator > 0 else 0.0
