"""Survey a whole tree before a build: every recording alone, then all of them compared."""

import collections
import concurrent.futures
import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tqdm

from tfds_builders import label_checks
from tfds_builders.choose import make_builder
from tfds_builders.examine import Examined, Finding, examine
from tfds_builders.recorded import RecordedBuilder
from va_jax.types import SPLITS, InputError

# All ours.
ALIKE = 2.0  # mean difference of all samples, grey levels, below which pictures are the same
FLAT = 4.0  # spread of a sample, grey levels, below which it is too plain to compare
LENGTH = 0.02  # two recordings of one footage differ in length by less, as a share


@dataclasses.dataclass
class Survey:
    """What a tree holds and what is wrong with it."""

    name: str
    tree: str
    facts: dict[str, Any]  # JSON values: see `survey`
    findings: list[Finding]

    def to_json(self) -> dict[str, Any]:
        findings = [each._asdict() for each in self.findings]
        return {"name": self.name, "tree": self.tree, **self.facts, "findings": findings}


def survey(
    name: str,
    tree: pathlib.Path,
    data_dir: pathlib.Path,
    options: Sequence[str] = (),
    jobs: int = 2,
    find_faces: bool = True,
) -> Survey:
    """Examines the tree of the set `name` ("set" or "set/config") with `jobs` threads.

    `facts` holds `splits` (of each the `recordings`, `subjects` and `frames`), `found` and
    `expected` (recordings, the latter of the published set), `hours`, `fps` (lowest, highest),
    `label_range` by dimension, `disk_bytes` (of the built set) and `disk_free_bytes` (where
    `data_dir` lies). Raises InputError where the tree is not of this set.
    """
    builder = make_builder(name, data_dir, options)
    if not isinstance(builder, RecordedBuilder):
        raise InputError(f"{name} is generated: there is no tree to look at")
    if jobs < 1:
        raise InputError(f"jobs={jobs} must be at least 1")
    if not tree.is_dir():
        raise InputError(f"{tree}: no such folder; name the folder of the set")
    recordings = [each for split in builder.recordings(tree).values() for each in split]
    look = functools.partial(
        examine, config=builder.builder_config, read=type(builder).read, find_faces=find_faces
    )
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        bar = tqdm.tqdm(pool.map(look, recordings), "examine", len(recordings), unit="recording")
        examined = list(bar)
    findings = []
    for each in examined:
        findings += [*each.findings, *label_checks.check(each, builder.dims)]
    findings += [*_parted(examined), *_same_labels(examined), *_same_pictures(examined)]
    facts = _facts(builder, examined, data_dir)
    findings += _disk(facts, data_dir)
    return Survey(name, str(tree), facts, findings)


def _facts(
    builder: RecordedBuilder, examined: Sequence[Examined], data_dir: pathlib.Path
) -> dict[str, Any]:
    splits = {}
    for split in SPLITS:
        each = [one for one in examined if one.recording.split == split]
        if each:
            splits[split] = {
                "recordings": len(each),
                "subjects": len({one.recording.subject_id for one in each}),
                "frames": sum(len(one.footage.number) for one in each if one.footage),
            }
    seen = [each for each in examined if each.footage]
    fps = [each.footage.fps for each in seen]
    frames = [len(each.footage.number) for each in seen]
    ranges = [r for r in map(label_checks.label_range, examined) if r is not None]
    place = data_dir.absolute()
    nearest = next(each for each in (place, *place.parents) if each.exists())
    return {
        "splits": splits,
        "found": len(examined),
        "expected": dict(builder.expected),
        "hours": sum(n / rate for n, rate in zip(frames, fps, strict=True)) / 3600,
        "fps": [min(fps), max(fps)] if fps else [],
        "label_range": {
            dim: [float(min(r[0, i] for r in ranges)), float(max(r[1, i] for r in ranges))]
            for i, dim in enumerate(builder.dims)
            if ranges
        },
        "disk_bytes": round(sum(n * e.frame_bytes for n, e in zip(frames, seen, strict=True))),
        "disk_free_bytes": shutil.disk_usage(nearest).free,
    }


def _disk(facts: dict[str, Any], data_dir: pathlib.Path) -> Iterator[Finding]:
    """Parts and shards are there at once while a set is built."""
    needed, free = 2 * facts["disk_bytes"], facts["disk_free_bytes"]
    if needed > free:
        what = f"{data_dir}: {free / 1e9:.1f} GB are free, a build takes {needed / 1e9:.1f} GB"
        yield Finding("disk space", what, "it will stop when the disk is full and can go on later")


def _parted(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Subjects and videos that lie in more than one split."""
    for kind in ("subject", "video"):
        places: dict[str, dict[str, str]] = collections.defaultdict(dict)
        for each in examined:
            one = each.recording
            file = next(iter(one.files.values()), one.track_id)
            places[getattr(one, f"{kind}_id")].setdefault(one.split, file)
        for name, splits in places.items():
            if len(splits) > 1:
                where = ", ".join(f"{split} ({file})" for split, file in sorted(splits.items()))
                what = f"{kind} {name!r} is in {where}"
                yield Finding(f"{kind} parted", what, "scores on these splits will flatter")


def _same_labels(examined: Sequence[Examined]) -> Iterator[Finding]:
    groups: dict[str, list[Examined]] = collections.defaultdict(list)
    for each in examined:
        groups[label_checks.label_hash(each)].append(each)
    for key, each in groups.items():
        if key and len(each) > 1:
            first, *others = map(label_checks.name_of, each)
            what = f"{', '.join(others)}: the same values as in {first}"
            yield Finding("duplicated labels", what, "kept all the same; one is a wrong copy")


def _same_pictures(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Recordings that show the pictures of an earlier one."""
    seen = [each for each in examined if each.footage]
    lengths = np.array([len(each.footage.number) for each in seen])
    for index, each in enumerate(seen):
        if each.thumbnails.std(1).max() < FLAT:
            continue
        close = np.abs(lengths[:index] - lengths[index]) <= LENGTH * lengths[index]
        earlier = (seen[number] for number in np.flatnonzero(close))
        first = next((other for other in earlier if _alike(other, each)), None)
        if first:
            what = f"{each.material.pictures}: shows what {first.material.pictures} shows"
            yield Finding("same pictures", what, "kept all the same; one of them is too many")


def _alike(one: Examined, other: Examined) -> bool:
    if one.thumbnails.shape != other.thumbnails.shape:
        return False
    return np.abs(one.thumbnails - other.thumbnails).mean(1).max() < ALIKE


def text(result: Survey) -> str:
    """The survey for people: what is there, what is wrong, what will become of it.

    Files are named from the top of the tree.
    """
    facts = result.facts
    expected = ", ".join(f"{key} {count}" for key, count in facts["expected"].items())
    published = f" (the published set has {expected})" * bool(expected)
    lines = [f"{result.name} in {result.tree}: {facts['found']} recordings{published}"]
    for split, counts in facts["splits"].items():
        told = ", ".join(f"{count} {key}" for key, count in counts.items())
        lines.append(f"  {split:5} {told}")
    if facts["fps"]:
        low, high = facts["fps"]
        rate = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        lines.append(f"  {facts['hours']:.2f} hours at {rate} frames per second")
    for dim, (low, high) in facts["label_range"].items():
        lines.append(f"  {dim} from {low:.3f} to {high:.3f}")
    needed, free = facts["disk_bytes"] / 1e9, facts["disk_free_bytes"] / 1e9
    lines.append(
        f"  records of about {needed:.2f} GB, twice that while building; {free:.1f} GB free"
    )
    lines += [str(each).replace(f"{result.tree}/", "") for each in result.findings]
    wrong = len(result.findings)
    lines.append(f"wrong: {wrong}" if wrong else "nothing is wrong")
    return "\n".join(lines)
