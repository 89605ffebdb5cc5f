"""The portrait of a person, and its parts that do not move on their own: head, hair and clothes."""

import numpy as np

from tfds_builders.synthetic_faces import anatomy
from tfds_builders.synthetic_faces.behaviour import Motion
from tfds_builders.synthetic_faces.identity import Identity, mix
from tfds_builders.synthetic_faces.shapes import (
    SIDES,
    Shape,
    outline,
    oval,
    points_of,
    polygon,
    projection,
)

NOSE_LIFT = 0.06
GLASSES_LIFT = 0.05


def portrait(identity: Identity, motion: Motion) -> list[Shape]:
    """Return the shapes that make up the person in the crop, from back to front."""
    # shoulders and long hair follow the head but hardly turn with it
    still = projection(identity, motion._replace(pose=motion.pose * [0.15, 0.0, 0.2]))
    turned = projection(identity, motion)
    unit = anatomy.units_of(motion)
    layers = [
        (still, None, _body(identity)),
        (turned, None, _head(identity, motion)),
        (turned, 0.0, anatomy.cheeks(identity, unit) + _beard(identity)),
        (turned, 0.0, anatomy.eyes(identity, unit, motion) + anatomy.brows(identity, unit)),
        (turned, 0.0, anatomy.mouth(identity, unit)),
        (turned, NOSE_LIFT, anatomy.nose(identity)),
        (turned, None, _hair(identity)),
        (turned, GLASSES_LIFT, _glasses(identity)),
    ]
    return [
        shape._replace(points=project(shape.points, lift))
        for project, lift, shapes in layers
        for shape in shapes
    ]


def _body(identity: Identity) -> list[Shape]:
    wide, high = identity.head
    slope = np.linspace(-1, 1, 13)
    top = np.stack([0.56 * slope, high + 0.06 + 0.2 * np.abs(slope) ** 2.5], -1)
    collar = np.stack([0.17 * slope, high + 0.13 - 0.1 * slope**2], -1)
    skin = 0.8 * identity.skin
    shapes = [
        Shape(polygon([[-0.15, 0.2], [0.15, 0.2], [0.17, 0.8], [-0.17, 0.8]]), skin),
        Shape(polygon([*top, [0.56, 1.0], [-0.56, 1.0]]), identity.clothes),
        Shape(polygon([*collar, [0.15, high], [-0.15, high]]), skin),
    ]
    if identity.hair_style in ("long", "bob"):
        end = 0.7 if identity.hair_style == "long" else 0.32
        left = np.array([[-1.1, -0.15], [-1.2, 0.1], [-1.18, 0.9 * end], [-0.9, end]])
        curtain = np.concatenate([left, left[::-1] * [-1, 1]]) * [wide, 1]
        shapes.insert(0, Shape(polygon(curtain), 0.75 * identity.hair))
    return shapes


def _head(identity: Identity, motion: Motion) -> list[Shape]:
    """Return the ears and the head, brighter on the side of the light."""
    wide, shade = identity.head[0], 0.82 * identity.skin
    sun = 0.025 * np.tanh(4 * motion.light[:, None, None, 1:]) * [1.0, 0.4]
    return [
        Shape(oval(SIDES * 0.99 * wide, 0.0, 0.045, 0.085), shade),
        Shape(outline(identity)[None, None], shade),
        Shape(outline(identity, 0.95) - [0.0, 0.012] + sun, identity.skin),
    ]


def _hair(identity: Identity) -> list[Shape]:
    style = identity.hair_style
    if style == "bald":
        return []
    wide, high = identity.head
    angle = np.linspace(np.pi + 0.12, 2 * np.pi - 0.12, 25)
    bulk = {"crop": 1.03, "curls": 1.13}.get(style, 1.08)
    outer = bulk * np.stack([wide * np.cos(angle), high * np.sin(angle)], -1)
    if style == "curls":
        outer *= 1 + 0.035 * np.cos(11 * angle)[:, None]
    s = np.linspace(1, -1, 17)
    front = (
        identity.hair_line
        + {
            "crop": -0.02 + 0.19 * np.abs(s) ** 5,
            "fringe": 0.065 + 0.11 * s**6 + 0.009 * np.cos(14 * s),
            "parted": -0.045 + 0.24 * (np.abs(s - 0.35) / np.where(s > 0.35, 0.65, 1.35)) ** 1.6,
            "curls": 0.02 + 0.15 * s**4 + 0.015 * np.cos(16 * s),
            "long": -0.05 + 0.27 * np.abs(s) ** 1.8,
            "bob": 0.05 + 0.2 * np.abs(s) ** 5,
        }[style]
    )
    edge = np.stack([0.985 * wide * s * np.sqrt(1 - 0.25 * (front / high) ** 2), front], -1)
    shine = 0.93 * np.stack([wide * np.cos(angle), high * np.sin(angle)], -1)[5:13]
    return [
        Shape(polygon([*outer, *edge]), identity.hair),
        Shape(polygon([*shine]), mix(identity.hair, [255, 250, 240], 0.18), 0.03, closed=False),
    ]


def _beard(identity: Identity) -> list[Shape]:
    if identity.beard == "none":
        return []
    share = 0.22 if identity.beard == "stubble" else 0.92
    jaw = outline(identity, 0.985)
    jaw = jaw[jaw[:, 1] > 0.03]  # clockwise from the right, over the chin
    lip = identity.mouth[0] - 0.062
    above = np.array(
        [[-0.8, lip - 0.01], [-0.5, lip], [0, lip - 0.012], [0.5, lip], [0.8, lip - 0.01]]
    )
    colour = mix(identity.skin, mix(identity.hair, anatomy.INK, 0.35), share)
    return [Shape(polygon([*jaw, *above * [identity.head[0], 1]]), colour)]


def _glasses(identity: Identity) -> list[Shape]:
    if not identity.glasses:
        return []
    distance, height = identity.eye[0], identity.eye[1] + 0.008
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    round_ = identity.glasses == "round"
    half_width, half_height, power = (0.105, 0.1, 1.0) if round_ else (0.112, 0.08, 0.45)
    x, y = (np.sign(f) * np.abs(f) ** power for f in (np.cos(angle), np.sin(angle)))
    rims = points_of(SIDES * distance + half_width * x, height + half_height * y)
    arms = SIDES * np.array([distance + half_width, identity.head[0]])
    gap = distance - half_width
    bridge = polygon([[-gap, height], [0, height - 0.012], [gap, height]])
    frame = np.array([45, 40, 48])
    return [
        Shape(rims, frame, 0.017),
        Shape(points_of(arms, height - 0.01), frame, 0.014, closed=False),
        Shape(bridge, frame, 0.014, closed=False),
    ]
