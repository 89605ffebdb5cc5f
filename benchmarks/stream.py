"""Measure the milliseconds per frame of a stream, and of one pass over all frames.

    python -m benchmarks.stream MODEL [--frames=2000] [--rounds=5] [--json]

MODEL is an export or the workdir of a run; the frames are noise. The stream and the pass alternate.
The command prints medians over the rounds and, for the stream, the 99th percentile over all frames.
"""

import argparse
import json
import statistics
import time

import numpy as np

import va_jax


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", help="an export, or the workdir of a run")
    parser.add_argument("--frames", type=int, default=2000, help="frames in a round")
    parser.add_argument("--rounds", type=int, default=5, help="timed turns of each variant")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    model = va_jax.load(asked.model)
    shape = (asked.frames, model.size, model.size, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    stream = model.stream()
    model(frames)  # compiles
    medians_ms, all_ms, pass_ms = [], [], []
    for _ in range(asked.rounds):
        times_ms = []
        for frame in frames:
            start = time.perf_counter()
            stream.push(frame)
            times_ms.append(1000 * (time.perf_counter() - start))
        medians_ms.append(statistics.median(times_ms))
        all_ms += times_ms
        start = time.perf_counter()
        model(frames)
        pass_ms.append(1000 * (time.perf_counter() - start) / asked.frames)
    result = {
        "stream_ms": statistics.median(medians_ms),
        "stream_99th_percentile_ms": float(np.percentile(all_ms, 99)),
        "pass_ms": statistics.median(pass_ms),
    }
    if asked.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<28}{value:.3f}")


if __name__ == "__main__":
    main()
