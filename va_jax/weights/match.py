"""Find out which network a set of arrays belongs to, and match its names to ours."""

import dataclasses
import itertools
import re
from collections.abc import Iterable

import numpy as np

from va_jax.types import InputError
from va_jax.weights.names import FORMATS
from va_jax.weights.rnn_names import KERAS_STATE, RECURRENT
from va_jax.weights.rows import Table

LEGAL = ", ".join((*FORMATS, *RECURRENT))

CLASSIFIERS = {
    (r"fc\.weight", 1000): "torchvision",
    (r"fc\.weight", 8631): "vggface2",
    (r"fc8\.weight", 2622): "vggface",
    (r"fc8[_/]\w+", 2622): "vggface_caffe",
    (r"classifier\.weight", 1000): "timm",
    (r"classifier(?:\.0)?\.weight", 10): "emotieffnet",
    (r"head\.weight", 21843): "timm_vit",
}
"""Classifier's name and number of classes -> format, for formats that share all their names."""


@dataclasses.dataclass
class Match:
    """Arrays under our paths, and the outcome for every name in the file."""

    values: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # our path -> array
    origin: dict[str, str] = dataclasses.field(default_factory=dict)  # our path -> name
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)  # name -> reason
    unknown: list[str] = dataclasses.field(default_factory=list)  # names that no row matches
    misshapen: dict[str, str] = dataclasses.field(default_factory=dict)  # name -> expected shape

    @property
    def misfits(self) -> int:
        """Number of arrays that have no place in our network."""
        return len(self.unknown) + len(self.misshapen)


def match_names(arrays: dict[str, np.ndarray], tables: tuple[Table, ...]) -> Match:
    """Put arrays under our paths, using the table and the prefix that leave the fewest misfits.

    If several tables are equally good, the first one is used.
    """
    best = Match(unknown=list(arrays))
    for table in tables:
        first = re.compile(rf"(.*[./]){table.rows[0][0].pattern}")
        found = (match[1] for match in map(first.fullmatch, arrays) if match)
        for prefix in ("", *dict.fromkeys(found)):
            match = _match(arrays, prefix, table)
            if match.misfits < best.misfits:
                best = match
            if not match.misfits:
                return match
    return best


def _match(arrays: dict[str, np.ndarray], prefix: str, table: Table) -> Match:
    found = Match()
    for name, array in arrays.items():
        short = name.removeprefix(prefix) if name.startswith(prefix) else ""
        reasons = [why for pattern, why in table.left_out.items() if re.fullmatch(pattern, short)]
        rows = ((pattern.fullmatch(short), path, layout) for pattern, path, layout in table.rows)
        match, path, layout = next((row for row in rows if row[0]), (None, "", None))
        path = match.expand(path) if match else ""
        if reasons:
            found.left_out[name] = reasons[0]
        elif layout is None or path in found.origin:
            found.unknown.append(name)
        else:
            found.origin[path] = name
            if not array.ndim or not array.size:
                found.misshapen[name] = "an array with values"
                continue
            try:
                found.values[path] = layout(array)
            except ValueError as error:
                found.misshapen[name] = str(error)
    return found


def possible_formats(arrays: dict[str, np.ndarray]) -> list[str]:
    """Return the formats that leave the fewest arrays unmatched; [] if no format matches any."""
    arrays = {name: each for name, each in arrays.items() if not KERAS_STATE.fullmatch(name)}
    misfits = {name: match_names(arrays, each.tables).misfits for name, each in FORMATS.items()}
    for name, (pattern, _) in RECURRENT.items():
        misfits[name] = sum(not pattern.fullmatch(key) for key in arrays)
    fewest = min(misfits.values())
    return [name for name, n in misfits.items() if n == fewest] if fewest < len(arrays) else []


def find_format(arrays: dict[str, np.ndarray], where: str) -> str:
    """Return the format of the arrays in the file `where`, judging by their names and shapes.

    If an LSTM accompanies an image network, the format is that of the image network.

    Raises:
        InputError: no format has such names, or several formats have them but expect different
            input.
    """
    found, names = possible_formats(arrays), first_five(arrays)
    if len(found) > 1:
        by_classes = {
            format
            for (pattern, classes), format in CLASSIFIERS.items()
            for name, array in arrays.items()
            if re.fullmatch(rf"(.*[./])?{pattern}", name) and classes in array.shape
        }
        found = [format for format in found if format in by_classes] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{where}: no known format has these array names ({names}); expected one of {LEGAL}; "
            "rename the arrays with init.rename"
        )
    raise InputError(
        f"{where}: the array names and shapes ({names}) match more than one format "
        f"({' or '.join(found)}), and the networks of these formats expect different input; set "
        "init.format to the right one"
    )


def first_five(names: Iterable[str]) -> str:
    """Return the first five names as text."""
    return ", ".join(itertools.islice(names, 5))
