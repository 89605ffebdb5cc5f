"""List the GPU time that each kernel takes in a training step, from a trace of three steps.

    python -m benchmarks.kernels tzirakis2021:resnet50_lstm 8 150 112

Digits in the names of kernels are replaced, so that the times
of equal kernels in different layers are added up.
"""

import argparse
import collections
import gzip
import json
import pathlib
import re
import tempfile

import jax

from benchmarks import train_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", help="FILE:VARIANT of configs/")
    parser.add_argument("windows", type=int, help="windows in a batch")
    parser.add_argument("length", type=int, help="frames in a window")
    parser.add_argument("size", type=int, help="side of the frames, pixels")
    args = parser.parse_args()
    config = train_step.read_config(args.network, args.windows, args.length, args.size)
    step, _ = train_step.our_step(config, train_step.random_batch(config))
    step()
    steps = 3
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            for _ in range(steps):
                step()
        (path,) = pathlib.Path(folder).glob("**/perfetto_trace.json.gz")
        with gzip.open(path) as file:
            read = json.load(file)
    events = read["traceEvents"] if isinstance(read, dict) else read
    streams = {
        (event["pid"], event.get("tid"))
        for event in events
        if event.get("name") == "thread_name" and "Stream" in event["args"].get("name", "")
    }
    total, calls = collections.Counter(), collections.Counter()
    for event in events:
        if event.get("ph") == "X" and (event.get("pid"), event.get("tid")) in streams:
            kernel = re.sub(r"\d+", "#", event["name"])[:70]
            total[kernel] += event["dur"] / 1e3 / steps
            calls[kernel] += 1
    if not total:
        raise SystemExit(f"the trace holds no stream of a {jax.default_backend()}; run on a GPU")
    sum_ms = sum(total.values())
    print(json.dumps({"network": name, "shape": shape, "device_ms_a_step": sum_ms}))
    for kernel, ms in total.most_common(30):
        row = {"ms_a_step": ms, "share": ms / sum_ms, "calls_a_step": calls[kernel] / steps}
        print(json.dumps({"kernel": kernel, **row}))


if __name__ == "__main__":
    main()
