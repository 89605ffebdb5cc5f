"""The splits of RECOLA in the protocols that published results follow."""

import pathlib

from va_jax.types import SPLITS, InputError

FULL46 = {
    "train": (15, 16, 17, 18, 21, 23, 25, 37, 39, 41, 46, 50, 51, 55, 56, 60),
    "dev": (14, 19, 24, 26, 28, 30, 34, 40, 42, 43, 44, 45, 52, 64, 65),
    "test": (13, 20, 22, 32, 38, 47, 48, 49, 53, 54, 57, 58, 59, 62, 63),
}
"""Numbers of all 46 participants, 23 of whom are public."""

PROTOCOLS = {
    "avec2016": {split: tuple(f"{split}_{n}" for n in range(1, 10)) for split in SPLITS},
    "full46": {split: tuple(f"P{n}" for n in numbers) for split, numbers in FULL46.items()},
}
"""Names of the recordings by protocol and split."""

COUNTS = {
    protocol: {split: len(names) for split, names in splits.items()}
    for protocol, splits in PROTOCOLS.items()
}


def split_of(protocol: str, name: str, path: pathlib.Path) -> str:
    """Return the split of a recording.

    Raises:
        InputError: The protocol has no recording with this name.
    """
    for split, names in PROTOCOLS[protocol].items():
        if name in names:
            return split
    known = PROTOCOLS[protocol]["train"]
    remedy = "rename or remove it"
    if protocol == "full46":
        remedy += ", or set folds=N to draw the splits"
    raise InputError(
        f"{path}: {name!r} is not a recording in {protocol} ({known[0]}, {known[1]}, ...); {remedy}"
    )
