"""Score the same simulated predictions in several ways, to show how far the scores lie apart.

    python examples/aggregations.py aggregations

The simulated network knows how aroused each person is on the whole and follows the changes only
roughly, a second late. The folder gets `labels/` and `predictions/` for `va_jax score`.
"""

import pathlib
import sys

import numpy as np

from va_jax.evaluation.metrics import Moments

RECORDINGS, FRAMES, FPS = 28, 1430, 10
WINDOW = 100
"""Frames of a short window; at 10 frames per second, 10 s."""


def smooth(noise: np.ndarray, frames: int) -> np.ndarray:
    """Return the moving average of noise over some frames, with a standard deviation of 1."""
    trace = np.convolve(noise, np.ones(frames), "valid")
    return (trace - trace.mean()) / trace.std()


def simulate() -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and labels, [recordings, frames]."""
    rng = np.random.default_rng(0)
    preds, labels = [], []
    for level in rng.normal(0.1, 0.15, RECORDINGS):
        changes = smooth(rng.normal(size=FRAMES + 49), 50)
        errors = smooth(rng.normal(size=FRAMES + 49), 50)
        late = np.roll(changes, FPS)
        late[:FPS] = late[FPS]
        labels.append(level + 0.12 * changes)
        preds.append(0.6 * level + 0.06 * late + 0.08 * errors)
    return np.array(preds).clip(-1, 1), np.array(labels).clip(-1, 1)


def moments(preds: np.ndarray, labels: np.ndarray) -> Moments:
    """Return the moments of pieces, [pieces, 1]."""
    pieces = zip(preds, labels, strict=True)
    everywhere = np.ones(preds.shape[1], bool)
    return Moments.stack([Moments.of(p[:, None], y[:, None], everywhere) for p, y in pieces])


def scores(preds: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the CCC of the same predictions, computed in different ways."""
    whole = moments(preds, labels)
    usable = FRAMES // WINDOW * WINDOW
    windows = moments(preds[:, :usable].reshape(-1, WINDOW), labels[:, :usable].reshape(-1, WINDOW))
    earlier = moments(preds[:, FPS:], labels[:, :-FPS])
    return {
        "pooled, population formula": float(whole.merged().ccc()[0]),
        "pooled, AVEC's formula": float(whole.merged().ccc("avec")[0]),
        "pooled, predictions moved 1 s earlier": float(earlier.merged().ccc()[0]),
        "mean of recordings": float(whole.ccc().mean()),
        f"mean of windows of {WINDOW} frames": float(windows.ccc().mean()),
    }


def write(folder: pathlib.Path, traces: np.ndarray) -> None:
    """Write a csv file for each recording into a new folder."""
    folder.mkdir(parents=True)
    for number, trace in enumerate(traces):
        rows = (f"{frame},{frame / FPS:.1f},{value:.6f}" for frame, value in enumerate(trace))
        path = folder / f"recording_{number:02}.csv"
        path.write_text("\n".join(["frame,time_s,arousal", *rows]) + "\n")


def main(folder: str) -> None:
    if pathlib.Path(folder).exists():
        sys.exit(f"error: {folder} exists; choose the name of a new folder")
    preds, labels = simulate()
    write(pathlib.Path(folder) / "predictions", preds)
    write(pathlib.Path(folder) / "labels", labels)
    for name, value in scores(preds, labels).items():
        print(f"{name:<40}{value:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
