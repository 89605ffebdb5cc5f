"""Load another project's weight file under our paths, and account for every array in it."""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from va_jax.io import read_json
from va_jax.types import InputError
from va_jax.weights.estimators import ESTIMATORS
from va_jax.weights.match import (
    LEGAL,
    Match,
    find_format,
    first_five,
    match_names,
    possible_formats,
)
from va_jax.weights.names import FORMATS
from va_jax.weights.read import read
from va_jax.weights.rename import rename as rename_arrays
from va_jax.weights.rnn_names import KERAS_STATE, RECURRENT
from va_jax.weights.rows import HEADS, Format

FIRST_KERNELS = {"params/backbone/conv1/kernel", "params/backbone/conv1_1/kernel"}
"""The convolutions whose input is the image."""

MEAN, STD = "batch_stats/input/mean", "batch_stats/input/std"

OF_TIMM = ("config.json", "mean", "std")

CONFIGS = {
    "timm": OF_TIMM,
    "timm_vit": OF_TIMM,
    "dinov2": OF_TIMM,
    "huggingface": ("preprocessor_config.json", "image_mean", "image_std"),
}
"""Format -> the config file that may accompany the weights, and its keys for mean and std."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """The arrays of a weight file under our paths."""

    values: dict[str, np.ndarray]  # our path -> float32, in our layout
    origin: dict[str, str]  # our path -> name in the file
    left_out: dict[str, str]  # name in the file -> reason
    source: str  # file or folder, and the format in which it was read
    size: int = 0  # side of the images that the weights were made for, in px; 0 if unknown
    backbones: str = ".*"  # regular expression: names of the backbones that the weights fit
    renamed: Sequence[str] = ()  # pairs of init.rename that were applied to the names in the file
    format: str = ""  # key of `FORMATS` or `RECURRENT`; "" for a network of this project
    sets: tuple[str, ...] = ()  # names of the data sets that have heads of their own


def load(
    path: pathlib.Path,
    format: str = "auto",
    leave_out: tuple[str, ...] = (),
    rename: tuple[str, ...] = (),
    needed: int = 0,
) -> Weights:
    """Read, rename and `translate` a weight file.

    The mean and standard deviation of the input come from timm's config.json or transformers'
    preprocessor_config.json if one lies next to the weight file, and otherwise from the format.

    Args:
        path: path to the weight file.
        format: key of `FORMATS` or `RECURRENT`; "auto" to detect the format by names and shapes.
        leave_out: see `translate`.
        rename: see `rename.rename`; applied to the names in the file.
        needed: size, in bytes, of the network that the weights are for.
    """
    stored = read(path, needed)
    names, used = rename_arrays(stored, rename)
    arrays = {name: stored[old] for name, old in names.items()}
    if format == "auto":
        # timm uses the same names as torchvision's ResNets and as DeiT
        possible = possible_formats(arrays) if _read_config(path, "timm") else []
        of_timm = [name for name in possible if CONFIGS.get(name) == OF_TIMM]
        format = of_timm[0] if of_timm else find_format(arrays, str(path))
    weights = translate(arrays, format, str(path), leave_out)
    weights = dataclasses.replace(weights, origin=_in_file(weights.origin, names), renamed=used)
    config = _read_config(path, format)
    return _with_stated_input(weights, path, format, config) if config else weights


def translate(
    arrays: dict[str, np.ndarray], format: str, where: str, leave_out: tuple[str, ...] = ()
) -> Weights:
    """Put arrays under our paths according to the tables for `format`.

    A prefix before the network's names is ignored. If a torch LSTM or GRU accompanies an image
    network, it is translated too.

    Args:
        arrays: name -> array.
        format: a key of `FORMATS` or `RECURRENT`.
        where: path to the file, for messages.
        leave_out: regular expressions for the names to leave out; each must match a whole name.

    Raises:
        InputError: the format is unknown, a name is in no table (the message lists the first
            five), or an array has an impossible shape.
    """
    if format not in (*FORMATS, *RECURRENT):
        raise InputError(f"unknown weight format {format!r}; expected auto or one of {LEGAL}")
    left_out = _left_out(arrays, leave_out)
    pattern, convert = RECURRENT.get(format, RECURRENT["torch_rnn"])
    kept = {name: array for name, array in arrays.items() if name not in left_out}
    recurrent = {name: array for name, array in kept.items() if pattern.fullmatch(name)}
    others = {name: array for name, array in kept.items() if name not in recurrent}
    image = FORMATS.get(format)
    match = match_names(others, image.tables) if image else Match(unknown=list(others))
    if match.unknown:
        raise InputError(
            f"{where}: the format {format} does not contain {len(match.unknown)} of the array "
            f"names ({first_five(match.unknown)}); set init.format to a different one ({LEGAL}), "
            "or add the names that are not needed to init.leave_out"
        )
    for name, expected in match.misshapen.items():
        raise InputError(
            f"{where}: '{name}' has shape {arrays[name].shape}, expected {expected}; the file "
            "contains a different network from the one that its array names suggest"
        )
    values, origin = match.values, match.origin
    if not values and not recurrent:
        raise InputError(
            f"{where}: the file contains no weights of a network in the format {format}; set "
            f"init.format to one of {LEGAL}"
        )
    if values and image:
        _suit_input(values, origin, image)
        _split_heads(values, origin, format, where)
    if recurrent:
        layers, layers_origin = convert(recurrent, where)
        values, origin = values | layers, origin | layers_origin
    values = {path: np.ascontiguousarray(array, np.float32) for path, array in values.items()}
    weights = Weights(
        values, origin, left_out | match.left_out, f"{where}, read as {format}", format=format
    )
    if image and others:
        weights = dataclasses.replace(weights, size=image.size, backbones=image.backbones)
    return weights


def _in_file(origin: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return `origin` with every renamed array under the name that it has in the file."""
    original = {}
    for path, text in origin.items():
        sources, comma, note = text.partition(", ")
        stored = " + ".join(names.get(name, name) for name in sources.split(" + "))
        original[path] = f"{stored}{comma}{note}"
    return original


def _left_out(names: Iterable[str], leave_out: tuple[str, ...]) -> dict[str, str]:
    reasons = {name: "not a parameter" for name in names if KERAS_STATE.fullmatch(name)}
    for pattern in leave_out:
        try:
            matching = filter(re.compile(pattern).fullmatch, names)
        except re.error as error:
            raise InputError(
                f"init.leave_out: {pattern!r} is not a valid regular expression ({error}); "
                "correct it"
            ) from error
        reasons |= dict.fromkeys(matching, f"init.leave_out: {pattern!r}")
    return reasons


def _suit_input(values: dict[str, np.ndarray], origin: dict[str, str], source: Format) -> None:
    """Make the first layer take RGB, and add the mean and standard deviation of the input."""
    for path in values.keys() & FIRST_KERNELS if source.bgr else ():
        values[path] = values[path][..., ::-1, :]
        origin[path] += ", with its input changed from BGR to RGB"
    for path, numbers in ((MEAN, source.mean), (STD, source.std)):
        if path not in values:
            values[path] = np.asarray(numbers)
            origin[path] = f"the format's input {path.rpartition('/')[2]}"


def _split_heads(
    values: dict[str, np.ndarray], origin: dict[str, str], format: str, where: str
) -> None:
    """Split the last layer into one head for each output, named after that output."""
    outputs = ESTIMATORS[format].outputs if format in ESTIMATORS else ()
    for kind in ("kernel", "bias"):
        path = f"params/{HEADS}/{kind}"
        if path not in values:
            continue
        columns, name = values.pop(path), origin.pop(path)
        if columns.shape[-1] != len(outputs):
            raise InputError(
                f"{where}: '{name}' has {columns.shape[-1]} outputs, expected {len(outputs)} "
                f"({', '.join(outputs)}); the file contains a different network, perhaps one for "
                "expressions only"
            )
        for number, head in enumerate(outputs):
            values[f"params/head_{head}/{kind}"] = columns[..., number : number + 1]
            origin[f"params/head_{head}/{kind}"] = f"{name}, output {number}"


def _read_config(weights: pathlib.Path, format: str) -> dict[str, Any]:
    """Return the part of the config next to `weights` that describes the input; {} if none does.

    In timm's config.json, this part is `pretrained_cfg`; in its first versions, it is the whole
    file.
    """
    if format not in CONFIGS:
        return {}
    name, mean_key, _ = CONFIGS[format]
    path = weights.with_name(name)
    config = read_json(path, "restore or remove it") if path.is_file() else {}
    if CONFIGS[format] == OF_TIMM and isinstance(config, dict):
        config = config.get("pretrained_cfg", config if "architecture" in config else {})
    return config if isinstance(config, dict) and mean_key in config else {}


def _with_stated_input(
    weights: Weights, path: pathlib.Path, format: str, config: dict[str, Any]
) -> Weights:
    """Return `weights` with the input mean, standard deviation and size from a config."""
    name, mean_key, std_key = CONFIGS[format]
    values, origin = dict(weights.values), dict(weights.origin)
    for key, place, lowest in ((mean_key, MEAN, -np.inf), (std_key, STD, 0)):
        try:
            values[place] = np.asarray(config.get(key), np.float32)
        except (TypeError, ValueError):
            values[place] = np.empty(0)
        ok = np.isfinite(values[place]) & (values[place] > lowest)
        if values[place].shape != (3,) or not ok.all():
            legal = "three numbers above 0" if key == std_key else "three numbers"
            raise InputError(
                f"{path.with_name(name)}: {key}={config.get(key)!r} must be {legal}; correct or "
                "remove the file"
            )
        origin[place] = f"{name}: {key}"
    size = config.get("input_size", config.get("size"))
    if isinstance(size, list) and size:
        size = size[-1]
    elif isinstance(size, dict):
        size = size.get("shortest_edge", size.get("height"))
    size = size if isinstance(size, int) and size else weights.size
    return dataclasses.replace(weights, values=values, origin=origin, size=size)
