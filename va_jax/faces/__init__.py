"""Faces in images and videos: detect and track them, choose the subject, smooth, and crop."""

from va_jax.faces.crop import (
    DETECTED_POINTS,
    align,
    crop_box,
    crop_face,
    five_points,
    landmarks_in_crop,
    transform_points,
    unknown_landmarks,
)
from va_jax.faces.detect import Detections, Detector
from va_jax.faces.search import Follow
from va_jax.faces.subject import choose_subject, fill_gaps, smooth
from va_jax.faces.target import Named, Target, choose_target
from va_jax.faces.track import FaceTrack, track_faces

__all__ = [
    "DETECTED_POINTS",
    "Detections",
    "Detector",
    "FaceTrack",
    "Follow",
    "Named",
    "Target",
    "align",
    "choose_subject",
    "choose_target",
    "crop_box",
    "crop_face",
    "fill_gaps",
    "five_points",
    "landmarks_in_crop",
    "smooth",
    "track_faces",
    "transform_points",
    "unknown_landmarks",
]
