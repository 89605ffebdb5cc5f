"""Facts about the training data, stored next to the config and compared with the current data."""

import json
import math
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from va_jax.config import Config, Data
from va_jax.data import sets, splits
from va_jax.io import read_json, write_json
from va_jax.types import InputError

NAME = "data.json"

REBUILD = "scores may be worse; rebuild the data set with the value used in training"

MEANING = {  # fact -> consequence of a difference
    "crop.source": f"faces were found by a different method; {REBUILD}",
    "crop.margin": f"faces fill a different share of the crop; {REBUILD}",
    "crop.alignment": f"faces are aligned differently in the crop; {REBUILD}",
    "crop.size": f"faces are stored at a different resolution; {REBUILD}",
    "crop.jpeg_quality": f"frames are compressed differently; {REBUILD}",
    "fps": f"the frame rate differs; {REBUILD}",
    "labels.source": f"the labels come from a different source; {REBUILD}",
    "labels.range": f"the labels are scaled from a different range; {REBUILD}",
    "labels.fusion": f"the labels of several raters are fused by a different rule; {REBUILD}",
    "labels.join": f"the labels are matched to the frames by a different rule; {REBUILD}",
    "split_hash": "the splits contain different tracks, so the run may have been trained on frames "
    "that are scored here; use a data set with the same splits",
    "label_hash": "the tracks have different labels, so scores cannot be compared; build the data "
    "set from the same label files with the same options",
    "input_size": "faces are larger or smaller than in training; scores may be worse at first; set "
    "data.size to the value used in training",
}

WITHIN_RUN = tuple(key for key in MEANING if key != "input_size")
HASHES = ("split_hash", "label_hash")
"""Parts of the fact `split_hash`, which are compared one by one."""

FROM_ANOTHER = ("crop.source", "crop.margin", "crop.alignment", "input_size")
"""Facts that should not change within a run (WITHIN_RUN), or that should match those of its source
(FROM_ANOTHER)."""

REQUIRED = ("name", "input_size", "dims")
KINDS = {
    "name": (str, "text"),
    "input_size": (int, "a whole number"),
    "dims": (list, "a list of names"),
    "crop": (dict, "a JSON object"),
    "labels": (dict, "a JSON object"),
    "frames": (dict, "a JSON object"),
    "sets": (dict, "a JSON object"),
}
"""Facts that every run stores (REQUIRED), and the types of facts (KINDS)."""


def facts(data: Data, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts to store about the data set `data.name` with the given metadata.

    They are `name`, `input_size` (side of the model's input in pixels), `frames` in each split,
    and, if the metadata contains them, `dims`, `crop`, `fps`, `labels` and `split_hash`.
    """
    kept = ("dims", "crop", "fps", "labels", "split_hash")
    found = {
        "name": data.name,
        "input_size": data.size or metadata["crop"]["size"],
        **{key: metadata[key] for key in kept if key in metadata},
        "frames": {split: each["frames"] for split, each in metadata.get("counts", {}).items()},
    }
    return json.loads(json.dumps(found))  # tuples become lists


def facts_of_run(config: Config) -> dict[str, Any]:
    """Return the `facts` about the data of a run.

    For several data sets, they are `name`, `input_size` and `dims`, and, in `sets`, the facts about
    each data set by its name, with its `stride` and its `share` of the training windows.
    """
    configs = sets.one_by_one(config)
    found = [facts(each.data, splits.metadata(each.data)) for each in configs]
    if len(found) == 1:
        return found[0]
    common = {key: found[0][key] for key in ("input_size", "dims")}
    each_set = zip(configs, found, sets.shares(config), strict=True)
    return {"name": config.data.name, **common} | {
        "sets": {
            one.data.name: each | {"stride": one.window.stride, "share": float(share)}
            for one, each, share in each_set
        }
    }


def by_set(facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the facts about each data set of a run by its name."""
    return facts.get("sets") or {facts["name"]: dict(facts)}


def split_hash(facts: Mapping[str, Any]) -> str:
    """Return the split hash of the data of a run, or those of all its data sets."""
    return ", ".join(each.get("split_hash", "") for each in by_set(facts).values())


def write(folder: pathlib.Path, here: Mapping[str, Any]) -> None:
    """Store the facts in the folder of a run or an exported model."""
    write_json(folder / NAME, here)


def read(folder: pathlib.Path) -> dict[str, Any] | None:
    """Return the facts stored in the folder of a run or an exported model; None if absent.

    Raises:
        InputError: the file is damaged.
    """
    path, remedy = folder / NAME, "restore the file, or delete it to skip this check"
    if not path.exists():
        return None
    found = read_json(path, remedy)
    _check_facts(found, f"{path}", remedy)
    for name, each in found.get("sets", {}).items():
        _check_facts(each, f"{path}: sets: {name}", remedy)
    return found


def _check_facts(found: Any, where: str, remedy: str) -> None:
    """Raise InputError if the facts about data sets are not of the right kinds."""
    if not isinstance(found, dict):
        raise InputError(f"{where}: expected a JSON object; {remedy}")
    for key, (kind, word) in KINDS.items():
        value: Any = found.get(key, None if key in REQUIRED else kind())
        good = isinstance(value, kind)
        if not good or (key == "dims" and not all(isinstance(dim, str) for dim in value)):
            raise InputError(f"{where}: {key}={found.get(key)!r}: expected {word}; {remedy}")


def check(here: Mapping[str, Any], workdir: pathlib.Path) -> list[str]:
    """Return the `differences` between the current data and the run in `workdir`.

    Raises:
        InputError: the network cannot use this data set, because its dimensions or frame size
            differ.
    """
    there = read(workdir)
    if there is None:
        return []
    for key, option in (("dims", "dims"), ("input_size", "size")):
        old, new = (",".join(x[key]) if isinstance(x[key], list) else x[key] for x in (there, here))
        if old != new:
            raise InputError(
                f"data.name={here['name']!r} has {option}={new}, but the run in {workdir} was "
                f"trained with {option}={old}; rebuild the data set with this value, or train in a "
                "different --workdir"
            )
    return differences(here, workdir)


def differences(
    here: Mapping[str, Any], folder: pathlib.Path, keys: Iterable[str] = WITHIN_RUN
) -> list[str]:
    """Return a line for every fact about the current data that differs from the fact in `folder`.

    Facts that are missing on either side are skipped. A data set is compared with the one of the
    same name in `folder`, or, if there is none, with the first one, but then without its splits.
    Older data sets lack `label_hash`, the second part of `split_hash`.
    """
    stored = read(folder)
    if stored is None:
        return []
    before = by_set(stored)
    first = next(iter(before.values()))
    return [
        line
        for name, now in by_set(here).items()
        for line in _differences(now, before.get(name, first), folder, keys)
    ]


def _differences(
    here: Mapping[str, Any], there: Mapping[str, Any], folder: pathlib.Path, keys: Iterable[str]
) -> list[str]:
    """Return a line for every fact about one data set that differs."""
    other = there["name"] != here["name"]
    named = f" ({there['name']})" if other else ""
    same_tracks = _get(there, "split_hash") == _get(here, "split_hash")
    skipped = HASHES if other else () if same_tracks else ("label_hash",)
    lines = []
    for key in keys:
        old, new = _get(there, key), _get(here, key)
        if old is None or new is None or _alike(old, new) or key in skipped:
            continue
        lines.append(
            f"{key} of {here['name']} is {new!r}, but the network in {folder} was trained "
            f"with {old!r}{named}: {MEANING[key]}"
        )
    return lines


def warn(lines: Iterable[str]) -> None:
    """Print warnings to standard error."""
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def _get(tree: Mapping[str, Any], key: str) -> Any:
    if key in HASHES:
        parts = str(tree.get("split_hash", "")).partition("-")[::2]
        return parts[HASHES.index(key)] or None
    section, _, name = key.rpartition(".")
    return (tree.get(section, {}) if section else tree).get(name)


def _alike(one: Any, other: Any) -> bool:
    """Return whether two facts are equal; floats, such as frame rates, may differ by up to 1%."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0.01)
    return one == other
