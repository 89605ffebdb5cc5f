"""The data set, among those of a run, for which its network is exported."""

import collections
import pathlib
from collections.abc import Mapping
from typing import Any

from va_jax.config import Config
from va_jax.models import set_heads
from va_jax.types import InputError

KEPT = ("split_hash", "frames", "crop", "fps", "labels", "stride", "share")
"""Facts about each data set of a run that the model metadata contain."""


def set_of(config: Config, workdir: pathlib.Path, head: str = "") -> str:
    """Return the data set whose heads, crops, frame rate and post-processing an export has.

    Args:
        config: config of the run.
        workdir: folder of the run, for messages.
        head: the chosen data set; "" for the first one, if the heads are shared.

    Raises:
        InputError: the run has no such data set, or it has a head for each data set and `head` is
            empty.
    """
    names = config.data.names
    if head and head not in names:
        raise InputError(
            f"--head={head}: the run in {workdir} was not trained on this data set; choose from "
            f"{', '.join(names)}"
        )
    if not head and set_heads.sets_with_heads(config):
        raise InputError(
            f"{workdir}: this run has a head for each data set; choose one with `va_jax export "
            f"{workdir} --head=SET`, where SET is one of {', '.join(names)}"
        )
    return head or names[0]


def several(name: str, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries of the model metadata for a run on several data sets.

    Args:
        name: the chosen data set.
        facts: facts about each data set by its name.
    """
    frames: collections.Counter[str] = collections.Counter()
    for each in facts.values():
        frames.update(each["frames"])
    return {
        "set": name,
        "sets": {
            name: {key: each[key] for key in KEPT if key in each} for name, each in facts.items()
        },
        "data": {
            "name": ",".join(facts),
            "split_hash": ", ".join(each["split_hash"] for each in facts.values()),
            "frames": dict(frames),
        },
    }
