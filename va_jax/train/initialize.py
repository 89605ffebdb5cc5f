"""Initial variables of a run: random, or taken from another run, an export or a weight file."""

import collections
import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from va_jax.config import Config, Init
from va_jax.io import read_json, write_json
from va_jax.models import set_heads
from va_jax.models.build import BACKBONES
from va_jax.models.inflate import inflate
from va_jax.models.vit import resize_positions
from va_jax.train import exported, initial_heads, workdir
from va_jax.train.checkpoints import read_best
from va_jax.types import InputError
from va_jax.weights import licences, load
from va_jax.weights.load import Weights
from va_jax.weights.read import read as read_arrays
from va_jax.weights.rename import rename

NAME = "init.json"
"""Name of the report on the initial parameters in the folder of a run or an exported model."""

SOURCES = ("from_workdir", "from_export", "weights")
POSITIONS = "params/backbone/positions"


class Row(NamedTuple):
    """The use of one array in the model or in the source."""

    path: str  # in the model; for an array that was left out, in the source
    status: str  # loaded, inflated, interpolated, initialised, left out
    source: str  # its name in the source, or the reason for leaving it out


class Start(NamedTuple):
    """Initialised variables, and a report on every array."""

    variables: dict[str, Any]
    source: str  # file or folder, and the kind of source
    size: int  # side of the images that the weights were trained on, in pixels; 0: unknown
    rows: list[Row]
    licence: str  # of the weights from a different project that these come from; "": none


def start(config: Config, variables: Any) -> Start | None:
    """Fill `variables` from the source in the config's `init` section; return None if it has none.

    Raises:
        InputError: the source cannot be read, belongs to a different network, or does not fit.
    """
    needed = sum(value.nbytes for value in jax.tree.leaves(variables))
    given = read(config.init, needed)
    if given is None:
        return None
    check_backbone(given, config.model.backbone)
    return fill(variables, initial_heads.adapted(given, config), config.init)


def read(init: Init, needed: int = 0) -> Weights | None:
    """Read the arrays from the source that `init` specifies; return None if it specifies none.

    Args:
        init: section of the config.
        needed: size in bytes of the network that needs the arrays.

    Raises:
        InputError: several sources are set, or the source cannot be read.
    """
    named = [key for key in SOURCES if getattr(init, key)]
    if not named:
        return None
    if len(named) > 1:
        raise InputError(f"init.{named[0]} and init.{named[1]} are both set; set only one of them")
    path = pathlib.Path(getattr(init, named[0]))
    if named[0] == "weights":
        return load.load(path, init.format, init.leave_out, init.rename, needed)
    if named[0] == "from_export":
        exported.check_folder(path)
        arrays = read_arrays(path / exported.ARRAYS)
        return _as_weights(arrays, f"exported model {path}", workdir.load(path))
    config = workdir.load(path)
    variables, step = read_best(path)
    values: Any = flatten_dict(variables, sep="/")
    return _as_weights(values, f"run {path}, step {step}", config)


def _as_weights(values: Mapping[str, np.ndarray], source: str, config: Config) -> Weights:
    """Return arrays from a run with `config`, named by this project's paths, as `Weights`."""
    origin = {name: name for name in values}
    backbone, sets = re.escape(config.model.backbone), set_heads.sets_with_heads(config)
    return Weights(dict(values), origin, {}, source, 0, backbone, sets=sets)


def check_backbone(given: Weights, backbone: str) -> None:
    """Raise InputError if the arrays belong to a different backbone, even if they would fit."""
    if not re.fullmatch(given.backbones, backbone):
        legal = [name for name in BACKBONES if re.fullmatch(given.backbones, name)]
        raise InputError(
            f"{given.source}: the weights are not for model.backbone={backbone!r}; set it to "
            f"{' or '.join(legal)}"
        )


def fill(variables: Any, given: Weights, init: Init) -> Start:
    """Replace `variables` with the given arrays, inflating 2-D kernels to 3-D where needed.

    First, the pairs in `init.rename` that did not match a name in a weight file are applied to the
    given paths. Given arrays that match `init.leave_out` are not used; variables that match
    `init.fresh` may stay random.

    Raises:
        InputError: the remaining arrays do not match one to one; the message names the first five.
    """
    own: dict[str, Any] = flatten_dict(variables, sep="/")
    pairs = [pair for pair in init.rename if pair not in given.renamed]
    named, _ = rename(given.values, pairs)
    filled, rows, problems = {}, [], []
    for path, value in own.items():
        source = named.pop(path, None)
        if source is not None and not _any_match(init.leave_out, path):
            array, status = _fitted(path, given.values[source], np.shape(value), init.inflate)
            if array is None:
                there = given.values[source].shape
                problems.append(f"{path} ({there} in the source, {np.shape(value)} in the model)")
            else:
                filled[path] = array
                rows.append(Row(path, status, given.origin[source]))
            continue
        if source is not None:
            rows.append(Row(given.origin[source], "left out", "init.leave_out"))
        if _any_match(init.fresh, path):
            rows.append(Row(path, "initialised", ""))
        else:
            problems.append(f"{path} (absent from the source, {np.shape(value)} in the model)")
    for path, source in named.items():
        if _any_match(init.leave_out, path):
            rows.append(Row(given.origin[source], "left out", "init.leave_out"))
        else:
            there = given.values[source].shape
            problems.append(f"{path} ({there} in the source, absent from the model)")
    if problems:
        raise InputError(
            f"{given.source}: these arrays do not fit ({len(problems)} in all): "
            f"{', '.join(problems[:5])}; set model.* as in the source, or set init.rename, "
            "init.leave_out (arrays in the source to ignore) or init.fresh (parameters that may "
            "stay random)"
        )
    rows += [Row(name, "left out", reason) for name, reason in given.left_out.items()]
    complete = unflatten_dict(own | filled, sep="/")
    return Start(complete, given.source, given.size, rows, inherited_licence(given, init))


def inherited_licence(given: Weights, init: Init) -> str:
    """Return the licence inherited from the initial weights, or "" if there is none."""
    if given.format:
        return licences.licence(given.format)
    return licence_of(pathlib.Path(init.from_workdir or init.from_export))


def licence_of(folder: pathlib.Path) -> str:
    """Return the licence that the report in the folder of a run or an exported model states."""
    path = folder / NAME
    report = read_json(path, "restore or delete the file") if path.exists() else {}
    return report.get("licence", "") if isinstance(report, dict) else ""


def _fitted(
    path: str, value: np.ndarray, shape: tuple[int, ...], method: str
) -> tuple[np.ndarray | None, str]:
    """Return the array for `path` in the required shape, and its status; None if it does not fit.

    The positions of a ViT are interpolated to the grid of patches of this run's frames.
    """
    if value.shape == shape:
        return value, "loaded"
    if value.ndim == 4 and len(shape) == 5 and value.shape == shape[1:]:
        return inflate(value, shape[0], method), f"inflated ({method}, {shape[0]} taps)"
    if path == POSITIONS and value.ndim == 2 and value.shape[1:] == shape[1:]:
        sides = [math.isqrt(tokens - 1) for tokens in (len(value), shape[0])]
        if sides[0] ** 2 + 1 == len(value):
            status = "interpolated ({0}x{0} to {1}x{1})".format(*sides)
            return resize_positions(value, shape[0]), status
    return None, ""


def _any_match(patterns: tuple[str, ...], path: str) -> bool:
    return any(re.fullmatch(pattern, path) for pattern in patterns)


def table(start: Start, size: int) -> str:
    """Return the report as text, with a line per layer and status, for frames of `size` pixels."""
    lines = [f"initial weights from {start.source}"]
    if start.licence:
        lines.append(f"licence of these weights: {start.licence}")
    if start.size and start.size != size:
        lines.append(f"trained on images {start.size} px wide; this run uses {size} px")
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
    """Write the report as JSON, with one entry per array."""
    account = {
        "source": start.source,
        "size": start.size,
        "licence": start.licence,
        "arrays": [row._asdict() for row in start.rows],
    }
    write_json(path, account)
