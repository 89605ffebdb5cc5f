"""Somebody's weights file as arrays under our paths, with what became of every array in it."""

import dataclasses
import pathlib
import re
from collections.abc import Iterable

import numpy as np

from va_jax.types import InputError
from va_jax.weights import read, stated_input
from va_jax.weights.match import place
from va_jax.weights.names import FORMATS
from va_jax.weights.recognition import LEGAL, first_five, recognise, sources
from va_jax.weights.rnn_names import RECURRENT

FIRST = ("params/backbone/conv1/kernel", "params/backbone/conv1_1/kernel")
"""The convolutions that see the image."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """Somebody's arrays under our paths."""

    values: dict[str, np.ndarray]  # our path -> float32, in our layout
    origin: dict[str, str]  # our path -> where it came from
    left_out: dict[str, str]  # name there -> reason
    source: str  # file or folder, and what it was read as
    size: int = 0  # px, side of the images the weights were made for; 0 unknown
    backbones: str = ".*"  # regular expression: names of the backbones that they belong in


def load(path: pathlib.Path, format: str = "auto", leave_out: tuple[str, ...] = ()) -> Weights:
    """The arrays of a weights file; `format` is a source's name, or auto to tell by the names.

    Where timm's config.json or transformers' preprocessor_config.json lies beside a file of that
    format, the input's mean and deviation it states win. `leave_out` and errors as in `translate`.
    """
    arrays = read.read(path)
    timm = path.parent / "config.json"
    if format == "auto":
        known_to_timm = "torchvision" in sources(arrays) and stated_input.by_timm(timm)
        format = "timm" if known_to_timm else recognise(arrays, str(path))
    weights = translate(arrays, format, str(path), leave_out)
    stated = None
    if format == "timm":
        stated = stated_input.by_timm(timm)
    elif format == "huggingface":
        stated = stated_input.by_transformers(path.parent / "preprocessor_config.json")
    if stated is None:
        return weights
    return dataclasses.replace(
        weights,
        values=weights.values | stated.values,
        origin=weights.origin | stated.origin,
        size=stated.size or weights.size,
    )


def translate(
    arrays: dict[str, np.ndarray], format: str, where: str, leave_out: tuple[str, ...] = ()
) -> Weights:
    """The arrays of the file `where` under our paths, by the tables of `format`.

    A prefix before the network's names is passed over; a torch LSTM or GRU beside the network comes
    along. Every other name must be in a table or match one of the regular expressions `leave_out`
    as a whole: InputError names the first five that do not, or a shape that cannot be.
    """
    if format not in (*FORMATS, *RECURRENT):
        raise InputError(f"weights format {format!r} is unknown; legal: auto, {LEGAL}")
    left_out = _left_out(arrays, leave_out)
    arrays = {name: array for name, array in arrays.items() if name not in left_out}
    pattern, convert = RECURRENT[format if format in RECURRENT else "torch_rnn"]
    recurrent = {name: array for name, array in arrays.items() if pattern.fullmatch(name)}
    others = {name: array for name, array in arrays.items() if name not in recurrent}
    if format in RECURRENT:
        _refuse(others, format, where)
        values, origin = {}, {}
    else:
        placed = place(others, FORMATS[format].tables)
        _refuse(placed.unknown, format, where)
        for name, expected in placed.misshapen.items():
            raise InputError(
                f"{where}: '{name}' has shape {others[name].shape}, expected {expected}; it is not "
                "the network that its names tell"
            )
        values, origin = placed.values, placed.origin
        left_out |= placed.left_out
    if not values and not recurrent:
        raise InputError(f"{where}: holds no weights of a network for {format}; name its format")
    if values:
        _suit_input(values, origin, format)
    if recurrent:
        layers, layers_origin = convert(recurrent, where)
        values, origin = values | layers, origin | layers_origin
    values = {path: np.ascontiguousarray(array, np.float32) for path, array in values.items()}
    source = f"{where}, read as {format}"
    if not others:
        return Weights(values, origin, left_out, source)
    image = FORMATS[format]
    return Weights(values, origin, left_out, source, image.size, image.backbones)


def _left_out(names: Iterable[str], leave_out: tuple[str, ...]) -> dict[str, str]:
    """Names that match one of the patterns, and the reason to give."""
    reasons = {}
    for pattern in leave_out:
        try:
            matching = filter(re.compile(pattern).fullmatch, names)
        except re.error as error:
            raise InputError(f"leave_out={pattern!r} is no regular expression: {error}") from error
        reasons |= dict.fromkeys(matching, f"leave_out={pattern!r}")
    return reasons


def _refuse(unknown: Iterable[str], format: str, where: str) -> None:
    names = list(unknown)
    if names:
        raise InputError(
            f"{where}: {len(names)} of its names are not {format}'s ({first_five(names)}); name "
            f"another format ({LEGAL}), or in leave_out what is not needed"
        )


def _suit_input(values: dict[str, np.ndarray], origin: dict[str, str], format: str) -> None:
    """Make the network's first layer take RGB, and add the mean and deviation it expects."""
    source = FORMATS[format]
    if source.bgr:
        for path in values.keys() & set(FIRST):
            values[path] = values[path][..., ::-1, :]
            origin[path] += ", its input from BGR to RGB"
    for name, numbers in (("mean", source.mean), ("std", source.std)):
        path = f"batch_stats/input/{name}"
        if path not in values:
            values[path] = np.asarray(numbers)
            origin[path] = f"the format's input {name}"
