"""Heads that belong to single data sets: which network has them, and the network of one data set.

A network with a head per data set exists only in training. For everything else, the heads of one
data set take the names of shared heads, which gives an ordinary network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from va_jax.config import Config
from va_jax.models.regressor import head_name


def sets_with_heads(config: Config) -> tuple[str, ...]:
    """Return the data sets of a run with their own heads, as named in parameters; () for shared."""
    several = len(config.data.names) > 1
    return config.data.head_names if config.model.heads == "per_set" and several else ()


def of_set(
    variables: Mapping[str, Any], sets: Sequence[str], dims: Sequence[str], number: int
) -> dict[str, Any]:
    """Return the variables of the ordinary network with the heads of one data set.

    Args:
        variables: `params` and `batch_stats`, with heads for each data set in `sets`.
        sets: names of the data sets in parameters; if empty, the variables are returned unchanged.
        dims: names of the dimensions.
        number: index of the data set.
    """
    if not sets:
        return dict(variables)
    own = {head_name(dim, sets[number]): head_name(dim) for dim in dims}
    every = {head_name(dim, name) for name in sets for dim in dims}
    params = {
        own.get(name, name): value
        for name, value in variables["params"].items()
        if name in own or name not in every
    }
    return {**variables, "params": params}
