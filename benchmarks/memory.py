"""The memory that a training step takes beyond what lies there before it."""

import ctypes
import gc
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence

import jax


def mib(variant: str, name: str, shape: Sequence[int]) -> float:
    """`own_mib` of a process that does nothing else."""
    command = [sys.executable, "-m", "benchmarks.train_step", "--memory_of", variant, "--compile"]
    sides = zip(("--windows", "--length", "--size"), map(str, shape), strict=True)
    command += ["--networks", name, *(word for pair in sides for word in pair)]
    # What is freed returns to the system at once, so that taking it again shows.
    malloc = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=os.environ | malloc, stdout=subprocess.PIPE, check=True)
    return float(done.stdout.split()[-1])


def own_mib(variant: str, step: Callable[[], None]) -> float:
    """The most that a step takes beyond what lies there before it."""
    step()  # makes what stays: compiled code, the optimiser's state
    gc.collect()
    on_gpu = jax.default_backend() != "cpu"
    if on_gpu and variant == "torch":
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
        file.write("5")  # the peak starts anew
    before = resident_kib("VmRSS")
    step()
    return (resident_kib("VmHWM") - before) / 2**10


def resident_kib(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(rf"{field}:\s+(\d+) kB", file.read())[1])
