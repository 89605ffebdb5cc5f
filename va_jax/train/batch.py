"""The largest batch that fits the devices, found by compiling the training step."""

import pathlib
from collections.abc import Sequence

import jax

from va_jax.config import Config, with_values
from va_jax.data.windows import training_windows
from va_jax.models.regressor import Regressor
from va_jax.train import devices, hlo, sharding, workdir
from va_jax.train.compile import compile_step, training_step
from va_jax.train.devices import Devices
from va_jax.train.failures import OUT_OF_MEMORY
from va_jax.types import InputError, Track

FULL = 0.9
"""Largest part of the memory to plan for, since the compiler does not plan for everything that a
run keeps on a device; our choice."""


def with_batch_size(
    config: Config, folder: pathlib.Path, model: Regressor, size: int, tracks: Sequence[Track]
) -> Config:
    """Replace `train.batch_size=0` by the batch size of the run in `folder`.

    A new run gets the largest multiple of the devices (and of `train.accumulate`) that fits them
    and is not larger than the data set, and keeps it wherever it is continued.

    Args:
        config: config of the run.
        folder: workdir of the run.
        model: its network.
        size: side of the frames in pixels.
        tracks: tracks of the train split.

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
    if (folder / workdir.NAME).exists():
        batch = workdir.load(folder).train.batch_size
    else:
        window = config.window
        count = len(
            training_windows(tracks, window.length, window.hop, window.stride, window.remainder)
        )
        batch = largest(config, model, size, count, devices.at_hand())
        if jax.process_index() == 0:
            print(f"train.batch_size={batch} is the largest batch that fits", flush=True)
    return with_values(config, **{"train.batch_size": batch})


def largest(config: Config, model: Regressor, size: int, windows: int, here: Devices) -> int:
    """Return the largest batch size that fits; see `with_batch_size`.

    Memory grows linearly with the batch, so two small batches predict the largest one, which is
    then compiled to check the prediction.
    """
    if here.memory is None:
        raise InputError(
            "train.batch_size=0 requires devices that report their memory; set a batch size"
        )
    step = len(here.devices) * config.train.accumulate
    limit, most = FULL * here.memory, max(windows // step, 1)
    one = _peak(config, model, size, step, here)
    if one is None or one > limit:
        needed = "more" if one is None else f"{one / 2**30:.2f} GiB"
        raise InputError(
            f"train.batch_size=0: the smallest batch, {step}, needs {needed} of the "
            f"{limit / 2**30:.2f} GiB per device that a step may use; set model.remat=True, or "
            "lower window.length or data.size"
        )
    two = _peak(config, model, size, 2 * step, here) if most > 1 else None
    if two is None or two > limit:
        return step
    parts = min(most, int((limit - one) // max(two - one, 1)) + 1)
    while parts > 2:
        peak = _peak(config, model, size, parts * step, here)
        if peak is not None and peak <= limit:
            break
        parts -= max(parts // 16, 1)
    return parts * step


def _peak(config: Config, model: Regressor, size: int, batch: int, here: Devices) -> int | None:
    """Return the memory that a step with this batch needs per device; None if it cannot compile."""
    mesh = sharding.make_mesh(here.devices)
    config = with_values(config, **{"train.batch_size": batch})
    try:
        return compile_step(training_step(config, model, size, mesh)).peak
    except jax.errors.JaxRuntimeError as error:
        if not OUT_OF_MEMORY.search(str(error)):
            raise
        return hlo.memory_used(error)
