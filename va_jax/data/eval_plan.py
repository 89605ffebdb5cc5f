"""Plans of an evaluation: which frames each batch reads and which frames its predictions are of."""

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from va_jax.data.windows import PADDING, Window
from va_jax.types import Track


class Lane(NamedTuple):
    """The frames phase, phase + stride, ... of a track: they have the spacing of training."""

    track: int
    phase: int
    stride: int
    steps: int  # frames in it

    def window(self, start: int) -> Window:
        """The window that starts with the lane's frame number `start`, which may be below 0."""
        return Window(self.track, self.phase + self.stride * start)


class Step(NamedTuple):
    """One batch of a plan. Where there is nothing to read or to predict stands `PADDING`."""

    fresh: list[bool]  # of every row: does another lane begin?
    read: list[Window]  # of every row
    made: list[Window]  # of every row of the predictions


class Chunk(NamedTuple):
    """The frames of a lane from number `start` on."""

    lane: Lane
    start: int

    def window(self, offset: int = 0) -> Window:
        """The window that starts `offset` frames into it, or ahead of it where that is negative."""
        return self.lane.window(self.start + offset)


def lanes_of(tracks: Sequence[Track], stride: int) -> list[Lane]:
    """`stride` interleaved lanes of every track, in track order; together they hold every frame."""
    return [
        Lane(index, phase, stride, -(-(track.frames - phase) // stride))
        for index, track in enumerate(tracks)
        for phase in range(min(stride, track.frames))
    ]


def separate_windows(
    tracks: Sequence[Track], batch: int, length: int, hop: int, stride: int
) -> list[Step]:
    """Windows of `length` every `hop` frames of every lane, read one by one."""
    windows = [
        lane.window(start)
        for lane in lanes_of(tracks, stride)
        for start in _starts(lane, length, hop)
    ]
    groups = [windows[i : i + batch] for i in range(0, len(windows), batch)]
    groups[-1] += [PADDING] * (batch - len(groups[-1]))
    return [Step([True] * batch, group, group) for group in groups]


def whole_lanes(
    tracks: Sequence[Track], batch: int, length: int, stride: int, before: int = 0
) -> list[Step]:
    """Every lane once, in chunks of `length`: the chunks of a row follow each other in time.

    What is read begins `before` frames of the lane ahead of what is predicted.
    """
    plan = []
    for chunks in _columns(tracks, batch, length, stride):
        fresh = [chunk is None or chunk.start == 0 for chunk in chunks]
        read, made = (
            [chunk.window(offset) if chunk else PADDING for chunk in chunks]
            for offset in (-before, 0)
        )
        plan.append(Step(fresh, read, made))
    return plan


def cached_windows(
    tracks: Sequence[Track], batch: int, length: int, hop: int, stride: int
) -> list[Step]:
    """The windows of `separate_windows`, each made as soon as its last frame is read.

    A batch reads `cache_sizes(length, hop)[0]` new frames a row. Behind the kept ones they make a
    window every `hop` frames, row by row. Those that start in the kept frames of a lane that has
    ended are made while the row reads its next lane, in the end while it reads nothing.
    """
    chunk, kept = cache_sizes(length, hop)
    plan, before = [], [None] * batch
    columns = list(_columns(tracks, batch, chunk, stride))
    for now in columns + [[None] * batch] * (kept > 0):
        made = [
            _window(old, place + chunk - kept, length, hop)
            if place < kept
            else _window(new, place - kept, length, hop)
            for old, new in zip(before, now, strict=True)
            for place in range(0, chunk, hop)
        ]
        fresh = [new is None or new.start == 0 for new in now]
        plan.append(Step(fresh, [new.window() if new else PADDING for new in now], made))
        before = now
    return plan


def cache_sizes(length: int, hop: int) -> tuple[int, int]:
    """New frames of a batch, a multiple of `hop`, and how many earlier ones windows start in."""
    return length // hop * hop, (length - 1) // hop * hop


def _starts(lane: Lane, length: int, hop: int) -> range:
    """Where a lane's windows start: as many as cover it."""
    return range(0, max(lane.steps - (length - hop), 1), hop)


def _window(chunk: Chunk | None, offset: int, length: int, hop: int) -> Window:
    """The window that starts so far into a chunk, where it is one of the lane's windows."""
    if chunk is None or chunk.start + offset not in _starts(chunk.lane, length, hop):
        return PADDING
    return chunk.window(offset)


def _columns(
    tracks: Sequence[Track], batch: int, length: int, stride: int
) -> Iterator[list[Chunk | None]]:
    """Batches of chunks: lane after lane in every row, long ones first, so that rows end together.

    None where a row has no more.
    """
    rows: list[list[Chunk]] = [[] for _ in range(batch)]
    shortest = [(0, number) for number in range(batch)]
    for lane in sorted(lanes_of(tracks, stride), key=lambda lane: -lane.steps):
        chunks = [Chunk(lane, start) for start in range(0, lane.steps, length)]
        filled, number = heapq.heappop(shortest)
        rows[number] += chunks
        heapq.heappush(shortest, (filled + len(chunks), number))
    for column in range(max(map(len, rows))):
        yield [row[column] if column < len(row) else None for row in rows]
