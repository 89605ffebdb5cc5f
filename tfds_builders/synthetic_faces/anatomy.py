"""The moving parts of a face as shapes: eyes, brows, cheeks and mouth follow action units."""

import numpy as np
from jaxtyping import Float

from tfds_builders.synthetic_faces.behaviour import UNITS, Motion
from tfds_builders.synthetic_faces.identity import Identity, mix
from tfds_builders.synthetic_faces.shapes import SIDES, Points, Shape, band, oval, points_of

UNIT_LIMIT = 1.7  # strongest possible deformation of a face
INK = np.array([38, 26, 28])
WHITE = np.array([246, 244, 240])

Units = dict[str, Float[np.ndarray, "frames 1 1"]]


def units_of(motion: Motion) -> Units:
    """Return the action units by name, limited smoothly to UNIT_LIMIT."""
    shown = UNIT_LIMIT * np.tanh(motion.units / UNIT_LIMIT)
    return {name: shown[:, i, None, None] for i, name in enumerate(UNITS)}


def mouth_line(identity: Identity, unit: Units, t: Float[np.ndarray, "points"]) -> Points:
    """Return the line between the lips at positions t from -1 (left corner) to 1 (right corner)."""
    height, half, _ = identity.mouth
    corner, gap = unit["corner"], _gap(unit)
    x = half * (1 + 0.16 * corner - 1.6 * gap) * t
    y = height + corner * (0.03 - 0.09 * t**2) + 0.1 * gap * (1 - t**2)
    return points_of(x, y)


def mouth(identity: Identity, unit: Units) -> list[Shape]:
    """Return the lips, the inner mouth, the teeth and the line of the upper lip."""
    t = np.linspace(-1, 1, 15)
    line, gap, lip = mouth_line(identity, unit, t), _gap(unit), identity.mouth[2]
    arch = (1 - t**2) ** 0.7
    bow = lip * arch * (0.8 - 0.3 * np.exp(-((t / 0.22) ** 2)))
    upper, lower = _lowered(line, -0.35 * gap * arch), _lowered(line, 0.65 * gap * arch)
    teeth = _lowered(upper, np.minimum(0.025 * arch, 0.7 * gap * arch))
    dark = mix(identity.lips, INK, 0.55)
    return [
        Shape(band(_lowered(upper, -bow), _lowered(lower, lip * arch)), identity.lips),
        Shape(band(upper, lower), np.array([92, 26, 36])),
        Shape(band(upper, teeth), WHITE),
        Shape(upper, dark, 0.016, closed=False),
    ]


def eyes(identity: Identity, unit: Units, motion: Motion) -> list[Shape]:
    """Return both eyes, from the fold above the lid to the lashes."""
    distance, height, half, opening = identity.eye
    middle = SIDES * distance
    awake = (1 - motion.blink)[:, None, None]
    above = opening * np.exp(0.6 * unit["open"]) * awake
    below = opening * (0.62 - 0.3 * unit["cheek"]) * awake

    def lids(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the heights of the upper and lower lids at positions s across the eye, -1 to 1."""
        arch, axis = 1 - np.abs(s) ** 2.3, height - identity.eye_slant * half * SIDES * s
        return axis - above * arch, axis + below * arch

    def inside(radius: float, dx: float = 0.0, dy: float = 0.0) -> Points:
        """Return discs that follow the gaze and are cut off by the lids."""
        disc = oval(middle + dx, height - 0.1 * opening + dy, radius, radius)
        disc = disc + motion.gaze[:, None, None] * [0.3 * half, 0.12 * half]
        upper, lower = lids(np.clip((disc[..., 0] - middle) / half, -1, 1))
        return points_of(disc[..., 0], np.clip(disc[..., 1], upper, lower))

    t = np.linspace(-1, 1, 13)
    upper, lower = (points_of(middle + half * t, y) for y in lids(t[None]))
    radius = 1.12 * opening
    return [
        Shape(_lowered(upper, -0.013), 0.72 * identity.skin, 0.009, closed=False),
        Shape(band(upper, lower), WHITE),
        Shape(inside(radius), identity.iris),
        Shape(inside(0.5 * radius), INK),
        Shape(inside(0.24 * radius, -0.3 * radius, -0.35 * radius), WHITE),
        Shape(upper, INK, 0.018, closed=False),
    ]


def brows(identity: Identity, unit: Units) -> list[Shape]:
    """Return both brows."""
    above, thickness, arch = identity.brow
    t = np.linspace(0, 1, 9)  # from the nose outwards
    frown, inner = unit["frown"], 1 - t
    x = identity.eye[0] - 0.07 - 0.015 * frown * inner + 0.15 * t
    y = identity.eye[1] - above - arch * np.sin(2.4 * t)
    y = y - 0.042 * unit["raise"] + frown * (0.055 * inner - 0.01)
    half = thickness * (0.62 - 0.45 * t) + 0.002
    bald = identity.hair_style == "bald"
    colour = 0.4 * identity.skin if bald else mix(identity.hair, INK, 0.4)
    return [Shape(band(points_of(SIDES * x, y - half), points_of(SIDES * x, y + half)), colour)]


def cheeks(identity: Identity, unit: Units) -> list[Shape]:
    """Return the blush, which moves up with the cheeks, and the creases of raised cheeks."""
    cheek = np.clip(unit["cheek"], -1, 1.5)
    height = 0.09 - 0.04 * cheek
    shapes = []
    for radius, share in ((1.0, 0.1), (0.7, 0.25)):
        glow = np.clip(share * (1 + 1.3 * cheek[:, 0]), 0, 0.6)
        colour = mix(identity.skin, [225, 70, 70], glow)
        shapes.append(Shape(oval(SIDES * 0.19, height, 0.085 * radius, 0.06 * radius), colour))
    t = np.linspace(0, 1, 6)
    fold = points_of(SIDES * (0.066 + 0.085 * t**0.7), 0.135 - 0.017 * cheek + 0.09 * t**1.5)
    depth = np.clip(0.1 + 0.35 * cheek[:, 0], 0, 0.5)
    shapes.append(Shape(fold, mix(identity.skin, 0.4 * identity.skin, depth), 0.01, closed=False))
    return shapes


def nose(identity: Identity) -> list[Shape]:
    """Return the ridge, the edge and the wings of the nose."""
    half, tip = identity.nose
    t = np.linspace(-1, 1, 9)
    wing = points_of(half * t[None], tip + 0.012 - 0.02 * t**2 + 0.006 * np.cos(3 * t))
    ridge = np.array([[-0.1, -0.06], [0.15, -0.06], [0.3, tip], [-0.3, tip]]) * [half, 1]
    edge = np.array([[0.35, -0.06], [0.42, 0.5 * tip], [0.95, tip - 0.008]]) * [half, 1]
    return [
        Shape(ridge[None, None], np.minimum(1.07 * identity.skin, 255)),
        Shape(edge[None, None], 0.8 * identity.skin, 0.01, closed=False),
        Shape(wing, 0.6 * identity.skin, 0.014, closed=False),
    ]


def hand(identity: Identity, motion: Motion) -> list[Shape]:
    """Return a hand with raised fingers in front of the face; NaN in frames that show no hand."""
    at = motion.hand[:, None, None]
    palm = [[-0.13, -0.02], [0.12, -0.03], [0.14, 0.16], [0.11, 0.9], [-0.11, 0.9], [-0.12, 0.16]]
    x = np.array([[-0.1], [-0.035], [0.03], [0.09]])
    y = np.array([[0.0, -0.17], [0.0, -0.21], [0.0, -0.2], [0.0, -0.15]])
    fingers = at + points_of(x * [1, 1.15], y)
    skin = 0.93 * identity.skin
    return [
        Shape(at + np.array(palm), skin),
        Shape(fingers, 0.7 * identity.skin, 0.085, closed=False),
        Shape(fingers, skin, 0.055, closed=False),
    ]


def _gap(unit: Units) -> Float[np.ndarray, "frames 1 1"]:
    """Return the opening between the lips: almost closed at rest, never negative."""
    return 0.025 * np.logaddexp(0, 3 * unit["part"] - 1.2)


def _lowered(points: Points, down: np.ndarray | float) -> Points:
    return points_of(points[..., 0], points[..., 1] + down)
