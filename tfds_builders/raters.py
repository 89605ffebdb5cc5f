"""Several raters of one trace: their fusion into one, and how far they agree."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from va_jax.types import LABEL_RANGE, InputError


def fuse_raters(values: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "rows"]:
    """One trace from several raters', as AVEC 2016 makes the gold standard of RECOLA.

    The mean of the raters' traces, each freed of its own mean, plus the mean of those means
    weighted by w_r, the mean CCC of rater r with the others; clipped to LABEL_RANGE. Ours: weights
    below 0 count as 0, all-zero weights as equal, and a rater is left out of the rows it lacks.
    """
    raters = len(values)
    if raters == 1:
        return values[0]
    known = np.isfinite(values)
    if not known.any(1).all():
        raise InputError(f"rater {int(np.argmin(known.any(1))) + 1} of {raters} labelled nothing")
    weights = np.zeros(raters)
    for r in range(raters):
        others = [_ccc(values[r], values[o]) for o in range(raters) if o != r]
        weights[r] = max(0.0, float(np.mean(others)))
    if not weights.any():
        weights[:] = 1
    means = np.nanmean(values, axis=1)
    level = (weights * means).sum() / weights.sum()
    count = known.sum(0)
    deviation = np.where(known, values - means[:, None], 0).sum(0)
    fused = deviation / np.maximum(count, 1) + level
    return np.where(count > 0, np.clip(fused, *LABEL_RANGE), np.nan)


def _ccc(a: Float[np.ndarray, "rows"], b: Float[np.ndarray, "rows"]) -> float:
    """Lin's concordance over the rows both raters labelled; 0 where both are constant."""
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        return 0.0
    a, b = a[both], b[both]
    denominator = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return 2 * float(np.mean((a - a.mean()) * (b - b.mean()))) / denominator if denominator else 0.0


def pair_sums(raters: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "pairs 6"]:
    """Of every pair of raters n, sum a, sum b, sum a a, sum b b, sum a b over the rows both have.

    Pairs come in the order of `itertools.combinations`; the sums of recordings add up.
    """
    sums = []
    for a, b in itertools.combinations(raters, 2):
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
        sums.append([len(a), a.sum(), b.sum(), a @ a, b @ b, a @ b])
    return np.array(sums, np.float64).reshape(-1, 6)


def agreement(
    recordings: Sequence[Sequence[Sequence[Sequence[float]]]], dims: Sequence[str]
) -> dict[str, Any]:
    """{dim: {raters, pairwise_ccc, mean_ccc}} from the `pair_sums` [dims] of each recording.

    The CCC of each pair is pooled over all recordings, as a model's is; its mean is what a human
    would score against another. Recordings whose number of raters differs from the most common one
    are left out; `recordings` says how many remain.
    """
    result = {}
    for index, dim in enumerate(dims):
        sums = [np.array(each[index]).reshape(-1, 6) for each in recordings]
        counts = [len(each) for each in sums if len(each)]
        if not counts:
            continue
        pairs = max(sorted(set(counts)), key=counts.count)
        used = [each for each in sums if len(each) == pairs]
        ccc = [_pooled_ccc(*row) for row in np.sum(used, axis=0)]
        result[dim] = {
            "raters": round((1 + np.sqrt(1 + 8 * pairs)) / 2),
            "recordings": len(used),
            "pairwise_ccc": ccc,
            "mean_ccc": float(np.mean(ccc)),
        }
    return result


def _pooled_ccc(n: float, a: float, b: float, aa: float, bb: float, ab: float) -> float:
    if not n:
        return 0.0
    variances = aa / n - (a / n) ** 2 + bb / n - (b / n) ** 2
    denominator = variances + (a / n - b / n) ** 2
    return float(2 * (ab / n - a * b / n**2) / denominator) if denominator > 0 else 0.0
