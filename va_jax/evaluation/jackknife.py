"""The contribution of each recording to a score, and the standard errors that follow from it.

A score is a function of how often each recording is drawn. Its derivative with respect to a
recording's weight is that recording's contribution (infinitesimal jackknife: Jaeckel, 1972; Efron,
1982).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from va_jax.evaluation.metrics import Moments, all_metrics, ratio

Values = dict[str, dict[str, np.ndarray]]
"""Values by aggregation and metric."""

TOGETHER = 200_000
"""Maximum number of contributions (recordings x resamples) in memory at once."""


def standard_errors(moments: Moments, weights: Float[np.ndarray, "resamples recordings"]) -> Values:
    """Return the standard errors [resamples, dims] of all scores from `aggregate`."""
    return errors_from(lambda drawn: contributions(moments, drawn), weights)


def errors_from(
    contributions_of: Callable[[np.ndarray], Values],
    weights: Float[np.ndarray, "resamples recordings"],
) -> Values:
    """Return the standard errors [resamples, dims] of scores, from contributions.

    They follow from what each recording contributes to a score. The contributions to a sum of
    scores are the sums of the contributions to each score.

    Args:
        contributions_of: function that maps weights [some resamples, recordings] to contributions
            shaped like those from `contributions`; it is called for a few resamples at a time.
        weights: how often each recording is drawn.
    """
    rows = max(1, TOGETHER // weights.shape[1])
    parts = [
        {
            aggregation: {
                metric: np.sqrt(np.einsum("br,brd->bd", drawn, each**2))
                for metric, each in row.items()
            }
            for aggregation, row in contributions_of(drawn).items()
        }
        for drawn in (weights[start : start + rows] for start in range(0, len(weights), rows))
    ]
    return {
        aggregation: {
            metric: np.concatenate([part[aggregation][metric] for part in parts]) for metric in row
        }
        for aggregation, row in parts[0].items()
    }


def contributions(moments: Moments, weights: Float[np.ndarray, "resamples recordings"]) -> Values:
    """Return the derivatives of scores with respect to each recording's weight.

    Their shape is [resamples, recordings, dims]. The CCC uses the population formula.
    """
    count, single = moments.count, all_metrics(moments)
    frames = (weights @ count)[:, None]
    drawn = weights.sum(-1)[:, None, None]

    def to_mean(value: np.ndarray) -> np.ndarray:
        return (value - (weights @ value)[:, None] / drawn) / drawn

    def to_weighted_mean(value: np.ndarray) -> np.ndarray:
        return count * (value - (weights @ (count * value))[:, None] / frames) / frames

    return {
        "pooled": _to_pooled(moments, weights),
        "mean_of_recordings": {key: to_mean(value) for key, value in single.items()},
        "length_weighted": {key: to_weighted_mean(value) for key, value in single.items()},
    }


def _to_pooled(moments: Moments, weights: np.ndarray) -> dict[str, np.ndarray]:
    whole = moments.merged(weights)
    scores = {key: value[:, None] for key, value in all_metrics(whole).items()}
    frames, m2_pred, m2_target = (
        value[:, None] for value in (whole.count, whole.m2_pred, whole.m2_target)
    )
    gap = (whole.mean_pred - whole.mean_target)[:, None]
    from_pred = moments.mean_pred - whole.mean_pred[:, None]
    from_target = moments.mean_target - whole.mean_target[:, None]
    co = moments.co + moments.count * from_pred * from_target
    pred = moments.m2_pred + moments.count * from_pred**2
    target = moments.m2_target + moments.count * from_target**2
    bias = moments.count * (gap**2 + 2 * gap * (from_pred - from_target))
    mse = (moments.squared_error - scores["mse"] * moments.count) / frames
    spread = np.sqrt(m2_pred) * np.sqrt(m2_target)
    relative = ratio(pred, m2_pred) + ratio(target, m2_target)
    total = m2_pred + m2_target + frames * gap**2
    return {
        "ccc": ratio(2 * co - scores["ccc"] * (pred + target + bias), total),
        "pcc": ratio(co, spread) - scores["pcc"] * relative / 2,
        "rmse": ratio(mse, 2 * scores["rmse"]),
        "mse": mse,
        "sagr": (moments.agree - scores["sagr"] * moments.count) / frames,
    }
