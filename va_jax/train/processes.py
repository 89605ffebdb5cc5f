"""Join the processes of a job, list their devices, and check that they all run the same code."""

import collections
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import threading
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from va_jax import keys
from va_jax.config import Config, to_tree
from va_jax.types import InputError

LOST_S = 60
"""Seconds without a heartbeat after which a process is considered lost and the other processes end;
our choice."""

END_S = 3600
"""Seconds for which the other processes wait at the end while process 0 scores and draws plots; our
choice."""

REACH = "check that all processes are running and can reach this address"

OWN = ("data.dir", "data.threads", "log.progress")
"""Keys that may differ between processes, such as the path to each one's copy of the data."""


def start(coordinator: str, process: int | None, processes: int | None, join_s: int = 300) -> None:
    """Join the processes of a job; call this before any other use of JAX.

    Args:
        coordinator: "" for a single process (unless JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID and
            JAX_NUM_PROCESSES are in the environment), "auto" for TPU pods, SLURM, Open MPI and
            other clusters that JAX recognises, or the "host:port" of process 0.
        process: number of this process, starting at 0.
        processes: number of processes.
        join_s: seconds to wait for the other processes.

    Raises:
        InputError: the flags contradict each other, or the processes did not join.
    """
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS", "")
    if not coordinator:
        if process is not None or processes is not None:
            raise InputError(
                f"--process={process} and --processes={processes} need --coordinator; set it to "
                "the HOST:PORT of process 0, or omit --process and --processes"
            )
        return
    limits: dict[str, Any] = {
        "initialization_timeout": 2 * join_s,  # JAX would abort; `_end_late` runs before that
        "heartbeat_timeout_seconds": LOST_S,
        "shutdown_timeout_seconds": END_S,
    }
    if coordinator != "auto":
        process = _number("process", process, "JAX_PROCESS_ID")
        processes = _number("processes", processes, "JAX_NUM_PROCESSES")
        if processes < 1:
            raise InputError(f"--processes={processes}: expected at least 1")
        if not 0 <= process < processes:
            raise InputError(
                f"--process={process}: expected a number from 0 to {processes - 1}, since "
                f"--processes={processes}"
            )
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdecimal():
            raise InputError(
                f"--coordinator={coordinator!r}: expected the HOST:PORT of process 0, or auto"
            )
        limits |= {
            "coordinator_address": coordinator,
            "process_id": process,
            "num_processes": processes,
        }
    late = threading.Timer(join_s, _end_late, [coordinator, join_s])
    late.start()
    try:
        jax.distributed.initialize(**limits)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{_apart(coordinator)}: {reason}; {REACH}") from error
    finally:
        late.cancel()


def device_line() -> str:
    """Return a line that describes this process and its devices."""
    kinds = collections.Counter(device.device_kind for device in jax.local_devices())
    devices = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    return (
        f"process {jax.process_index()} of {jax.process_count()} on {platform.node()}: {devices} "
        f"(devices in the job: {jax.device_count()})"
    )


def keep_compiled(folder: pathlib.Path) -> None:
    """Cache compiled programs in `folder`, so that a resumed run starts faster.

    JAX_COMPILATION_CACHE_DIR in the environment takes precedence.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(folder.absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def agree(config: Config, more: Mapping[str, Any]) -> None:
    """Raise InputError on all processes if the config, the code or `more` differs between them.

    The message lists the first five differences from process 0.
    """
    if jax.process_count() == 1:
        return
    first, *others = _gathered(facts(config) | dict(more))
    found = [
        f"process {process}: {line}"
        for process, there in enumerate(others, 1)
        for line in differences(there, first)
    ]
    if found:
        rest = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise InputError(
            f"the processes in the job differ: {'; '.join(found[:5])}{rest}; start all "
            "processes with the same flags, code and data"
        )


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return a line for each key in which another process differs from process 0."""
    return [
        f"{key}={there.get(key)!r}, but process 0 has {here.get(key)!r}"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]


def facts(config: Config) -> dict[str, Any]:
    """Return the shared config keys, the library versions, and a digest of the code."""
    flat = json.loads(json.dumps(keys.flatten(to_tree(config))))
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    versions = {name: importlib.metadata.version(name) for name in ("jax", "flax", "numpy")}
    kept = {key: value for key, value in flat.items() if key not in OWN}
    return kept | versions | {"code": digest.hexdigest()[:12]}


def _end_late(coordinator: str, join_s: int) -> None:
    """End the process, since no exception can interrupt JAX while it waits."""
    print(f"error: {_apart(coordinator)} within {join_s} s; {REACH}", file=sys.stderr, flush=True)
    os._exit(1)


def _apart(coordinator: str) -> str:
    return f"--coordinator={coordinator}: the processes did not join the job"


def _gathered(mine: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the values from all processes, on every process."""
    text = np.frombuffer(json.dumps(mine).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.array(len(text)))
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: len(text)] = text
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(row[:length].tobytes()) for row, length in zip(rows, lengths, strict=True)]


def _number(flag: str, given: int | None, variable: str) -> int:
    value = os.environ.get(variable) if given is None else given
    if value is None or not str(value).isdecimal():
        raise InputError(
            f"--{flag}={value}: expected a number; pass --{flag}, or set the environment variable "
            f"{variable}"
        )
    return int(value)
