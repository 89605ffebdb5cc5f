"""Fuse several raters' traces into one, and measure how well the raters agree."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from va_jax.types import LABEL_RANGE, InputError


def fuse_raters(values: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "rows"]:
    """Fuse several raters' traces into one, like the gold standard of RECOLA in AVEC 2016.

    Each trace is centred by subtracting its mean. The result is the mean of the centred traces,
    plus a weighted mean of the raters' means, clipped to LABEL_RANGE. The weight of rater r is the
    mean CCC between r and the other raters. Our choice: negative weights are set to 0, equal
    weights are used if all are 0, and a rater is ignored in rows that the rater left unlabelled.
    """
    raters = len(values)
    if raters == 1:
        return values[0]
    known = np.isfinite(values)
    if not known.any(1).all():
        rater = int(np.argmin(known.any(1))) + 1
        raise InputError(f"rater {rater} of {raters} has no labels; remove the rater's column")
    weights = np.zeros(raters)
    for rater in range(raters):
        others = [_ccc(values[rater], values[other]) for other in range(raters) if other != rater]
        weights[rater] = max(0.0, float(np.mean(others)))
    if not weights.any():
        weights[:] = 1
    means = np.nanmean(values, axis=1)
    level = (weights * means).sum() / weights.sum()
    count = known.sum(0)
    deviation = np.where(known, values - means[:, None], 0).sum(0)
    fused = deviation / np.maximum(count, 1) + level
    return np.where(count > 0, np.clip(fused, *LABEL_RANGE), np.nan)


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
