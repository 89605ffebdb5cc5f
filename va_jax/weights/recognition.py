"""Whose weights these are, told by names and shapes."""

import itertools
import re
from collections.abc import Iterable

import numpy as np

from va_jax.types import InputError
from va_jax.weights.names import FORMATS
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
"""Names that tell their source, under any prefix; the first that is there counts."""

CLASSES = {1000: "torchvision", 8631: "vggface2"}
"""Rows of the classifier by which ImageNet and VGGFace2 differ under torchvision's ResNet names."""

PEOPLE = 2622
"""Classes of VGG-Face."""


def recognise(arrays: dict[str, np.ndarray], where: str) -> str:
    """The source of the arrays of the file `where`; of an image network with an LSTM, the former's.

    Raises InputError where no source has such names, and where several have that expect
    different input.
    """
    found, names = sources(arrays), first_five(arrays)
    if not found:
        raise InputError(f"{where}: no known source has such names ({names}); legal: {LEGAL}")
    if len(found) > 1:
        raise InputError(
            f"{where}: by names and shapes ({names}) it could be {' or '.join(found)}, whose "
            "networks expect different input; name the format"
        )
    return found[0]


def sources(arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The sources that the arrays may come from; () for none known."""

    def named(pattern: str) -> list[np.ndarray]:
        name = re.compile(rf"(?:.*[./])?(?:{pattern})")
        return [array for key, array in arrays.items() if name.fullmatch(key)]

    found = [source for source, pattern in TELLTALES.items() if named(pattern)]
    if found and found[0] in FORMATS:
        return (found[0],)
    if blocks := named(r"layer1\.0\.conv1\.weight"):
        if blocks[0].ndim == 5:
            return ("kinetics",)
        rows = {array.shape[0] for array in named(r"fc\.weight")}
        told = tuple(CLASSES[n] for n in rows if n in CLASSES)
        return told or ("torchvision", "timm", "vggface2")
    if named(r"conv1_1.*"):
        rgb = "vggface" if named(r"conv1_1\.weight|averageImage") else "vggface_caffe"
        of_people = all(PEOPLE in array.shape for array in named(r"fc8.*"))
        return (rgb,) if of_people else ("vggface", "vggface_caffe")
    return tuple(found[:1])


def first_five(names: Iterable[str]) -> str:
    return ", ".join(itertools.islice(names, 5))
