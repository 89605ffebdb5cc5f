"""Find the face of a recording's target among the faces that were tracked through its video."""

from collections.abc import Sequence

import numpy as np

from tfds_builders.material import Material, TargetPoint
from va_jax import faces
from va_jax.types import InputError
from va_jax.video.read import probe


def find_target(
    tracks: list[faces.FaceTrack], material: Material, max_side: int
) -> faces.Target | None:
    """Return the target's face in all frames, or None if no frame shows it.

    Args:
        tracks: All faces in the video, in pixels of frames with sides of at most `max_side`.
        material: The recording. If its `target` is None, the face is that of
            `faces.choose_subject`, and no frame counts as `main`.
        max_side: Longest side of the frames in pixels.

    Raises:
        InputError: A point of the target is on none of the faces.
    """
    if material.target is None:
        subject = faces.choose_subject(tracks)
        return subject and faces.Target(subject, np.zeros(len(subject.shown), bool))
    if not material.target:
        return faces.choose_target(tracks)
    info = probe(material.pictures)
    scale = min(1.0, max_side / max(info.width, info.height))
    named = [_name(tracks, point, scale, material) for point in material.target]
    return faces.choose_target(tracks, named)


def _name(
    tracks: Sequence[faces.FaceTrack], point: TargetPoint, scale: float, material: Material
) -> faces.Named:
    """Return the frame nearest to the time of a point, and the face there that contains it.

    If the boxes of several faces contain the point, the one with the nearest centre is returned.
    """
    frame = 0
    if tracks:
        frame = int(np.argmin(np.abs(tracks[0].time_s - point.time_s)))
    if point.x is None or point.y is None:
        return faces.Named(frame, None)
    place = np.array([point.x, point.y])
    boxes = {n: each.boxes[frame] / scale for n, each in enumerate(tracks) if each.shown[frame]}
    centres = {n: (box[:2] + box[2:]) / 2 for n, box in boxes.items()}
    on = [n for n, box in boxes.items() if ((box[:2] <= place) & (place <= box[2:])).all()]
    if not on:
        found = " and ".join(f"x={x:.0f}, y={y:.0f}" for x, y in centres.values())
        raise InputError(
            f"{material.pictures}: no face is tracked at x={point.x:g}, y={point.y:g} at "
            f"{point.time_s:g} s ({f'the faces there are at {found}' if found else 'none is there'}"
            "); correct the row of the target, or choose another time"
        )
    return faces.Named(frame, min(on, key=lambda n: float(np.hypot(*(centres[n] - place)))))
