"""Videos whose faces are coloured squares, and a detector that finds them."""

import pathlib

import av
import numpy as np

from va_jax.faces import Detections

WIDTH, HEIGHT, FPS = 192, 96, 25
SIDE = 40
COLOURS = {"red": (200, 0, 40), "blue": (40, 0, 200), "pink": (220, 0, 220)}
"""The green channel encodes the frame number, see `frame_of`."""

CYCLE = 31

POINTS = np.array([[-0.2, -0.2], [0.2, -0.2], [0, 0], [-0.15, 0.2], [0.15, 0.2]], np.float32)


def write_squares(path, frames, faces, grey=lambda n: 90, side=SIDE):
    """Write a video with squares; `faces(n)` gives {colour: (centre x, centre y)} in frame n."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        lossless = {"qp": "0", "preset": "ultrafast"}
        stream = container.add_stream("libx264", rate=FPS, options=lossless)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for n in range(frames):
            image = np.full((HEIGHT, WIDTH, 3), grey(n), np.uint8)
            for colour, (x, y) in faces(n).items():
                half = side // 2
                square = image[y - half : y + half, x - half : x + half]
                square[:] = COLOURS[colour]
                square[..., 1] = 8 * (n % CYCLE)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


class SquareDetector:
    """Finds at most one square of each colour; the real detector takes its arguments."""

    follow = None

    def __init__(self, min_face=40):
        pass

    def __call__(self, image):
        red, blue = image[..., 0] > 130, image[..., 2] > 130
        boxes = []
        for mask in (red & ~blue, blue & ~red, red & blue):
            if mask.sum() > 200:
                y, x = np.nonzero(mask)
                boxes.append([x.min(), y.min(), x.max(), y.max()])
        boxes = np.array(boxes, np.float32).reshape(-1, 4)
        centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        landmarks = centre[:, None] + side[:, None] * POINTS
        return Detections(boxes, np.full(len(boxes), 0.99, np.float32), landmarks)


def colour_of(crop):
    """Return the colour of the square in a crop [height, width, 3]."""
    mean = crop.reshape(-1, 3).astype(float).mean(0)
    return min(COLOURS, key=lambda name: np.abs(mean - COLOURS[name])[[0, 2]].sum())


def frame_of(crop):
    """Return the number of the frame that a crop shows, modulo CYCLE."""
    return round(float(crop[..., 1].mean()) / 8)
