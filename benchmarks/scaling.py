"""What devices tell each other in a training step, counted in its compiled program.

    python -m benchmarks.scaling [--networks tzirakis2021:resnet50_lstm] [--devices 1 2 4 8]

A network is FILE:VARIANT of `configs/`, at its own window and side, one window a device; devices
are simulated on the CPU, each count in a process of its own. Nothing is computed: the step is
compiled, and its collective operations are read from the text. The table has their number and
bytes, beside those of the gradient, which any data-parallel step must reduce.
"""

import argparse
import collections
import importlib
import json
import os
import re
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from va_jax import optim, sharding
from va_jax.models import networks
from va_jax.schema import DIMS
from va_jax.step import make_step
from va_jax.train import initial_state
from va_jax.train_state import Tally, abstract

NETWORKS = ("quickstart:gru", "tzirakis2021:resnet50_lstm", "teixeira2021:resnet50,i3d_centred")
COLLECTIVE = re.compile(
    r"= (.+?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
SHAPE = re.compile(r"(pred|[a-z]+(\d+))\[([\d,]*)\]")


def collectives(text: str) -> list[tuple[str, int]]:
    """Name and bytes of every collective operation in optimised HLO."""
    found = []
    for shapes, name in COLLECTIVE.findall(text):
        sizes = [
            int(bits or 8) // 8 * int(np.prod([int(n) for n in dims.split(",") if n]))
            for _, bits, dims in SHAPE.findall(shapes)
        ]
        found.append((name, sum(sizes)))
    return found


def compiled(name: str) -> dict[str, Any]:
    """The collectives of the step of a network on all devices of this process."""
    file, _, variant = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(variant)
    config.train.batch_size = jax.device_count()
    config.train.accumulate = 1
    size = config.data.size or 48
    model, tx = networks.build(config.model, DIMS), optim.make_tx(config.optim, 100)
    mesh = sharding.make_mesh()
    whole = sharding.replicated(mesh)
    state = abstract(jax.eval_shape(lambda: initial_state(config, model, tx, size)), whole)
    tally = abstract(jax.eval_shape(Tally.zero), whole)
    rows, time = jax.device_count(), config.window.length
    shapes = {key: (x.shape[2:], x.dtype) for key, x in model.inputs(1, 1, size).items()}
    shapes |= {"target": ((len(DIMS),), jnp.float32), "mask": ((), bool)}
    layout = NamedSharding(mesh, PartitionSpec("data"))
    batch = {
        key: jax.ShapeDtypeStruct((rows, time, *shape), dtype, sharding=layout)
        for key, (shape, dtype) in shapes.items()
    }
    text = make_step(config, model, tx).lower(state, tally, batch).compile().as_text()
    found = collectives(text)
    counted = collections.Counter(kind for kind, _ in found)
    return {
        "network": name,
        "devices": jax.device_count(),
        "operations": dict(counted),
        "bytes": sum(size for _, size in found),
        "small": sum(size < 65536 for _, size in found),
        "gradient_bytes": sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state.params)),
    }


def measured(name: str, devices: int) -> dict[str, Any]:
    """`compiled` in a process with that many devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", "--one", name],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="FILE:VARIANT of configs/")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(compiled(args.one)))
        return
    rows = [measured(name, devices) for name in args.networks for devices in args.devices]
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'network':40}devices  operations (below 64 KiB)   MB  gradient, MB")
    for row in rows:
        operations = sum(row["operations"].values())
        print(
            f"{row['network']:40}{row['devices']:7}  {operations:10} ({row['small']:>5})"
            f"{row['bytes'] / 1e6:16.3f}{row['gradient_bytes'] / 1e6:14.3f}"
        )


if __name__ == "__main__":
    main()
