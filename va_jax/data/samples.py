"""The first windows of a training run, each as it is stored and as the network gets it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from va_jax.data import pipeline, transforms, windows
from va_jax.data.pipeline import Batch, TrainingData
from va_jax.data.sources import Source
from va_jax.data.transforms import Colour, Geometry
from va_jax.types import Track

STATES = ("no face", "no label", "past the end")
"""Why a frame does not count; where several hold, the later one."""


class Sample(NamedTuple):
    """One window, with all that is known of it."""

    track: Track
    numbers: np.ndarray  # int64 [time], of the track's frames; behind its last one is padding
    time_s: np.ndarray  # float64 [time] in the video; behind the last frame at the mean rate
    target: np.ndarray  # float32 [time, dims]; NaN where unlabelled
    stored: Batch  # a batch's row, without augmentation and at the stored size
    fed: Batch  # the row of the training batch
    change: tuple[Geometry, Colour]  # what was drawn for it

    @property
    def states(self) -> list[str]:
        """For each frame its entry of STATES, "" where it counts."""
        unlabelled = ~np.isfinite(self.target).all(-1)
        states = np.where(self.fed["face"], "", "no face")
        states = np.where(unlabelled, "no label", states)
        return np.where(self.numbers < self.track.frames, states, "past the end").tolist()

    @property
    def share(self) -> float:
        """How much of the window counts: shows the face and is labelled."""
        return float(self.fed["mask"].mean())

    @property
    def span(self) -> str:
        """The frames of the track that it holds, for people."""
        numbers = self.numbers[self.numbers < self.track.frames].tolist()
        if len(numbers) < 2:
            return f"frame {numbers[0]}" if numbers else "no frames"
        stride = numbers[1] - numbers[0]
        return f"frames {numbers[0]} to {numbers[-1]}{f' by {stride}' * (stride > 1)}"


def first(
    source: Source,
    window: Mapping[str, Any],
    augment: Mapping[str, Any],
    size: int,
    count: int,
    seed: int,
) -> list[Sample]:
    """The first `count` windows that a run with these settings and `seed` trains on.

    Fewer where there are fewer. `window` and `augment` are the config's, `size` is the side of the
    fed frames in pixels. Raises InputError as `TrainingData` does.
    """
    data = TrainingData(source, window, augment, size, count, seed)
    length, stride = window["length"], window["stride"]
    places = range(min(count, len(data.windows)))
    return [_sample(data, place, length, stride, size) for place in places]


def _sample(data: TrainingData, place: int, length: int, stride: int, size: int) -> Sample:
    source, window, change = data.source, data.window(place), data.change(place)
    track, labels = source.tracks[window.track], source.labels(window.track)
    numbers = windows.numbers(window, length, stride)
    nearest = np.minimum(numbers, track.frames - 1)
    time_s = labels.time_s[nearest] + (numbers - nearest) / track.fps
    target = np.where((numbers == nearest)[:, None], labels.target[nearest], np.float32(np.nan))

    def row(size: int, change: tuple[Geometry, Colour]) -> Batch:
        batch = pipeline.read_batch(source, [window], length, stride, size, lambda _: change)
        return {key: values[0] for key, values in batch.items()}

    stored, fed = row(source.size, transforms.UNCHANGED), row(size, change)
    return Sample(track, numbers, time_s, target, stored, fed, change)


def describe(sample: Sample, dims: Sequence[str]) -> str:
    """A line: the track, its frames, how many of them count, and the mean labels of these."""
    mask = sample.fed["mask"]
    means = sample.target[mask].mean(0).tolist() if mask.any() else []
    told = [f"{dim} {mean:+.2f}" for dim, mean in zip(dims, means, strict=False)]
    return (
        f"{sample.track.track_id}: {sample.span}, {sample.share:.0%} count"
        f"{': mean ' * bool(told)}{', '.join(told)}"
    )
