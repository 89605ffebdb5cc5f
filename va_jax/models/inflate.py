"""Inflation: give the convolutions of a 2-D network taps in time, and its weights with them.

As in teixeira2021, a kernel [height, width, in, out] becomes one of [taps, height, width, in, out];
everything else, including biases and batch norms, stays as it is. A network with one tap everywhere
is the 2-D network applied frame by frame.
"""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from va_jax.types import InputError

WAYS = ("centred", "copied")
"""centred: the middle tap holds the kernel and the others 0, so the network starts as the 2-D one.
copied: every tap holds the kernel divided by the number of taps, so it starts as its mean over
time."""


@dataclasses.dataclass(frozen=True)
class Time:
    """Extent in time of one convolution or pool; by default a single frame."""

    taps: int = 1
    dilation: int = 1  # frames between taps
    stride: int = 1  # frames between outputs
    padding: str = "zero"  # beyond the ends of a clip: zero, or edge for the frame there again


@dataclasses.dataclass(frozen=True)
class Inflation:
    """Extent in time of all convolutions and pools of a network.

    In the layout `spatial` of the papers, all convolutions of a VGG, and the stem and the 3x3
    convolutions of a ResNet, have `taps` taps, and 1x1 convolutions have one. The layout `kinetics`
    is that of the I3D-ResNet-50 trained on Kinetics (Wang et al., 2018): five taps in the stem, and
    `taps` in the first 1x1 of every second bottleneck. The pools over time of that network have no
    weights; set them with `pool_taps`.
    """

    taps: int = 1  # odd
    layout: str = "spatial"  # or kinetics
    dilation: tuple[int, ...] = ()  # per stage, not of the stem; (): 1 everywhere
    strided: bool = False  # stride time together with space
    pool_taps: int = 1  # frames in a pool, odd
    padding: str = "zero"  # or edge

    def stem(self) -> Time:
        """Return the extent of the first convolution of a ResNet."""
        taps = 5 if self.layout == "kinetics" and self.taps > 1 else self.taps
        return Time(taps, 1, self._stride(2), self.padding)

    def spatial(self, stage: int, stride: int = 1) -> Time:
        """Return the extent of a convolution over several pixels with this stride in space."""
        taps = self.taps if self.layout == "spatial" else 1
        return Time(taps, self._dilation(stage), self._stride(stride), self.padding)

    def pointwise(self, stage: int, index: int, stride: int = 1) -> Time:
        """Return the extent of the first 1x1 convolution of bottleneck `index` of a stage."""
        parity = 1 if stage == 3 else 0  # stage 0 has taps in all blocks, stage 3 in 1, 3, ...
        chosen = self.layout == "kinetics" and (stage == 0 or index % 2 == parity)
        taps = self.taps if chosen else 1
        return Time(taps, self._dilation(stage), self._stride(stride), self.padding)

    def pool(self) -> Time:
        """Return the extent of a pool of stride 2."""
        return Time(self.pool_taps, 1, self._stride(2), self.padding)

    def shortcut(self, stride: int) -> Time:
        """Return the extent, one tap, of the 1x1 shortcut of a block with this stride."""
        return Time(stride=self._stride(stride))

    def _dilation(self, stage: int) -> int:
        return self.dilation[stage] if self.dilation else 1

    def _stride(self, stride: int) -> int:
        return stride if self.strided else 1


FLAT = Inflation()
"""The 2-D network: every convolution sees a single frame."""


def inflate(kernel: np.ndarray, taps: int, way: str) -> np.ndarray:
    """Return the 3-D kernel [taps, height, width, in, out] of a 2-D one.

    On a clip that repeats one frame, the 3-D convolution gives the same output as the 2-D one; at
    the ends of the clip `copied` needs edge padding for that.

    Args:
        kernel: [height, width, in, out].
        taps: odd number of taps.
        way: one of `WAYS`.

    Raises:
        InputError: `way` is unknown.
    """
    if way not in WAYS:
        raise InputError(f"init.inflate={way!r}: choose from {', '.join(WAYS)}")
    if kernel.ndim != 4 or taps % 2 == 0:
        raise ValueError(f"a kernel of shape {kernel.shape} cannot be inflated to {taps} taps")
    if way == "copied":
        return np.repeat(kernel[None] / np.float32(taps), taps, axis=0)
    inflated = np.zeros((taps, *kernel.shape), kernel.dtype)
    inflated[taps // 2] = kernel
    return inflated


def reach(times: Iterable[Time]) -> int:
    """Return the frames that a network sees on either side of those that one output stands for.

    Args:
        times: extent of its convolutions and pools in order; the shortest of parallel paths, such
            as shortcuts, can be left out.
    """
    frames, stride = 0, 1
    for time in times:
        frames += stride * time.dilation * (time.taps // 2)
        stride *= time.stride
    return frames


def time_stride(times: Iterable[Time]) -> int:
    """Return the number of frames that each output of a network stands for."""
    return math.prod(time.stride for time in times)
