"""Measure how clearly edited copies of recordings stand out from different recordings.

    python -m benchmarks.duplicates --subjects 24
    python -m benchmarks.duplicates --subjects 0 --recordings 1000

The first command draws three recordings of 30 s of each subject, edits the first recording of every
third subject in each way, and prints the lowest correlation and evidence (correlation times the
square root of the shared seconds) of the copies, and the highest of all pairs of different
recordings. The second one times the comparison of random recordings of 5 minutes, on one core.
"""

import argparse
import resource
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import simplejpeg

from tfds_builders.synthetic_faces import synthetic_faces_dataset_builder as drawn
from va_jax.data import duplicates, looks
from va_jax.data.looks import Look

SIDE, FPS, SECONDS, REPEATS = 48, 25.0, 30, 3
ALL = ("SIMILARITY", "EVIDENCE", "SHORT_SIMILARITY", "CANDIDATE")
"""Thresholds of the search, which are switched off here."""

Edit = Callable[[np.ndarray], np.ndarray]


def levels(change: Edit) -> Edit:
    """Return an edit that changes the grey levels."""
    return lambda frames: np.clip(change(frames.astype(np.float32)), 0, 255).astype(np.uint8)


def every(change: Edit) -> Edit:
    """Return an edit that changes every frame."""
    return lambda frames: np.stack([change(frame) for frame in frames])


def moved(matrix: Sequence[Sequence[float]]) -> Edit:
    """Return an edit that moves the pixels of every frame."""
    size, edge = (SIDE, SIDE), cv2.BORDER_REPLICATE
    return every(lambda frame: cv2.warpAffine(frame, np.float32(matrix), size, borderMode=edge))


def encoded(frame: np.ndarray) -> np.ndarray:
    return simplejpeg.decode_jpeg(
        simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=10, colorsubsampling="420")
    )


def cropped(border: int) -> Edit:
    return every(lambda frame: cv2.resize(frame[border:-border, border:-border], (SIDE, SIDE)))


ROTATION = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 6, 1).tolist()
EDITS: dict[str, tuple[Edit, float]] = {
    "brightness + 40": (levels(lambda frames: frames + 40), FPS),
    "brightness x 0.55": (levels(lambda frames: 0.55 * frames), FPS),
    "gamma 1.8": (levels(lambda frames: 255 * (frames / 255) ** 1.8), FPS),
    "contrast x 1.5": (levels(lambda frames: 1.5 * (frames - 128) + 128), FPS),
    "cropped by 4 % on each side": (cropped(2), FPS),
    "cropped by 10 % on each side": (cropped(5), FPS),
    "moved by 8 % and 6 %": (moved([[1, 0, 0.08 * SIDE], [0, 1, -0.06 * SIDE]]), FPS),
    "rotated by 6 degrees": (moved(ROTATION), FPS),
    "JPEG of quality 10": (every(encoded), FPS),
    "mirrored": (lambda frames: np.ascontiguousarray(frames[:, :, ::-1]), FPS),
    "half the size": (every(lambda frame: cv2.resize(frame, (SIDE // 2, SIDE // 2))), FPS),
    "8.3 frames per second": (lambda frames: frames[::3], FPS / 3),
    "3.1 s cut off at the start, 2.3 s at the end": (lambda frames: frames[78:-58], FPS),
    "47 % cut off at the start": (lambda frames: frames[352:], FPS),
}


def look(name: str, frames: np.ndarray, fps: float) -> Look:
    """Return the look of a recording."""
    time_s = np.arange(len(frames)) / fps
    sampler = looks.Sampler(0.0)
    chosen = looks.nearest(time_s, 0.0)
    for frame, point, off_s in zip(*chosen, strict=True):
        sampler.put(int(point), float(off_s), looks.describe(frames[int(frame)]))
    return sampler.look(name)


def draw(subject: int, repeat: int) -> np.ndarray:
    """Return the frames, uint8 [frames, SIDE, SIDE, 3], of a drawn recording."""
    lengths = (round(SECONDS * FPS),)
    config = drawn.SyntheticFacesConfig(
        name="copies", size=SIDE, fps=FPS, recordings=REPEATS, lengths=lengths
    )
    recording = drawn._recording(config, subject, repeat, noise_free=False)
    clips = drawn.extract(recording, config, None)[1]
    return np.stack([simplejpeg.decode_jpeg(jpeg) for clip in clips for jpeg in clip.frames])


def margins(subjects: int) -> None:
    """Print the lowest values of copies and the highest ones of different recordings."""
    known, lowest = [], dict.fromkeys(EDITS, (1.0, np.inf))
    for threshold in ALL:
        setattr(duplicates, threshold, 0.0)
    for subject in range(subjects):
        for repeat in range(REPEATS):
            frames = draw(subject, repeat)
            known.append(look(f"{subject}_{repeat}", frames, FPS))
            if subject % 3 or repeat:
                continue
            for name, (edit, fps) in EDITS.items():
                pair = [known[-1], look("copy", edit(frames), fps)]
                (found,) = duplicates.find_duplicates(pair)
                values = (found.similarity, found.similarity * found.shared_s**0.5)
                lowest[name] = tuple(map(min, lowest[name], values))
    for name, (correlation, evidence) in lowest.items():
        print(f"{name:48}{correlation:6.2f}{evidence:6.1f}")
    pairs = duplicates.find_duplicates(known)
    correlation = max(pair.similarity for pair in pairs)
    evidence = max(pair.similarity * pair.shared_s**0.5 for pair in pairs)
    print(f"{'highest of all pairs of different recordings':48}{correlation:6.2f}{evidence:6.1f}")


def timing(recordings: int) -> None:
    """Print the time and memory of comparing random recordings of 5 minutes."""
    rng = np.random.default_rng(0)
    width = len(looks.describe(np.zeros((SIDE, SIDE, 3), np.uint8)))
    values = rng.standard_normal((recordings, 1500, width), np.float32).cumsum(1)
    found = [Look(str(number), each) for number, each in enumerate(values)]
    start = time.perf_counter()
    duplicates.find_duplicates(found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{recordings} recordings: {time.perf_counter() - start:.0f} s, {peak:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=24, help="0: no margins")
    parser.add_argument("--recordings", type=int, default=0, help="0: no timing")
    args = parser.parse_args()
    if args.subjects:
        margins(args.subjects)
    if args.recordings:
        timing(args.recordings)


if __name__ == "__main__":
    main()
