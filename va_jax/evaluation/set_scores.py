"""Scores of a network on the dev splits of its run during training."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from va_jax.config import Config
from va_jax.data.features import FeatureSource
from va_jax.data.sets import OpenSet
from va_jax.data.sources import Source
from va_jax.evaluation import score_table
from va_jax.evaluation.predict_split import predict_split
from va_jax.evaluation.predictors import SplitPredictor
from va_jax.models import set_heads
from va_jax.models.regressor import Regressor


def dev_ccc(
    opened: Sequence[OpenSet],
    predictor: SplitPredictor,
    model: Regressor,
    variables: Any,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Return the pooled CCC for every dimension on dev; 0 if there are no labels.

    With several data sets, these are the means over the data sets, followed by the CCC on each data
    set, with keys such as `valence/afew_va/112`. The mean of all values is the same as that of the
    first ones.

    Args:
        opened: data sets of the run.
        predictor: predictor for the network of a single data set.
        model: network of the run.
        variables: its variables.
        on_batch: function to call for every batch.
    """
    found = {}
    for number, each in enumerate(opened):
        own = set_heads.of_set(variables, model.sets, model.dims, number)
        found[each.name] = split_ccc(each.config, predictor, own, each.dev, on_batch)
    if len(opened) == 1:
        return found[opened[0].name]
    means = {dim: statistics.fmean(ccc[dim] for ccc in found.values()) for dim in model.dims}
    return means | {f"{dim}/{name}": ccc[dim] for name, ccc in found.items() for dim in model.dims}


def split_ccc(
    config: Config,
    predictor: SplitPredictor,
    variables: Any,
    source: Source | FeatureSource,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Return the pooled CCC for every dimension on `source`; 0 if there are no labels."""
    traces = predict_split(config, predictor, variables, source, on_batch)
    scored = score_table.scores(traces, [trace.pred for trace in traces], source.dims)
    return {dim: scored[dim]["pooled"]["ccc"] if scored[dim] else 0.0 for dim in source.dims}
