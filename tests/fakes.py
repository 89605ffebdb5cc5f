"""A data set in memory, for tests that need tracks but no builder."""

import numpy as np
import simplejpeg

from va_jax.data.sources import Source
from va_jax.types import CLIP_FRAMES, Track


def source(
    lengths=(70, 45, 33), size=16, seed=0, unlabelled=(), faceless=(), landmarks=0, unplaced=(),
    spread=False,
) -> Source:  # fmt: skip
    """Return tracks of frames whose colour encodes track (red) and frame (green).

    `unlabelled` and `faceless` hold (track, frame) pairs, `unplaced` (track, frame, landmark)
    triples of landmarks whose x is unknown. `place` gives the other landmarks.
    With `spread`, frames have a random spread between raters.
    """
    rng = np.random.default_rng(seed)
    tracks, records = [], []
    for index, frames in enumerate(lengths):
        tracks.append(Track(f"t{index}", f"v{index}", f"s{index}", "", 25.0, frames, len(records)))
        for first in range(0, frames, CLIP_FRAMES):
            numbers = np.arange(first, min(first + CLIP_FRAMES, frames))
            target = rng.uniform(-1, 1, (len(numbers), 2)).astype(np.float32)
            target[[(index, n) in unlabelled for n in numbers]] = np.nan
            images = np.zeros((len(numbers), size, size, 3), np.uint8)
            images[..., 0], images[..., 1] = 40 * index, 2 * numbers[:, None, None]
            images[..., 2] = rng.integers(0, 255, (len(numbers), 1, 1))
            jpegs = [simplejpeg.encode_jpeg(np.ascontiguousarray(x), quality=98) for x in images]
            record = {
                "frames": np.array(jpegs, dtype=object),
                "target": target,
                "face": np.array([(index, n) not in faceless for n in numbers]),
                "time_s": (numbers / 25).astype(np.float32),
            }
            if landmarks:
                points = [[place(index, n, p) for p in range(landmarks)] for n in numbers]
                gaps = [[(index, n, p) in unplaced for p in range(landmarks)] for n in numbers]
                record["landmarks"] = np.array(points, np.float32)
                record["landmarks"][np.array(gaps), 0] = np.nan
            records.append(record)
    made = Source(
        lambda numbers: [records[n] for n in numbers],
        tracks,
        ("valence", "arousal"),
        size,
        landmarks,
    )
    if spread:
        for number, record in enumerate(records):
            shape = record["target"].shape
            record["spread"] = np.random.default_rng(number).gamma(2, 0.1, shape).astype("f4")
        made.spread = {"valence": 0.2, "arousal": 0.2}
    return made


def place(track: int, frame: int, landmark: int) -> tuple[float, float]:
    """Return x and y of a landmark in units of the crop's side."""
    return frame / 100, (10 * track + landmark) / 100
