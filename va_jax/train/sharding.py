"""Data parallelism: one mesh of all devices of all processes, and arrays laid out on it."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from va_jax.types import InputError


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh, axis "data", of all devices, or of some for a test."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)


def check_batch(key: str, batch: int, pieces: int = 1) -> None:
    """Raise an InputError where a batch cannot be cut into `pieces`, equally over the devices."""
    parts = jax.device_count() * pieces
    if batch % parts:
        cut = "" if pieces == 1 else f" x {pieces} pieces"
        raise InputError(
            f"{key}={batch} is not a multiple of the {jax.device_count()} devices{cut}; "
            f"take {-(-batch // parts) * parts}"
        )


def shard_batch(mesh: Mesh, local: Any) -> Any:
    """A tree of global arrays, cut along axis 0, from this process's rows as numpy arrays."""
    layout = NamedSharding(mesh, PartitionSpec("data"))
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(layout, x), local)


def replicated(mesh: Mesh) -> NamedSharding:
    """The layout that keeps a whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(mesh: Mesh, tree: Any) -> Any:
    """A tree with a whole copy of every array on every device; all processes pass the same."""
    layout = replicated(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(layout, np.asarray(x), np.shape(x)), tree
    )
