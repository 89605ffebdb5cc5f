"""Whether `loss.rater_weight` helps: linear models on the motion of drawn faces.

The models see the action units and the head's movement in the last seconds, and learn from the
labels of three simulated raters with the loss of a training run, in a single batch. The score is
the pooled CCC with noise-free labels of 40 other people. In the set `careless_rater`, one of the
raters ignores the face for 40 % of the time; in `careful_raters`, all are equally good.

    python -m benchmarks.rater_weight
    python -m benchmarks.rater_weight --subjects 20 --options raters=2 careless_share=0.7
"""

import argparse
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tfds_builders.synthetic_faces.synthetic_faces_dataset_builder import Builder, Script, script
from va_jax.config import Loss
from va_jax.data.rater_weights import RaterWeights
from va_jax.evaluation.metrics import Moments
from va_jax.io import Table
from va_jax.train.losses import weighted_loss
from va_jax.types import DIMS

PAST = range(0, 24, 2)
"""Frames before the current one that a model sees, at 10 frames per second."""

STEPS, RATE = 400, 0.02


def inputs(scene: Script) -> np.ndarray:
    """Return action units, their speed and the speed of the head for every frame in PAST."""
    motion = scene.motion
    speeds = [
        np.abs(np.diff(each, axis=0, prepend=each[:1])) for each in (motion.units, motion.pose)
    ]
    now = np.concatenate([motion.units, *speeds], axis=1)
    padded = np.pad(now, ((max(PAST), 0), (0, 0)), mode="edge")
    rows = np.arange(len(now)) + max(PAST)
    return np.concatenate([padded[rows - past] for past in PAST], axis=1)[scene.face]


def drawn(
    name: str, subjects: int, seed: int, options: dict[str, float]
) -> dict[str, list[Script]]:
    """Draw the recordings of a set without rendering them."""
    given = options | {"train": subjects, "seed": seed}
    builder = Builder(config=name, data_dir="/nonexistent", options=given)
    recordings = builder.recordings(None)
    return {
        split: [script(each, builder.builder_config) for each in recordings[split]]
        for split in ("train", "test")
    }


@functools.partial(jax.jit, static_argnames="loss")
def fitted(x: jax.Array, target: jax.Array, weight: jax.Array | None, loss: Loss) -> jax.Array:
    """Return the coefficients [inputs, dims] that minimise a loss over all frames."""
    tx = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))
    mask = jnp.ones(x.shape[:1], bool)[None]

    def objective(coefficients: jax.Array) -> jax.Array:
        batch = (x @ coefficients)[None], target[None], mask
        return weighted_loss(*batch, loss, weight=None if weight is None else weight[None])

    def step(state: tuple, _: None) -> tuple[tuple, None]:
        coefficients, moments = state
        updates, moments = tx.update(jax.grad(objective)(coefficients), moments)
        return (optax.apply_updates(coefficients, updates), moments), None

    start = jnp.zeros((x.shape[1], target.shape[1]))
    return jax.lax.scan(step, (start, tx.init(start)), length=STEPS)[0][0]


def scores(scenes: dict[str, list[Script]], bounds: list[float]) -> list[np.ndarray]:
    """Return the CCC [dims] on test for each value of `loss.rater_weight`."""
    x, target, spread = (
        np.concatenate([part(each) for each in scenes["train"]]).astype(np.float32)
        for part in (inputs, lambda s: s.target[s.face], lambda s: s.spread[s.face])
    )
    mean, deviation = x.mean(0), x.std(0) + 1e-6

    def scaled(values: np.ndarray) -> np.ndarray:
        ones = np.ones((len(values), 1), np.float32)
        return np.concatenate([(values - mean) / deviation, ones], axis=1, dtype=np.float32)

    found = []
    typical = spread.mean(0, dtype=np.float64)
    for bound in bounds:
        weight = RaterWeights(bound, typical).of(spread) if bound else None
        fit = np.asarray(fitted(scaled(x), target, weight, Loss(mse=0.1)))
        moments = [
            Moments.of(scaled(inputs(s)) @ fit, s.target[s.face], np.ones(s.face.sum(), bool))
            for s in scenes["test"]
        ]
        found.append(Moments.stack(moments).merged().ccc())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, nargs="+", default=[10, 20, 60])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--bounds", type=float, nargs="+", default=[0, 10, 100])
    parser.add_argument(
        "--options", nargs="*", default=[], help="KEY=VALUE of the set, such as raters=2"
    )
    args = parser.parse_args()
    given = dict(each.split("=") for each in args.options)
    options = {
        key: int(value) if value.isdecimal() else float(value) for key, value in given.items()
    }
    rows = []
    for name, subjects in itertools.product(("careful_raters", "careless_rater"), args.subjects):
        found = np.array(
            [scores(drawn(name, subjects, s, options), args.bounds) for s in args.seeds]
        )
        for i, bound in enumerate(args.bounds):
            ccc = found[:, i]  # [seeds, dims]
            gain = (ccc - found[:, 0]).mean(1)
            cells = [f"{c.mean():.3f} ± {c.std(ddof=1):.3f}" for c in ccc.T]
            gains = " ".join(f"{each:+.3f}" for each in gain) if bound else ""
            rows.append([name, str(subjects), f"{bound:g}", *cells, gains])
            print(*rows[-1], sep="\t", flush=True)
    header = ("set", "training subjects", "loss.rater_weight", *DIMS, "mean gain for each seed")
    print(Table(header, rows).markdown())


if __name__ == "__main__":
    main()
