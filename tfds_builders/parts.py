"""Extract every recording once, in parallel, into a part file that survives a restart.

A part consists of an ArrayRecord file with finished records and a JSON row that describes them.
Both are written under a temporary name and then renamed, the row last, so a part is complete if its
row exists.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from tfds_builders import shards
from tfds_builders.material import Recording, Tally
from tfds_builders.origin import source_files
from va_jax import io
from va_jax.types import CLIP_FRAMES, LABEL_RANGE, Clip, InputError

Row = dict[str, Any]
"""The description of a part, as JSON values; see `extract_all`."""

ROW_VERSION = 4
"""Version of the rows and of how they are extracted; an interrupted build that continues after a
change extracts all parts again."""

Extract = Callable[[Recording, Any, Tally], tuple[float, Iterator[Clip]]]
"""`extract(recording, builder_config, tally) -> (frames per second, clips in order)`.

The function must be picklable, so that it can be sent to worker processes. Clips are consumed one
at a time, so that memory does not grow with the length of the video. `tally` is complete after the
last clip.
"""

Task = tuple[Recording, pathlib.Path]
"""A recording, and the path of the part file to write."""

Work = Callable[[Recording, pathlib.Path], Row]

Run = Callable[[Work, Sequence[Task]], Generator[tuple[pathlib.Path, Row], None, None]]
"""`run(work, tasks)` yields (part, work(recording, part)) for each task, in any order."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The settings shared by all recordings in a build."""

    extract: Extract
    config: Any  # the builder config
    options: Mapping[str, Any]  # the options in `config` that affect the parts
    version: str
    dims: tuple[str, ...]
    points: int  # number of landmarks per frame
    spread: bool = False  # whether to store the spread between raters


def features(dims: Sequence[str], points: int, spread: bool = False) -> tfds.features.FeaturesDict:
    """Return the features of a stored clip.

    They include `landmarks` if `points` > 0, and `spread` if the raters' spread is stored.
    """
    layout: dict[str, Any] = {
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
    if spread:
        layout["spread"] = tfds.features.Tensor(shape=(None, len(dims)), dtype=np.float32)
    return tfds.features.FeaturesDict(layout)


def extract_all(
    recordings: Sequence[Recording],
    plan: Plan,
    folder: pathlib.Path,
    run: Run,
    strict: bool = False,
) -> list[Row]:
    """Extract the recordings that have no part in `folder` yet.

    Args:
        recordings: All recordings in the set.
        plan: The settings they share.
        folder: Folder for the parts.
        run: Function that extracts several recordings in parallel, see `workers`.
        strict: Whether to raise InputError at the first refused recording.

    Returns:
        A row for each recording, in order. It contains `track` (a `types.Track` without its first
        record), `part` (path of the file), `records`, `bytes`, the numbers of frames with a `face`,
        with a label (`labelled`) and with both (`used`), `target_sum` (sum of the targets over the
        used frames), `spread_sum` and `spread_count` (of the spreads between raters that are known
        in used frames, by dimension), `label_hash` (of the targets of all frames) and `tally`. The
        row of a refused recording contains only `part` and `refused`, the reason. The next build
        tries refused recordings again, but keeps finished parts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[pathlib.Path] = []
    tasks: list[Task] = []
    rows: dict[pathlib.Path, Row] = {}
    for recording in recordings:
        try:
            part = folder / f"{fingerprint(recording, plan)}.array_record"
            if part.with_suffix(".json").exists():
                rows[part] = json.loads(part.with_suffix(".json").read_text())
            else:
                tasks.append((recording, part))
        except InputError as error:
            if strict:
                raise
            part = folder / f"refused{len(parts)}"
            rows[part] = {"refused": str(error)}
        parts.append(part)
    frames = 0
    work = functools.partial(extract_part, plan=plan)
    bar = tqdm.tqdm(
        desc="extract", unit="recording", total=len(parts), initial=len(rows), smoothing=0
    )
    with bar, contextlib.closing(run(work, tasks)) as finished:
        for part, row in finished:
            if "refused" in row and strict:
                raise InputError(row["refused"])
            rows[part] = row
            frames += 0 if "refused" in row else row["track"]["frames"]
            elapsed_s = max(bar.format_dict["elapsed"], 1e-6)
            bar.set_postfix_str(f"{frames / elapsed_s:.0f} frames/s", refresh=False)
            bar.update()
    return [{**rows[part], "part": str(part)} for part in parts]


def fingerprint(recording: Recording, plan: Plan) -> str:
    """Return a name for the part that depends on the recording, the options and the source files.

    A file is identified by its path, size and modification time; a folder, by those of its files.

    Raises:
        InputError: The recording has a problem, or one of its files is missing.
    """
    if recording.problem:
        raise InputError(recording.problem)
    files = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in source_files(recording)]
    layout = [plan.dims, plan.points, plan.spread]
    plan_facts = [dict(plan.options), plan.version, ROW_VERSION, *layout]
    facts = dataclasses.asdict(dataclasses.replace(recording, split=""))
    text = json.dumps([facts, plan_facts, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def extract_part(recording: Recording, part: pathlib.Path, plan: Plan) -> Row:
    """Write the part of one recording, then its row; return the row, or `refused` for bad input."""
    temporary = part.with_name(f"{part.stem}.{uuid.uuid4().hex}.tmp")  # unique across machines
    try:
        row = _write_records(recording, temporary, plan)
        temporary.rename(part)
    except InputError as error:
        return {"refused": str(error)}
    except Exception as error:
        error.add_note(f"while extracting track {recording.track_id!r}, {dict(recording.files)}")
        raise
    finally:
        temporary.unlink(missing_ok=True)
    io.write_text(part.with_suffix(".json"), json.dumps(row))
    return row


def _write_records(recording: Recording, path: pathlib.Path, plan: Plan) -> Row:
    layout = features(plan.dims, plan.points, plan.spread)
    frames = face = labelled = used = records = 0
    target_sum, label_hash = np.zeros(len(plan.dims)), hashlib.sha256()
    spread_sum, spread_count = np.zeros(len(plan.dims)), np.zeros(len(plan.dims), int)
    last_s = -np.inf
    tally: Tally = collections.Counter()
    ids = {key: getattr(recording, key) for key in ("track_id", "video_id", "subject_id")}
    with shards.record_writer(path) as writer:
        fps, clips = plan.extract(recording, plan.config, tally)
        for clip in clips:
            if frames % CLIP_FRAMES:
                raise ValueError(f"clip {records} follows one with fewer than {CLIP_FRAMES} frames")
            if clip.spread is None:
                clip = clip._replace(spread=np.full_like(clip.target, np.nan))
            _check_clip(clip, plan, last_s)
            example = {**clip._asdict(), **ids, "first_frame": frames}
            writer.write(_serialize({key: example[key] for key in layout}, layout))
            has_label = np.isfinite(clip.target).all(1)
            label_hash.update(_canonical(clip.target))
            counted = clip.face & has_label
            frames += len(clip.frames)
            records += 1
            face += int(clip.face.sum())
            labelled += int(has_label.sum())
            used += int(counted.sum())
            target_sum += clip.target[counted].sum(0, dtype=np.float64)
            spread_sum += np.nansum(clip.spread[counted], 0, dtype=np.float64)
            spread_count += np.isfinite(clip.spread[counted]).sum(0)
            last_s = clip.time_s[-1]
    if not frames:
        source = ", ".join(recording.files.values()) or recording.track_id
        raise InputError(f"{source}: track {recording.track_id!r} has no frames; remove the track")
    return {
        "track": {**ids, "group": recording.group, "fps": float(fps), "frames": frames},
        "records": records,
        "bytes": path.stat().st_size,
        "face": face,
        "labelled": labelled,
        "used": used,
        "target_sum": target_sum.tolist(),
        "spread_sum": spread_sum.tolist(),
        "spread_count": spread_count.tolist(),
        "label_hash": label_hash.hexdigest(),
        "tally": {key: count for key, count in sorted(tally.items()) if count},
    }


def _canonical(target: np.ndarray) -> bytes:
    """Return the targets as bytes, with all NaNs encoded alike and -0.0 encoded as 0.0."""
    return np.where(np.isnan(target), np.float32(np.nan), target + np.float32(0)).tobytes()


def _serialize(example: dict[str, Any], layout: tfds.features.FeaturesDict) -> bytes:
    """Serialize like `layout.serialize_example`, but to the same bytes in every process.

    By default, Protobuf writes the entries of a map in an order that differs between processes.
    """
    encoded = layout.encode_example(example)
    info: Any = layout.get_serialized_info()
    proto = ExampleSerializer(info).get_tf_example(encoded)
    return proto.SerializeToString(deterministic=True)


def _check_clip(clip: Clip, plan: Plan, last_s: float) -> None:
    """Raise ValueError if a clip violates the contract of `types.Clip` (a bug in a builder)."""
    n = len(clip.frames)
    if not 0 < n <= CLIP_FRAMES:
        raise ValueError(f"a clip must have 1 to {CLIP_FRAMES} frames, got {n}")
    points = (n, plan.points, 2) if plan.points else None
    per_dim = (n, len(plan.dims))
    wanted = (("target", per_dim), ("face", (n,)), ("time_s", (n,)), ("spread", per_dim))
    for name, shape in (*wanted, ("landmarks", points)):
        value = getattr(clip, name)
        if (None if value is None else value.shape) != shape:
            raise ValueError(f"clip.{name}: expected {shape}, got {value}")
    low, high = LABEL_RANGE
    if np.any((clip.target < low) | (clip.target > high)):
        raise ValueError(f"clip.target is outside [{low}, {high}]: {clip.target}")
    if np.any(clip.spread < 0):
        raise ValueError(f"clip.spread is below 0: {clip.spread}")
    if not np.all(np.diff(clip.time_s, prepend=np.float32(last_s)) >= 0):
        raise ValueError(f"clip.time_s goes backwards from {last_s}: {clip.time_s}")
