"""Inflation: where a 2-D network gets temporal taps, and its weights with them (teixeira2021).

A kernel [height, width, in, out] becomes one of [taps, height, width, in, out]; everything else,
biases and batch norms included, is taken over as it is. A network with one tap everywhere is the
2-D network, frame by frame.
"""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from va_jax.types import InputError

WAYS = ("centred", "copied")
"""centred: the middle tap holds the kernel, the others 0, so the network starts as the 2-D one.
copied: every tap holds the kernel divided by their number, so it starts as its mean over time."""

PADDINGS = ("zero", "edge")
"""What stands before a clip's first frame and behind its last one: zeros, or that frame again."""


@dataclasses.dataclass(frozen=True)
class Time:
    """How one convolution or pool reaches over frames; the default leaves every frame alone."""

    taps: int = 1
    dilation: int = 1  # frames between taps
    stride: int = 1  # frames between outputs
    padding: str = "zero"  # one of PADDINGS


@dataclasses.dataclass(frozen=True)
class Inflation:
    """Which convolutions of a network reach over time, and how far.

    Layout `spatial` is the papers': all of VGG's convolutions, a ResNet's stem and its 3x3
    convolutions have `taps` taps, its 1x1 convolutions one. Layout `kinetics` is that of the
    I3D-ResNet-50 trained on Kinetics (Wang et al., 2018): five taps in the stem, `taps` in the
    first 1x1 of every second bottleneck. What that network pools over time has no weights and is
    left to `pool_taps`.
    """

    taps: int = 1  # odd
    layout: str = "spatial"  # or kinetics
    dilation: tuple[int, ...] = ()  # per stage, the stem apart; (): 1 everywhere
    strided: bool = False  # time is strided wherever space is
    pool_taps: int = 1  # frames in a pool, odd
    padding: str = "zero"  # one of PADDINGS

    def stem(self) -> Time:
        """Of a ResNet's first convolution."""
        taps = 5 if self.layout == "kinetics" and self.taps > 1 else self.taps
        return Time(taps, 1, self._stride(2), self.padding)

    def spatial(self, stage: int, stride: int = 1) -> Time:
        """Of a convolution over several pixels, in `stage`, with this stride in space."""
        taps = self.taps if self.layout == "spatial" else 1
        return Time(taps, self._dilation(stage), self._stride(stride), self.padding)

    def pointwise(self, stage: int, index: int, stride: int = 1) -> Time:
        """Of the first 1x1 convolution of the bottleneck number `index` of `stage`."""
        first = {0: 1, 3: 1}.get(stage, 0)  # Kinetics: stage 0 has taps in all, stage 3 in 1, 3..
        chosen = self.layout == "kinetics" and (stage == 0 or index % 2 == first)
        taps = self.taps if chosen else 1
        return Time(taps, self._dilation(stage), self._stride(stride), self.padding)

    def pool(self) -> Time:
        """Of a pool of stride 2."""
        return Time(self.pool_taps, 1, self._stride(2), self.padding)

    def shortcut(self, stride: int) -> Time:
        """Of the 1x1 convolution beside a block of that stride: one tap."""
        return Time(stride=self._stride(stride))

    def _dilation(self, stage: int) -> int:
        return self.dilation[stage] if self.dilation else 1

    def _stride(self, stride: int) -> int:
        return stride if self.strided else 1


FLAT = Inflation()
"""No convolution reaches over time: the 2-D network."""


def inflate(kernel: np.ndarray, taps: int, way: str) -> np.ndarray:
    """The 3-D kernel [taps, height, width, in, out] of a 2-D one [height, width, in, out].

    `way` is one of `WAYS`. Where a clip repeats one frame, the 3-D convolution gives what the 2-D
    one gives for it; `copied` needs edge padding for that at the clip's ends.
    """
    if way not in WAYS:
        raise InputError(f"init.inflate={way!r} is unknown; legal: {', '.join(WAYS)}")
    if kernel.ndim != 4 or taps % 2 == 0:
        raise ValueError(f"a kernel of shape {kernel.shape} cannot be inflated to {taps} taps")
    if way == "copied":
        return np.repeat(kernel[None] / np.float32(taps), taps, axis=0)
    inflated = np.zeros((taps, *kernel.shape), kernel.dtype)
    inflated[taps // 2] = kernel
    return inflated


def reach(times: Iterable[Time]) -> int:
    """Frames that a network sees on either side of those that one of its outputs stands for.

    `times` are its convolutions and pools, one after the other; those beside others reach less far.
    """
    frames, stride = 0, 1
    for time in times:
        frames += stride * time.dilation * (time.taps // 2)
        stride *= time.stride
    return frames


def time_stride(times: Iterable[Time]) -> int:
    """Frames that each output of a network stands for."""
    return math.prod(time.stride for time in times)
