"""Check the splits of a run for leaks when it starts, print one line, and store the result."""

import dataclasses
import pathlib
from typing import Any

import jax

from va_jax.config import Config
from va_jax.data import alike, features, leaks, sets, sources, splits
from va_jax.io import read_json, write_json
from va_jax.types import InputError

NAME = "leaks.json"

SHOWN = 3
"""Number of pairs in the line; the file has all of them."""


def check(config: Config, workdir: pathlib.Path) -> list[str]:
    """Return the lines to print about leaks between the splits of a run; none if there are none.

    Process 0 checks the splits of every data set and stores the results in the workdir; a resumed
    run reads them. A problem with the check never stops a run. With `data.subject`, all splits are
    parts of the recordings of one person, so there is nothing to check.
    """
    data = config.data
    if not data.check_leaks or data.subject or jax.process_index() != 0:
        return []
    configs = sets.one_by_one(config)
    keys = [_key(each) for each in configs]
    stored = _stored(workdir / NAME, keys)
    if stored is None:
        stored = [{**key, **_find(each)} for key, each in zip(keys, configs, strict=True)]
        write_json(workdir / NAME, stored)
    return [line for each in stored for line in each["lines"]]


def _key(config: Config) -> dict[str, Any]:
    """Return the facts on which the result depends."""
    data = config.data
    return {
        "data": data.name,
        "split_hash": splits.metadata(data).get("split_hash"),
        "splits": [split for split in (data.train, data.dev, data.test) if split],
        "features": data.features,
    }


def _stored(path: pathlib.Path, keys: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the results of an earlier check of the same splits, or None."""
    try:
        found = read_json(path) if path.exists() else None
    except InputError:  # a damaged file is replaced
        return None
    if not isinstance(found, list) or len(found) != len(keys):
        return None
    for each, key in zip(found, keys, strict=True):
        if not isinstance(each, dict) or not isinstance(each.get("lines"), list):
            return None
        if {name: each.get(name) for name in key} != key:
            return None
    return found


def _find(config: Config) -> dict[str, Any]:
    """Return the result of the check and the `lines` to print."""
    data = config.data
    names = list(dict.fromkeys(split for split in (data.train, data.dev, data.test) if split))
    result: dict[str, Any] = {}
    lines: list[str] = []
    try:
        lines += _find_duplicates(config, names, result)
        if data.features:
            lines += _find_alike(config, names, result)
    except (InputError, OSError) as error:
        lines.append(f"data.check_leaks: the splits cannot be compared: {error}")
    return {**result, "lines": lines}


def _find_duplicates(config: Config, names: list[str], result: dict[str, Any]) -> list[str]:
    """Compare the recordings of the splits `names`; add to `result` and return the lines."""
    data = config.data
    if not sources.is_built(data.dir, data.name):
        return [
            f"data.check_leaks: copies of recordings cannot be found, since data.dir={data.dir!r} "
            f"has no frames of {data.name}, only their features are here"
        ]
    everything = 10**9  # training itself counts and reports the unreadable records
    opened = {
        name: sources.open_split(data.dir, data.name, name, max_bad_records=everything)
        for name in names
    }
    command = f"`va_jax inspect {data.name} --data_dir={data.dir}`"
    count = sum(len(each.tracks) for each in opened.values())
    if count > leaks.QUICK_RECORDINGS:
        return [
            f"data.check_leaks: {count} recordings are too many to compare at the start; run "
            f"{command} once"
        ]
    found = leaks.find_leaks(opened, data.threads, quick=True)
    result |= found.to_json()
    if not found.across:
        return []
    return [
        "data.check_leaks: recordings are in several splits, so scores will be too high: "
        f"{_first([pair.text() for pair in found.across])}; see {command}"
    ]


def _find_alike(config: Config, names: list[str], result: dict[str, Any]) -> list[str]:
    """Compare the subjects of the splits by cached features; add to `result`, return the lines."""
    folder = pathlib.Path(config.data.features)
    opened = {name: features.open_split(folder, name) for name in names}
    subjects = {name: [track.subject_id for track in each.tracks] for name, each in opened.items()}
    found = alike.find_alike(alike.means_of_features(opened.values()))
    pairs = leaks.across_splits(found, subjects)
    result["alike"] = [dataclasses.asdict(each) for each in pairs]
    return [f"data.check_leaks: {_first([each.text() for each in pairs])}"] if pairs else []


def _first(texts: list[str]) -> str:
    """Join the first texts, and state how many more there are."""
    more = len(texts) - SHOWN
    return "; ".join(texts[:SHOWN]) + (f"; and {more} more in {NAME}" if more > 0 else "")
