"""Run an exported network with JAX and NumPy alone, without this package.

    pip install jax flatbuffers
    python examples/jax_alone.py FOLDER FRAMES.npy [--face=FACE.npy] [--stream=PIECE] > pred.csv

FRAMES.npy holds crops of faces, uint8 RGB [batch, time, size, size, 3], FACE.npy whether they show
the face, bool [batch, time]; LANDMARKS.npy, for a network that takes some, float32
[batch, time, points, 2] from -1 to 1 over the crop, 0 where unknown. With --stream the frames are
fed in pieces of so many, as they would come from a camera; the numbers are the same.
"""

import argparse
import json
import pathlib
import sys

import jax
import numpy as np
from jax import export


def load(path):
    """The serialised function in a file, compiled anew for every batch and time it is called on."""
    return jax.jit(export.deserialize(bytearray(path.read_bytes())).call)


def whole(folder, inputs):
    """Predictions of all frames in one call."""
    return np.asarray(load(folder / "model.jaxexport")(*inputs))


def streamed(folder, inputs, piece, shapes):
    """The same, a piece at a time: the state that a call gives back is handed to the next one."""
    network, (batch, time) = load(folder / "stream.jaxexport"), inputs[0].shape[:2]
    state = [np.zeros((batch, *shape), np.float32) for shape in shapes]
    parts = []
    for start in range(0, time, piece):
        pred, *state = network(*(x[:, start : start + piece] for x in inputs), *state)
        parts.append(np.asarray(pred))
    return np.concatenate(parts, axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("frames", type=pathlib.Path)
    parser.add_argument("--face", type=pathlib.Path)
    parser.add_argument("--landmarks", type=pathlib.Path)
    parser.add_argument("--stream", type=int, default=0, help="frames of a piece")
    given = parser.parse_args()
    passport = json.loads((given.folder / "passport.json").read_text())
    frames = np.load(given.frames)
    face = np.load(given.face) if given.face else np.ones(frames.shape[:2], bool)
    inputs = [frames, face] + ([np.load(given.landmarks)] if given.landmarks else [])
    shapes = passport["stream_state"]
    if given.stream and not shapes:
        why = "sees frames to come" if shapes is None else "has no state: call it on any piece"
        sys.exit(f"error: --stream={given.stream}, but this network {why}")
    if given.stream:
        pred = streamed(given.folder, inputs, given.stream, shapes)
    else:
        pred = whole(given.folder, inputs)
    rows = pred.reshape(-1, pred.shape[2])
    print("row", "frame", *passport["dims"], sep=",")
    for (row, frame), values in zip(np.ndindex(*pred.shape[:2]), rows, strict=True):
        print(row, frame, *(f"{value:.7f}" for value in values), sep=",")


if __name__ == "__main__":
    main()
