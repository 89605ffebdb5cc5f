"""Make the C library keep the memory that a training step frees on a CPU."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h in glibc
NEVER = -1


def keep_memory() -> bool:
    """Keep freed memory for the next step, instead of returning it to the system.

    By default, glibc returns large blocks after every step and takes them again page by page, which
    costs about a fifth of the time of a step on a CPU (docs/performance.md). Threads that have
    already allocated memory keep the old settings, so call this before JAX starts.

    Returns:
        Whether the C library can do this: glibc can, those of macOS and Alpine cannot.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: NEVER}
    return all(mallopt(name, value) == 1 for name, value in settings.items())
