"""Polygons on a head, and the projection from the head to the crop.

Lengths are fractions of the crop's side; x points right, y down and z towards the viewer. The
origin is between the eyes and the mouth. Points of the face lie on an ellipsoid, the head.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from tfds_builders.synthetic_faces.behaviour import Motion
from tfds_builders.synthetic_faces.identity import Identity

CENTRE = (0.5, 0.53)  # position of the face in a crop without shift
DEPTH = 0.3  # half depth of the head
SIDES = np.array([[-1.0], [1.0]])  # [contours, 1]: left and right for the viewer

Points = Float[np.ndarray, "#frames contours points 2"]


class Shape(NamedTuple):
    """Polygons of one colour, or strokes if `width` > 0, in all frames of a recording."""

    points: np.ndarray  # float64 [frames or 1, contours, points, 2]
    colour: np.ndarray  # [3] or [frames, 3], RGB, 0 to 255
    width: float = 0.0
    closed: bool = True


def projection(identity: Identity, motion: Motion) -> Callable[[np.ndarray, float | None], Points]:
    """Return a function that rotates face points with the head and projects them onto the crop.

    Its second argument is the height above the surface of the head, or None for points in the plane
    of the head's silhouette.
    """
    yaw, pitch, roll = (angle[:, None, None] for angle in motion.pose.T)
    scale = np.exp(motion.place[:, None, None, 2:])
    centre = CENTRE + motion.place[:, None, None, :2]

    def project(points: np.ndarray, lift: float | None) -> Points:
        x, y = points[..., 0], points[..., 1]
        z = np.zeros_like(x)
        if lift is not None:
            inside = 1 - (x / identity.head[0]) ** 2 - (y / identity.head[1]) ** 2
            z = DEPTH * np.sqrt(np.maximum(inside, 0)) + lift
        x, z = np.cos(yaw) * x + np.sin(yaw) * z, np.cos(yaw) * z - np.sin(yaw) * x
        y = np.cos(pitch) * y + np.sin(pitch) * z
        x, y = np.cos(roll) * x - np.sin(roll) * y, np.sin(roll) * x + np.cos(roll) * y
        return scale * np.stack([x, y], -1) + centre

    return project


def outline(identity: Identity, grow: float = 1.0) -> Float[np.ndarray, "points 2"]:
    """Return the silhouette of the head, clockwise from the right."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    down = np.maximum(np.sin(angle), 0)
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (1 - 0.2 * down)
    x = x * (1 - identity.jaw * down**2)
    return grow * np.stack([identity.head[0] * x, identity.head[1] * np.sin(angle)], -1)


def points_of(x: np.ndarray | float, y: np.ndarray | float) -> Points:
    """Combine x and y, which must broadcast to [frames, contours, points], into points."""
    points = np.stack(np.broadcast_arrays(x, y), -1)
    return points.reshape((1,) * (4 - points.ndim) + points.shape)


def polygon(corners: ArrayLike) -> Points:
    """Return a polygon that is the same in all frames, given its corners [points, 2]."""
    return np.array(corners, float)[None, None]


def oval(x: np.ndarray | float, y: np.ndarray | float, width: float, height: float) -> Points:
    """Return ellipses with half-axes `width` and `height` around centres [..., contours, 1]."""
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return points_of(x + width * np.cos(angle), y + height * np.sin(angle))


def band(above: Points, below: Points) -> Points:
    """Return the area between two lines that run in the same direction."""
    return np.concatenate(np.broadcast_arrays(above, below[..., ::-1, :]), -2)
