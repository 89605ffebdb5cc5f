"""The identity of a synthetic subject: proportions, colours, hair, glasses and resting face."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from tfds_builders.synthetic_faces import behaviour

SKIN = np.array([[251, 222, 199], [236, 190, 155], [205, 150, 112], [150, 100, 70], [98, 64, 48]])
HAIR = np.array(
    [[34, 28, 28], [62, 40, 30], [104, 66, 40], [196, 156, 96], [150, 70, 36], [168, 166, 168]]
)
HAIR_STYLES = ("bald", "crop", "fringe", "parted", "curls", "long", "bob")
BEARDS = ("none", "stubble", "full")


@dataclasses.dataclass(frozen=True)
class Identity:
    """The appearance of a person.

    Lengths are fractions of the crop's side, heights are measured downwards from a point between
    eyes and mouth, and colours are RGB from 0 to 255.
    """

    head: tuple[float, float]  # half width, half height
    jaw: float  # narrowing of the head towards the chin
    eye: tuple[float, float, float, float]  # distance from the middle, height, half width, opening
    eye_slant: float
    brow: tuple[float, float, float]  # distance above the eye, thickness, arch
    nose: tuple[float, float]  # half width, height of its tip
    mouth: tuple[float, float, float]  # height, half width, lip thickness
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    clothes: np.ndarray
    background: np.ndarray  # [3, 3]: colours of its top, its bottom and the blurred objects in it
    things: np.ndarray  # [count, 3]: x, y, radius of these objects
    hair_style: str
    hair_line: float
    beard: str
    glasses: str  # "" or the shape of the frame, "round" or "square"
    neutral: np.ndarray  # [units]: resting offset of each action unit, unit normal


def identity(rng: np.random.Generator) -> Identity:
    """Draw a random person."""

    def near(mean: float, relative: float) -> float:
        return float(mean * (1 + relative * np.clip(rng.standard_normal(), -2, 2)))

    skin = _between(SKIN, rng.uniform(0, len(SKIN) - 1)) + rng.normal(0, 5, 3)
    hair = HAIR[rng.integers(len(HAIR))] * rng.uniform(0.8, 1.15)
    if rng.random() < 0.08:
        hair = rng.uniform(40, 200, 3)  # dyed
    hue = mix(rng.uniform(40, 230, (2, 3)), rng.uniform(70, 200, (2, 1)), 0.55)  # muted
    eye_height = near(-0.09, 0.12)
    mouth_height = near(0.215, 0.07)
    return Identity(
        head=(near(0.335, 0.07), near(0.425, 0.05)),
        jaw=float(rng.uniform(0.08, 0.34)),
        eye=(near(0.142, 0.08), eye_height, near(0.076, 0.12), near(0.042, 0.15)),
        eye_slant=float(rng.normal(0, 0.1)),
        brow=(near(0.094, 0.12), near(0.022, 0.3), near(0.02, 0.4)),
        nose=(near(0.045, 0.22), near(0.088, 0.16)),
        mouth=(mouth_height, near(0.138, 0.1), near(0.03, 0.25)),
        skin=_colour(skin),
        hair=_colour(hair),
        iris=_colour(
            _between(
                np.array([[70, 45, 30], [90, 110, 60], [80, 120, 165]]), 2 * rng.random() ** 1.5
            )
        ),
        lips=_colour(0.4 * skin + 0.6 * np.array([180, 45, 65]) + rng.normal(0, 8, 3)),
        clothes=_colour(mix(rng.uniform(20, 240, 3), [110] * 3, 0.3)),
        background=_colour(np.stack([hue[0], 0.75 * hue[0] + 0.1 * hue[1], hue[1]])),
        things=rng.uniform([-0.2, -0.2, 0.06], [1.2, 1.0, 0.25], (5, 3)),
        hair_style=str(rng.choice(HAIR_STYLES, p=[0.07, 0.2, 0.14, 0.19, 0.12, 0.16, 0.12])),
        hair_line=near(-0.265, 0.08),
        beard=str(rng.choice(BEARDS, p=[0.74, 0.12, 0.14])),
        glasses=str(rng.choice(["", "round", "square"], p=[0.65, 0.18, 0.17])),
        neutral=rng.standard_normal(len(behaviour.UNITS)),
    )


def mix(colour: ArrayLike, other: ArrayLike, share: ArrayLike) -> np.ndarray:
    """Mix `share` of the colour `other` into `colour`."""
    share = np.asarray(share)
    return (1 - share) * np.asarray(colour) + share * np.asarray(other)


def _between(palette: np.ndarray, position: float) -> np.ndarray:
    first = min(int(position), len(palette) - 2)
    return mix(palette[first], palette[first + 1], position - first)


def _colour(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 12, 250)
