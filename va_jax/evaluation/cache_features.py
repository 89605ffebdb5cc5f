"""Run a frozen backbone once over a data set, and store its features for later training runs."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from tqdm import tqdm

from va_jax.config import Config
from va_jax.data import eval_plan, features, pipeline, sets, sources
from va_jax.data.pipeline import WindowShape
from va_jax.data.sources import Source
from va_jax.data.windows import PADDING
from va_jax.io import read_json, write_json
from va_jax.models import inflate
from va_jax.models.build import build_model
from va_jax.models.regressor import Regressor
from va_jax.train import frozen, initialize, sharding
from va_jax.train.state import initial_variables
from va_jax.types import CLIP_FRAMES, InputError

PROGRESS = "progress.json"
SAVE_EVERY = 50
"""Number of batches after which the features are saved for a restart (our choice)."""


def cache(
    config: Config,
    out: pathlib.Path,
    kind: str = "float16",
    flip: bool = False,
    on_batch: Callable[[], None] = lambda: None,
) -> None:
    """Write the features of all splits of the config's data set to the new folder `out`.

    Until all features are finished, they are in `OUT.parts`, and the same call continues after the
    last batch that was saved. All devices of this process take part.

    Args:
        config: config of a run; `data`, `model`, `init` (the source of the backbone's weights) and
            `eval.batch_size` (clips of 32 frames per batch) are used.
        out: folder to write.
        kind: type of the stored features, a key of `features.TYPES`.
        flip: whether to store the features of the mirrored frames too.
        on_batch: function to call for every batch.

    Raises:
        InputError: the weights or the data set cannot be used, `out` exists, `OUT.parts` contains
            different features, or a feature is not finite in this type.
    """
    if out.exists():
        raise InputError(
            f"--out={out} already exists; choose a different folder, or delete this one"
        )
    if jax.process_count() > 1:
        raise InputError(
            "Cannot cache features in several processes. Start a single one, without --coordinator."
        )
    sharding.check_batch("eval.batch_size", config.eval.batch_size)
    data = config.data
    sets.check_single(data, "features belong to one data set; run the command once for each")
    metadata = sources.metadata(data.dir, data.name)
    model = build_model(config.model, tuple(metadata["dims"]))
    if inflate.reach(model.backbone.times()):
        raise InputError(
            f"model.inflation.taps={config.model.inflation.taps}: this backbone sees neighbouring "
            "frames, so its features depend on the window; use a 2-D network"
        )
    size = data.size or metadata["crop"]["size"]
    variables, source = _weights(config, model, size)
    facts = {
        "data": data.name, "size": size, "type": kind, "mirrored": flip, "source": source,
        "backbone": frozen.digest(variables), "width": _width(model, variables, size),
        "compute_dtype": jnp.dtype(model.backbone.dtype).name, "batch": config.eval.batch_size,
        "metadata": metadata,
    }  # fmt: skip
    parts = out.with_name(f"{out.name}.parts")
    _claim(parts, facts)
    writer = _Writer(config, model, variables, parts, facts, on_batch)
    for split, tracks in metadata["tracks"].items():
        if tracks:
            writer.write(split)
    (parts / PROGRESS).unlink()
    parts.rename(out)
    print(f"wrote the features to {out}; train on them with --data.features={out}")


def _weights(config: Config, model: Regressor, size: int) -> tuple[Any, str]:
    """Return the network's variables from the source in `init`, and its name."""
    initial = jax.jit(lambda: initial_variables(model, size, config.seed))()
    start = initialize.start(config, initial)
    if start is None:
        raise InputError(
            "init: no weights are given, but features of a random backbone are useless; set "
            "init.weights, init.from_workdir or init.from_export"
        )
    print(initialize.table(start, size))
    return start.variables, start.source


def _width(model: Regressor, variables: Any, size: int) -> int:
    shapes = model.inputs(1, 1, size)
    shape = jax.eval_shape(
        lambda *given: model.apply(*given, method="pool"),
        variables, shapes["frames"], shapes["face"],
    )  # fmt: skip
    return shape.shape[-1]


def _claim(parts: pathlib.Path, facts: dict[str, Any]) -> None:
    """Create the folder, or check that it contains the first part of the same features."""
    path = parts / features.NAME
    if not path.exists():
        parts.mkdir(parents=True, exist_ok=True)
        if any(each.name != PROGRESS for each in parts.iterdir()):
            raise InputError(
                f"{parts}: this folder contains files other than features; choose a different --out"
            )
        write_json(parts / PROGRESS, {})
        write_json(path, facts)
    there = read_json(path, f"delete {parts}")
    if not isinstance(there, dict) or not isinstance(there.get("metadata"), dict):
        raise InputError(f"{path}: not the description of features; delete {parts}")
    for key in ("data", "size", "type", "mirrored", "backbone", "compute_dtype", "batch"):
        if there.get(key) != facts[key]:
            raise InputError(
                f"{path}: the stored features have {key}={there.get(key)!r}, but this command uses "
                f"{facts[key]!r}; use the same value, delete {parts}, or choose a different --out"
            )
    if there["metadata"].get("split_hash") != facts["metadata"]["split_hash"]:
        raise InputError(
            f"{path}: the data set has been built again since these features were stored; delete "
            f"{parts}"
        )


class _Writer:
    """Writes features to a folder, one split after the other."""

    def __init__(
        self, config: Config, model: Regressor, variables: Any, folder: pathlib.Path,
        facts: dict[str, Any], on_batch: Callable[[], None],
    ):  # fmt: skip
        self._config, self._folder, self._facts, self._on_batch = config, folder, facts, on_batch
        self._mesh = sharding.make_mesh()
        self._variables = sharding.replicate(self._mesh, variables)
        layout = NamedSharding(self._mesh, PartitionSpec("data"))

        def pool(variables: Any, frames: Any, face: Any) -> tuple[Any, ...]:
            given = [frames, frames[..., ::-1, :]] if facts["mirrored"] else [frames]
            return tuple(model.apply(variables, each, face, method="pool") for each in given)

        self._pool = jax.jit(pool, out_shardings=layout)

    def write(self, split: str) -> None:
        """Write the features and labels of a split, skipping batches that are already stored."""
        data, facts = self._config.data, self._facts
        points = sources.stored_landmarks(data.dir, data.name)
        source = sources.open_split(data.dir, data.name, split, points, data.max_bad_records)
        plan = eval_plan.plan_windows(
            source.tracks, self._config.eval.batch_size, CLIP_FRAMES, CLIP_FRAMES, 1
        )
        done = read_json(self._folder / PROGRESS).get(split, 0)
        arrays = self._arrays(split, sum(track.frames for track in source.tracks), done > 0)
        rows = features.first_rows(source.tracks)
        shape = WindowShape(CLIP_FRAMES, 1, facts["size"])
        left = [step.read for step in plan[done:]]
        batches = pipeline.evaluation_batches(source, left, shape, data.threads) if left else ()
        for number, (windows, batch) in enumerate(
            zip(left, tqdm(batches, split, len(left), disable=None), strict=True), done + 1
        ):
            self._on_batch()
            inputs = sharding.shard_batch(self._mesh, (batch["frames"], batch["face"]))
            for array, values in zip(arrays, self._pool(self._variables, *inputs), strict=True):
                self._store(array, np.asarray(values), windows, source, rows)
            if number % SAVE_EVERY == 0 or number == len(plan):
                for array in arrays:
                    array.flush()
                write_json(
                    self._folder / PROGRESS, read_json(self._folder / PROGRESS) | {split: number}
                )
        for problem in source.bad.values():
            raise InputError(
                f"{problem}; all frames are required to store features: build the data set again"
            )
        _write_labels(self._folder / f"{split}.npz", source)

    def _arrays(self, split: str, frames: int, exist: bool) -> list[np.memmap]:
        names = [f"{split}.npy"] + [f"{split}.mirrored.npy"] * self._facts["mirrored"]
        shape, kind = (frames, self._facts["width"]), features.TYPES[self._facts["type"]]
        return [
            np.lib.format.open_memmap(
                self._folder / name, "r+" if exist else "w+", kind, None if exist else shape
            )
            for name in names
        ]

    def _store(
        self, array: np.memmap, values: np.ndarray, windows: Any, source: Source, rows: list[int]
    ) -> None:
        for window, clip in zip(windows, values, strict=True):
            if window == PADDING:
                continue
            track = source.tracks[window.track]
            count = min(CLIP_FRAMES, track.frames - window.first)
            stored = clip[:count].astype(array.dtype)
            if not np.isfinite(stored).all():
                raise InputError(
                    f"track {track.track_id!r}, frames {window.first} to "
                    f"{window.first + count - 1}: a feature is not finite as {array.dtype}; use "
                    "--type=float32, or check the weights"
                )
            first = rows[window.track] + window.first
            array[first : first + count] = stored


def _write_labels(path: pathlib.Path, source: Source) -> None:
    labels = [source.labels(track) for track in range(len(source.tracks))]
    columns = {
        key: np.concatenate([getattr(each, key) for each in labels])
        for key in labels[0]._fields
        if getattr(labels[0], key) is not None
    }
    np.savez(path, allow_pickle=False, **columns)
