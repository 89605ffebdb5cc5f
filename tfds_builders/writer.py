"""Extract every recording once, in parallel, into a part file that survives a restart.

A part is an ArrayRecord file of finished records and a JSON row about them. Both are written under
a temporary name and renamed, the row last, so a row that exists vouches for its part.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from array_record.python import array_record_module
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from tfds_builders import shards
from va_jax.types import CLIP_FRAMES, LABEL_RANGE, Clip, InputError


@dataclasses.dataclass(frozen=True)
class Recording:
    """One track still to be extracted: who is in it, and the files it is made of."""

    track_id: str
    video_id: str
    subject_id: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)  # role -> file or folder
    group: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # JSON values
    split: str = ""  # "": not drawn yet
    problem: str = ""  # why it cannot be extracted, as far as is known without decoding


Tally = collections.Counter[str]
"""What was dropped, filled or hidden in one recording, counted by name."""

Extract = Callable[[Recording, Any, Tally], tuple[float, Iterator[Clip]]]
"""`extract(recording, builder_config, tally) -> (frames per second, its clips in order)`.

A function at the top of a module, so that worker processes can import it. Clips are drawn one by
one: memory must not grow with the length of the video. `tally` is complete with the last clip.
"""

Task = tuple[Recording, pathlib.Path]
"""A recording and the file its records go to."""

Run = Callable[[Callable[[Recording, pathlib.Path], dict], Sequence[Task]], Iterator[tuple]]
"""`run(work, tasks)` yields (part, work(recording, part)) of each task, in any order."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all recordings of one build share."""

    extract: Extract
    config: Any  # the builder config
    options: Mapping[str, Any]  # what of it a part depends on
    version: str
    dims: tuple[str, ...]
    points: int  # landmarks per frame


def features(dims: Sequence[str], points: int) -> tfds.features.FeaturesDict:
    """Features of one stored clip; `landmarks` only where `points` > 0."""
    layout = {
        "frames": tfds.features.Tensor(shape=(None,), dtype=np.object_),  # JPEG bytes
        "target": tfds.features.Tensor(shape=(None, len(dims)), dtype=np.float32),
        "face": tfds.features.Tensor(shape=(None,), dtype=np.bool_),
        "time_s": tfds.features.Tensor(shape=(None,), dtype=np.float32),
        "first_frame": tfds.features.Scalar(dtype=np.int32),
        "track_id": tfds.features.Text(),
        "video_id": tfds.features.Text(),
        "subject_id": tfds.features.Text(),
    }
    if points:
        layout["landmarks"] = tfds.features.Tensor(shape=(None, points, 2), dtype=np.float32)
    return tfds.features.FeaturesDict(layout)


def fingerprint(recording: Recording, plan: Plan) -> str:
    """Name of the part: changes with the recording, the builder's options and the source files.

    A file is identified by its path, size and modification time, a folder by those of its files.
    """
    files = []
    for source in map(os.path.abspath, recording.files.values()):
        if not os.path.exists(source):
            raise InputError(f"{source} of track {recording.track_id!r} does not exist")
        members = [source]
        if os.path.isdir(source):
            walk = os.walk(source)
            members = sorted(os.path.join(at, name) for at, _, names in walk for name in names)
        try:
            stats = [(member, os.stat(member)) for member in members]
        except OSError as error:  # such as a link that leads nowhere
            raise InputError(f"{error.filename}: {error.strerror}; remove or replace it") from error
        files += [(member, stat.st_size, stat.st_mtime_ns) for member, stat in stats]
    plan_facts = [dict(plan.options), plan.version, plan.dims, plan.points]
    facts = dataclasses.asdict(dataclasses.replace(recording, split=""))
    text = json.dumps([facts, plan_facts, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def extract_all(
    recordings: Sequence[Recording],
    plan: Plan,
    folder: pathlib.Path,
    run: Run,
    strict: bool = False,
) -> list[dict[str, Any]]:
    """Extracts into `folder` what is not there yet; returns the rows in the recordings' order.

    A row holds `track` (a schema.Track without its first record), `part` (the file's path),
    `records`, `bytes`, the counts `face`, `labelled` and `used` (both) of its frames,
    `target_sum`, the sum of the targets over the used frames, and `tally`; or only `refused`, why
    the recording could not be extracted. It is tried anew by the next build, unlike finished parts.
    With `strict` the first refusal stops the build.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[pathlib.Path, dict[str, Any]] = {}
    tasks, parts = [], []
    for recording in recordings:
        try:
            if recording.problem:
                raise InputError(recording.problem)
            name = fingerprint(recording, plan)
        except InputError as error:
            parts.append(folder / f"refused{len(parts)}")
            rows[parts[-1]] = _refusal(error, strict)
            continue
        parts.append(folder / f"{name}.array_record")
        if parts[-1].with_suffix(".json").exists():
            rows[parts[-1]] = json.loads(parts[-1].with_suffix(".json").read_text())
        else:
            tasks.append((recording, parts[-1]))
    frames = 0
    with (
        tqdm.tqdm(
            desc="extract", unit="recording", total=len(parts), initial=len(rows), smoothing=0
        ) as bar,
        contextlib.closing(run(functools.partial(extract_part, plan=plan), tasks)) as done,
    ):
        for part, row in done:
            if "refused" in row and strict:
                raise InputError(row["refused"])
            rows[part] = row
            frames += 0 if "refused" in row else row["track"]["frames"]
            elapsed_s = max(bar.format_dict["elapsed"], 1e-6)
            bar.set_postfix_str(f"{frames / elapsed_s:.0f} frames/s", refresh=False)
            bar.update()
    return [{**rows[part], "part": str(part)} for part in parts]


def _refusal(error: InputError, strict: bool) -> dict[str, Any]:
    if strict:
        raise error
    return {"refused": str(error)}


def extract_part(recording: Recording, part: pathlib.Path, plan: Plan) -> dict[str, Any]:
    """The row of one recording, written beside its part; `refused` where its input is bad."""
    try:
        row = _write_part(recording, part, plan)
    except InputError as error:
        return {"refused": str(error)}
    except Exception as error:
        error.add_note(f"while extracting track {recording.track_id!r}, {dict(recording.files)}")
        raise
    temporary = _temporary(part)
    temporary.write_text(json.dumps(row))
    temporary.rename(part.with_suffix(".json"))
    return row


def _write_part(recording: Recording, part: pathlib.Path, plan: Plan) -> dict[str, Any]:
    layout = features(plan.dims, plan.points)
    temporary = _temporary(part)
    count = face = labelled = used = records = 0
    target_sum = np.zeros(len(plan.dims))
    last_s = -np.inf
    tally: Tally = collections.Counter()
    ids = {key: getattr(recording, key) for key in ("track_id", "video_id", "subject_id")}
    writer = array_record_module.ArrayRecordWriter(str(temporary), shards.OPTIONS)
    try:
        fps, clips = plan.extract(recording, plan.config, tally)
        for clip in clips:
            if count % CLIP_FRAMES:
                raise ValueError(f"clip {records} follows one of fewer than {CLIP_FRAMES} frames")
            _check(clip, plan, last_s)
            example = {**clip._asdict(), **ids, "first_frame": count}
            if not plan.points:
                del example["landmarks"]
            writer.write(_serialized(example, layout))
            both = clip.face & np.isfinite(clip.target).all(1)
            count += len(clip.frames)
            records += 1
            face += int(clip.face.sum())
            labelled += int(np.isfinite(clip.target).all(1).sum())
            used += int(both.sum())
            target_sum += clip.target[both].sum(0, dtype=np.float64)
            last_s = clip.time_s[-1]
        if not count:
            source = ", ".join(recording.files.values()) or recording.track_id
            raise InputError(f"{source}: no frames for track {recording.track_id!r}; remove it")
    except BaseException:
        writer.close()
        temporary.unlink(missing_ok=True)
        raise
    writer.close()
    temporary.rename(part)
    track = {**ids, "group": recording.group, "fps": float(fps), "frames": count}
    return {
        "track": track,
        "records": records,
        "bytes": part.stat().st_size,
        "face": face,
        "labelled": labelled,
        "used": used,
        "target_sum": target_sum.tolist(),
        "tally": {key: count for key, count in sorted(tally.items()) if count},
    }


def _serialized(example: dict[str, Any], layout: tfds.features.FeaturesDict) -> bytes:
    """As `layout.serialize_example`, but the same bytes in every process: protobuf's maps are
    otherwise written in an order of the day."""
    encoded = layout.encode_example(example)
    proto = ExampleSerializer(layout.get_serialized_info()).get_tf_example(encoded)
    return proto.SerializeToString(deterministic=True)


def _temporary(part: pathlib.Path) -> pathlib.Path:
    return part.with_name(f"{part.stem}.{uuid.uuid4().hex}.tmp")  # two machines may write one part


def _check(clip: Clip, plan: Plan, last_s: float) -> None:
    """Raises ValueError where a clip breaks the promises of `schema.Clip`: a fault in a builder."""
    n = len(clip.frames)
    if not 0 < n <= CLIP_FRAMES:
        raise ValueError(f"a clip holds 1 to {CLIP_FRAMES} frames, got {n}")
    points = (n, plan.points, 2) if plan.points else None
    wanted = (("target", (n, len(plan.dims))), ("face", (n,)), ("time_s", (n,)))
    for name, shape in (*wanted, ("landmarks", points)):
        value = getattr(clip, name)
        if (None if value is None else value.shape) != shape:
            raise ValueError(f"clip.{name}: expected {shape}, got {value}")
    low, high = LABEL_RANGE
    if np.any((clip.target < low) | (clip.target > high)):
        raise ValueError(f"clip.target leaves [{low}, {high}]: {clip.target}")
    if not np.all(np.diff(clip.time_s, prepend=np.float32(last_s)) >= 0):
        raise ValueError(f"clip.time_s goes back after {last_s}: {clip.time_s}")
