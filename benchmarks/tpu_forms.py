"""Compare forms of each operation by the estimates of the TPU compiler, without a TPU.

    python -m benchmarks.tpu_forms --network tzirakis2021:resnet18_lstm --topology v5e:2x2 \
        --windows 2 --length 32 --size 96 --frames-only

Each row compiles the training step in bfloat16 for a TPU slice. The row `chosen` uses the forms for
a TPU, and `as on a cpu` those for a CPU. The row `plain flax` is a ResNet of the same size written
with `nn.Conv` and `nn.BatchNorm`, in the same training step. Every other row changes one form.
Cycles are the sum of the compiler's own estimates for the operations of one device; the body of a
loop counts once. They compare forms, and they are not times. Compile times are CPU seconds of all
threads, which other work on the machine changes least.
"""

import argparse
import functools
import json
import re
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks import train_step
from benchmarks.forms import candidates, chosen_rows
from va_jax.config import Config, with_values
from va_jax.models import forms
from va_jax.models.build import build_model
from va_jax.train import compile as compiling
from va_jax.train import devices, sharding
from va_jax.types import DIMS, InputError

CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
COPY = re.compile(r" copy(?:-start)?\(")


class PlainBlock(nn.Module):
    """A block of a residual network as in Flax's examples."""

    features: int
    stride: int
    bottleneck: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        norm = functools.partial(nn.BatchNorm, not train, momentum=0.9, dtype=self.dtype)
        strides = (self.stride, self.stride)
        conv = functools.partial(nn.Conv, use_bias=False, dtype=self.dtype)
        if self.bottleneck:
            width = 4 * self.features
            y = nn.relu(norm()(conv(self.features, (1, 1))(x)))
            y = nn.relu(norm()(conv(self.features, (3, 3), strides, padding=1)(y)))
            y = norm()(conv(width, (1, 1))(y))
        else:
            width = self.features
            y = nn.relu(norm()(conv(width, (3, 3), strides, padding=1)(x)))
            y = norm()(conv(width, (3, 3), padding=1)(y))
        if x.shape != y.shape:
            x = norm()(conv(width, (1, 1), strides)(x))
        return nn.relu(x + y)


class PlainResNet(nn.Module):
    """A residual network as in Flax's examples."""

    stage_sizes: tuple[int, ...]
    bottleneck: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.Conv(64, (7, 7), (2, 2), padding=3, use_bias=False, dtype=self.dtype)(x)
        x = nn.relu(nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype)(x))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, size in enumerate(self.stage_sizes):
            for index in range(size):
                stride = 2 if stage and not index else 1
                x = PlainBlock(64 * 2**stage, stride, self.bottleneck, self.dtype)(x, train)
        return x.mean((1, 2)).astype(jnp.float32)


class PlainRegressor(nn.Module):
    """A plain residual network and a linear head on single frames, in place of `Regressor`."""

    backbone: PlainResNet
    dims: tuple[str, ...] = DIMS

    @nn.compact
    def __call__(
        self, frames: jax.Array, face: jax.Array, train: bool, freeze_backbone: bool = False
    ) -> tuple[jax.Array, tuple[()]]:
        x = frames.reshape(-1, *frames.shape[2:]).astype(self.backbone.dtype) / 127.5 - 1
        y = nn.Dense(len(self.dims), name="head_all")(self.backbone(x, train))
        return y.reshape(*face.shape, len(self.dims)), ()

    def inputs(self, batch: int, time: int, size: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            "frames": jax.ShapeDtypeStruct((batch, time, size, size, 3), jnp.uint8),
            "face": jax.ShapeDtypeStruct((batch, time), jnp.bool_),
        }


PLAIN = {
    "resnet18": PlainRegressor(PlainResNet((2, 2, 2, 2), False, jnp.bfloat16)),
    "resnet50": PlainRegressor(PlainResNet((3, 4, 6, 3), True, jnp.bfloat16)),
}


def estimate(config: Config, model: Any, form: forms.Forms, mesh: Any) -> dict[str, float]:
    """Return what the compiler estimates for the training step of a model."""
    with forms.using(form):
        step = compiling.training_step(config, model, config.data.size, mesh)
        lowered = step.step.lower(*step.arguments)
    start = time.process_time()
    compiled = lowered.compile()
    compile_s = time.process_time() - start
    text, plan = compiled.as_text(), compiled.memory_analysis()
    return {
        "cycles": sum(map(int, CYCLES.findall(text))),
        "bytes": compiled.cost_analysis()["bytes accessed"],
        "temporaries": plan.temp_size_in_bytes,
        "copies": len(COPY.findall(text)),
        "compile_s": compile_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="tzirakis2021:resnet18_lstm", help="FILE:VARIANT")
    parser.add_argument("--topology", default="v5e:2x2")
    parser.add_argument("--windows", type=int, default=2, help="windows per device")
    parser.add_argument("--length", type=int, default=32, help="frames")
    parser.add_argument("--size", type=int, default=96, help="pixels")
    parser.add_argument("--frames-only", action="store_true", help="without the temporal stack")
    parser.add_argument("--rows", nargs="*", help="rows to compile; default: all")
    parser.add_argument("--json", help="also write the table to this file")
    args = parser.parse_args()
    try:
        chips = devices.of_topology(args.topology)
    except InputError as error:
        parser.error(str(error))
    windows = args.windows * len(chips.devices)
    config = train_step.read_config(args.network, windows, args.length, args.size)
    config = with_values(config, **{"model.compute_dtype": "bfloat16"})
    if args.frames_only:
        config = with_values(config, **{"model.temporal": "none"})
    mesh = sharding.make_mesh(chips.devices)
    model, chosen = build_model(config.model, DIMS), forms.BY_BACKEND["tpu"]
    jobs: dict[str, Callable[[], dict[str, float]]] = {
        name: functools.partial(estimate, config, model, form, mesh)
        for name, form in candidates(config, chosen).items()
    }
    if args.frames_only and config.model.backbone in PLAIN:
        plain = PLAIN[config.model.backbone]
        jobs["plain flax"] = functools.partial(estimate, config, plain, chosen, mesh)
    try:
        rows = chosen_rows(jobs, args.rows)
    except ValueError as error:
        parser.error(str(error))
    table = {}
    for name, job in rows.items():
        table[name] = found = job()
        print(
            f"{name:24}{found['cycles']:14,.0f} cycles {found['bytes'] / 1e9:8.2f} GB "
            f"{found['temporaries'] / 2**30:7.3f} GiB {found['copies']:4} copies "
            f"{found['compile_s']:5.0f} CPU s",
            flush=True,
        )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(
                {"devices": chips.name, "jax": jax.__version__, "table": table}, file, indent=1
            )


if __name__ == "__main__":
    main()
