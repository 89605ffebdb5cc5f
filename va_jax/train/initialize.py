"""What a run starts from: random variables, filled by another run, an export or a weight file."""

import collections
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from va_jax import config as configuration
from va_jax.export import export
from va_jax.io import write_text
from va_jax.models import build
from va_jax.models.inflate import inflate
from va_jax.train.checkpoints import read_best
from va_jax.types import InputError
from va_jax.weights import load
from va_jax.weights.load import Weights

SOURCES = ("from_workdir", "from_export", "weights")


class Row(NamedTuple):
    """What became of one array."""

    path: str  # ours; of what is left out, the source's
    status: str  # loaded, inflated, initialised, left out
    source: str  # its name there, or why it is left out


class Start(NamedTuple):
    """Filled variables, and the account of them."""

    variables: dict[str, Any]
    source: str  # file or folder, and what it was read as
    size: int  # side of the images that the weights were made for, pixels; 0: unknown
    rows: list[Row]


def start(config: ConfigDict, variables: Any) -> Start | None:
    """`variables` filled as the config's `init` says; None where it names no source.

    Raises InputError where the source cannot be read, belongs to another network, or does not fit.
    """
    given = read(config.init)
    if given is None:
        return None
    check_backbone(given, config.model.backbone)
    return fill(variables, given, config.init)


def read(init: ConfigDict) -> Weights | None:
    """The arrays that the `init` section of a config names; None where it names none.

    Raises InputError where it names several sources, or one that cannot be read.
    """
    named = [key for key in SOURCES if init[key]]
    if not named:
        return None
    if len(named) > 1:
        raise InputError(f"init.{named[0]} and init.{named[1]} are both set; keep one")
    path = pathlib.Path(init[named[0]])
    if named[0] == "weights":
        return load.load(path, init.format, tuple(init.leave_out))
    if named[0] == "from_export":
        return _as_weights(export.read(path), f"{path}, an export", configuration.load(path))
    config = configuration.load(path)
    variables, step = read_best(path)
    values = flatten_dict(variables, sep="/")
    return _as_weights(values, f"{path}, step {step} of a run", config)


def _as_weights(values: Mapping[str, np.ndarray], source: str, config: ConfigDict) -> Weights:
    """What a run of that config left."""
    origin = {name: name for name in values}
    return Weights(dict(values), origin, {}, source, 0, re.escape(config.model.backbone))


def check_backbone(given: Weights, backbone: str) -> None:
    """Raise an InputError where the arrays would fit, but belong in another network."""
    if not re.fullmatch(given.backbones, backbone):
        legal = [name for name in build.BACKBONES if re.fullmatch(given.backbones, name)]
        raise InputError(
            f"{given.source}: these weights are not for model.backbone={backbone!r}; set it to "
            f"{' or '.join(legal)}"
        )


def fill(variables: Any, given: Weights, init: ConfigDict) -> Start:
    """`variables` with the given arrays in their places, 2-D kernels inflated where need be.

    `init.rename` is applied to the given paths first. What of them `init.leave_out` matches is not
    used; what of `variables` `init.fresh` matches may stay as it is. All else must fit one to one,
    or an InputError names the first five that do not.
    """
    own = flatten_dict(variables, sep="/")
    named = _renamed(given, init.rename)
    filled, rows, problems = {}, [], []
    for path, value in own.items():
        source = named.pop(path, None)
        if source is not None and not _any_match(init.leave_out, path):
            array, status = _fitted(given.values[source], np.shape(value), init.inflate)
            if array is None:
                there = given.values[source].shape
                problems.append(f"{path} ({there} there, {np.shape(value)} here)")
            else:
                filled[path] = array
                rows.append(Row(path, status, given.origin[source]))
            continue
        if source is not None:
            rows.append(Row(given.origin[source], "left out", "init.leave_out"))
        if _any_match(init.fresh, path):
            rows.append(Row(path, "initialised", ""))
        else:
            problems.append(f"{path} (absent there, {np.shape(value)} here)")
    for path, source in named.items():
        if _any_match(init.leave_out, path):
            rows.append(Row(given.origin[source], "left out", "init.leave_out"))
        else:
            problems.append(f"{path} ({given.values[source].shape} there, absent here)")
    if problems:
        raise InputError(
            f"{given.source}: {len(problems)} arrays do not fit: {', '.join(problems[:5])}; set "
            "model.* as there, init.rename, init.leave_out (not used from there), or init.fresh "
            "(may stay random here)"
        )
    rows += [Row(name, "left out", reason) for name, reason in given.left_out.items()]
    complete = unflatten_dict(own | filled, sep="/")
    return Start(complete, given.source, given.size, rows)


def _fitted(value: np.ndarray, shape: tuple[int, ...], way: str) -> tuple[np.ndarray | None, str]:
    """An array in the shape it is to have, and how it got there; None where it cannot."""
    if value.shape == shape:
        return value, "loaded"
    if value.ndim == 4 and len(shape) == 5 and value.shape == shape[1:]:
        return inflate(value, shape[0], way), f"inflated ({way}, {shape[0]} taps)"
    return None, ""


def _renamed(given: Weights, pairs: tuple[str, ...]) -> dict[str, str]:
    """New path -> given path, under the pairs "OLD -> NEW" of regular expressions, in order."""
    rules = []
    for pair in pairs:
        old, arrow, new = (part.strip() for part in pair.partition("->"))
        if not arrow:
            raise InputError(f"init.rename: {pair!r} is not of the form 'OLD -> NEW'")
        rules.append((pair, rf"^(?:{old})$", new))
    named = {}
    for path in given.values:
        new_path = path
        for pair, old, new in rules:
            try:
                new_path = re.sub(old, new, new_path)
            except re.error as error:
                raise InputError(f"init.rename: {pair!r}: {error}") from error
        if new_path in named:
            raise InputError(f"init.rename: {named[new_path]} and {path} both become {new_path}")
        named[new_path] = path
    return named


def _any_match(patterns: tuple[str, ...], path: str) -> bool:
    return any(re.fullmatch(pattern, path) for pattern in patterns)


def table(start: Start, size: int) -> str:
    """The account in a line per layer and status, for people; frames have `size` pixels."""
    lines = [f"start from {start.source}"]
    if start.size and start.size != size:
        lines.append(f"made for images of {start.size} px; this run feeds {size} px")
    groups = collections.defaultdict(list)
    for row in start.rows:
        layer = "/".join(row.path.split("/")[1:-1][:2])
        where = row.source if row.status == "left out" else layer
        groups[where, row.status].append(row)
    for (where, status), rows in groups.items():
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        if status == "left out":
            lines.append(f"{status:<27}{rows[0].path}{more}: {where}")
        else:
            lines.append(f"{status:<27}{where:<24}{rows[0].source}{more}")
    return "\n".join(line.rstrip() for line in lines)


def write(path: pathlib.Path, start: Start) -> None:
    """Store the account, one entry per array, as JSON."""
    account = {
        "source": start.source,
        "size": start.size,
        "arrays": [row._asdict() for row in start.rows],
    }
    write_text(path, json.dumps(account, indent=1) + "\n")
