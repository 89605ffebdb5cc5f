"""Detect faces in an image with MTCNN: boxes, scores and five landmarks.

The method is from Zhang et al. 2016, "Joint face detection and alignment using multi-task cascaded
convolutional networks", and the weights are from the `mtcnn` package. A proposal net slides over an
image pyramid, a second net refines its boxes, and a third net refines them again and places the
landmarks. Every stage has a fixed number of slots, so a detector compiles once per image size.
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

from va_jax.faces.crop import warp
from va_jax.faces.detector_weights import load_weights
from va_jax.faces.nets import ONET, RNET, apply_to_crops, onet, pnet
from va_jax.types import InputError

Boxes = Float[Array, "n 4"]  # x1, y1, x2, y2 in pixels
Scores = Float[Array, "n"]
Valid = Bool[Array, "n"]  # whether each slot contains a candidate

LEVEL_RATIO = 0.709  # scale of one pyramid level relative to the previous level
PNET_WINDOW = 12  # side of the proposal net's window, in pixels


@dataclasses.dataclass(frozen=True)
class Detections:
    """The faces in an image, best first, in pixels; the arrays are empty if there are no faces.

    The landmarks are the left eye, the right eye, the nose, and the left and right corners of the
    mouth, with left and right as they appear in the image.
    """

    boxes: Float32[np.ndarray, "faces 4"]  # x1, y1, x2, y2; may extend past the image
    scores: Float32[np.ndarray, "faces"]  # from 0 to 1
    landmarks: Float32[np.ndarray, "faces 5 2"]  # x, y


class Detector:
    """A callable that detects upright faces in an RGB image.

    It misses most faces that are rolled by more than 40 degrees.

    Args:
        min_face: smallest side of a face, in pixels.
        thresholds: lowest score that passes each of the three nets.
        caps: largest number of candidates per pyramid level, for the second net, and for the third
            net. The detector warns if a cap drops candidates, which can happen in a crowd.
        refinements: number of times to run the third net again, on an anti-aliased crop around its
            previous box. The published cascade uses 0. We chose 2, which reduces the movement of
            landmarks between frames by a third to a half.

    Raises:
        InputError: `min_face` or one of the `caps` is too small.
    """

    def __init__(
        self,
        min_face: int = 40,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.8),
        caps: tuple[int, int, int] = (64, 64, 16),
        refinements: int = 2,
    ):
        if min_face < PNET_WINDOW:
            raise InputError(f"min_face={min_face} is too small; set at least {PNET_WINDOW} px")
        if min(caps) < 1:
            raise InputError(f"caps={caps}: all three numbers must be at least 1")
        self.min_face, self.thresholds, self.caps = min_face, thresholds, caps
        self.refinements = refinements
        self._weights = jax.device_put(load_weights())
        self._warned = set()

    def __call__(self, image: UInt8[np.ndarray, "height width 3"]) -> Detections:
        """Return the faces in an image; the first image of each size takes seconds to compile."""
        scales = pyramid_scales(image.shape[:2], self.min_face)
        if not scales:
            return Detections(*(np.zeros((0, *s), np.float32) for s in ((4,), (), (5, 2))))
        levels = build_pyramid(image, scales)
        outputs = _detect(self._weights, image, levels, scales, self.thresholds, self.caps)
        boxes, scores, landmarks, valid, candidates = jax.device_get(outputs)
        self._warn_if_capped(candidates.tolist())
        best = np.argsort(-scores, stable=True)
        best = best[valid[best]]
        boxes, landmarks = boxes[best], landmarks[best]
        seen = np.ones(len(boxes), bool)
        for _ in range(self.refinements if len(boxes) else 0):
            found = self._third_net(image, boxes)
            seen &= found.scores > self.thresholds[2]
            boxes[seen], landmarks[seen] = found.boxes[seen], found.landmarks[seen]
        return Detections(boxes, scores[best], landmarks)

    def follow(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        boxes: Float32[np.ndarray, "faces 4"],
    ) -> Detections:
        """Return the faces whose boxes in the previous image are given, in the same order.

        Only the third net runs, `refinements` times (at least once), on crops around the boxes. The
        score is that of the last time; it is 0 for a face that was not found every time.
        """
        if not len(boxes):
            return Detections(*(np.zeros((0, *s), np.float32) for s in ((4,), (), (5, 2))))
        found = self._third_net(image, boxes)
        scores = found.scores
        for _ in range(self.refinements - 1):
            found = self._third_net(image, found.boxes)
            scores = np.minimum(scores, found.scores)
        scores = np.where(scores > self.thresholds[2], found.scores, np.float32(0))
        return Detections(found.boxes, scores, found.landmarks)

    def _warn_if_capped(self, candidates: list[int]) -> None:
        for stage, (cap, count) in enumerate(zip(self.caps, candidates, strict=True)):
            if count > cap and stage not in self._warned:
                self._warned.add(stage)
                warnings.warn(
                    f"caps[{stage}]={cap} drops some of the {count} candidates; "
                    "increase this limit if faces are missed",
                    stacklevel=3,
                )

    def _third_net(self, image: np.ndarray, boxes: np.ndarray) -> Detections:
        """Run the third net on anti-aliased square crops around the boxes [faces, 4]."""
        sides = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True), 1)
        low = (boxes[:, :2] + boxes[:, 2:] - sides) / 2
        crops = [
            warp(image, _matrix(*corner, *side), ONET.size, outside=128)
            for corner, side in zip(low.tolist(), sides.tolist(), strict=True)
        ]
        spare = (1 << (len(crops) - 1).bit_length()) - len(crops)  # few shapes, few programs
        squares = np.concatenate([low, low + sides], 1)
        outputs = _run_third_net(
            self._weights["onet"], *(np.stack([*a, *a[:1] * spare]) for a in (crops, [*squares]))
        )
        moved, scores, points = (x[: len(crops)] for x in jax.device_get(outputs))
        return Detections(moved, scores, points)


def _matrix(x: float, y: float, side: float) -> np.ndarray:
    """Return the map from pixels to a crop of the third net, aligned at the corner pixels."""
    zoom = (ONET.size - 1) / side
    return np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]], np.float64)


def iou(boxes: Any, others: Any, over_smaller: bool = False) -> Any:
    """Return the intersection over union of boxes [..., 4], which may be NumPy or JAX arrays.

    The arrays are broadcast. With `over_smaller`, divide by the area of the smaller box instead of
    the union.
    """
    xp = jnp if isinstance(boxes, jax.Array) else np
    low = xp.maximum(boxes[..., :2], others[..., :2])
    high = xp.minimum(boxes[..., 2:], others[..., 2:])
    shared = xp.maximum(high - low, 0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    other_area = (others[..., 2:] - others[..., :2]).prod(-1)
    whole = xp.minimum(area, other_area) if over_smaller else area + other_area - shared
    return shared / xp.maximum(whole, 1e-9)  # 0 for boxes without area


def pyramid_scales(shape: tuple[int, ...], min_face: int) -> list[float]:
    """Return decreasing scales, at which faces of at least `min_face` pixels fill a window."""
    scales, scale = [], PNET_WINDOW / min_face
    while int(min(shape) * scale) >= PNET_WINDOW:
        scales.append(scale)
        scale *= LEVEL_RATIO
    return scales


def build_pyramid(image: np.ndarray, scales: list[float]) -> list[np.ndarray]:
    """Shrink an image to each of the decreasing scales by area averaging; normalize to [-1, 1].

    Small levels start from a halved image. This takes less than half the time, and only changes the
    weights of pixels on the edge of an averaged area.
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


@functools.partial(jax.jit, static_argnames=("thresholds", "caps"))
def _detect(
    weights: Any, image: Array, levels: list[Array], scales: list[Any], thresholds: Any, caps: Any
) -> Any:
    """Return boxes, scores, landmarks, valid, and the number of candidates before each cap."""
    boxes, scores, valid, most = _run_first_net(
        weights["pnet"], levels, scales, thresholds[0], caps[0]
    )
    candidates = [most, valid.sum()]

    boxes, _, valid = _keep_best(caps[1], boxes, scores, valid)
    boxes = _to_squares(boxes)
    shift, logits = apply_to_crops(RNET, weights["rnet"], image, boxes, valid)
    boxes, scores = _shifted(boxes, shift), _face_scores(logits)
    valid &= scores > thresholds[1]
    valid &= _not_suppressed(boxes, scores, valid, 0.7)
    candidates.append(valid.sum())

    boxes, _, valid = _keep_best(caps[2], boxes, scores, valid)
    boxes = _to_squares(boxes)
    outputs = apply_to_crops(ONET, weights["onet"], image, boxes, valid)
    boxes, scores, landmarks = _to_pixels(boxes, *outputs)
    valid &= scores > thresholds[2]
    valid &= _not_suppressed(boxes, scores, valid, 0.7, over_smaller=True)
    return boxes, scores, landmarks, valid, jnp.stack(candidates)


def _run_first_net(
    weights: Any, levels: list[Array], scales: list[Any], threshold: float, cap: int
) -> tuple[Boxes, Scores, Valid, Array]:
    """Return the proposals from all levels, and the largest number of candidates on one level."""
    found, counts = [], []
    for level, scale in zip(levels, scales, strict=True):
        boxes, scores = _propose(weights, level, scale)
        valid = scores > threshold
        counts.append(valid.sum())
        boxes, scores, valid = _keep_best(cap, boxes, scores, valid)
        found.append((boxes, scores, valid & _not_suppressed(boxes, scores, valid, 0.5)))
    boxes, scores, valid = (jnp.concatenate(parts) for parts in zip(*found, strict=True))
    valid &= _not_suppressed(boxes, scores, valid, 0.7)
    return boxes, scores, valid, jnp.stack(counts).max()


def _propose(weights: Any, level: Array, scale: Any) -> tuple[Boxes, Scores]:
    """Return every window on one pyramid level as a box in image pixels, and its score."""
    shift, logits = pnet(weights, level[None])
    rows, columns = logits.shape[1:3]
    y, x = (2 * jnp.arange(n, dtype=jnp.float32) for n in (rows, columns))
    y, x = jnp.meshgrid(y, x, indexing="ij")
    corner = jnp.stack([x, y], -1).reshape(-1, 2)
    boxes = jnp.concatenate([corner + 1, corner + PNET_WINDOW], -1)
    boxes = (boxes + shift.reshape(-1, 4) * (PNET_WINDOW - 1)) / scale
    return boxes, _face_scores(logits.reshape(-1, 2))


@jax.jit
def _run_third_net(weights: Any, crops: Array, boxes: Boxes) -> tuple[Array, Array, Array]:
    """Refine square boxes based on uint8 crops [n, 48, 48, 3]; add their scores and landmarks."""
    return _to_pixels(boxes, *onet(weights, (crops.astype(jnp.float32) - 127.5) / 128))


def _to_pixels(
    boxes: Boxes, shift: Array, points: Array, logits: Array
) -> tuple[Boxes, Scores, Array]:
    """Map the third net's outputs to pixels; the landmarks are relative to its input box."""
    sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
    landmarks = points.reshape(-1, 2, 5).swapaxes(1, 2) * sides + boxes[:, None, :2] - 1
    return _shifted(boxes, shift), _face_scores(logits), landmarks


def _keep_best(
    count: int, boxes: Boxes, scores: Scores, valid: Valid
) -> tuple[Array, Array, Array]:
    """Return the `count` best entries, with valid entries first."""
    _, chosen = jax.lax.top_k(jnp.where(valid, scores, -1), min(count, scores.shape[0]))
    return boxes[chosen], scores[chosen], valid[chosen]


def _not_suppressed(
    boxes: Boxes, scores: Scores, valid: Valid, max_overlap: float, over_smaller: bool = False
) -> Valid:
    """Return True for boxes that no better valid box overlaps by more than `max_overlap`."""
    overlap = iou(boxes[:, None], boxes[None], over_smaller)
    own, other = scores[:, None], scores[None]
    earlier = jnp.tri(len(scores), k=-1, dtype=bool)
    better = ((other > own) | ((other == own) & earlier)) & valid[None]
    return ~(better & (overlap > max_overlap)).any(1)


def _to_squares(boxes: Boxes) -> Boxes:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(-1, keepdims=True) / 2
    return jnp.concatenate([centre - half, centre + half], -1)


def _shifted(boxes: Boxes, shift: Boxes) -> Boxes:
    return boxes + shift * jnp.tile(boxes[:, 2:] - boxes[:, :2] + 1, (1, 2))


def _face_scores(logits: Float[Array, "n 2"]) -> Scores:
    return jax.nn.softmax(logits)[:, 1]
