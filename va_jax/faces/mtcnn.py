"""MTCNN: boxes, scores and five landmarks of the faces in one image.

Zhang et al. 2016, "Joint face detection and alignment using multi-task cascaded convolutional
networks", with the weights of the `mtcnn` package. A proposal net slides over an image pyramid,
a second net refines its boxes, a third refines again and places the landmarks. Every stage works
on a fixed number of slots, so a detector compiles once for each image size.
"""

import dataclasses
import functools
import warnings
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, UInt8

from va_jax.faces.crops import warp
from va_jax.faces.nets import on_crops, onet, pnet, rnet
from va_jax.faces.weights import load_weights
from va_jax.types import InputError

Boxes = Float[Array, "n 4"]  # x1, y1, x2, y2 in pixels

LEVEL_STEP = 0.709  # ratio of neighbouring levels of the pyramid
CELL = 12  # side of the proposal net's window


@dataclasses.dataclass(frozen=True)
class Detections:
    """The faces of one image, best first, in its pixels; all arrays are empty where it has none.

    Landmarks are left eye, right eye, nose, left and right mouth corner, as seen.
    """

    boxes: Float32[np.ndarray, "faces 4"]  # x1, y1, x2, y2; may reach beyond the image
    scores: Float32[np.ndarray, "faces"]  # 0 to 1
    landmarks: Float32[np.ndarray, "faces 5 2"]  # x, y


class Detector:
    """Finds the upright faces of an RGB image whose side is at least `min_face` pixels.

    `thresholds` are the least scores to pass each of the three nets. `caps` bound the candidates
    per pyramid level and those given to the second and third net; a warning says when one cuts
    something off, as in a crowd. `refinements` is how often the third net looks again, at a crop
    without aliasing around its own last box: ours, 0 gives the published cascade; at 2 the
    landmarks shake a third to a half less between frames. Faces rolled by more than 40 degrees
    are found badly.
    """

    def __init__(
        self,
        min_face: int = 40,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.8),
        caps: tuple[int, int, int] = (64, 64, 16),
        refinements: int = 2,
    ):
        if min_face < CELL:
            raise InputError(f"min_face={min_face} is below {CELL} pixels; give a larger size")
        if min(caps) < 1:
            raise InputError(f"caps={caps} must all be positive")
        self.min_face, self.thresholds, self.caps = min_face, thresholds, caps
        self.refinements = refinements
        self._params = jax.device_put(load_weights())
        self._warned = set()

    def __call__(self, image: UInt8[np.ndarray, "height width 3"]) -> Detections:
        """Detects; the first image of each size compiles for some seconds."""
        scales = _scales(image.shape[:2], self.min_face)
        if not scales:
            return Detections(*(np.zeros((0, *s), np.float32) for s in ((4,), (), (5, 2))))
        levels = _pyramid(image, scales)
        outputs = _detect(self._params, image, levels, scales, self.thresholds, self.caps)
        boxes, scores, landmarks, valid, wanted = jax.device_get(outputs)
        for stage, (cap, most) in enumerate(zip(self.caps, wanted.tolist(), strict=True)):
            if most > cap and stage not in self._warned:
                self._warned.add(stage)
                warnings.warn(
                    f"caps[{stage}]={cap} cut off candidates ({most} of them); "
                    "raise it where faces are missed",
                    stacklevel=2,
                )
        best = np.argsort(-scores, stable=True)
        best = best[valid[best]]
        boxes, scores, landmarks = boxes[best], scores[best], landmarks[best]
        for face in range(len(boxes)):
            self._refine_face(image, boxes[face], landmarks[face])
        return Detections(boxes, scores, landmarks)

    def _refine_face(self, image: np.ndarray, box: np.ndarray, landmarks: np.ndarray) -> None:
        """Moves a box [4] and its landmarks [5, 2] in place, while the net is sure of a face."""
        for _ in range(self.refinements):
            side = (box[2:] - box[:2]).max()
            low = (box[:2] + box[2:] - side) / 2
            zoom = 47 / side  # the net's windows are corner-aligned
            matrix = np.array([[zoom, 0, -low[0] * zoom], [0, zoom, -low[1] * zoom]], np.float64)
            crop = warp(image, matrix, 48, outside=128)
            square = np.concatenate([low, low + side])[None]
            outputs = _third_net(self._params["onet"], crop[None], square)
            moved, score, points = jax.device_get(outputs)
            if score[0] <= self.thresholds[2]:
                return
            box[:], landmarks[:] = moved[0], points[0]


@functools.partial(jax.jit, static_argnames=("thresholds", "caps"))
def _detect(
    params: Any, image: Array, levels: list[Array], scales: list[Any], thresholds: Any, caps: Any
) -> Any:
    found, most = [], []
    for level, scale in zip(levels, scales, strict=True):
        boxes, scores = _proposals(params["pnet"], level, scale)
        valid = scores > thresholds[0]
        most.append(valid.sum())
        boxes, scores, valid = _best(caps[0], boxes, scores, valid)
        found.append((boxes, scores, valid & _unbeaten(boxes, scores, valid, 0.5)))
    boxes, scores, valid = (jnp.concatenate(parts) for parts in zip(*found, strict=True))
    wanted = [jnp.stack(most).max()]

    valid &= _unbeaten(boxes, scores, valid, 0.7)
    wanted.append(valid.sum())
    boxes, _, valid = _best(caps[1], boxes, scores, valid)
    boxes = _square(boxes)
    shift, logits = on_crops(rnet, params["rnet"], image, boxes, valid, 24, 8)
    scores = jax.nn.softmax(logits)[:, 1]
    boxes = _refine(boxes, shift)
    valid &= scores > thresholds[1]
    valid &= _unbeaten(boxes, scores, valid, 0.7)

    wanted.append(valid.sum())
    boxes, _, valid = _best(caps[2], boxes, scores, valid)
    boxes = _square(boxes)
    outputs = on_crops(onet, params["onet"], image, boxes, valid, 48, 2)
    boxes, scores, landmarks = _placed(boxes, *outputs)
    valid &= scores > thresholds[2]
    valid &= _unbeaten(boxes, scores, valid, 0.7, over_smaller=True)
    return boxes, scores, landmarks, valid, jnp.stack(wanted)


@jax.jit
def _third_net(weights: Any, crops: Array, boxes: Boxes) -> tuple[Array, Array, Array]:
    """Refined boxes, scores and landmarks from uint8 crops [n, 48, 48, 3] of square boxes."""
    return _placed(boxes, *onet(weights, (crops.astype(jnp.float32) - 127.5) / 128))


def _placed(boxes: Boxes, shift: Array, points: Array, logits: Array) -> tuple[Array, Array, Array]:
    """The third net's outputs in pixels; its landmarks refer to the box it was given."""
    sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
    landmarks = points.reshape(-1, 2, 5).swapaxes(1, 2) * sides + boxes[:, None, :2] - 1
    return _refine(boxes, shift), jax.nn.softmax(logits)[:, 1], landmarks


def _scales(shape: tuple[int, ...], min_face: int) -> list[float]:
    scales, scale = [], CELL / min_face
    while int(min(shape) * scale) >= CELL:
        scales.append(scale)
        scale *= LEVEL_STEP
    return scales


def _proposals(weights: Any, level: Array, scale: Any) -> tuple[Array, Array]:
    """Every window of one pyramid level as boxes [n, 4] in image pixels, with scores [n]."""
    shift, logits = pnet(weights, level[None])
    rows, columns = logits.shape[1:3]
    y, x = (2 * jnp.arange(n, dtype=jnp.float32) for n in (rows, columns))
    y, x = jnp.meshgrid(y, x, indexing="ij")
    corner = jnp.stack([x, y], -1).reshape(-1, 2)
    boxes = jnp.concatenate([corner + 1, corner + CELL], -1)
    boxes = (boxes + shift.reshape(-1, 4) * (CELL - 1)) / scale
    return boxes, jax.nn.softmax(logits.reshape(-1, 2))[:, 1]


def _pyramid(image: np.ndarray, scales: list[float]) -> list[np.ndarray]:
    """The image shrunk by area averaging to each of the falling scales, normalised.

    Small levels start from a halved image: less than half of the cost, and only the weights of the
    pixels on the edge of an averaged area move.
    """
    height, width = image.shape[:2]
    source, levels = image.astype(np.float32), []
    for scale in scales:
        while source.shape[1] > 3 * width * scale:
            half = (-(-source.shape[1] // 2), -(-source.shape[0] // 2))
            source = cv2.resize(source, half, interpolation=cv2.INTER_AREA)
        size = (int(width * scale), int(height * scale))
        levels.append((cv2.resize(source, size, interpolation=cv2.INTER_AREA) - 127.5) / 128)
    return levels


def _best(
    count: int, boxes: Boxes, scores: Float[Array, "n"], valid: Bool[Array, "n"]
) -> tuple[Array, Array, Array]:
    """The `count` best valid entries, valid ones first."""
    _, chosen = jax.lax.top_k(jnp.where(valid, scores, -1), min(count, scores.shape[0]))
    return boxes[chosen], scores[chosen], valid[chosen]


def _unbeaten(
    boxes: Boxes,
    scores: Float[Array, "n"],
    valid: Bool[Array, "n"],
    most: float,
    over_smaller: bool = False,
) -> Bool[Array, "n"]:
    """True where no better valid box overlaps by more than `most`, in one pass.

    Overlap is intersection over union, or over the smaller of the two areas.
    """
    low = jnp.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = jnp.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = jnp.maximum(high - low, 0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    a, b = area[:, None], area[None]
    whole = jnp.minimum(a, b) if over_smaller else a + b - shared
    mine, other = scores[:, None], scores[None]
    earlier = jnp.tri(len(scores), k=-1, dtype=bool)
    better = ((other > mine) | ((other == mine) & earlier)) & valid[None]
    return ~(better & (shared > most * whole)).any(1)


def _square(boxes: Boxes) -> Boxes:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(-1, keepdims=True) / 2
    return jnp.concatenate([centre - half, centre + half], -1)


def _refine(boxes: Boxes, shift: Boxes) -> Boxes:
    return boxes + shift * jnp.tile(boxes[:, 2:] - boxes[:, :2] + 1, (1, 2))
