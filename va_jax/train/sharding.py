"""Data parallelism: a mesh over the devices of all processes, and arrays placed on it."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from va_jax.types import InputError


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Return a one-dimensional mesh with axis "data" over the given devices (default: all)."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)


def check_batch(key: str, batch: int, pieces: int = 1, devices: int | None = None) -> None:
    """Raise InputError if a batch cannot be divided evenly among the devices and `pieces`."""
    devices = jax.device_count() if devices is None else devices
    parts = devices * pieces
    if batch % parts:
        cut = "" if pieces == 1 else f" times train.accumulate={pieces}"
        raise InputError(
            f"{key}={batch} is not a multiple of {parts}, the number of devices{cut}; "
            f"set it to {-(-batch // parts) * parts}"
        )


def shard_batch(mesh: Mesh, local: Any) -> Any:
    """Return global arrays, sharded along axis 0, from the local rows on this process."""
    layout = NamedSharding(mesh, PartitionSpec("data"))
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(layout, x), local)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the layout that puts a full copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(mesh: Mesh, tree: Any) -> Any:
    """Return a tree with a copy on every device; all processes must pass the same arrays."""
    layout = replicated(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(layout, np.asarray(x), np.shape(x)), tree
    )
