"""Forms in which operations are compiled on each kind of device.

All forms of an operation give the same results up to rounding; they differ in speed and memory.
`python -m benchmarks.forms` measures them on the device at hand.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Literal

import jax


@dataclasses.dataclass(frozen=True)
class Forms:
    """A choice of one form for each operation that has several."""

    pointwise: Literal["product", "convolution"]
    """1x1 convolutions: one matrix product, or XLA's convolution."""

    depthwise: Literal["taps", "native"]
    """Depthwise convolutions: a sum over the taps, or XLA's grouped convolution."""

    time_convolution: Literal["taps", "native"]
    """Convolutions over time: a sum of 2-D convolutions, one per tap, or a 3-D convolution."""

    max_pool: Literal["indexed", "native"]
    """Gradient of max-pooling: from the saved index of the largest value, or by XLA."""

    batch_norm: Literal["written", "derived"]
    """Gradient of batch norm: written by hand, or derived by JAX."""

    steps_at_once: int
    """Number of time steps of an LSTM or GRU in one iteration of the compiled loop."""

    pieces: Literal["unrolled", "looped"]
    """The pieces of a batch, if `train.accumulate` is above 1: one after another in the program, or
    in a loop, in which a convolution's gradient is up to fifty times slower on a CPU."""

    compute_dtype: Literal["float32", "bfloat16"]
    """Floating-point type for the backbone if `model.compute_dtype` is "auto"."""


BY_BACKEND = {
    "cpu": Forms("product", "taps", "taps", "indexed", "written", 1, "unrolled", "float32"),
    "gpu": Forms("convolution", "native", "native", "native", "written", 1, "looped", "bfloat16"),
    "tpu": Forms("convolution", "native", "taps", "native", "derived", 1, "looped", "bfloat16"),
}
"""The CPU's forms were chosen by timing training steps (docs/performance.md). On a GPU, only
convolutions over time and LSTMs were timed; everything else has XLA's own form. The TPU's forms
follow the cycles that its compiler estimates."""

_given: contextvars.ContextVar[Forms | None] = contextvars.ContextVar("forms", default=None)


def chosen() -> Forms:
    """Return the forms to trace with: those set by `using`, or else the default backend's."""
    return _given.get() or BY_BACKEND[jax.default_backend()]


@contextlib.contextmanager
def using(forms: Forms) -> Iterator[None]:
    """Trace with these forms, to compile for a different kind of device or to compare forms.

    A jitted function that has already been called keeps the forms with which it was traced.
    """
    token = _given.set(forms)
    try:
        yield
    finally:
        _given.reset(token)
