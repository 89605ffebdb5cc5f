"""Ten ways to edit a recording of a drawn face, for tests that look for copies."""

import functools

import cv2
import numpy as np
import simplejpeg

from tfds_builders.synthetic_faces import synthetic_faces_dataset_builder as drawn

SIZE, FPS, FRAMES = 40, 25.0, 375
CONFIG = drawn.SyntheticFacesConfig(
    name="copies", size=SIZE, fps=FPS, recordings=2, lengths=(FRAMES,)
)


@functools.cache
def recording(subject, number):
    """Return the frames, uint8 [375, 40, 40, 3], of 15 s of a subject."""
    chosen = drawn._recording(CONFIG, subject, number, noise_free=False)
    stored = [each for clip in drawn.extract(chosen, CONFIG, None)[1] for each in clip.frames]
    return np.stack([simplejpeg.decode_jpeg(each) for each in stored])


def each(change, frames):
    return np.stack([change(frame) for frame in frames])


def resized(frame, size):
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)


def shifted(frame):
    matrix = np.float32([[1, 0, 0.05 * SIZE], [0, 1, -0.05 * SIZE]])
    return cv2.warpAffine(frame, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)


def encoded(frame):
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=15))


def brighter(frames):
    return np.clip(frames.astype(np.int16) + 35, 0, 255).astype(np.uint8)


def contrasted(frames):
    return np.clip(0.6 * (frames.astype(np.float32) - 128) + 128, 0, 255).astype(np.uint8)


EDITS = {  # name -> (function that returns another recording, frames) -> (frames, fps)
    "brightness": lambda other, x: (brighter(x), FPS),
    "contrast": lambda other, x: (contrasted(x), FPS),
    "crop": lambda other, x: (each(lambda f: resized(f[3:-3, 3:-3], SIZE), x), FPS),
    "shift": lambda other, x: (each(shifted, x), FPS),
    "encoded": lambda other, x: (each(encoded, x), FPS),
    "mirrored": lambda other, x: (np.ascontiguousarray(x[:, :, ::-1]), FPS),
    "rate": lambda other, x: (x[::2], FPS / 2),
    "trimmed": lambda other, x: (x[83:-61], FPS),
    "later": lambda other, x: (np.concatenate([other()[:59], x[:-59]]), FPS),
    "half": lambda other, x: (each(lambda f: resized(f, SIZE // 2), x), FPS),
}


def copies():
    """Return {edit: (frames, frames per second)} of the copies of subjects 0 to 9."""
    return {
        name: edit(lambda: recording(0, 1), recording(subject, 0))
        for subject, (name, edit) in enumerate(EDITS.items())
    }
