"""Find out whose weights some arrays are, and match their names to ours."""

import dataclasses
import itertools
import re
from collections.abc import Iterable

import numpy as np

from va_jax.types import InputError
from va_jax.weights.names import FORMATS, Layout, Table
from va_jax.weights.rnn_names import RECURRENT

LEGAL = ", ".join((*FORMATS, *RECURRENT))

TELLTALES = {
    "huggingface": r"encoder\.stages\.0\.layers\.0\.layer\.0\.convolution\.weight",
    "kinetics": r"blocks\.1\.res_blocks\.0\.branch2\.conv_a\.weight",
    "vggface2": r"layer1\.0\.conv4\.weight",
    "timm": r"pre_logits\.fc1\.weight",
    "torchvision": r"features\.0\.weight",
    "torch_rnn": r"weight_ih_l0",
    "keras_rnn": r"recurrent_kernel(?::0)?|cell/vars/1",
}
"""Names that only one format has, under any prefix; the first format that is found counts."""

CLASSES = {1000: "torchvision", 8631: "vggface2"}
"""Rows of the classifier, which tell ImageNet from VGGFace2 under torchvision's ResNet names."""

VGGFACE_CLASSES = 2622
"""Rows of VGG-Face's classifier."""


@dataclasses.dataclass
class Match:
    """Arrays under our paths, and what became of every name in the file."""

    values: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # our path -> array
    origin: dict[str, str] = dataclasses.field(default_factory=dict)  # our path -> name
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)  # name -> reason
    unknown: list[str] = dataclasses.field(default_factory=list)  # names without a row
    misshapen: dict[str, str] = dataclasses.field(default_factory=dict)  # name -> expected shape

    @property
    def misfits(self) -> int:
        """The number of arrays that have no place with us."""
        return len(self.unknown) + len(self.misshapen)


def match_names(arrays: dict[str, np.ndarray], tables: tuple[Table, ...]) -> Match:
    """Put arrays under our paths by the table, and after the prefix, with the fewest misfits.

    Of several equally good tables, the first counts.
    """
    prefixed = ((table, prefix) for table in tables for prefix in _prefixes(arrays, table))
    best = Match(unknown=list(arrays))
    for number, (table, prefix) in enumerate(prefixed):
        found = _match(arrays, prefix, table)
        if not number or found.misfits < best.misfits:
            best = found
        if not found.misfits:
            break
    return best


def _prefixes(arrays: Iterable[str], table: Table) -> list[str]:
    """Return "" and every text before a name of the table's first row."""
    first = re.compile(rf"(.*[./]){table.rows[0][0]}")
    return ["", *dict.fromkeys(match[1] for match in map(first.fullmatch, arrays) if match)]


def _match(arrays: dict[str, np.ndarray], prefix: str, table: Table) -> Match:
    found = Match()
    for name, array in arrays.items():
        short = name.removeprefix(prefix) if name.startswith(prefix) else ""
        reasons = [reason for pattern, reason in table.left_out if re.fullmatch(pattern, short)]
        path, layout = _row(short, table)
        if reasons:
            found.left_out[name] = reasons[0]
        elif layout is None or path in found.origin:
            found.unknown.append(name)
        else:
            found.origin[path] = name
            try:
                found.values[path] = layout(array)
            except ValueError as error:
                found.misshapen[name] = str(error)
    return found


def _row(name: str, table: Table) -> tuple[str, Layout | None]:
    """Return our path and the layout for a name; ("", None) where the table has no such name."""
    for pattern, path, layout in table.rows:
        if match := re.fullmatch(pattern, name):
            return match.expand(path), layout
    return "", None


def find_format(arrays: dict[str, np.ndarray], where: str) -> str:
    """Return the format of the arrays of the file `where`, by their names and shapes.

    An image network with an LSTM beside it has the image network's format.

    Raises:
        InputError: no format has such names, or several have that expect different input.
    """
    found, names = possible_formats(arrays), first_five(arrays)
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"{where}: no known format has such names ({names}); legal: {LEGAL}")
    raise InputError(
        f"{where}: by names and shapes ({names}) it could be {' or '.join(found)}, whose networks "
        "expect different input; set init.format to one of them"
    )


def possible_formats(arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Return the formats that the arrays may have; () where none is known."""

    def named(pattern: str) -> list[np.ndarray]:
        name = re.compile(rf"(?:.*[./])?(?:{pattern})")
        return [array for key, array in arrays.items() if name.fullmatch(key)]

    found = [format for format, pattern in TELLTALES.items() if named(pattern)]
    if found and found[0] in FORMATS:
        return (found[0],)
    if blocks := named(r"layer1\.0\.conv1\.weight"):
        if blocks[0].ndim == 5:
            return ("kinetics",)
        rows = {array.shape[0] for array in named(r"fc\.weight")}
        by_classes = tuple(CLASSES[n] for n in rows if n in CLASSES)
        return by_classes or ("torchvision", "timm", "vggface2")
    if named(r"conv1_1.*"):
        rgb = "vggface" if named(r"conv1_1\.weight|averageImage") else "vggface_caffe"
        of_vggface = all(VGGFACE_CLASSES in array.shape for array in named(r"fc8.*"))
        return (rgb,) if of_vggface else ("vggface", "vggface_caffe")
    return tuple(found[:1])


def first_five(names: Iterable[str]) -> str:
    """Return the first five names as text."""
    return ", ".join(itertools.islice(names, 5))
