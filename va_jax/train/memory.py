"""Estimate the memory that a training step needs, before the step is compiled."""

import dataclasses
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from va_jax.config import Config
from va_jax.models.build import build_model
from va_jax.models.regressor import Regressor
from va_jax.train.failures import smaller
from va_jax.train.state import TrainState

GIB = 2**30

GROUP = pathlib.Path("/sys/fs/cgroup")
"""Folder with the limits of the container, on Linux."""

MOST = 20
"""Upper bound on the bytes that a backbone keeps per byte of its frames (as float32) and per unit
of `model.width`. The largest value is 18, for ViT-B/14 at 518 px; ResNet-50 keeps 4. Our choice."""


def warning(config: Config, model: Regressor, state: TrainState, size: int) -> str | None:
    """Return a warning if a training step is likely to need more memory than is free.

    The network is not compiled. Instead, it is traced, which takes 0.5 to 5 s and is skipped if the
    batch is so small that the free memory is enough in any case.

    Args:
        config: config of the run.
        model: its network.
        state: its state, which is already in memory.
        size: side of the frames in pixels.
    """
    if config.data.features:
        return None  # the backbone, which takes most of the memory, does not run
    there = available()
    frames = model.inputs(config.train.batch_size, config.window.length, size)["frames"]
    most = MOST * config.model.width * 4 * math.prod(frames.shape) + 4 * _bytes(state.params)
    if there is None or most <= there:
        return None
    needed = estimate(config, model, state, size)
    if needed <= there:
        return None
    return (
        f"a training step needs about {needed / GIB:.1f} GiB, but only {there / GIB:.1f} GiB is "
        f"free; if training runs out of memory, {smaller()}"
    )


def estimate(config: Config, model: Regressor, state: TrainState, size: int) -> int:
    """Return the number of bytes that a training step needs on each device, besides the state.

    This includes the gradient and the arrays that the backward pass keeps from the forward pass,
    some of which the compiler may merge or recompute. On a CPU, the devices share one memory, and
    `train.accumulate`, `model.remat` and bfloat16 do not save memory (see docs/running.md).
    """
    parts = config.train.accumulate * jax.device_count()
    if _on_cpu():
        parts = jax.process_count()
        plain = dataclasses.replace(config.model, remat=False, compute_dtype="float32")
        model = build_model(plain, model.dims, model.sets)
    rows = max(config.train.batch_size // parts, 1)
    batch = model.inputs(rows, config.window.length, size)

    def kept(params: Any, stats: Any, inputs: Any) -> Any:
        def forward(params: Any) -> Any:
            (pred, _), updated = model.apply(
                {"params": params, "batch_stats": stats},
                **inputs,
                train=True,
                freeze_backbone=not config.optim.rates.backbone,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(0)},
            )
            return pred, updated

        return jax.vjp(forward, params, has_aux=True)[1]

    residuals = _bytes(jax.eval_shape(kept, state.params, state.batch_stats, batch))
    return residuals + _bytes(state.params)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def available() -> int | None:
    """Return the number of free bytes on a device (for a CPU, on this machine); None if unknown."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if not _on_cpu():
        return None
    return min(filter(None, (_free_here(), _free_in_container())), default=None)


def _free_here() -> int | None:
    """Return the number of bytes that programs can still allocate on a Linux machine."""
    path = pathlib.Path("/proc/meminfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * 1024 if found else None


def _free_in_container() -> int | None:
    """Return the number of bytes left below the limit of a control group (version 2).

    Files in the cache that were not used recently count as free, as in MemAvailable.
    """
    limit = GROUP / "memory.max"
    if not limit.exists() or not limit.read_text().strip().isdecimal():
        return None
    stat = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
    used = int((GROUP / "memory.current").read_text()) - int(stat["inactive_file"])
    return max(int(limit.read_text()) - used, 1)


def _bytes(tree: Any) -> int:
    return sum(
        math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize
        for leaf in jax.tree.leaves(tree)
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )
