"""Batches for training, in an order fixed by seed and step, and for evaluation, in a fixed plan."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from va_jax.data import transforms, windows
from va_jax.data.sources import Source
from va_jax.data.windows import Window

Batch = dict[str, np.ndarray]
"""frames uint8 [batch, time, size, size, 3]; target float32 [batch, time, dims], 0 if unlabelled;
mask and face bool [batch, time]: `face` says that the frame shows the face and is no padding,
`mask` that it is also labelled."""

ENDLESS = 2**48
"""Windows after which the stream ends; Grain's own endless length overflows when it is sliced."""


class TrainingData:
    """The endless, shuffled stream of training batches of one process.

    Batch `i` holds windows i * batch .. (i + 1) * batch - 1 of one global order, re-drawn every
    epoch, whatever the number of processes: process p of P loads the p-th of P equal parts of it.
    So a run resumes at batch `i` on any number of processes.
    """

    def __init__(
        self,
        source: Source,
        window: Mapping[str, Any],
        augment: Mapping[str, Any],
        size: int,
        batch: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
    ):
        self.source = source
        self.windows = windows.training_windows(source.tracks, **window)
        length, stride = window["length"], window["stride"]

        def load(index: int) -> Batch:
            return read_window(source, self.windows[index], length, stride)

        def transform(item: Batch, rng: np.random.Generator) -> Batch:
            return item | {"frames": transforms.augment(item["frames"], rng, augment, size)}

        self._batch = batch
        epochs = 1 + ENDLESS // len(self.windows)
        self._order = grain.MapDataset.range(len(self.windows)).seed(seed).shuffle().repeat(epochs)
        batches = self._order.map(load).random_map(transform).batch(batch // processes)
        self._local = batches[process::processes]

    def __len__(self) -> int:
        """Batches in an epoch, the last one counted if begun."""
        return -(-len(self.windows) // self._batch)

    def batches(self, start: int, threads: int) -> Iterator[Batch]:
        """Endless iterator over this process's part of batches `start`, `start` + 1, ..."""
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
        iterator = iter(self._local.to_iter_dataset(options))
        iterator.set_state({"next_index": start})
        return iterator

    def track_ids(self, index: int) -> list[str]:
        """Ids of the tracks in global batch `index`."""
        items = range(index * self._batch, (index + 1) * self._batch)
        tracks = {self.windows[self._order[i]].track for i in items}
        return sorted(self.source.tracks[track].track_id for track in tracks)


def evaluation_batches(
    source: Source,
    plan: Sequence[tuple[bool, list[Window]]],
    length: int,
    stride: int,
    size: int,
    threads: int,
    process: int = 0,
    processes: int = 1,
) -> Iterator[Batch]:
    """This process's part of each batch of an evaluation plan, in the plan's order."""
    local = len(plan[0][1]) // processes
    items = [
        window
        for _, batch in plan
        for window in batch[process * local : (process + 1) * local]
    ]  # fmt: skip

    def load(index: int) -> Batch:
        item = read_window(source, items[index], length, stride)
        return item | {"frames": transforms.warp(item["frames"], size)}

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
    return iter(grain.MapDataset.range(len(items)).map(load).batch(local).to_iter_dataset(options))


def read_window(source: Source, window: Window, length: int, stride: int) -> Batch:
    """One window, without the batch axis; frames past the track's end are black and masked."""
    numbers = windows.numbers(window, length, stride)
    real = numbers < source.tracks[window.track].frames if window.track >= 0 else numbers < 0
    item = {
        "frames": np.zeros((length, source.size, source.size, 3), np.uint8),
        "target": np.zeros((length, len(source.dims)), np.float32),
        "mask": np.zeros(length, bool),
        "face": np.zeros(length, bool),
    }
    if real.any():
        read = source.read(window.track, numbers[real])
        labelled = np.isfinite(read.target).all(-1)
        item["frames"][real] = read.frames
        item["target"][real] = np.where(labelled[:, None], read.target, 0)
        item["face"][real] = read.face
        item["mask"][real] = read.face & labelled
    return item
