"""Several raters of one trace: fuse them into one, and measure how far they agree."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from va_jax.types import LABEL_RANGE, InputError


def fuse_raters(values: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "rows"]:
    """Fuse several raters' traces into one, as AVEC 2016 makes the gold standard of RECOLA.

    Each trace is centred by its own mean. The result is the mean of the centred traces, plus the
    mean of the raters' means weighted by w_r, the mean CCC of rater r with the others, and clipped
    to LABEL_RANGE. Our choice: weights below 0 count as 0, weights that are all 0 as equal, and a
    rater does not count in rows it left unlabelled.
    """
    raters = len(values)
    if raters == 1:
        return values[0]
    known = np.isfinite(values)
    if not known.any(1).all():
        rater = int(np.argmin(known.any(1))) + 1
        raise InputError(f"rater {rater} of {raters} labelled nothing; remove its column")
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
    """Return Lin's CCC over the rows that both raters labelled; 0 if both are constant."""
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        return 0.0
    a, b = a[both], b[both]
    denominator = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return 2 * float(np.mean((a - a.mean()) * (b - b.mean()))) / denominator if denominator else 0.0


def pair_sums(raters: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "pairs 6"]:
    """Return for each pair of raters a, b: n, and the sums of a, b, a a, b b and a b.

    The sums run over the rows that both labelled, so those of several recordings can be added.
    Pairs are in the order of `itertools.combinations`.
    """
    sums = []
    for a, b in itertools.combinations(raters, 2):
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
        sums.append([len(a), a.sum(), b.sum(), a @ a, b @ b, a @ b])
    return np.array(sums, np.float64).reshape(-1, 6)


def agreement(recordings: Sequence[Sequence[np.ndarray]], dims: Sequence[str]) -> dict[str, Any]:
    """Measure how far raters agree, from the `pair_sums` of each recording and dimension.

    The CCC of each pair is pooled over all recordings, like that of a model; the mean over pairs is
    the score of one human against another. Recordings whose number of raters differs from the most
    common one are left out.

    Returns:
        {dim: {`raters`, `recordings` (those used), `pairwise_ccc`, `mean_ccc`}}.
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
