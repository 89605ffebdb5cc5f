"""Count the data that devices exchange in a training step, from its compiled program.

    python -m benchmarks.scaling [--networks tzirakis2021:resnet50_lstm] [--devices 1 2 4 8]

A network is a config FILE:VARIANT in `configs/`, with its own window length and image size, and
with one window per device. Devices are simulated on the CPU, with a separate process for each
number of devices. Nothing is computed: the step is compiled, and its collective operations are read
from the text of the program. The command prints the number of these operations, the length of the
longest chain in which each depends on the one before, and their bytes. It also prints the bytes of
the gradient (which any data-parallel step must sum) and of the mean and variance of every batch
norm. The remaining bytes are the moments of the loss and the counts of valid frames. A different
backend's compiler may merge operations; the counts do not show this.
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

from va_jax.config import parse
from va_jax.models.build import build_model
from va_jax.train import compile as compiling
from va_jax.train import hlo, sharding
from va_jax.types import DIMS

NETWORKS = ("quickstart:gru", "tzirakis2021:resnet50_lstm", "teixeira2021:resnet50,i3d_centred")
SMALL = 65536  # bytes; a link of 45 GB/s carries them in one or two microseconds
NAME = re.compile(r"%[\w.-]+")


def in_a_row(text: str) -> int:
    """Return the length of the longest chain of dependent collective operations."""
    depths: dict[str, int] = {}
    for line in text[text.index("\nENTRY ") :].splitlines()[2:]:
        name, *used = NAME.findall(line) or [""]
        waited = max((depths.get(other, 0) for other in used), default=0)
        depths[name] = waited + bool(hlo.COLLECTIVE.search(line))
    return max(depths.values())


def compiled(name: str) -> dict[str, Any]:
    """Return the collectives of a network's step on all devices of this process."""
    file, _, variant = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(variant)
    config.train.batch_size = jax.device_count()
    config.train.accumulate = 1
    config = parse(config)
    model, mesh = build_model(config.model, DIMS), sharding.make_mesh()
    step = compiling.training_step(config, model, config.data.size or 48, mesh)
    state, *_ = step.arguments
    text = step.step.lower(*step.arguments).compile().as_text()
    found = hlo.collectives(text)
    kinds, sizes = collections.Counter(), collections.Counter()
    for each in found:
        kinds[each.kind] += 1
        sizes[each.kind] += each.bytes
    return {
        "network": name,
        "devices": jax.device_count(),
        "operations": {kind: {"count": kinds[kind], "bytes": sizes[kind]} for kind in kinds},
        "small": sum(each.bytes < SMALL for each in found),
        "in_a_row": in_a_row(text),
        "bytes": sizes.total(),
        "gradient_bytes": _bytes(state.params),
        "statistics_bytes": _bytes(state.batch_stats),
    }


def _bytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def measured(name: str, devices: int) -> dict[str, Any]:
    """Return the result of `compiled` in a process with this number of devices."""
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
    parser.add_argument(
        "--devices", type=int, nargs="+", default=[1, 2, 4, 8], help="simulated devices"
    )
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
    print(f"{'network':36}devices  operations  < 64 KiB  in a row  ", end="")
    print("  bytes = gradient + batch norm + rest")
    for row in rows:
        counts = ", ".join(f"{x['count']} {kind}" for kind, x in row["operations"].items())
        rest = row["bytes"] and row["bytes"] - row["gradient_bytes"] - row["statistics_bytes"]
        print(
            f"{row['network']:36}{row['devices']:7}  {counts or 'none':>14}{row['small']:>8}"
            f"{row['in_a_row']:>10}{row['bytes']:>13,}{row['gradient_bytes']:>13,}"
            f"{row['statistics_bytes']:>9,}{rest:>6,}"
        )


if __name__ == "__main__":
    main()
