"""One-line messages for faults outside the program: a full disk, low memory, a lost process."""

import errno
import os
import re

import jax

SMALLER = "lower train.batch_size, eval.batch_size, window.length or data.size"
SMALLER_ON_CPU = f"{SMALLER}, or choose a smaller model.backbone"
SMALLER_ON_ACCELERATOR = (
    f"{SMALLER}, raise train.accumulate, or set model.remat=True or model.compute_dtype='bfloat16'"
)

OUT_OF_MEMORY = re.compile("RESOURCE_EXHAUSTED|Out of memory")
"""Pattern in the text of XLA's out-of-memory errors. On a CPU, a computation that cannot be
dispatched has the status INTERNAL instead of RESOURCE_EXHAUSTED."""


def message(error: BaseException) -> str | None:
    """Return a one-line message for a full disk, low memory or a lost process; otherwise None."""
    for cause in _causes(error):
        # TensorStore reports operating-system errors in the text of a ValueError.
        code = re.search(r"\bos_error_code='(\d+)'", str(cause))
        if isinstance(cause, ValueError) and code:
            cause = OSError(int(code[1]), os.strerror(int(code[1])))
        if isinstance(cause, OSError) and cause.errno in errno.errorcode:
            place = f" ({cause.filename})" if cause.filename else ""
            return (
                f"{cause.strerror}{place}; solve this problem, then run the same command again to "
                "continue from the last checkpoint"
            )
        if isinstance(cause, jax.errors.JaxRuntimeError) and OUT_OF_MEMORY.search(str(cause)):
            return f"not enough memory on the device: {_first_line(cause)}; {smaller()}"
        if isinstance(cause, MemoryError):
            return f"not enough memory: {_first_line(cause)}; {smaller()}, or lower data.threads"
    if jax.process_count() > 1 and isinstance(error, jax.errors.JaxRuntimeError):
        return (
            f"process {jax.process_index()} of {jax.process_count()}: another process in the job "
            f"was lost or failed: {_first_line(error)}; start all processes again to "
            "continue from the last checkpoint"
        )
    return None


def smaller() -> str:
    """Return the keys with which a step takes less memory on the devices in use."""
    return SMALLER_ON_CPU if jax.default_backend() == "cpu" else SMALLER_ON_ACCELERATOR


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return the error and its causes, starting with the root cause."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found[::-1]


def _first_line(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or ["no details"])[0]
    line = re.sub(r"(\w[^:]*: )\1+", r"\1", line)  # JAX repeats the prefix for each waiting process
    return line if len(line) <= 300 else f"{line[:297]}..."
