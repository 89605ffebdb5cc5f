"""Show whether the papers' networks fit TPUs, by compiling them for TPUs that are elsewhere.

    python -m benchmarks.fits --networks tzirakis2021:resnet50_lstm --topologies v5e:2x2 v5p:2x2x1

A network is a config FILE:VARIANT in `configs/`, with its own window length and image size, in
bfloat16, with `--windows` windows per chip in training and in evaluation. Each row is one network
on one slice: memory per chip, exchanges between chips and compile time. A network that does not fit
is compiled again with `model.remat`.
"""

import argparse
import json
import pathlib

from benchmarks import train_step
from va_jax.config import Config, with_values
from va_jax.train import devices
from va_jax.train.compile import Compiled, compile_steps
from va_jax.types import InputError

TOPOLOGIES = ("v5e:2x2", "v5p:2x2x1", "v6e:2x4", "v5e:16x16")


def compiled(config: Config, chips: devices.Devices) -> tuple[dict[str, Compiled], str]:
    """Compile a config, with `model.remat` if it does not fit without; also say how it fits."""
    try:
        return compile_steps(config, chips), "yes"
    except InputError as error:
        if not str(error).startswith("the training step"):
            raise
        print(f"  {error}", flush=True)
    return compile_steps(with_values(config, **{"model.remat": True}), chips), "model.remat=True"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=train_step.NETWORKS)
    parser.add_argument("--topologies", nargs="+", default=TOPOLOGIES)
    parser.add_argument("--windows", type=int, default=2, help="windows per chip")
    parser.add_argument("--json", type=pathlib.Path, help="also write the rows to this file")
    args = parser.parse_args()
    rows = []
    for topology in args.topologies:
        try:
            chips = devices.of_topology(topology)
        except InputError as error:
            parser.error(str(error))
        for network in args.networks:
            windows = args.windows * len(chips.devices)
            config = train_step.read_config(network, windows)
            changes = {"model.compute_dtype": "bfloat16", "eval.batch_size": windows}
            changes |= {"train.accumulate": 1}
            try:
                steps, fits = compiled(with_values(config, **changes), chips)
            except InputError as error:
                print(f"{network} on {topology}: {error}", flush=True)
                continue
            training, evaluation = steps["training"], steps["evaluation"]
            exchanged = sum(each.bytes for each in training.collectives)
            row = {
                "network": network,
                "topology": topology,
                "fits": fits,
                "training, MiB": round(training.peak / 2**20),
                "share": round(training.peak / chips.memory, 3) if chips.memory else None,
                "evaluation, MiB": round(evaluation.peak / 2**20),
                "exchanges": len(training.collectives),
                "exchanged, MiB": round(exchanged / 2**20, 1),
                "compile, s": round(training.compile_s),
            }
            rows.append(row)
            print(" | ".join(str(value) for value in row.values()), flush=True)
            if args.json:
                args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
