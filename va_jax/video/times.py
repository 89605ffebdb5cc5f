"""Turn the time stamps of a stream into increasing times, and repair those that cannot be right."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from fractions import Fraction

from va_jax.types import InputError

WINDOW = 8
"""Number of frames by which a time stamp may be out of order (our choice). If it goes back further,
the time stamps start again, as in a file that consists of several files."""

MIN_STEP_S = 1e-3
"""Smallest time between frames (our choice); a frame that follows sooner is delayed."""

Stamp = Fraction | None  # seconds on the clock of the file; None if the frame has no time stamp


@dataclasses.dataclass
class Repairs:
    """The number of repaired time steps in a video."""

    missing: int = 0  # frames without a time stamp
    repeated: int = 0  # frames whose time stamp is not after that of the previous frame
    unsorted: int = 0  # frames whose time stamp is after that of a later frame
    restarts: int = 0  # number of times that the time stamps start again

    @property
    def total(self) -> int:
        """Number of repaired time steps."""
        return self.missing + self.repeated + self.unsorted + self.restarts

    def __str__(self) -> str:
        counts = {
            "missing": self.missing,
            "repeated": self.repeated,
            "out of order": self.unsorted,
            "restarts": self.restarts,
        }
        return ", ".join(f"{name}: {count}" for name, count in counts.items() if count)


def increasing_times(
    stamps: Iterable[Stamp], fps: float | None, repairs: Repairs
) -> Iterator[float]:
    """Yield the time of each frame in seconds since the first frame, in increasing order.

    Time stamps that are out of order are sorted. A frame whose time stamp is missing or repeated
    follows the previous frame after one frame period, or sooner if the next time stamp requires it.
    If the time stamps start again, the new part follows after the mean frame period.

    Args:
        stamps: time stamps in the order of presentation. The order of decoding, which differs by a
            few frames, gives the same times, but then `repairs.unsorted` has no meaning.
        fps: frames per second in the header; None if not stated.
        repairs: the numbers of repairs, which are updated. They are complete after the last frame.

    Raises:
        InputError: there are neither time stamps nor a frame rate.
    """
    period = None if not fps else 1 / Fraction(fps)
    first = last = last_s = None
    for stamp, later in _sort(_join(stamps, period, repairs), repairs):
        if stamp is None or (last is not None and stamp <= last):
            repairs.missing += stamp is None
            repairs.repeated += stamp is not None
            stamp = _place(last, later, period)
        first = stamp if first is None else first
        time_s = float(stamp - first)
        last, last_s = stamp, time_s if last_s is None else max(time_s, last_s + MIN_STEP_S)
        yield last_s


def _join(stamps: Iterable[Stamp], period: Fraction | None, repairs: Repairs) -> Iterator[Stamp]:
    """Shift the time stamps after each restart, so that they continue."""
    recent: collections.deque[Fraction] = collections.deque(maxlen=4 * WINDOW)
    first, highest, shift = Fraction(0), Fraction(0), Fraction(0)
    for count, stamp in enumerate(stamps):
        if stamp is None:
            yield None
            continue
        stamp += shift
        if not recent:
            first = highest = stamp
        span = max(recent, default=stamp) - min(recent, default=stamp)
        step = span / (len(recent) - 1) if span else period
        if step and stamp < highest - WINDOW * step:
            mean = (highest - first) / (count - 1) if highest > first else step
            shift += highest + mean - stamp
            stamp = highest + mean
            recent.clear()
            repairs.restarts += 1
        recent.append(stamp)
        highest = max(highest, stamp)
        yield stamp


def _sort(stamps: Iterable[Stamp], repairs: Repairs) -> Iterator[tuple[Stamp, list[Stamp]]]:
    """Yield time stamps sorted within `WINDOW`, each with the time stamps that follow it."""
    window: list[Stamp] = []
    for stamp in stamps:
        window.append(stamp)
        if len(window) > WINDOW:
            yield _take_least(window, repairs), window
    while window:
        yield _take_least(window, repairs), window


def _take_least(window: list[Stamp], repairs: Repairs) -> Stamp:
    """Remove the smallest time stamp, and put the first one in its place; None keeps its place."""
    first = window[0]
    if first is not None:
        least = min(stamp for stamp in window if stamp is not None)
        window[window.index(least)] = first
        repairs.unsorted += least != first
        first = least
    del window[0]
    return first


def _place(last: Stamp, later: list[Stamp], period: Fraction | None) -> Fraction:
    """Return a time stamp for a frame without a usable one.

    Args:
        last: time stamp of the previous frame; None for the first frame.
        later: time stamps of the next frames.
        period: frame period in the header; None if not stated.
    """
    known = [stamp for stamp in later if stamp is not None and (last is None or stamp > last)]
    if last is None:
        return min(known) - (later.index(min(known)) + 1) * (period or 0) if known else Fraction(0)
    steps = [] if period is None else [period]
    if known:
        steps.append((min(known) - last) / (later.index(min(known)) + 2))
    if not steps:
        raise InputError("has neither time stamps nor a frame rate; re-encode the file")
    return last + min(steps)
