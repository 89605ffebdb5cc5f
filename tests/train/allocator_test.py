"""Memory that a step frees is kept where the C library can do so."""

import ctypes
import subprocess
import sys

import pytest

from va_jax.train import allocator

PROGRAM = """
import resource
import numpy as np
from va_jax.train import allocator
if {keep}:
    assert allocator.keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**22)  # 32 MiB, or 8,192 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def faults(keep: bool) -> int:
    line = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_a_block_that_was_freed_is_used_again_without_page_faults():
    assert faults(keep=True) < faults(keep=False)


def test_another_c_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_memory()
