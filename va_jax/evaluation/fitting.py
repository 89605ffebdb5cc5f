"""Post-processing fitted on the dev split, to be applied unchanged elsewhere.

The chain of AVEC 2016's baseline (Valstar et al., 2016): filter, centre, scale, move in time, each
kept only where the concordance on dev rises. The search is greedy, one dimension at a time.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from va_jax.config import Post
from va_jax.evaluation.lags import sweep
from va_jax.evaluation.metrics import Moments
from va_jax.evaluation.postprocess import Chain, Step
from va_jax.types import Trace

ROUNDING = 1e-6
"""A CCC that rises by no more has not risen, and predictions that spread less are flat; ours."""

CURVE_POINTS = 200
"""Of a lag curve that is kept."""

LONGEST = 0.25
"""Share of the median recording above which no filter and no lag is tried; ours. Beyond it a trace
is made of its held ends."""


def fit(traces: Sequence[Trace], dims: Sequence[str], settings: Post) -> Chain:
    """The chain that suits dev predictions, by `settings`, the section `post` of a config.

    Every step in turn is fitted to what those before it leave, on the frames that count, all
    recordings as one signal, and kept where the pooled CCC of its dimension rises. Without such a
    frame the chain has no step.
    """
    if not any(trace.mask.any() for trace in traces):
        return Chain({dim: () for dim in dims}, {})
    steps, curves = {}, {}
    longest_s = LONGEST * float(np.median([t.time_s[-1] - t.time_s[0] for t in traces]))
    for i, dim in enumerate(dims):
        single = [
            Trace(t.track, t.pred[:, i : i + 1], t.target[:, i : i + 1], t.mask, t.time_s)
            for t in traces
        ]
        steps[dim] = _fitted(single, settings, longest_s)
        lags = sweep(single, 0, min(settings.max_lag_s, longest_s))
        curves[dim] = lags.thinned(CURVE_POINTS)
    return Chain(steps, curves)


def _fitted(traces: list[Trace], settings: Post, longest_s: float) -> tuple[Step, ...]:
    """The steps for traces of one dimension."""
    steps, before = [], float(_moments(traces).ccc()[0])
    for name in settings.steps:
        tried = []
        for constants in _candidates(name, traces, settings, longest_s):
            step = Step(name, constants, False, before, 0.0)
            after = float(_moments(_through(step, traces)).ccc()[0])
            kept = after > before + ROUNDING
            tried.append(dataclasses.replace(step, kept=kept, ccc_after=after))
        if tried:
            steps.append(max(tried, key=lambda step: step.ccc_after))
            if steps[-1].kept:
                traces, before = _through(steps[-1], traces), steps[-1].ccc_after
    return tuple(steps)


def _candidates(
    name: str, traces: list[Trace], settings: Post, longest_s: float
) -> Iterator[Mapping[str, float]]:
    """The constants to try in a step."""
    moments = _moments(traces)
    mean, mean_target = float(moments.mean_pred[0]), float(moments.mean_target[0])
    if name == "median":
        yield from ({"window_s": float(x)} for x in settings.medians_s if x <= longest_s)
    elif name == "centre":
        yield {"bias": mean_target - mean}
    elif name == "scale":
        spread = math.sqrt(moments.m2_pred[0] / moments.count[0])
        wanted = math.sqrt(moments.m2_target[0] / moments.count[0])
        factor = wanted / spread if spread > ROUNDING else 1.0
        yield {"factor": factor, "about": mean if settings.scale == "about_mean" else 0.0}
    elif name == "lag":
        lags = sweep(traces, 0, min(settings.max_lag_s, longest_s))
        yield {"lag_s": lags.best_lag_s}


def _through(step: Step, traces: Sequence[Trace]) -> list[Trace]:
    """Traces of one dimension, processed."""
    return [
        dataclasses.replace(trace, pred=step.apply(trace.pred[:, 0], trace.time_s)[:, None])
        for trace in traces
    ]


def _moments(traces: Sequence[Trace]) -> Moments:
    parts = [Moments.of(trace.pred, trace.target, trace.mask) for trace in traces]
    return Moments.stack(parts).merged()
