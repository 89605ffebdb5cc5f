"""Videos for the tests of pages."""

import pathlib
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np

CONTAINERS = {".mp4": ("libx264", "yuv420p"), ".avi": ("mpeg4", "yuv420p")}


def write_video(
    path: pathlib.Path,
    frames: Iterable[np.ndarray],
    fps: int,
    times: Sequence[float] | None = None,
    codec: str | None = None,
) -> pathlib.Path:
    """Write RGB frames, at equal distances or at the given times in seconds."""
    name, pixels = CONTAINERS[path.suffix]
    pixels = "yuvj420p" if codec == "mjpeg" else pixels
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream(codec or name, rate=fps)
        stream.pix_fmt = pixels
        base = Fraction(1, fps if path.suffix == ".avi" else 1000)
        stream.codec_context.time_base = base
        for number, image in enumerate(frames):
            if not number:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = round((number / fps if times is None else times[number]) / base)
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
