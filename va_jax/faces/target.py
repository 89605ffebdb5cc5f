"""Choose the target among the faces in a video: the most visible face, or faces that are named."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from va_jax.faces.subject import MIN_SIDE, combine, median_side, own_free_frames, total_area
from va_jax.faces.track import FaceTrack


class Named(NamedTuple):
    """The target from one frame on: the number of its track, or None if it is not visible."""

    frame: int
    face: int | None


class Target(NamedTuple):
    """The target's face in all frames of a video."""

    track: FaceTrack
    main: Bool[np.ndarray, "frames"]  # frames that show the most visible face, or a named one


def choose_target(tracks: Sequence[FaceTrack], named: Sequence[Named] = ()) -> Target | None:
    """Return the face of the target; None if no frame shows it.

    Without names, the target is the face with the largest total area. While that face is away, the
    target is the next largest face that is never seen together with it; a bystander, who shares
    frames with the target, never takes its place. `choose_subject` is less strict.

    With names, each one holds until the next, and the first one in a shot also before its frame. It
    applies to one shot, because faces cannot be recognised after a cut: in shots without a name, no
    frame shows the target. In the shot, the named face can be replaced as described above.

    Args:
        tracks: Tracks of `track_faces`.
        named: The target from certain frames on, in order of the frames.
    """
    if not tracks:
        return None
    if named:
        main = {each.face for each in named if each.face is not None}
        owner = _named_owner(tracks, named, main)
    else:
        largest = max(range(len(tracks)), key=lambda number: total_area(tracks[number]))
        main = {largest}
        owner = _owner(tracks, largest, range(len(tracks)))
    track = combine(tracks, owner)
    return Target(track, track.shown & np.isin(owner, [*main])) if track.shown.any() else None


def _named_owner(
    tracks: Sequence[FaceTrack], named: Sequence[Named], main: set[int]
) -> Int[np.ndarray, "frames"]:
    """Return the number of the target's track in every frame, -1 for none."""
    owner = np.full(len(tracks[0].time_s), -1)
    stops = [*(each.frame for each in named[1:]), len(owner)]
    for index, (each, stop) in enumerate(zip(named, stops, strict=True)):
        if each.face is None:
            continue
        shot = tracks[each.face].shot
        shown = {n: track.shown for n, track in enumerate(tracks) if track.shot == shot}
        start = min(int(np.argmax(frames)) for frames in shown.values())
        if index and named[index - 1].frame >= start:
            start = each.frame
        whole = _owner(tracks, each.face, (number for number in shown if number not in main))
        owner[start:stop] = whole[start:stop]
    return owner


def _owner(
    tracks: Sequence[FaceTrack], main: int, others: Iterable[int]
) -> Int[np.ndarray, "frames"]:
    """Return the number of the track in every frame: `main`, or what replaces it; -1 for none."""
    owner = np.full(len(tracks[0].time_s), -1)
    own_free_frames(owner, tracks[main], main)
    least = MIN_SIDE * median_side(tracks[main])
    for number in sorted(others, key=lambda number: -total_area(tracks[number])):
        track = tracks[number]
        if median_side(track) >= least and (owner[track.shown] < 0).all():
            own_free_frames(owner, track, number)
    return owner
