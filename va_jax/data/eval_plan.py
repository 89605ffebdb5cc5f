"""Plan an evaluation: decide which frames each step reads and which ones it predicts."""

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from va_jax.data.windows import PADDING, Window
from va_jax.types import Track


class Subtrack(NamedTuple):
    """Every `stride`-th frame of a track from frame `phase` on: frames spaced as in training."""

    track: int
    phase: int
    stride: int
    frames: int

    def window(self, start: int) -> Window:
        """Return the window that starts at frame `start` (possibly negative) of the subtrack."""
        return Window(self.track, self.phase + self.stride * start)


class Step(NamedTuple):
    """One batch in a plan; a row that reads or predicts nothing contains `PADDING`."""

    starts: list[bool]  # per row: whether it starts a new subtrack
    read: list[Window]  # per row
    predicted: list[Window]  # per row of the predictions


class Chunk(NamedTuple):
    """A part of a subtrack, starting at frame `start`."""

    subtrack: Subtrack
    start: int

    def window(self, offset: int = 0) -> Window:
        """Return the window that starts `offset` frames (possibly negative) into the chunk."""
        return self.subtrack.window(self.start + offset)


def subtracks(tracks: Sequence[Track], stride: int) -> list[Subtrack]:
    """Split every track into `stride` subtracks, in track order; each frame is in exactly one."""
    return [
        Subtrack(index, phase, stride, -(-(track.frames - phase) // stride))
        for index, track in enumerate(tracks)
        for phase in range(min(stride, track.frames))
    ]


def plan_windows(
    tracks: Sequence[Track], batch: int, length: int, hop: int, stride: int
) -> list[Step]:
    """Plan windows of `length` frames, one every `hop` frames of each subtrack."""
    windows = [
        subtrack.window(start)
        for subtrack in subtracks(tracks, stride)
        for start in _starts(subtrack, length, hop)
    ]
    groups = [windows[i : i + batch] for i in range(0, len(windows), batch)]
    groups[-1] += [PADDING] * (batch - len(groups[-1]))
    return [Step([True] * batch, group, group) for group in groups]


def plan_whole_tracks(
    tracks: Sequence[Track], batch: int, length: int, stride: int, before: int = 0
) -> list[Step]:
    """Plan consecutive chunks of `length` frames for each subtrack, all in the same batch row.

    Reading starts `before` frames earlier in the subtrack than the predictions.
    """
    plan = []
    for chunks in _rows(tracks, batch, length, stride):
        starts = [chunk is None or chunk.start == 0 for chunk in chunks]
        read, predicted = (
            [chunk.window(offset) if chunk else PADDING for chunk in chunks]
            for offset in (-before, 0)
        )
        plan.append(Step(starts, read, predicted))
    return plan


def plan_cached_windows(
    tracks: Sequence[Track], batch: int, length: int, hop: int, stride: int
) -> list[Step]:
    """Plan the same windows as `plan_windows`, each predicted as soon as its last frame is read.

    Each step reads `cache_sizes(length, hop)[0]` new frames per row. Together with the kept frames,
    they form one window every `hop` frames in each row. After the end of a subtrack, the windows
    that start in its kept frames are predicted while the row reads its next subtrack, if any.
    """
    chunk, kept = cache_sizes(length, hop)
    plan: list[Step] = []
    before: list[Chunk | None] = [None] * batch
    idle: list[list[Chunk | None]] = [[None] * batch] if kept else []
    for now in [*_rows(tracks, batch, chunk, stride), *idle]:
        predicted = [
            _window(old, place + chunk - kept, length, hop)
            if place < kept
            else _window(new, place - kept, length, hop)
            for old, new in zip(before, now, strict=True)
            for place in range(0, chunk, hop)
        ]
        starts = [new is None or new.start == 0 for new in now]
        read = [new.window() if new else PADDING for new in now]
        plan.append(Step(starts, read, predicted))
        before = now
    return plan


def cache_sizes(length: int, hop: int) -> tuple[int, int]:
    """Return how many new frames each step reads, a multiple of `hop`, and how many it keeps."""
    return length // hop * hop, (length - 1) // hop * hop


def _starts(subtrack: Subtrack, length: int, hop: int) -> range:
    """Return the start positions of the fewest windows that cover a subtrack."""
    return range(0, max(subtrack.frames - (length - hop), 1), hop)


def _window(chunk: Chunk | None, offset: int, length: int, hop: int) -> Window:
    """Return the window `offset` frames into a chunk, or `PADDING` if no window starts there."""
    if chunk is None or chunk.start + offset not in _starts(chunk.subtrack, length, hop):
        return PADDING
    return chunk.window(offset)


def _rows(
    tracks: Sequence[Track], batch: int, length: int, stride: int
) -> Iterator[list[Chunk | None]]:
    """Yield the chunks for each step: one per row, or None for a row without further chunks.

    The longest subtracks are distributed first, so that all rows finish at about the same time.
    """
    rows: list[list[Chunk]] = [[] for _ in range(batch)]
    shortest = [(0, number) for number in range(batch)]
    for subtrack in sorted(subtracks(tracks, stride), key=lambda each: -each.frames):
        chunks = [Chunk(subtrack, start) for start in range(0, subtrack.frames, length)]
        filled, number = heapq.heappop(shortest)
        rows[number] += chunks
        heapq.heappush(shortest, (filled + len(chunks), number))
    for step in range(max(map(len, rows))):
        yield [row[step] if step < len(row) else None for row in rows]
