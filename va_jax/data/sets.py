"""Several data sets in one run: the config of each, what they must share, and their shares."""

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction

from va_jax.config import Config, Data, with_values
from va_jax.data.features import FeatureSource
from va_jax.data.sources import Source
from va_jax.types import InputError, Track

SPACING = 1.2
"""Ratio between the largest and the smallest spacing of frames, in seconds, above which a run
prints a warning; our choice."""


@dataclasses.dataclass(frozen=True)
class OpenSet:
    """The opened splits of one data set of a run."""

    config: Config  # config of the run, reduced to this data set
    train: Source | FeatureSource
    dev: Source | FeatureSource

    @property
    def name(self) -> str:
        return self.config.data.name


def one_by_one(config: Config) -> tuple[Config, ...]:
    """Return a config for each data set: that of the run, reduced to this data set.

    `window.stride` and `data.features` are those of the data set. So all code for a single data set
    works with such a config.
    """
    data = config.data
    strides = data.strides or (config.window.stride,) * len(data.names)
    folders = data.features_folders or ("",) * len(data.names)
    if len(data.names) == 1 and not (data.weights or data.strides):
        return (config,)
    return tuple(
        with_values(
            config,
            **{
                "data.name": name,
                "data.weights": (),
                "data.strides": (),
                "window.stride": stride,
                "data.features": folder,
                "model.heads": "shared",
            },
        )
        for name, stride, folder in zip(data.names, strides, folders, strict=True)
    )


def named(config: Config, name: str) -> Config:
    """Return the config of the data set `name`, which must be one of the run's."""
    return one_by_one(config)[config.data.names.index(name)]


def with_config(opened: Sequence[OpenSet], config: Config) -> list[OpenSet]:
    """Return the data sets with the values of a changed config of the run."""
    pairs = zip(opened, one_by_one(config), strict=True)
    return [dataclasses.replace(each, config=reduced) for each, reduced in pairs]


def shares(config: Config) -> tuple[Fraction, ...]:
    """Return the exact share of training windows that come from each data set; they sum to 1."""
    data = config.data
    weights = [Fraction(repr(weight)) for weight in data.weights] or [Fraction(1)] * len(data.names)
    return tuple(weight / sum(weights) for weight in weights)


def check_single(data: Data, reason: str) -> None:
    """Raise InputError if there are several data sets; the message contains the reason."""
    if len(data.names) > 1:
        first = data.names[0]
        raise InputError(f"data.name={data.name!r}: {reason}, such as --data.name={first}")


def check_alike(opened: Sequence[OpenSet]) -> None:
    """Check that one network can be trained on all data sets.

    Raises:
        InputError: they differ in their dimensions, or in their size while `data.size` is 0.
    """
    first, *others = opened
    for other in others:
        if other.train.dims != first.train.dims:
            raise InputError(
                f"data set {other.name!r} has the dimensions {', '.join(other.train.dims)}, but "
                f"{first.name!r} has {', '.join(first.train.dims)}; train on data sets with the "
                "same dimensions in the same order"
            )
    sizes = {each.name: each.train.size for each in opened}
    if not first.config.data.size and len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} ({size} px)" for name, size in sizes.items())
        raise InputError(
            f"data.size=0 stands for the stored size, but the sizes of {listed} differ; set "
            "data.size to the size for the network"
        )


def describe(config: Config, opened: Sequence[OpenSet]) -> Iterator[str]:
    """Yield a line for each data set: its train split, its share, and the length of its windows."""
    for each, share in zip(opened, shares(config), strict=True):
        tracks, window = each.train.tracks, each.config.window
        minutes = sum(track.frames / track.fps for track in tracks) / 60
        spacing_s = _spacing_s(each)
        yield (
            f"{each.name}: {len(tracks):,} tracks, {minutes:,.1f} minutes, {_fps(tracks):.4g} fps, "
            f"{float(share):.1%} of the windows; a window covers {window.length * spacing_s:.3g} s"
        )


def spacing_warning(opened: Sequence[OpenSet]) -> str | None:
    """Return a warning if the frames in a window are spaced differently in the data sets."""
    spacings = {each.name: _spacing_s(each) for each in opened}
    if max(spacings.values()) <= SPACING * min(spacings.values()):
        return None
    listed = ", ".join(f"{spacing_s:.3g} s in {name}" for name, spacing_s in spacings.items())
    return (
        f"the frames in a window are {listed} apart, so the network sees the same movement at "
        "different speeds; set data.strides to one stride for each data set to bring them closer"
    )


def _spacing_s(opened: OpenSet) -> float:
    return opened.config.window.stride / _fps(opened.train.tracks)


def _fps(tracks: Sequence[Track]) -> float:
    """Return the mean frame rate, in frames per second."""
    return sum(track.frames for track in tracks) / sum(track.frames / track.fps for track in tracks)
