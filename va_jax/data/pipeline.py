"""Batches of windows: an endless shuffled stream for training, and a fixed plan for evaluation."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from va_jax.config import Config
from va_jax.data import landmarks, transforms, windows
from va_jax.data.features import FeatureSource
from va_jax.data.rater_weights import RaterWeights
from va_jax.data.sources import Labels, Source
from va_jax.data.transforms import Colour, Geometry
from va_jax.data.windows import Window
from va_jax.types import InputError

Batch = dict[str, Any]
"""A batch of windows with these keys:
frames: uint8 [batch, time, size, size, 3]; None if the source has features instead.
pooled: float32 [batch, time, width], only if the source has features.
target: float32 [batch, time, dims]; 0 if unlabelled.
face: bool [batch, time]; True if the frame shows the face and is not padding.
mask: bool [batch, time]; True if `face` is True and the frame is labelled.
weight: float32 [batch, time, dims], only in training with `loss.rater_weight`; how much the frame
counts in the loss.
landmarks: float32 [batch, time, points, 2], present only if the source reads landmarks; x and y
from -1 (left or top border of the frame) to 1, or 0 if unknown.
dataset: int32 [batch], index of the row's data set, present only with `model.heads=per_set`."""

LABELS = ("target", "mask", "weight")
"""Entries of a batch that only the loss uses."""

ENDLESS = 2**48
"""Number of windows in the training stream; slicing a truly endless Grain stream overflows."""


@dataclasses.dataclass(frozen=True)
class WindowShape:
    """Length, spacing and frame size of the windows in a batch."""

    length: int  # frames
    stride: int  # distance between successive frames in the window, in frames
    size: int  # side of each frame in the batch, in pixels


class TrainingData:
    """An endless, shuffled stream of training batches for one process.

    Batch i contains windows i * batch_size to (i + 1) * batch_size - 1 of a global order, which is
    reshuffled every epoch and does not depend on the number of processes. Process p of P loads the
    p-th of P equal parts of each batch. Therefore, a run can resume at any batch with any number of
    processes.

    Args:
        source: split to train on.
        config: config of the run; `window`, `augment`, `data.size`, `loss.rater_weight`,
            `train.batch_size` and `seed` are used.
        process: index of this process.
        processes: number of processes.

    Raises:
        InputError: a track is shorter than a window, the landmarks cannot be mirrored, or the
            spread between raters is required but not stored.
    """

    def __init__(
        self, source: Source | FeatureSource, config: Config, process: int = 0, processes: int = 1
    ):
        if config.augment.flip and source.landmarks not in (0, *landmarks.MIRROR):
            raise InputError(
                f"augment.flip={config.augment.flip}: a set of {source.landmarks} landmarks cannot "
                f"be mirrored, only sets of {', '.join(map(str, sorted(landmarks.MIRROR)))}; "
                "set augment.flip=False"
            )
        window = config.window
        if config.augment.flip and isinstance(source, FeatureSource) and source.mirrored is None:
            raise InputError(
                "augment.flip=True: data.features contains no features of mirrored frames; set "
                "augment.flip=False, or cache the features again with `va_jax features --flip`"
            )
        self.source, self.weights = source, _rater_weights(source, config)
        self.windows = windows.training_windows(
            source.tracks, window.length, window.hop, window.stride, window.remainder
        )
        shape = WindowShape(window.length, window.stride, config.data.size or source.size)
        local = config.train.batch_size // processes

        def load(index: int, chosen: np.ndarray) -> Batch:
            first = (index * processes + process) * local  # position in the global order
            items = [self.windows[number] for number in chosen]
            return read_batch(
                source, items, shape, lambda row: self.change(first + row), self.weights
            )

        self._config = config
        epochs = 1 + ENDLESS // len(self.windows)
        everything = grain.MapDataset.range(len(self.windows))
        self._order: Any = everything.seed(config.seed).shuffle().repeat(epochs)
        self._local = self._order.batch(local)[process::processes].map_with_index(load)

    def batches(self, start: int, threads: int) -> Iterator[Batch]:
        """Return an endless iterator over this process's parts of batches, from `start` on."""
        iterator = iter(self._local.to_iter_dataset(read_options(threads)))
        iterator.set_state({"next_index": start})
        return iterator

    def window(self, place: int) -> Window:
        """Return the window at a position, counted from 0, in the global order."""
        return self.windows[self._order[place]]

    def change(self, place: int) -> tuple[Geometry, Colour]:
        """Return the augmentation of the window at a position in the global order."""
        return transforms.draw(
            np.random.default_rng([self._config.seed, place]), self._config.augment
        )

    def track_ids(self, index: int) -> list[str]:
        """Return the ids of the tracks in global batch `index`."""
        batch = self._config.train.batch_size
        places = range(index * batch, (index + 1) * batch)
        tracks = {self.window(place).track for place in places}
        return sorted(self.source.tracks[track].track_id for track in tracks)


def network_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a batch that are inputs of the network."""
    return {name: value for name, value in batch.items() if name not in LABELS}


def evaluation_batches(
    source: Source | FeatureSource,
    plan: Sequence[Sequence[Window]],
    shape: WindowShape,
    threads: int,
    process: int = 0,
    processes: int = 1,
) -> Iterator[Batch]:
    """Return an iterator over this process's part of each batch in a plan, in the plan's order.

    Args:
        source: split to evaluate.
        plan: windows in every batch; all batches contain the same number of windows.
        shape: shape of the windows.
        threads: number of threads that decode JPEGs.
        process: index of this process.
        processes: number of processes.
    """
    local = len(plan[0]) // processes

    def load(index: int) -> Batch:
        items = plan[index][process * local : (process + 1) * local]
        return read_batch(source, items, shape)

    dataset = grain.MapDataset.range(len(plan)).map(load)
    return iter(dataset.to_iter_dataset(read_options(threads)))


def read_batch(
    source: Source | FeatureSource,
    items: Sequence[Window],
    shape: WindowShape,
    draw: Callable[[int], tuple[Geometry, Colour]] = lambda row: transforms.UNCHANGED,
    weights: RaterWeights | None = None,
) -> Batch:
    """Read windows as a batch; frames before or after their track are black and masked.

    Args:
        source: split to read from.
        items: windows, one per row.
        shape: shape of the windows.
        draw: function that returns the augmentation for a row.
        weights: weights of the frames in the loss; None for a batch without the key `weight`.
    """
    batch = empty_batch(source, len(items), shape, weights is not None)
    for row, window in enumerate(items):
        arrays = {key: values[row] for key, values in batch.items() if values is not None}
        read_row(arrays, source, window, shape, draw(row), weights)
    return batch


def empty_batch(
    source: Source | FeatureSource, rows: int, shape: WindowShape, weighted: bool = False
) -> Batch:
    """Return a batch for windows of a source; its frames are not set, all other values are zero.

    If `weighted`, it also contains `weight`, which is 1.
    """
    axes = (rows, shape.length)
    if isinstance(source, FeatureSource):
        images = {"frames": None, "pooled": np.zeros((*axes, source.width), np.float32)}
    else:
        images = {"frames": np.empty((*axes, shape.size, shape.size, 3), np.uint8)}
    batch: Batch = {
        **images,
        "target": np.zeros((*axes, len(source.dims)), np.float32),
        "mask": np.zeros(axes, bool),
        "face": np.zeros(axes, bool),
    }
    if source.landmarks:
        batch["landmarks"] = np.zeros((*axes, source.landmarks, 2), np.float32)
    if weighted:
        batch["weight"] = np.ones_like(batch["target"])
    return batch


def read_row(
    row: Batch,
    source: Source | FeatureSource,
    window: Window,
    shape: WindowShape,
    change: tuple[Geometry, Colour],
    weights: RaterWeights | None = None,
) -> None:
    """Write a window to the arrays of one row, which must be as `empty_batch` creates them."""
    geometry, colour = change
    numbers = windows.frame_numbers(window, shape.length, shape.stride)
    real = windows.real_frames(source.tracks, window, numbers)
    if isinstance(source, FeatureSource):
        if real.start < real.stop:
            pooled = row["pooled"][real]
            labels = source.read(window.track, numbers[real], pooled, geometry.flip)
            _write_labels(row, labels, real, geometry, weights)
        return
    stored = (shape.length, source.size, source.size, 3)
    # Unless the size changes, decode directly into the batch: a copy takes 10 % of the decode time.
    frames = row["frames"] if row["frames"].shape == stored else np.empty(stored, np.uint8)
    frames[: real.start] = frames[real.stop :] = 0
    if real.start < real.stop:
        labels = source.read(window.track, numbers[real], frames[real])
        _write_labels(row, labels, real, geometry, weights)
    changed = transforms.recolour(transforms.warp(frames, shape.size, geometry), colour)
    if changed is not row["frames"]:
        row["frames"][:] = changed


def _rater_weights(source: Source | FeatureSource, config: Config) -> RaterWeights | None:
    """Return the weights of the frames in the loss, or None if all frames count alike.

    Raises:
        InputError: the data set does not store the spread between raters.
    """
    bound, data = config.loss.rater_weight, config.data
    if not bound:
        return None
    if not source.spread:
        again = "and cache its features again with `va_jax features` " if data.features else ""
        raise InputError(
            f"loss.rater_weight={bound:g}: split {data.train!r} of data.name={data.name!r} does "
            f"not contain the spread between raters; set it to 0 or, if the label files contain "
            f"several raters, build the set again with --overwrite {again}".rstrip()
        )
    typical = [source.spread.get(dim, np.nan) for dim in source.dims]
    return RaterWeights(bound, np.array(typical))


def _write_labels(
    row: Batch, labels: Labels, real: slice, geometry: Geometry, weights: RaterWeights | None
) -> None:
    labelled = np.all(np.isfinite(labels.target), axis=-1)
    row["target"][real] = np.where(labelled[:, None], labels.target, 0)
    row["face"][real] = labels.face
    row["mask"][real] = labels.face & labelled
    if weights is not None and labels.spread is not None:
        row["weight"][real] = weights.of(labels.spread)
    if labels.landmarks is not None:
        row["landmarks"][real] = landmarks.move(labels.landmarks, labels.face, geometry)


def read_options(threads: int) -> grain.ReadOptions:
    """Return the options for reading batches in `threads` threads."""
    return grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
