"""Faces in images and videos: detect, follow, choose, smooth, align."""

from va_jax.faces.crops import align, crop_box, five_points, transform_points
from va_jax.faces.follow import follow
from va_jax.faces.mtcnn import Detections, Detector
from va_jax.faces.stored import DETECTED_POINTS, store
from va_jax.faces.tracks import FaceTrack, held, main_face, smooth

__all__ = [
    "DETECTED_POINTS",
    "Detections",
    "Detector",
    "FaceTrack",
    "align",
    "crop_box",
    "five_points",
    "follow",
    "held",
    "main_face",
    "smooth",
    "store",
    "transform_points",
]
