"""Measure how often the intervals of the metrics table contain the truth, on simulated data.

    python -m benchmarks.coverage [--trials=1000] [--sizes 6 10 20 40 100]

The simulated recordings differ in length, level, spread, gain and bias, as recordings of people do.
The true pooled scores are computed from a very large number of recordings. The command prints the
share of trials whose 95 % interval contains the truth: for the interval of the metrics table and,
in brackets, for the simpler percentile interval.
"""

import argparse

import numpy as np

from va_jax.evaluation import bootstrap
from va_jax.evaluation.jackknife import standard_errors
from va_jax.evaluation.metrics import Moments, aggregate

METRICS = ("ccc", "pcc", "rmse", "sagr")
POPULATION = 40_000


def recordings(rng: np.random.Generator, count: int) -> Moments:
    """Return the moments of recordings of 20 to 119 frames with one dimension."""
    size = (count, 1)
    level, gain, bias = (rng.normal(*each, size) for each in ((0, 0.25), (0.6, 0.25), (0, 0.15)))
    target = level + rng.gamma(4, 0.05, size) * rng.normal(size=(count, 119))
    pred = gain * target + bias + 0.15 * rng.normal(size=target.shape)
    return Moments.stack(
        [
            Moments.of(p[:n, None], t[:n, None], np.ones(n, bool))
            for p, t, n in zip(pred, target, rng.integers(20, 120, count), strict=True)
        ]
    )


def trial(rng: np.random.Generator, size: int, seed: int) -> dict[str, tuple[np.ndarray, ...]]:
    """Return, for each metric, the ends of the pooled interval and of the percentile interval."""
    moments, once = recordings(rng, size), np.ones((1, size))
    drawn = bootstrap.resamples(size, seed=seed)
    value, error, resampled, errors = (
        each["pooled"]
        for each in (
            aggregate(moments),
            standard_errors(moments, once),
            aggregate(moments, drawn),
            standard_errors(moments, drawn),
        )
    )
    tails = ((1 - bootstrap.LEVEL) / 2, (1 + bootstrap.LEVEL) / 2)
    return {
        key: (
            *bootstrap.interval(value[key], error[key][0], resampled[key], errors[key]),
            *np.quantile(resampled[key], tails, axis=0),
        )
        for key in METRICS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000, help="sets of recordings per size")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[6, 10, 20, 40, 100], help="recordings in a set"
    )
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    truth = aggregate(recordings(rng, POPULATION))["pooled"]
    print("recordings  " + "".join(f"{key:>18}" for key in METRICS) + "   (percentile interval)")
    for size in arguments.sizes:
        hits = {key: np.zeros(2) for key in METRICS}
        for seed in range(arguments.trials):
            for key, (low, high, from_, to) in trial(rng, size, seed).items():
                inside = low <= truth[key], from_ <= truth[key]
                within = truth[key] <= high, truth[key] <= to
                hits[key] += np.concatenate(inside) & np.concatenate(within)
        rates = (hits[key] / arguments.trials for key in METRICS)
        print(f"{size:10d}  " + "".join(f"     {a:.3f} ({b:.3f})" for a, b in rates))


if __name__ == "__main__":
    main()
