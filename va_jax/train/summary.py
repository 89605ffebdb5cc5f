"""Summary of a network: layers, parameters and FLOPs, and the memory of its training step.

Flax lists the layers. The compiler counts FLOPs (two per multiply-add, excluding padding) and plans
the memory of the step for the current device. The network is not run.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.linen import summary as flax_summary

from va_jax.config import Config
from va_jax.data import sources
from va_jax.io import Table
from va_jax.models import inflate, set_heads
from va_jax.models.build import build_model, parameter_count
from va_jax.models.regressor import Regressor
from va_jax.train import sharding
from va_jax.train.compile import (
    Compiled,
    check_batch_size,
    compile_step,
    loop_note,
    mib,
    training_step,
)  # fmt: skip
from va_jax.train.state import initial_variables
from va_jax.types import DIMS, InputError

DEPTH = 2
"""Number of levels of nested modules in the table; with 2, a residual block takes one row."""

FAST_COMPILE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Compiler options for a CPU: half the compile time with the same memory plan."""

CPU_NOTE = """
On a CPU, model.remat, bfloat16 and train.accumulate do not save memory. Run the summary on the
accelerator to see their effect."""


class Row(NamedTuple):
    """A module, including everything inside it."""

    name: str  # path in the network; "" for the whole network
    output: tuple[int, ...]  # shape for one frame
    parameters: int
    flops: float  # in the forward pass, per frame


def summary(config: Config, depth: int = DEPTH) -> str:
    """Describe the network and the training step of a config as text.

    If the data set has not been built, the frames have `data.size` pixels per side, and the
    dimensions are `types.DIMS`.

    Raises:
        InputError: the data set has not been built and `data.size` is 0, or `train.batch_size` is
            0.
    """
    check_batch_size(config)
    dims, size = _dims_and_size(config)
    model = build_model(config.model, dims, set_heads.sets_with_heads(config))
    network, *layers = layer_rows(model, size, depth)
    rows = [*layers, network._replace(name="total")]
    cells = [
        [row.name, _times(row.output), f"{row.parameters:,}", f"{row.flops / 1e6:,.2f}"]
        for row in rows
    ]
    cost = step_cost(config, model, size)
    memory = {
        "parameters and statistics": cost.parameters,
        "optimiser": cost.optimiser,
        "batch": cost.batch,
        "activations, gradients, working space": cost.temporaries,
    }
    memory["total"] = sum(memory.values())
    shapes = model.inputs(config.train.batch_size, config.window.length, size)
    batch = ", ".join(f"{name} {x.dtype} {_times(x.shape)}" for name, x in shapes.items())
    pieces = config.train.accumulate
    return "\n".join(
        [
            f"batch: {batch}" + (f", in {pieces} pieces" if pieces > 1 else ""),
            "",
            Table(["layer", "output per frame", "parameters", "MFLOP/frame"], cells).text(),
            "",
            f"training step on one device ({jax.default_backend()}): {cost.flops / 1e9:,.1f} GFLOP",
            loop_note(config),
            Table(["memory", "MiB"], [[name, mib(size)] for name, size in memory.items()]).text(),
            *([CPU_NOTE] if jax.default_backend() == "cpu" else []),
        ]
    )


def layer_rows(model: Regressor, size: int, depth: int = DEPTH) -> list[Row]:
    """Return rows for the network and its modules that have parameters, in call order.

    Args:
        model: the network.
        size: side of the frames in pixels.
        depth: number of levels of nested modules to include.
    """
    # Use one output of the backbone, since XLA counts the body of a scan only once.
    frames = inflate.time_stride(model.backbone.times())
    inputs = {
        name: jnp.zeros(x.shape, x.dtype) for name, x in model.inputs(1, frames, size).items()
    }
    tabulate = flax_summary._get_module_table(
        model, depth=depth, show_repeated=False, compute_flops=True, compute_vjp_flops=False
    )
    params = jax.eval_shape(lambda: initial_variables(model, size, 0))["params"]
    rows = []
    for found in tabulate(jax.random.key(0), **inputs, train=False):
        count = parameter_count(_subtree(params, found.path))
        if count:
            output = jax.tree.leaves(found.outputs)[0].shape[2:]
            rows.append(Row("/".join(found.path), output, count, found.flops / frames))
    return rows


def step_cost(config: Config, model: Regressor, size: int) -> Compiled:
    """Compile the training step for one device, for frames of `size` pixels."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    options = FAST_COMPILE if jax.default_backend() == "cpu" else None
    return compile_step(training_step(config, model, size, mesh), options)


def _dims_and_size(config: Config) -> tuple[tuple[str, ...], int]:
    try:
        facts, *_ = [sources.metadata(config.data.dir, name) for name in config.data.names]
    except InputError as error:
        if not config.data.size:
            raise InputError(
                f"data.size=0 stands for the frame size of data.name={config.data.name!r}, but "
                f"this data set has not been built in data.dir={config.data.dir!r}; build it, "
                "or set data.size"
            ) from error
        return DIMS, config.data.size
    return tuple(facts["dims"]), config.data.size or facts["crop"]["size"]


def _subtree(params: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        params = params.get(name, {})
    return params


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
