"""Measure this device's limits: the FLOP/s of a matrix product, and the bandwidth of a copy."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

SIDE = {"cpu": 2048, "gpu": 8192, "tpu": 8192}
COPIED = {"cpu": 2**28, "gpu": 2**31, "tpu": 2**31}  # bytes, far more than a cache holds


def matmul_gflops(dtype: str) -> float:
    """Return the GFLOP/s of a large square matrix product in this number type."""
    side = SIDE[jax.default_backend()]
    x = jax.random.normal(jax.random.key(0), (side, side), dtype)
    multiply = jax.jit(jnp.matmul)
    return 2 * side**3 / 1e9 / _median_s(lambda: multiply(x, x))


def copy_gb_per_s() -> float:
    """Return the GB/s (read plus written) when 1 is added to every element of an array in place."""
    x = jnp.zeros(COPIED[jax.default_backend()] // 4, jnp.float32)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)

    def turn() -> Any:
        nonlocal x
        x = add(x)
        return x

    return 2 * x.nbytes / 1e9 / _median_s(turn)


def _median_s(call: Callable[[], Any], turns: int = 9) -> float:
    jax.block_until_ready(call())
    times_s = []
    for _ in range(turns):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times_s.append(time.perf_counter() - start)
    return statistics.median(times_s)
