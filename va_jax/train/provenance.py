"""What a run was trained on, kept beside its config, and how the data at hand differs from it."""

import json
import math
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from va_jax.io import write_text
from va_jax.types import InputError

NAME = "data.json"

REBUILD = "scores may suffer; rebuild the set the same way"

MEANING = {  # fact -> what a difference means
    "crop.source": f"faces were found in another way; {REBUILD}",
    "crop.margin": f"faces fill another part of the crop; {REBUILD}",
    "crop.alignment": f"faces lie otherwise in the crop; {REBUILD}",
    "crop.size": f"faces were stored in finer or coarser pixels; {REBUILD}",
    "crop.jpeg_quality": f"frames were compressed otherwise; {REBUILD}",
    "fps": f"frames lie another time apart; {REBUILD}",
    "labels.source": f"the labels are other ones; {REBUILD}",
    "labels.range": f"the labels were scaled from another range; {REBUILD}",
    "labels.join": f"the labels were put on the frames by another rule; {REBUILD}",
    "split_hash": "the splits hold other tracks, so frames scored here may have been trained on; "
    "score a set of the same splits",
    "input_size": "faces are fed larger or smaller than it has seen them; scores may suffer at "
    "first; set data.size",
}

WITHIN_RUN = tuple(key for key in MEANING if key != "input_size")
FROM_ANOTHER = ("crop.source", "crop.margin", "crop.alignment", "input_size")
"""Facts that should be as they were while a run goes on or is scored, and where another starts."""


def facts(data: ConfigDict, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of the set that the config's section `data` names, given its metadata.

    `name`, `input_size` (side of the fed frames, pixels), `frames` by split, and, as far as the set
    has them, its `dims`, `crop`, `fps`, `labels` and `split_hash`.
    """
    kept = ("dims", "crop", "fps", "labels", "split_hash")
    found = {
        "name": data.name,
        "input_size": data.size or metadata["crop"]["size"],
        **{key: metadata[key] for key in kept if key in metadata},
        "frames": {split: each["frames"] for split, each in metadata.get("counts", {}).items()},
    }
    return json.loads(json.dumps(found))  # tuples become lists


def write(folder: pathlib.Path, here: Mapping[str, Any]) -> None:
    """Keep the facts in a workdir or an export."""
    write_text(folder / NAME, json.dumps(here, indent=1) + "\n")


def read(folder: pathlib.Path) -> dict[str, Any] | None:
    """The facts kept in a workdir or an export; None where there are none."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: no JSON ({error}); delete it to go without") from error


def check(here: Mapping[str, Any], workdir: pathlib.Path) -> list[str]:
    """The `differences` within the run in `workdir`.

    Raises InputError where its network does not fit the set at all: other dimensions, or frames of
    another size.
    """
    there = read(workdir)
    if there is None:
        return []
    for key, option in (("dims", "dims"), ("input_size", "size")):
        old, new = (",".join(x[key]) if isinstance(x[key], list) else x[key] for x in (there, here))
        if old != new:
            raise InputError(
                f"data.name={here['name']!r} has {option}={new}, the run in {workdir} was trained "
                f"on {option}={old}; rebuild the set with that, or train in another --workdir"
            )
    return differences(here, workdir)


def differences(
    here: Mapping[str, Any], folder: pathlib.Path, keys: Iterable[str] = WITHIN_RUN
) -> list[str]:
    """A line for every fact of the set at hand that is not as kept in `folder`, for people.

    What either side does not tell is passed over, and so are the splits of sets of another name.
    """
    there = read(folder)
    if there is None:
        return []
    other = there["name"] != here["name"]
    named = f" ({there['name']})" if other else ""
    lines = []
    for key in keys:
        old, new = _get(there, key), _get(here, key)
        if old is None or new is None or _alike(old, new) or (other and key == "split_hash"):
            continue
        lines.append(
            f"{key} of {here['name']} is {new!r}, the network in {folder} was trained on {old!r}"
            f"{named}: {MEANING[key]}"
        )
    return lines


def warn(lines: Iterable[str]) -> None:
    """Print warnings on standard error."""
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def _get(tree: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.rpartition(".")
    return (tree.get(section, {}) if section else tree).get(name)


def _alike(one: Any, other: Any) -> bool:
    """Equal; of floats, such as the median rate of the tracks, within a hundredth."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0.01)
    return one == other
