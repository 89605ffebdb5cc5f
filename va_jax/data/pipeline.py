"""Batches for training, in an order fixed by seed and step, and for evaluation, in a fixed plan."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from va_jax.data import landmarks, transforms, windows
from va_jax.data.sources import Source
from va_jax.data.transforms import Colour, Geometry
from va_jax.data.windows import Window
from va_jax.types import InputError

Batch = dict[str, np.ndarray]
"""frames uint8 [batch, time, size, size, 3]; target float32 [batch, time, dims], 0 if unlabelled;
mask and face bool [batch, time]: `face` says that the frame shows the face and is no padding,
`mask` that it is also labelled. Where the source reads them, landmarks float32
[batch, time, points, 2]: x, y from -1 (left, top border of the frames) to 1, 0 where unknown."""

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
        if augment["flip"] and source.landmarks not in (0, *landmarks.MIRROR):
            raise InputError(
                f"augment.flip={augment['flip']}, but which of {source.landmarks} landmarks mirror "
                f"each other is known of {sorted(landmarks.MIRROR)} points only; set it to False"
            )
        self.source = source
        self.windows = windows.training_windows(source.tracks, **window)
        length, stride = window["length"], window["stride"]
        local = batch // processes

        def load(index: int, chosen: np.ndarray) -> Batch:
            first = (index * processes + process) * local  # place in the global order
            items = [self.windows[window] for window in chosen]
            return read_batch(
                source, items, length, stride, size, lambda row: self.change(first + row)
            )

        self._batch, self._seed, self._augment = batch, seed, augment
        epochs = 1 + ENDLESS // len(self.windows)
        self._order = grain.MapDataset.range(len(self.windows)).seed(seed).shuffle().repeat(epochs)
        self._local = self._order.batch(local)[process::processes].map_with_index(load)

    def batches(self, start: int, threads: int) -> Iterator[Batch]:
        """Endless iterator over this process's part of batches `start`, `start` + 1, ..."""
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
        iterator = iter(self._local.to_iter_dataset(options))
        iterator.set_state({"next_index": start})
        return iterator

    def window(self, place: int) -> Window:
        """The window at a place, counted from 0, of the global order."""
        return self.windows[self._order[place]]

    def change(self, place: int) -> tuple[Geometry, Colour]:
        """What the augmentation does to the window at a place of the global order."""
        return transforms.draw(np.random.default_rng([self._seed, place]), self._augment)

    def track_ids(self, index: int) -> list[str]:
        """Ids of the tracks in global batch `index`."""
        places = range(index * self._batch, (index + 1) * self._batch)
        tracks = {self.window(place).track for place in places}
        return sorted(self.source.tracks[track].track_id for track in tracks)


def evaluation_batches(
    source: Source,
    plan: Sequence[Sequence[Window]],
    length: int,
    stride: int,
    size: int,
    threads: int,
    process: int = 0,
    processes: int = 1,
) -> Iterator[Batch]:
    """This process's part of each batch of windows of a plan, in the plan's order."""
    local = len(plan[0]) // processes

    def load(index: int) -> Batch:
        items = plan[index][process * local : (process + 1) * local]
        return read_batch(source, items, length, stride, size, lambda _: transforms.UNCHANGED)

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
    return iter(grain.MapDataset.range(len(plan)).map(load).to_iter_dataset(options))


def read_batch(
    source: Source,
    items: Sequence[Window],
    length: int,
    stride: int,
    size: int,
    draw: Callable[[int], tuple[Geometry, Colour]],
) -> Batch:
    """Windows as a batch; what lies before or past a track is black and masked.

    `draw(row)` says how the frames and landmarks of a row change, apart from the side `size`;
    frames are decoded into their place in the batch where no other size is asked for, and copied
    only where they change.
    """
    shape = (len(items), length)
    batch = {
        "frames": np.empty((*shape, size, size, 3), np.uint8),
        "target": np.zeros((*shape, len(source.dims)), np.float32),
        "mask": np.zeros(shape, bool),
        "face": np.zeros(shape, bool),
    }
    if source.landmarks:
        batch["landmarks"] = np.zeros((*shape, source.landmarks, 2), np.float32)
    for row, window in enumerate(items):
        geometry, colour = draw(row)
        place = batch["frames"][row]
        stored = (length, source.size, source.size, 3)
        frames = place if place.shape == stored else np.empty(stored, np.uint8)
        numbers = windows.numbers(window, length, stride)
        real = windows.real_frames(source.tracks, window, numbers)
        frames[: real.start] = frames[real.stop :] = 0
        if real.start < real.stop:
            labels = source.read(window.track, numbers[real], frames[real])
            labelled = np.isfinite(labels.target).all(-1)
            batch["target"][row, real] = np.where(labelled[:, None], labels.target, 0)
            batch["face"][row, real] = labels.face
            batch["mask"][row, real] = labels.face & labelled
            if labels.landmarks is not None:
                moved = landmarks.move(labels.landmarks, labels.face, geometry)
                batch["landmarks"][row, real] = moved
        changed = transforms.recolour(transforms.warp(frames, size, geometry), colour)
        if changed is not place:
            place[:] = changed
    return batch
