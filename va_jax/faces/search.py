"""Search the frames of a video for faces: fully from time to time, and near known faces between."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from va_jax.faces.detect import Detections, iou

# These values are our choice.
CUT_CHANGE = 25.0  # mean change of a grey thumbnail (0 to 255) that indicates a hard cut
FULL_EVERY = 10  # largest number of frames from one full search to the next
SURE = 0.9  # if a followed face has a lower score, the frame is searched fully
SAME = 0.3  # smallest IoU of two boxes of the same face in successive searches
MERGED = 0.6  # largest overlap, relative to the smaller one, of the boxes of two faces

Find = Callable[[UInt8[np.ndarray, "height width 3"]], Detections]
"""Returns the faces in an image."""

Follow = Callable[[UInt8[np.ndarray, "height width 3"], Float32[np.ndarray, "faces 4"]], Detections]
"""Returns the same faces in the next image, in the same order; faces that are lost have score 0."""


@dataclasses.dataclass
class Search:
    """A frame that was searched for faces."""

    number: int  # index of the search
    frame: int
    time_s: float
    shot: int
    full: bool  # whether the whole frame was searched, or only the places of known faces
    found: Detections


class Searches:
    """Searches the frames of a video, which are added in order.

    The frames to search are every `every`-th frame, those on both sides of a hard cut, and the last
    one. Without `follow`, all of these are searched fully. With it, known faces are followed, and a
    frame is searched fully if

    - it is the first of a shot, or the next one would be more than `FULL_EVERY` frames after the
      last full search,
    - a face is lost, or uncertain, or two followed faces merge, or
    - fewer than `confirm` successive full searches have found the present faces.

    A face that appears is followed back, at most to the last full search. Up to `FULL_EVERY` frames
    are in memory at a time.
    """

    def __init__(self, find: Find, follow: Follow | None, every: int, confirm: int):
        self.times_s: list[float] = []
        self.done: list[Search] = []
        self._find, self._follow, self._every, self._confirm = find, follow, every, confirm
        self._shot, self._unconfirmed, self._last_full = 0, 0, 0
        self._image: np.ndarray | None = None
        self._thumbnail: np.ndarray | None = None
        self._recent: list[tuple[Search, np.ndarray]] = []  # followed since the last full search

    def add(self, time_s: float, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Add the next frame, and search it if it is due."""
        before = self._thumbnail
        self._thumbnail = _thumbnail(image)
        cut = before is not None and np.abs(self._thumbnail - before).mean() > CUT_CHANGE
        if cut:
            self.end()
            self._shot += 1
        self.times_s.append(time_s)
        self._image = image
        frame = len(self.times_s) - 1
        if cut or not self.done or frame - self.done[-1].frame >= self._every:
            self._search(image)

    def end(self) -> None:
        """Search the last frame, unless that is done."""
        if self._image is not None and self.done[-1].frame < len(self.times_s) - 1:
            self._search(self._image)

    def _search(self, image: np.ndarray) -> None:
        frame = len(self.times_s) - 1
        last = self.done[-1] if self.done and self.done[-1].shot == self._shot else None
        found = self._followed(image, last, frame)
        full = found is None
        found = self._find(image) if found is None else found
        search = Search(len(self.done), frame, self.times_s[-1], self._shot, full, found)
        self.done.append(search)
        if not full:
            self._recent.append((search, image))
            return
        new = _without_partner(search.found.boxes, last.found.boxes if last else None)
        gone = _without_partner(last.found.boxes, search.found.boxes) if last else []
        changed = last is None or len(new) > 0 or len(gone) > 0
        self._unconfirmed = self._confirm - 1 if changed else max(self._unconfirmed - 1, 0)
        self._last_full = frame
        for face in new if last else ():
            self._follow_back(search.found.boxes[face])
        self._recent.clear()

    def _followed(self, image: np.ndarray, last: Search | None, frame: int) -> Detections | None:
        """Return the faces of the last search in this image, or None if it must be searched."""
        due = frame + self._every - self._last_full > FULL_EVERY
        if self._follow is None or last is None or due or self._unconfirmed:
            return None
        if not len(last.found.boxes):
            return last.found
        found = self._follow(image, last.found.boxes)
        overlap = iou(found.boxes[:, None], found.boxes[None], over_smaller=True)
        merged = (overlap > MERGED).sum() > len(found.boxes)
        return None if merged or (found.scores < SURE).any() else found

    def _follow_back(self, box: np.ndarray) -> None:
        """Add a face that has appeared to the earlier searches that show it."""
        for search, image in reversed(self._recent):
            assert self._follow is not None  # or no frame would be recent
            found = self._follow(image, box[None])
            known = search.found
            if found.scores[0] < SURE or not len(_without_partner(found.boxes, known.boxes)):
                return
            both = zip(dataclasses.astuple(known), dataclasses.astuple(found), strict=True)
            search.found = Detections(*(np.concatenate(arrays) for arrays in both))
            box = found.boxes[0]


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """Return a grey thumbnail [32, 32]; most pixels of a large image are left out, for speed."""
    step = max(min(image.shape[:2]) // 128, 1)
    small = np.ascontiguousarray(image[::step, ::step])
    return cv2.resize(small, (32, 32), interpolation=cv2.INTER_AREA).mean(-1)


def _without_partner(boxes: np.ndarray, others: np.ndarray | None) -> np.ndarray:
    """Return the numbers of the boxes that no other box resembles."""
    if others is None or not len(others):
        return np.arange(len(boxes))
    return np.flatnonzero(iou(boxes[:, None], others[None]).max(1, initial=0) < SAME)
