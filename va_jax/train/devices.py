"""Devices to compile for: those of this job, or the chips of a TPU slice that is elsewhere."""

import contextlib
import importlib.util
import os
import socket
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from va_jax.models import forms
from va_jax.train import memory
from va_jax.types import InputError

TPU_MEMORY_GIB = {"TPU v5 lite": 15.75, "TPU v5": 95.73, "TPU v6 lite": 31.24}
"""Memory that a program can use on each kind of chip: the limit in the TPU compiler's error for a
program that does not fit."""

LIBTPU = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5e-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
"""Settings with which several processes can load the TPU compiler on a machine without TPUs."""


class Devices(NamedTuple):
    """Equal devices to compile a program for."""

    name: str  # such as "8 x TPU v5 lite (v5e:2x4)"
    devices: Sequence[Any]
    backend: str  # a key of forms.BY_BACKEND
    memory: int | None  # bytes that a program can use on each device; None if unknown

    @contextlib.contextmanager
    def forms(self) -> Iterator[None]:
        """Trace with the forms for these devices."""
        with forms.using(forms.BY_BACKEND[self.backend]):
            yield


def at_hand() -> Devices:
    """Return all devices of this job; all processes get the same answer."""
    devices = jax.devices()
    name = f"{len(devices)} x {devices[0].device_kind}"
    limit, sharing = memory.available(), 1
    if jax.process_count() > 1:
        host = zlib.crc32(socket.gethostname().encode()) >> 1
        facts = np.array([(limit or 0) // 1024, host], np.int32)  # JAX would cut 64 bits to 32
        known = multihost_utils.process_allgather(facts)
        limit = int(known[:, 0].min()) * 1024 or None
        sharing = int((known[:, 1] == host).sum())
    if devices[0].platform == "cpu" and limit is not None:
        limit //= sharing * jax.local_device_count()  # they share the memory of the machine
    return Devices(name, devices, jax.default_backend(), limit)


def of_topology(name: str) -> Devices:
    """Return the chips of a TPU slice, such as "v5e:2x4"; none of them has to be at hand.

    This must be called before JAX uses any device: JAX itself then runs on the CPU.

    Raises:
        InputError: the TPU compiler is not installed or does not know the topology.
    """
    if not importlib.util.find_spec("libtpu"):
        raise InputError(
            f"--topology={name} requires the TPU compiler; run pip install -e '.[tpu-compile]'"
        )
    jax.config.update("jax_platforms", "cpu")
    for variable, value in LIBTPU.items():
        os.environ.setdefault(variable, value)
    from jax.experimental import topologies

    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"--topology={name}: the TPU compiler does not accept it ({reason}); use a name such "
            "as v5e:2x4, v5p:2x2x1 or v6e:2x4"
        ) from error
    kind = devices[0].device_kind
    if kind not in TPU_MEMORY_GIB:
        raise InputError(f"--topology={name}: {kind} is not supported; use v5e, v5p or v6e")
    available = int(TPU_MEMORY_GIB[kind] * memory.GIB)
    return Devices(f"{len(devices)} x {kind} ({name})", devices, "tpu", available)
