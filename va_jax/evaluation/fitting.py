"""Fit post-processing on the dev split, to apply it unchanged to other splits.

The steps are those of the AVEC 2016 baseline (Valstar et al., 2016): filter, centre, scale, and
shift in time. Each is kept only if it raises the CCC on dev. The search is greedy and treats each
dimension separately.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from va_jax.config import Post
from va_jax.evaluation.lags import sweep
from va_jax.evaluation.metrics import Moments
from va_jax.evaluation.postprocess import PostProcessing, Step
from va_jax.types import Trace

ROUNDING = 1e-6
"""Smallest gain in CCC for which a step is kept, and smallest standard deviation of predictions
that are scaled; our choice."""

CURVE_POINTS = 200
"""Maximum number of points in a stored lag curve."""

LONGEST = 0.25
"""Longest filter and lag to try, as a share of the median recording length; our choice. With longer
ones, a trace would consist mostly of its repeated end values."""


def fit(traces: Sequence[Trace], dims: Sequence[str], settings: Post) -> PostProcessing:
    """Fit post-processing to predictions for the dev split.

    Each step is fitted to the output of the previous steps on the scored frames, with all
    recordings treated as one signal. It is kept if it raises the pooled CCC of its dimension. If
    no frame is scored, there are no steps.
    """
    if not any(trace.mask.any() for trace in traces):
        return PostProcessing({dim: () for dim in dims}, {})
    steps, curves = {}, {}
    longest_s = LONGEST * float(np.median([t.time_s[-1] - t.time_s[0] for t in traces]))
    for i, dim in enumerate(dims):
        single = [
            Trace(t.track, t.pred[:, i : i + 1], t.target[:, i : i + 1], t.mask, t.time_s)
            for t in traces
        ]
        steps[dim] = _fit_steps(single, settings, longest_s)
        curve = sweep(single, 0, min(settings.max_lag_s, longest_s))
        curves[dim] = curve.thinned(CURVE_POINTS)
    return PostProcessing(steps, curves)


def _fit_steps(traces: list[Trace], settings: Post, longest_s: float) -> tuple[Step, ...]:
    """Fit the steps to traces of one dimension."""
    steps, before = [], _ccc(traces)
    for name in settings.steps:
        tried = []
        for constants in _candidates(name, traces, settings, longest_s):
            step = Step(name, constants, False, before, 0.0)
            after = _ccc(_apply(step, traces))
            kept = after > before + ROUNDING
            tried.append(dataclasses.replace(step, kept=kept, ccc_after=after))
        if tried:
            steps.append(max(tried, key=lambda step: step.ccc_after))
            if steps[-1].kept:
                traces, before = _apply(steps[-1], traces), steps[-1].ccc_after
    return tuple(steps)


def _candidates(
    name: str, traces: list[Trace], settings: Post, longest_s: float
) -> Iterator[Mapping[str, float]]:
    """Yield the constants to try for a step."""
    moments = _moments(traces)
    mean, mean_target = float(moments.mean_pred[0]), float(moments.mean_target[0])
    if name == "median":
        yield from ({"window_s": float(x)} for x in settings.medians_s if x <= longest_s)
    elif name == "centre":
        yield {"bias": mean_target - mean}
    elif name == "scale":
        spread, spread_target = (
            math.sqrt(m2[0] / moments.count[0]) for m2 in (moments.m2_pred, moments.m2_target)
        )
        factor = spread_target / spread if spread > ROUNDING else 1.0
        yield {"factor": factor, "about": mean if settings.scale == "about_mean" else 0.0}
    elif name == "lag":
        curve = sweep(traces, 0, min(settings.max_lag_s, longest_s))
        yield {"lag_s": curve.best_lag_s}


def _apply(step: Step, traces: Sequence[Trace]) -> list[Trace]:
    """Apply a step to traces of one dimension."""
    return [
        dataclasses.replace(trace, pred=step.apply(trace.pred[:, 0], trace.time_s)[:, None])
        for trace in traces
    ]


def _ccc(traces: Sequence[Trace]) -> float:
    """Return the pooled CCC of traces of one dimension."""
    return float(_moments(traces).ccc()[0])


def _moments(traces: Sequence[Trace]) -> Moments:
    parts = [Moments.of(trace.pred, trace.target, trace.mask) for trace in traces]
    return Moments.stack(parts).merged()
