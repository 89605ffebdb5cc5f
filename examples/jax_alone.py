"""Run an exported network with JAX and NumPy alone, without this package.

    pip install jax flatbuffers
    python examples/jax_alone.py FOLDER FRAMES.npy [--face=FACE.npy] [--stream=PIECE] > pred.csv

FRAMES.npy contains crops of faces, uint8 RGB [batch, time, size, size, 3]. FACE.npy states whether
each frame shows the face, bool [batch, time]. A network that takes landmarks also needs
--landmarks=LANDMARKS.npy, float32 [batch, time, points, 2] from -1 to 1 over the crop (0: unknown).
For a single track, leave out the batch dimension in all files. With --stream the network receives
PIECE frames at a time, as from a camera; the values are the same.
"""

import argparse
import json
import pathlib
import sys

import jax
import numpy as np
from jax import export


def load(path):
    """Return the serialised function in a file; JAX compiles it for every new batch and time."""
    return jax.jit(export.deserialize(bytearray(path.read_bytes())).call)


def whole(folder, inputs):
    """Return the predictions for all frames from one call."""
    return np.asarray(load(folder / "model.jaxexport")(*inputs))


def streamed(folder, inputs, piece, shapes):
    """Return the same piece by piece: the state from one call goes into the next."""
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
    parser.add_argument("--stream", type=int, default=0, help="frames per piece")
    given = parser.parse_args()
    metadata = json.loads((given.folder / "passport.json").read_text())
    frames = np.load(given.frames)
    face = np.load(given.face) if given.face else np.ones(frames.shape[:-3], bool)
    inputs = [frames, face] + ([np.load(given.landmarks)] if given.landmarks else [])
    size = metadata["input"]["size"]
    if frames.ndim not in (4, 5) or frames.shape[-3:] != (size, size, 3):
        sys.exit(
            f"error: {given.frames}: shape {frames.shape}; expected [batch, time, {size}, {size}, "
            f"3] or [time, {size}, {size}, 3]"
        )
    if frames.ndim == 4:
        inputs = [x[None] for x in inputs]
    shapes = metadata["stream_state"]
    if given.stream and not shapes:
        reason = "uses later frames" if shapes is None else "has no state to carry on"
        sys.exit(f"error: --stream={given.stream}: this network {reason}; leave --stream out")
    if given.stream:
        pred = streamed(given.folder, inputs, given.stream, shapes)
    else:
        pred = whole(given.folder, inputs)
    rows = pred.reshape(-1, pred.shape[2])
    print("row", "frame", *metadata["dims"], sep=",")
    for (row, frame), values in zip(np.ndindex(*pred.shape[:2]), rows, strict=True):
        print(row, frame, *(f"{value:.7f}" for value in values), sep=",")


if __name__ == "__main__":
    main()
