"""Measure the memory that a training step takes beyond parameters and optimiser state."""

import ctypes
import gc
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence

import jax


def mib(variant: str, name: str, shape: Sequence[int]) -> float:
    """Return the result of `own_mib` in a process that does nothing else."""
    command = [sys.executable, "-m", "benchmarks.train_step", "--memory_of", variant, "--compile"]
    sides = zip(("--windows", "--length", "--size"), map(str, shape), strict=True)
    command += ["--networks", name, *(word for pair in sides for word in pair)]
    # Return freed memory to the system at once, so that allocating it again is visible.
    malloc = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=os.environ | malloc, stdout=subprocess.PIPE, check=True)
    return float(done.stdout.split()[-1])


def own_mib(variant: str, step: Callable[[], None]) -> float:
    """Return the peak memory of a step in MiB, beyond the memory in use before it."""
    step()  # allocates the memory that stays in use: compiled code, the state of the optimiser
    gc.collect()
    on_gpu = jax.default_backend() != "cpu"
    if on_gpu and variant in ("torch", "compiled"):
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if on_gpu:
        stats = jax.local_devices()[0].memory_stats()
        return (stats["peak_bytes_in_use"] - stats["bytes_in_use"]) / 2**20
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # reset the peak
    before = resident_kib("VmRSS")
    step()
    return (resident_kib("VmHWM") - before) / 2**10


def resident_kib(field: str) -> int:
    """Return a field of /proc/self/status, such as VmRSS."""
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(rf"{field}:\s+(\d+) kB", file.read())[1])
