"""Render the crops of a moving cartoon face, and compute its landmarks."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tfds_builders.synthetic_faces import anatomy, looks
from tfds_builders.synthetic_faces.behaviour import Motion, face_shown
from tfds_builders.synthetic_faces.identity import Identity
from tfds_builders.synthetic_faces.shapes import SIDES, Shape, points_of, polygon, projection

LANDMARKS = ("left eye", "right eye", "nose", "mouth left", "mouth right")  # seen by the viewer
SUPERSAMPLING = 2
FRACTION_BITS = 5  # number of fractional bits in OpenCV's fixed-point coordinates
MARGIN = 0.2  # background around the crop that lets the camera move, in crop sides


def render(
    identity: Identity, motion: Motion, size: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "frames size size 3"]:
    """Render RGB crops of `size` x `size` pixels; `rng` draws the camera noise."""
    canvas_size = SUPERSAMPLING * size
    person = _brushes(looks.portrait(identity, motion), len(motion.present), canvas_size)
    hand = _brushes(anatomy.hand(identity, motion), len(motion.present), canvas_size)
    wall = _wall(identity, canvas_size)
    pan = np.clip(MARGIN - 0.5 * motion.place[:, :2], 0, 2 * MARGIN) * canvas_size
    held = np.isfinite(motion.hand[:, 0])
    frames = np.empty((len(motion.present), size, size, 3), np.uint8)
    for i, (left, top) in enumerate(pan.astype(int)):
        canvas = wall[top : top + canvas_size, left : left + canvas_size].copy()
        if motion.present[i]:
            _paint(canvas, person, i)
        if held[i]:
            _paint(canvas, hand, i)
        cv2.resize(canvas, (size, size), dst=frames[i], interpolation=cv2.INTER_AREA)
    return _photograph(frames, motion.light, motion.noise, rng)


def landmarks(identity: Identity, motion: Motion) -> Float[np.ndarray, "frames landmarks 2"]:
    """Return LANDMARKS as fractions of the crop's side, NaN if the face is not shown."""
    look = projection(identity, motion)
    unit = anatomy.units_of(motion)
    eyes = look(points_of(SIDES.T * identity.eye[0], identity.eye[1]), 0.0)
    nose = look(polygon([[0.0, identity.nose[1]]]), looks.NOSE_LIFT)
    mouth = look(anatomy.mouth_line(identity, unit, SIDES[:, 0]), 0.0)
    points = np.concatenate([eyes, nose, mouth], 2)[:, 0]
    return np.where(face_shown(motion)[:, None, None], points, np.nan)


def _brushes(shapes: list[Shape], frames: int, canvas_size: int) -> list[tuple]:
    """Convert shapes to OpenCV's fixed-point pixels, colour per frame, thickness and closedness."""
    brushes = []
    for points, colour, width, closed in shapes:
        # OpenCV places the centres of pixels at whole coordinates
        pixels = (np.nan_to_num(points) * canvas_size - 0.5) * 2**FRACTION_BITS
        colours = np.broadcast_to(np.round(colour), (frames, 3)).tolist()
        thickness = max(1, round(width * canvas_size)) if width else 0
        brushes.append((np.round(pixels).astype(np.int32), colours, thickness, closed))
    return brushes


def _paint(canvas: UInt8[np.ndarray, "height width 3"], brushes: list[tuple], i: int) -> None:
    for points, colours, thickness, closed in brushes:
        contours = [*points[i]]
        if thickness:
            cv2.polylines(
                canvas, contours, closed, colours[i], thickness, cv2.LINE_AA, FRACTION_BITS
            )
        else:
            cv2.fillPoly(canvas, contours, colours[i], cv2.LINE_AA, FRACTION_BITS)


def _wall(identity: Identity, canvas_size: int) -> UInt8[np.ndarray, "side side 3"]:
    """Draw a blurred room, larger than the crop by MARGIN on each side."""
    side = round((1 + 2 * MARGIN) * canvas_size)
    top, bottom, thing = identity.background
    down = np.linspace(0, 1, side)[:, None, None]
    wall = np.broadcast_to((1 - down) * top + down * bottom, (side, side, 3)).copy()
    for n, (x, y, radius) in enumerate(identity.things):
        tint = (0.75 + 0.1 * n) * thing
        at = (round((x + MARGIN) * canvas_size), round((y + MARGIN) * canvas_size))
        cv2.circle(wall, at, round(radius * canvas_size), tint.tolist(), cv2.FILLED)
    wall = cv2.GaussianBlur(wall, (0, 0), 0.05 * canvas_size)
    return np.clip(wall, 0, 255).astype(np.uint8)


def _photograph(
    frames: UInt8[np.ndarray, "frames size size 3"],
    light: Float[np.ndarray, "frames 3"],
    noise: float,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "frames size size 3"]:
    """Apply light that varies across the crop and over time, then add grey noise."""
    across = np.linspace(-1, 1, frames.shape[1], dtype=np.float32)
    gain, right, down = light.astype(np.float32).T[:, :, None]
    row, column = np.exp(gain + right * across), np.exp(down * across)
    picture = frames * (column[:, :, None] * row[:, None, :])[..., None]
    picture += noise * rng.standard_normal((*frames.shape[:3], 1), dtype=np.float32)
    return np.clip(picture + 0.5, 0, 255, out=picture).astype(np.uint8)
