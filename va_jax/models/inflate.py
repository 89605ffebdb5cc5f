"""Inflation: extend the convolutions of a 2-D network, and their weights, over time.

As in teixeira2021, a kernel [height, width, in, out] becomes [taps, height, width, in, out];
everything else, including biases and batch norms, stays unchanged. A network with a single tap in
every layer is the 2-D network applied frame by frame.
"""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from va_jax.types import InputError

WAYS = ("centred", "copied")
"""centred: the middle tap is the 2-D kernel and all others are 0, so that the network initially
equals the 2-D network.
copied: every tap is the 2-D kernel divided by the number of taps, so that each convolution
initially averages over time."""


@dataclasses.dataclass(frozen=True)
class Time:
    """Temporal extent of one convolution or pool; a single frame by default."""

    taps: int = 1
    dilation: int = 1  # distance between taps, in frames
    stride: int = 1  # distance between outputs, in frames
    padding: str = "zero"  # past the ends of a clip: "zero", or "edge" to repeat the border frame


@dataclasses.dataclass(frozen=True)
class Inflation:
    """Temporal extent of all convolutions and pools in a network.

    In the `spatial` layout, as in the papers, 1x1 convolutions have a single tap. All convolutions
    of a VGG, and the stem and 3x3 convolutions of a ResNet, have `taps` taps. The `kinetics` layout
    matches the I3D-ResNet-50 trained on Kinetics (Wang et al., 2018): five taps in the stem, and
    `taps` taps in the first 1x1 convolution of every bottleneck in the first stage and of every
    second one after it. Set `pool_taps` to match its temporal pools, which have no weights.
    """

    taps: int = 1  # odd
    layout: str = "spatial"  # or "kinetics"
    dilation: tuple[int, ...] = ()  # one value per stage, none for the stem; () for 1 everywhere
    strided: bool = False  # whether to stride over time together with space
    pool_taps: int = 1  # frames in a pool, odd
    padding: str = "zero"  # or "edge"

    def stem(self) -> Time:
        """Return the extent of the first convolution in a ResNet."""
        taps = 5 if self.layout == "kinetics" and self.taps > 1 else self.taps
        return Time(taps, 1, self._stride(2), self.padding)

    def spatial(self, stage: int, stride: int = 1) -> Time:
        """Return the temporal extent of a convolution larger than 1x1, given its spatial stride."""
        taps = self.taps if self.layout == "spatial" else 1
        return Time(taps, self._dilation(stage), self._stride(stride), self.padding)

    def pointwise(self, stage: int, index: int, stride: int = 1) -> Time:
        """Return the extent of the first 1x1 convolution in bottleneck `index` of a stage."""
        parity = 1 if stage == 3 else 0  # stage 0 has taps in all blocks, stage 3 in 1, 3, ...
        chosen = self.layout == "kinetics" and (stage == 0 or index % 2 == parity)
        taps = self.taps if chosen else 1
        return Time(taps, self._dilation(stage), self._stride(stride), self.padding)

    def pool(self) -> Time:
        """Return the extent of a pool with stride 2."""
        return Time(self.pool_taps, 1, self._stride(2), self.padding)

    def shortcut(self, stride: int) -> Time:
        """Return the extent (always one tap) of the 1x1 shortcut in a block with this stride."""
        return Time(stride=self._stride(stride))

    def _dilation(self, stage: int) -> int:
        return self.dilation[stage] if self.dilation else 1

    def _stride(self, stride: int) -> int:
        return stride if self.strided else 1


FLAT = Inflation()
"""No inflation: every convolution sees a single frame."""


def inflate(kernel: np.ndarray, taps: int, way: str) -> np.ndarray:
    """Inflate a 2-D kernel to a 3-D kernel [taps, height, width, in, out].

    For a clip that repeats one frame, the 3-D convolution has the same output as the 2-D one; with
    `copied`, this requires edge padding at the ends of the clip.

    Args:
        kernel: [height, width, in, out].
        taps: odd number of taps.
        way: one of `WAYS`.

    Raises:
        InputError: `way` is unknown.
    """
    if way not in WAYS:
        raise InputError(f"init.inflate={way!r}: choose one of {', '.join(WAYS)}")
    if kernel.ndim != 4 or taps % 2 == 0:
        raise ValueError(
            f"a kernel of shape {kernel.shape} cannot be inflated to {taps} taps; pass a kernel "
            "with four axes, and an odd number of taps"
        )
    if way == "copied":
        return np.repeat(kernel[None] / np.float32(taps), taps, axis=0)
    inflated = np.zeros((taps, *kernel.shape), kernel.dtype)
    inflated[taps // 2] = kernel
    return inflated


def reach(times: Iterable[Time]) -> int:
    """Return how many frames a network sees on either side of the frames covered by one output.

    Args:
        times: extents of its convolutions and pools, in order. Only the longest of several parallel
            paths matters, so shortcuts can be omitted.
    """
    frames, stride = 0, 1
    for time in times:
        frames += stride * time.dilation * (time.taps // 2)
        stride *= time.stride
    return frames


def time_stride(times: Iterable[Time]) -> int:
    """Return the number of frames covered by each output of a network."""
    return math.prod(time.stride for time in times)
