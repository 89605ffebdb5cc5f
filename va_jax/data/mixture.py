"""Training batches from several data sets, each with an exact share of the windows."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import grain
import numpy as np

from va_jax.config import Config, with_values
from va_jax.data import pipeline, sets
from va_jax.data.pipeline import ENDLESS, Batch, TrainingData, WindowShape
from va_jax.data.sets import OpenSet
from va_jax.types import InputError

MOST = 10**6
"""Largest number of windows after which the order of the data sets repeats; our choice."""


class Order:
    """The data set from which each window comes, and its number among the windows of that set.

    The order is periodic. Each period contains every data set exactly according to its share, and
    the windows of each data set are spread evenly over the period. `grain.MapDataset.mix` would
    round shares such as 3 to 7 to hundredths of the smallest one.

    Raises:
        InputError: the period would be longer than `MOST` windows.
    """

    def __init__(self, shares: Sequence[Fraction]):
        self.period = math.lcm(*(share.denominator for share in shares))
        if self.period > MOST:
            raise InputError(
                f"data.weights: {', '.join(f'{float(share):.6g}' for share in shares)} repeat only "
                f"after {self.period:,} windows; use weights with fewer digits"
            )
        self.counts = [int(share * self.period) for share in shares]
        centres = np.concatenate([(np.arange(n) + 0.5) / n for n in self.counts])
        numbers = np.concatenate([np.arange(n) for n in self.counts])
        owners = np.repeat(np.arange(len(shares)), self.counts)
        order = np.argsort(centres, stable=True)
        self._owners, self._numbers = owners[order], numbers[order]

    def __getitem__(self, place: int) -> tuple[int, int]:
        """Return the index of the data set, and the window's number in it, for a place."""
        rounds, rest = divmod(place, self.period)
        owner = int(self._owners[rest])
        return owner, rounds * self.counts[owner] + int(self._numbers[rest])


class MixedData:
    """An endless stream of training batches from several data sets, for one process.

    Like that of `TrainingData`, the global order of windows depends only on the seed, so a run can
    resume at any batch with any number of processes. Each data set is shuffled and repeated in its
    own epochs. The windows of a batch are shuffled, so that pieces of a batch (`train.accumulate`)
    do not consist of a single data set.

    Args:
        opened: the data sets.
        config: config of the run; with `model.heads=per_set`, batches contain `dataset`, int32
            [batch]: the index of the data set of each window.
        process: index of this process.
        processes: number of processes.

    Raises:
        InputError: see `TrainingData` and `Order`.
    """

    def __init__(
        self, opened: Sequence[OpenSet], config: Config, process: int = 0, processes: int = 1
    ):
        self.parts = [_part(each, number) for number, each in enumerate(opened)]
        self._names = [each.name for each in opened]
        size = config.data.size or opened[0].train.size
        length = config.window.length
        self._shapes = [WindowShape(length, each.config.window.stride, size) for each in opened]
        self._order, self._config = Order(sets.shares(config)), config
        self._local, self._first = config.train.batch_size // processes, process

    def batches(self, start: int, threads: int) -> Iterator[Batch]:
        """Return an endless iterator over this process's parts of batches, from `start` on."""
        dataset = grain.MapDataset.range(ENDLESS).map(self._load)
        iterator = iter(dataset.to_iter_dataset(pipeline.read_options(threads)))
        iterator.set_state({"next_index": start})
        return iterator

    def places(self, index: int) -> list[int]:
        """Return the places, in the global order, of the windows in global batch `index`."""
        batch = self._config.train.batch_size
        rows = np.random.default_rng([self._config.seed, index]).permutation(batch)
        return (index * batch + rows).tolist()

    def track_ids(self, index: int) -> list[str]:
        """Return the data sets and ids of the tracks in global batch `index`."""
        found = set()
        for place in self.places(index):
            number, in_set = self._order[place]
            part = self.parts[number]
            track = part.source.tracks[part.window(in_set).track]
            found.add(f"{self._names[number]}/{track.track_id}")
        return sorted(found)

    def _load(self, index: int) -> Batch:
        own = slice(self._first * self._local, (self._first + 1) * self._local)
        places = self.places(index)[own]
        owners = [self._order[place] for place in places]
        weighted = self._config.loss.rater_weight > 0
        batch = pipeline.empty_batch(self.parts[0].source, self._local, self._shapes[0], weighted)
        for row, (place, (number, in_set)) in enumerate(zip(places, owners, strict=True)):
            part, shape = self.parts[number], self._shapes[number]
            arrays = {key: values[row] for key, values in batch.items() if values is not None}
            # The place in the global order, not in the set: no two windows of a run are changed
            # by the same draw.
            change = self.parts[0].change(place)
            window = part.window(in_set)
            pipeline.read_row(arrays, part.source, window, shape, change, part.weights)
        if self._config.model.heads == "per_set":
            batch["dataset"] = np.array([number for number, _ in owners], np.int32)
        return batch


def training_data(
    opened: Sequence[OpenSet], config: Config, process: int = 0, processes: int = 1
) -> TrainingData | MixedData:
    """Return the stream of training batches from one data set or several."""
    if len(opened) == 1:
        return TrainingData(opened[0].train, opened[0].config, process, processes)
    return MixedData(opened, config, process, processes)


def _part(opened: OpenSet, number: int) -> TrainingData:
    """Return the windows of one data set, shuffled differently from those of the others."""
    seed = np.random.SeedSequence([opened.config.seed, number]).generate_state(1)[0]
    try:
        return TrainingData(opened.train, with_values(opened.config, seed=int(seed)))
    except InputError as error:
        raise InputError(f"data set {opened.name!r}: {error}") from error
