"""The largest batch that fits the devices, found by compiling the training step."""

from collections.abc import Sequence

import jax

from va_jax.config import Config, with_values
from va_jax.data.sets import OpenSet
from va_jax.data.windows import training_windows
from va_jax.models.regressor import Regressor
from va_jax.train import devices, hlo, sharding
from va_jax.train.compile import any_of, compile_step, remedies, training_step
from va_jax.train.devices import Devices
from va_jax.train.failures import OUT_OF_MEMORY
from va_jax.train.memory import GIB
from va_jax.types import InputError

FULL = 0.9
"""Largest part of the memory to plan for, since the compiler does not plan for everything that a
run keeps on a device; our choice."""

TRIALS = 8
"""Largest number of batches to compile; our choice."""


def with_batch_size(
    config: Config, model: Regressor, size: int, opened: Sequence[OpenSet]
) -> Config:
    """Replace `train.batch_size=0` by the largest batch that fits the devices.

    It is a multiple of the number of devices times `train.accumulate`, and has no more windows than
    the data sets, unless these have fewer than that number. Every process of a job must call this.

    Args:
        config: config of a new run.
        model: its network.
        size: side of the frames in pixels.
        opened: data sets of the run.

    Raises:
        InputError: the memory of the devices is unknown, the smallest batch does not fit, or
            `data.features` is set.
    """
    if config.train.batch_size:
        return config
    if config.data.features:
        raise InputError(
            "train.batch_size=0: the largest batch is found for frames, not for data.features; "
            "set a batch size"
        )
    count = sum(map(_windows, opened))
    batch = largest(config, model, size, count, devices.at_hand())
    if jax.process_index() == 0:
        print(f"train.batch_size={batch} is the largest batch found that fits", flush=True)
    return with_values(config, **{"train.batch_size": batch})


def _windows(opened: OpenSet) -> int:
    """Return the number of training windows of a data set."""
    tracks, window = opened.train.tracks, opened.config.window
    return len(training_windows(tracks, window.length, window.hop, window.stride, window.remainder))


def largest(config: Config, model: Regressor, size: int, windows: int, here: Devices) -> int:
    """Return the largest batch size that fits; see `with_batch_size`.

    Memory grows about linearly with the batch, so every batch that is compiled predicts the
    largest one. After `TRIALS` batches, the largest of those that fit is returned.
    """
    if here.memory is None:
        raise InputError(
            "train.batch_size=0 requires devices that report their memory; set a batch size"
        )
    step, limit = len(here.devices) * config.train.accumulate, FULL * here.memory
    peak = _peak(config, model, size, step, here)
    if peak is None or peak > limit:
        needed = "" if peak is None else f"{peak / GIB:.2f} GiB, "
        others = any_of([*remedies(config, here.backend), "lower window.length", "lower data.size"])
        raise InputError(
            f"train.batch_size=0: the smallest batch, {step}, needs {needed}more than the "
            f"{limit / GIB:.2f} GiB per device that a step may use; {others}"
        )
    fits, low, too_large, trial = peak, 1, windows // step + 1, 2
    for _ in range(TRIALS - 1):
        if low + 1 >= too_large:
            break
        trial = min(max(trial, low + 1), too_large - 1)
        peak = _peak(config, model, size, trial * step, here)
        if peak is None:
            too_large = trial
            trial = (low + too_large) // 2
            continue
        slope = max(peak - fits, 1) / (trial - low)
        if peak <= limit:
            fits, low = peak, trial
        else:
            too_large = trial
        trial = low + int((limit - fits) / slope)
        if trial == low:
            break
    return low * step


def _peak(config: Config, model: Regressor, size: int, batch: int, here: Devices) -> int | None:
    """Return the memory that a step with this batch needs per device; None if it is too large."""
    config = with_values(config, **{"train.batch_size": batch})
    try:
        step = training_step(config, model, size, sharding.make_mesh(here.devices))
        return compile_step(step).peak
    except jax.errors.JaxRuntimeError as error:
        if not OUT_OF_MEMORY.search(str(error)):
            raise
        return hlo.memory_used(error)
