"""Measure the gradient of the LSTM against flax's `nn.RNN` and torch.

    python -m benchmarks.recurrent_gradient --threads 2 --rounds 15 --json lstm.json

The stack has two layers of 256 units, and the batch is 8 x 80 x 2048 in float32. The gradient is
taken with respect to the parameters and the input. The variants alternate, so that other work on
the machine slows down all of them; medians are compared. If torch is not installed, its row is left
out, and a line says so.
"""

import argparse
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable

BATCH, TIME, FEATURES, LAYERS, UNITS = 8, 80, 2048, 2, 256


def ours(x) -> Callable[[], None]:
    """Return a function that computes the gradient of va_jax's recurrent stack."""
    import jax
    import jax.numpy as jnp

    from va_jax.models.recurrent import RecurrentStack

    stack = RecurrentStack("lstm", LAYERS, UNITS)
    mask = jnp.ones(x.shape[:2], bool)
    return flax_gradient(
        lambda rng, x: stack.init(rng, x, mask, train=False),
        lambda variables, x: stack.apply(variables, x, mask, train=False)[0],
        jax.numpy.asarray(x),
    )


def flax_rnn(x) -> Callable[[], None]:
    """Return a function that computes the gradient of Flax's own LSTM."""
    import flax.linen as nn
    import jax.numpy as jnp

    stack = nn.Sequential([nn.RNN(nn.OptimizedLSTMCell(UNITS)) for _ in range(LAYERS)])
    return flax_gradient(stack.init, stack.apply, jnp.asarray(x))


def flax_gradient(init, apply, x) -> Callable[[], None]:
    """Return a jitted function that computes the gradient for the parameters and the input."""
    import jax

    variables = jax.jit(init)(jax.random.key(0), x)
    gradient = jax.jit(
        jax.grad(lambda variables, x: (apply(variables, x) ** 2).mean(), argnums=(0, 1))
    )
    return lambda: jax.block_until_ready(gradient(variables, x))


def torch_lstm(x) -> Callable[[], None]:
    """Return a function that computes the gradient of torch's LSTM."""
    import torch

    stack = torch.nn.LSTM(FEATURES, UNITS, LAYERS, batch_first=True)
    x = torch.from_numpy(x).requires_grad_()

    def gradient() -> None:
        stack.zero_grad(set_to_none=True)
        x.grad = None
        (stack(x)[0] ** 2).mean().backward()

    return gradient


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="cores for every variant")
    parser.add_argument("--rounds", type=int, default=15, help="timed turns of each variant")
    parser.add_argument("--json", help="also write the table to this file")
    arguments = parser.parse_args()

    # XLA sizes its thread pool by the cores that the process may use: choose before importing jax.
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads]
    os.sched_setaffinity(0, cores)
    os.environ["JAX_PLATFORMS"] = "cpu"
    import numpy as np

    variants = {"va_jax": ours, "flax nn.RNN": flax_rnn}
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(len(cores))
        variants["torch"] = torch_lstm
    else:
        print("torch is not installed; its row is left out")

    x = np.random.default_rng(0).normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)
    gradients = {name: make(x) for name, make in variants.items()}
    times_ms = {name: [] for name in gradients}
    for _ in range(arguments.rounds):
        for name, gradient in gradients.items():
            gradient()  # untimed: it fills the caches, which hold data from the previous variant
            start = time.perf_counter()
            gradient()
            times_ms[name].append(1e3 * (time.perf_counter() - start))

    medians = {name: statistics.median(values) for name, values in times_ms.items()}
    print(f"{len(cores)} cores, {arguments.rounds} rounds; ratio = va_jax / variant, median")
    print(f"{'variant':<14}{'median ms':>10}{'ratio':>8}")
    table = []
    for name, median_ms in medians.items():
        ratio = statistics.median(
            own / other for own, other in zip(times_ms["va_jax"], times_ms[name], strict=True)
        )
        print(f"{name:<14}{median_ms:>10.1f}{ratio:>8.2f}")
        table.append({"variant": name, "median_ms": median_ms, "ratio": ratio})
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"cores": len(cores), "rounds": arguments.rounds, "table": table}, file)


if __name__ == "__main__":
    main()
