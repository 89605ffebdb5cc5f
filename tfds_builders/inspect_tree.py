"""Inspect the source material of a set before a build: each recording, and all of them together."""

import collections
import concurrent.futures
import dataclasses
import functools
import pathlib
import re
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import tqdm

from tfds_builders import inspect_labels
from tfds_builders.build import make_builder
from tfds_builders.inspect_copies import check_together
from tfds_builders.inspect_pictures import same_pictures
from tfds_builders.inspect_recording import Finding, Inspected, Thoroughness, inspect_recording
from tfds_builders.metadata import rate_warnings
from tfds_builders.recorded import RecordedBuilder
from va_jax.types import SPLITS, InputError

USUAL = Thoroughness()


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The contents of a folder of source material, and the problems found in it."""

    name: str
    tree: str
    facts: dict[str, Any]  # JSON values, see `inspect_tree`
    findings: list[Finding]
    notes: list[str]  # information that is no problem
    read_as: list[inspect_labels.ReadAs]  # how the columns of label files were understood

    def to_json(self) -> dict[str, Any]:
        findings = [each._asdict() for each in self.findings]
        read_as = [each.to_json() for each in self.read_as]
        names = {"name": self.name, "tree": self.tree}
        details = {"label_files": read_as, "notes": self.notes, "findings": findings}
        return {**names, **self.facts, **details}

    def text(self) -> str:
        """Return a readable report, with file names relative to the inspected folder."""
        facts = self.facts
        expected = ", ".join(f"{count} in {key}" for key, count in facts["expected"].items())
        published = f" (the published set has {expected})" * bool(expected)
        lines = [f"{self.name} in {self.tree}: {facts['found']} recordings{published}"]
        for split, counts in facts["splits"].items():
            lines.append(f"  {split:5} {', '.join(f'{n} {key}' for key, n in counts.items())}")
        if facts["fps"]:
            low, high = facts["fps"]
            rate = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            lines.append(f"  {facts['hours']:.2f} hours at {rate} frames per second")
        for dim, (low, high) in facts["label_range"].items():
            lines.append(f"  {dim} from {low:.3f} to {high:.3f}")
        lines += [f"  warning: {each}" for each in facts["warnings"]]
        lines += [f"  note: {_relative(each, self.tree)}" for each in self.notes]
        needed, free = facts["disk_bytes"] / 1e9, facts["disk_free_bytes"] / 1e9
        lines.append(
            f"  about {needed:.2f} GB of records, and twice as much during a build; {free:.1f} GB "
            "is free"
        )
        details = [each.text() for each in self.read_as] + [str(each) for each in self.findings]
        lines += [_relative(each, self.tree) for each in details]
        lines.append(f"problems: {len(self.findings)}" if self.findings else "no problems found")
        return "\n".join(lines)


def _relative(line: str, tree: object) -> str:
    """Return a line in which the paths of files are relative to the inspected folder."""
    return re.sub(rf"(?<![^\s'\"(]){re.escape(f'{tree}/')}", "", line)


def inspect_tree(
    name: str,
    tree: pathlib.Path,
    data_dir: pathlib.Path,
    options: Sequence[str] = (),
    jobs: int = 2,
    how: Thoroughness = USUAL,
) -> Inspection:
    """Inspect the source material of a set.

    Args:
        name: "set" or "set/config".
        tree: Folder with the source material.
        data_dir: Folder in which the set would be built; it need not exist.
        options: key=value pairs that change the configuration.
        jobs: Number of threads.
        how: How much of each recording to look at.

    Returns:
        The findings and these `facts`: `splits` (numbers of `recordings`, `subjects` and `frames`
        in each), `found` and `expected` (numbers of recordings here and in the published set),
        `hours`, `fps` (lowest, highest), `label_range` by dimension, `warnings` (as printed by a
        build), `disk_bytes` (size of the built set) and `disk_free_bytes`.

    Raises:
        InputError: The folder does not contain this set.
    """
    builder = make_builder(name, data_dir, options)
    if not isinstance(builder, RecordedBuilder):
        raise InputError(
            f"{name} is a generated data set without source material to inspect; choose a "
            "different data set"
        )
    if jobs < 1:
        raise InputError(f"jobs={jobs} must be at least 1")
    if not tree.is_dir():
        raise InputError(f"{tree}: no such folder; check the path to the source material")
    recordings = [each for split in builder.recordings(tree).values() for each in split]
    work = functools.partial(
        inspect_recording,
        config=builder.builder_config,
        read=type(builder).read,
        how=how,
    )
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        bar = tqdm.tqdm(pool.map(work, recordings), "inspect", len(recordings), unit="recording")
        inspected = list(bar)
    findings = []
    for each in inspected:
        findings += [*each.findings, *inspect_labels.check(each, builder.builder_config)]
    findings += inspect_labels.check_scale(inspected, builder.dims)
    if not builder.splits_share_videos:
        findings += _in_several_splits(inspected)
    findings += check_together(inspected, builder.dims)
    copies, notes = same_pictures(inspected)
    findings += copies
    findings = list(dict.fromkeys(findings))  # parts of one video share their findings
    facts = _facts(builder, inspected, data_dir)
    findings += _check_disk(facts, data_dir)
    return Inspection(name, str(tree), facts, findings, notes, inspect_labels.read_as(inspected))


def _facts(
    builder: RecordedBuilder, inspected: Sequence[Inspected], data_dir: pathlib.Path
) -> dict[str, Any]:
    splits = {}
    for split in SPLITS:
        inside = [each for each in inspected if each.recording.split == split]
        if inside:
            splits[split] = {
                "recordings": len(inside),
                "subjects": len({each.recording.subject_id for each in inside}),
                "frames": sum(len(each.footage.number) for each in inside if each.footage),
            }
    footage = [each.footage for each in inspected if each.footage]
    fps = [each.fps for each in footage]
    ranges = [r for r in map(inspect_labels.label_range, inspected) if r is not None]
    place = data_dir.absolute()
    nearest = next(each for each in (place, *place.parents) if each.exists())
    return {
        "splits": splits,
        "found": len(inspected),
        "expected": dict(builder.expected),
        "hours": sum(len(each.number) / each.fps for each in footage) / 3600,
        "fps": [min(fps), max(fps)] if fps else [],
        "label_range": {
            dim: [float(min(r[0, i] for r in ranges)), float(max(r[1, i] for r in ranges))]
            for i, dim in enumerate(builder.dims)
            if ranges
        },
        "warnings": builder.warnings([each.recording for each in inspected if each.material])
        + rate_warnings(fps),
        "disk_bytes": round(sum(len(each.number) * each.frame_bytes for each in footage)),
        "disk_free_bytes": shutil.disk_usage(nearest).free,
    }


def _check_disk(facts: dict[str, Any], data_dir: pathlib.Path) -> Iterator[Finding]:
    """Yield a finding if the disk is too small for the parts and shards of a build together."""
    needed, free = 2 * facts["disk_bytes"], facts["disk_free_bytes"]
    if needed > free:
        sizes = f"{free / 1e9:.1f} GB is free, but a build requires {needed / 1e9:.1f} GB"
        consequence = "the build will stop when the disk is full; free some space to continue"
        yield Finding("disk space", f"{data_dir}: {sizes}", consequence)


def _in_several_splits(inspected: Sequence[Inspected]) -> Iterator[Finding]:
    """Yield a finding for each subject or video that is in more than one split."""
    for kind in ("subject", "video"):
        places: dict[str, dict[str, str]] = collections.defaultdict(dict)
        for each in inspected:
            recording = each.recording
            file = next(iter(recording.files.values()), recording.track_id)
            places[getattr(recording, f"{kind}_id")].setdefault(recording.split, file)
        for name, splits in places.items():
            if len(splits) > 1:
                where = " and ".join(f"{split} ({file})" for split, file in sorted(splits.items()))
                problem = f"{kind} {name!r} is in {where}"
                yield Finding(
                    f"{kind} in several splits", problem, "scores on these splits will be too high"
                )
