"""Heads for a run from a source whose heads belong to other data sets, or to none."""

import dataclasses
import re

from va_jax.config import Config
from va_jax.models import set_heads
from va_jax.models.regressor import head_name
from va_jax.weights.load import Weights

ANOTHER = "head of another data set"

PREFIX = "params/"


def adapted(given: Weights, config: Config) -> Weights:
    """Return the arrays of a source under the names of the run's heads.

    If the source has shared heads and the run has one for each data set, each of them starts from
    the shared one. If the source has a head for each data set, the run takes those of its own data
    sets; the others are left out, and heads without a source follow `init.fresh`.
    """
    own = set_heads.sets_with_heads(config)
    if not given.sets:
        return _copied(given, own) if own else given
    if own:
        new = {name: name for name in own}
    else:
        new = dict.fromkeys(config.data.head_names, "") if len(config.data.names) == 1 else {}
    values, origin, left_out = {}, {}, dict(given.left_out)
    pattern = re.compile(f"{PREFIX}head_({'|'.join(map(re.escape, given.sets))})__([^/]+)/(.+)")
    for path, value in given.values.items():
        if match := pattern.fullmatch(path):
            name, dim, rest = match.groups()
            if name not in new:
                left_out[given.origin[path]] = ANOTHER
                continue
            path_here = f"{PREFIX}{head_name(dim, new[name])}/{rest}"
        else:
            path_here = path
        values[path_here], origin[path_here] = value, given.origin[path]
    return dataclasses.replace(given, values=values, origin=origin, left_out=left_out)


def _copied(given: Weights, sets: tuple[str, ...]) -> Weights:
    """Return the arrays with a copy of each shared head for every data set."""
    values, origin = {}, {}
    for path, value in given.values.items():
        match = re.fullmatch(f"{PREFIX}head_([^/]+)/(.+)", path)
        names = [head_name(match[1], name) for name in sets] if match else []
        paths = [f"{PREFIX}{name}/{match[2]}" for name in names] if match else [path]
        for each in paths:
            values[each], origin[each] = value, given.origin[path]
    return dataclasses.replace(given, values=values, origin=origin)
