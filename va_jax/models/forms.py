"""The form in which each operation is compiled, by kind of device.

All forms of an operation give the same numbers up to rounding; they differ in speed and memory.
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
    """One form of each operation that has several."""

    pointwise: Literal["product", "convolution"]
    """1x1 convolutions: one matrix product, or the convolution of XLA."""

    depthwise: Literal["taps", "native"]
    """Depthwise convolutions: a sum over the taps, or the grouped convolution of XLA."""

    temporal: Literal["taps", "native"]
    """Convolutions over time: a sum of 2-D convolutions, one per tap, or a 3-D convolution."""

    max_pool: Literal["indexed", "native"]
    """Gradient of max-pooling: by the saved index of the largest value, or XLA's own."""

    batch_norm: Literal["written", "derived"]
    """Gradient of batch norm: written by hand, or derived by JAX."""

    steps_at_once: int
    """Time steps of an LSTM or GRU in one iteration of the compiled loop."""


BY_BACKEND = {
    "cpu": Forms("product", "taps", "taps", "indexed", "written", 1),
    "gpu": Forms("convolution", "native", "native", "native", "written", 1),
    "tpu": Forms("convolution", "native", "taps", "native", "derived", 1),
}
"""The CPU's forms were measured in training steps, the GPU's operation by operation
(docs/performance.md). The TPU's follow the cycles that its compiler estimates."""

_given: contextvars.ContextVar[Forms | None] = contextvars.ContextVar("forms", default=None)


def chosen() -> Forms:
    """Return the forms to trace with: those of `using`, or else those for the default backend."""
    return _given.get() or BY_BACKEND[jax.default_backend()]


@contextlib.contextmanager
def using(forms: Forms) -> Iterator[None]:
    """Trace with these forms, to compile for another kind of device or to compare them.

    A function that was jitted and called before keeps the forms that it was traced with.
    """
    token = _given.set(forms)
    try:
        yield
    finally:
        _given.reset(token)
