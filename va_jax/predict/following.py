"""The first pass over a source: its faces followed from end to end, and its times."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64

from va_jax import faces
from va_jax.faces import Detections, FaceTrack
from va_jax.predict.pictures import Image, Video

TRACKS = ("largest", "all")
"""The one subject, see `faces.main_face`; every face that was followed."""


@dataclasses.dataclass(frozen=True)
class Followed:
    """What the first pass found, in pixels of the frames that were searched."""

    time_s: Float64[np.ndarray, "frames"]
    tracks: list[FaceTrack]  # smoothed, placements held where not shown
    spans: list[range]  # of every track the frames that are cropped and predicted
    scale: float  # from these pixels to those of the upright frame

    @property
    def fps(self) -> float | None:
        """Mean frames per second; None of a single frame."""
        if len(self.time_s) < 2:
            return None
        return float((len(self.time_s) - 1) / (self.time_s[-1] - self.time_s[0]))


def follow(
    pictures: Video | Image,
    detector: Callable[[np.ndarray], Detections],
    which: str,
    every: int,
    on_frame: Callable[[], object] = lambda: None,
) -> Followed:
    """The faces of a source as it is read; `on_frame` is called for every frame.

    The one subject of a video is predicted in every frame, as in a data set; of all faces, each
    from its first shown frame to its last. Raises InputError where there is not a single frame.
    """
    times_s, widths = [], []

    def counted() -> Iterator[tuple[float, np.ndarray]]:
        for time_s, image in pictures:
            times_s.append(time_s)
            widths[:] = [image.shape[1]]
            yield time_s, image
            on_frame()

    found = faces.follow(counted(), detector, every=every, confirm=pictures.confirm)
    if which == "largest":
        main = faces.main_face(found)
        found = [] if main is None else [main]
        spans = [range(len(times_s))] * len(found)
    else:
        ends = [np.flatnonzero(track.shown)[[0, -1]].tolist() for track in found]
        spans = [range(first, last + 1) for first, last in ends]
    tracks = [faces.held(faces.smooth(track)) for track in found]
    return Followed(np.array(times_s, np.float64), tracks, spans, pictures.width / widths[0])
