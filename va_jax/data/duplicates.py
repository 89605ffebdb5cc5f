"""Find recordings that are copies of one another, even if a copy was edited, by their motion.

Two recordings of the same person in the same room look alike but move differently; copies move
alike. So the changes of a look over `STEP` points are correlated over all shifts in time. Pairs
that pass are compared more closely: the copy may be shifted, enlarged or reduced. The thresholds
are our choice; docs/leaks.md has the margins.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from va_jax.data import looks
from va_jax.data.looks import ORDER, RATE, SIDE, Look

STEP = 3
"""Distance in points over which changes are taken; longer ones also contain slow drifts, which
agree by chance."""

LEAST_S = 1.6
"""A recording with less motion than this, in seconds, cannot be compared."""

STILL = 0.01
"""Changes of an image below this are noise: compression to JPEG quality 10 causes this much."""

OVERLAP_S, SHARE = 6.0, 0.8
"""Copies share at least this many seconds, or this share of the shorter recording."""

SIMILARITY, EVIDENCE = 0.5, 2.4
"""A pair is reported if the correlation is at least SIMILARITY, and at least EVIDENCE after
multiplication by the square root of the shared time in seconds, since short recordings agree
more often by chance."""

SHORT_SIMILARITY = 0.9
"""The correlation from which less shared time is sufficient."""

CANDIDATE = 1.6
"""Evidence in the coarse comparison from which a pair is compared closely."""

COARSE = 4
"""Number of frequencies of the image in each direction that the coarse comparison uses."""

BLOCK = 48
"""Number of recordings on either side that are correlated at once, which limits the memory."""

SCALES, SHIFTS = (0.8, 0.9, 1.0, 1.1, 1.25), (-0.1, -0.05, 0.0, 0.05, 0.1)
"""Sizes of the copy, and its shifts as fractions of the image's side, that are tried."""


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """Two recordings that show the same events; the names are in alphabetical order."""

    one: str
    other: str
    similarity: float  # correlation of the motion, at most 1
    shared_s: float
    later_s: float  # an event at t in `one` is at t + later_s in `other`
    mirrored: bool

    def text(self) -> str:
        """Return how the two are related, without their names."""
        at = f", {abs(self.later_s):.1f} s {'later' if self.later_s > 0 else 'earlier'}"
        shifted = at if abs(self.later_s) >= 1 / RATE else ""
        return (
            f"the same {self.shared_s:.0f} s{' mirrored' * self.mirrored}{shifted} "
            f"(similarity {self.similarity:.2f})"
        )


def find_duplicates(found: Sequence[Look], across: bool = False) -> list[Duplicate]:
    """Return the pairs of recordings that show the same events, sorted by name.

    The result depends neither on the order of the recordings nor on the other recordings.

    Args:
        found: looks with different names.
        across: whether to compare only recordings of different groups.
    """
    order = sorted(
        filter(is_comparable, found), key=lambda each: (each.group, len(each.values), each.name)
    )
    blocks = []
    for _, group in itertools.groupby(order, lambda each: each.group):
        moves = [_Motion(each) for each in group]
        blocks += [moves[i : i + BLOCK] for i in range(0, len(moves), BLOCK)]
    pairs = []
    for rows, columns in itertools.combinations_with_replacement(blocks, 2):
        if across and rows[0].look.group == columns[0].look.group:
            continue
        for one, other, lag, mirrored in _candidates(rows, columns):
            duplicate = _compare_closely(one, other, lag, mirrored)
            if duplicate is not None:
                pairs.append(duplicate)
    best: dict[tuple[str, str], Duplicate] = {}
    for each in sorted(pairs, key=lambda each: -each.similarity):
        best.setdefault((each.one, each.other), each)
    return [best[key] for key in sorted(best)]


def is_comparable(look: Look) -> bool:
    """Return whether a recording is long enough and moves enough to be compared."""
    return bool((np.linalg.norm(_changes(look.values), axis=1) > STILL).sum() >= LEAST_S * RATE)


def _changes(values: Float[np.ndarray, "points width"]) -> Float[np.ndarray, "changes width"]:
    """Return the changes over STEP points; 0 if either end is unknown."""
    if len(values) <= STEP:
        return np.zeros((0, values.shape[1]), np.float32)
    known = np.linalg.norm(values, axis=1) > 0
    both = known[STEP:] & known[:-STEP]
    return np.where(both[:, None], values[STEP:] - values[:-STEP], 0)


class _Motion:
    """The changes of a look, scaled such that large ones do not outweigh all others."""

    def __init__(self, look: Look):
        self.look = look
        changes = _changes(look.values)
        norm = np.linalg.norm(changes, axis=1, keepdims=True)
        self.values = changes / np.sqrt(np.maximum(norm, STILL))
        coarse = self.values.reshape(-1, looks.WIDTH)[:, _coarse_columns()]
        power = (coarse**2).sum() / max(1, len(norm))
        self.coarse = coarse / np.sqrt(max(power, 1e-12))  # mean square length 1

    def __len__(self) -> int:
        return len(self.values)


@functools.cache
def _coarse_columns() -> np.ndarray:
    grid = np.arange(ORDER * ORDER).reshape(ORDER, ORDER)
    return grid[:COARSE, :COARSE].reshape(-1)[1:] - 1


@functools.cache
def _is_odd(order: int) -> np.ndarray:
    """Return which columns change their sign if the image is mirrored."""
    return np.array([column % order % 2 == 1 for column in range(1, order * order)])


def _candidates(
    rows: Sequence[_Motion], columns: Sequence[_Motion]
) -> Iterator[tuple[_Motion, _Motion, int, bool]]:
    """Yield the pairs that agree roughly, with the shift in points and whether one is mirrored."""
    lengths = np.array([len(each) for each in rows]), np.array([len(each) for each in columns])
    longest = [int(each.max()) for each in lengths]
    # Half the resolution in time is enough to find the shift, and takes half the time.
    points = 4 * -(-sum(longest) // 4)
    size = points // 2
    # Within a block, every pair is computed twice, which costs little.
    even, odd = _correlations(_spectra(rows, points), _spectra(columns, points), size)
    lags = 2 * np.arange(size)
    lags[lags > longest[1]] -= points  # shifts of a column's motion against that of a row
    row, column = lengths[0][:, None, None], lengths[1][None, :, None]
    shared = np.minimum(row, column - lags) - np.maximum(0, -lags)
    short = np.minimum(row, column)
    least = np.minimum(OVERLAP_S * RATE, SHARE * short)
    scale = np.where(shared >= least, 1 / np.sqrt(np.maximum(shared, 1) * RATE), 0)
    least_evidence = np.minimum(CANDIDATE, 0.7 * np.sqrt(short[..., 0] / RATE))
    for mirrored, sums in ((False, even + odd), (True, even - odd)):
        evidence = sums * scale
        best = evidence.argmax(-1)
        top = np.take_along_axis(evidence, best[..., None], -1)[..., 0]
        for i, j in np.argwhere(top >= least_evidence).tolist():
            if rows is not columns or i < j:
                yield rows[i], columns[j], int(lags[best[i, j]]), mirrored


def _spectra(motions: Sequence[_Motion], points: int) -> np.ndarray:
    """Return the lower half of the spectra of motions, complex64 [frequencies, motions, width]."""
    padded = np.zeros((points, len(motions), COARSE * COARSE - 1), np.float32)
    for column, each in enumerate(motions):
        padded[: len(each), column] = each.coarse
    return np.fft.rfft(padded, axis=0)[: points // 4 + 1].astype(np.complex64)


def _correlations(rows: np.ndarray, columns: np.ndarray, size: int) -> list[np.ndarray]:
    """Return sums of products for each pair and shift: of the even columns, and of the odd ones.

    Returns:
        Two arrays float32 [rows, columns, shifts].
    """
    odd, sums = _is_odd(COARSE), []
    for part in (~odd, odd):
        product = rows[..., part].conj() @ columns[..., part].transpose(0, 2, 1)
        spectrum = np.ascontiguousarray(product.transpose(1, 2, 0))
        sums.append(np.fft.irfft(spectrum, size).astype(np.float32) / 2)
    return sums


def _compare_closely(one: _Motion, other: _Motion, lag: int, mirrored: bool) -> Duplicate | None:
    """Return the duplicate, or None if the motions differ after all."""
    if one.look.name > other.look.name:
        one, other, lag = other, one, -lag
    values = other.values * np.where(_is_odd(ORDER), -1, 1) if mirrored else other.values
    near = [float(lag + step) for step in (-2, -1, 0, 1, 2)]
    closest = max(near, key=lambda each: _similarity(*_shared(one.values, values, each)))
    best, best_shift = -1.0, float(closest)
    for shift in (closest - 0.5, closest, closest + 0.5):
        similarity = _warped_similarity(*_shared(one.values, values, shift))
        if similarity > best:
            best, best_shift = similarity, shift
    shared_s = len(_shared(one.values, values, best_shift)[0]) / RATE
    if not _is_duplicate(best, shared_s, min(len(one), len(other)) / RATE):
        return None
    later_s = best_shift / RATE + other.look.start_s - one.look.start_s
    return Duplicate(one.look.name, other.look.name, best, shared_s, later_s, mirrored)


def _is_duplicate(similarity: float, shared_s: float, shorter_s: float) -> bool:
    if shared_s < min(OVERLAP_S, SHARE * shorter_s):
        return False
    if similarity >= SHORT_SIMILARITY:
        return True
    return similarity >= SIMILARITY and similarity * shared_s**0.5 >= EVIDENCE


def _shared(one: np.ndarray, other: np.ndarray, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the common part if an event at point t in `one` is at t + shift in `other`.

    If the shift is half a point, neighbours in `other` are averaged.
    """
    whole = int(np.floor(shift))
    if whole != shift:
        other = (other[:-1] + other[1:]) / 2
    start, stop = max(0, -whole), min(len(one), len(other) - whole)
    stop = max(start, stop)
    return one[start:stop], other[start + whole : stop + whole]


def _similarity(one: np.ndarray, other: np.ndarray) -> float:
    norm = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / norm) if norm > 0 else -1.0


def _warped_similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Return the highest correlation after moving or scaling the images of `other`."""
    warps = _warps()
    products, squares = one.T @ other, other.T @ other
    top = (warps * products).sum((1, 2))
    norm = np.sqrt(np.maximum(((warps @ squares) * warps).sum((1, 2)) * (one**2).sum(), 0))
    return float(np.max(top / np.maximum(norm, 1e-9)))


@functools.cache
def _warps() -> Float[np.ndarray, "warps width width"]:
    """Return the matrices that move and scale an image, applied to the vectors of a look."""
    found = [
        np.kron(_line_warp(scale, down), _line_warp(scale, right))[1:, 1:]
        for scale, down, right in itertools.product(SCALES, SHIFTS, SHIFTS)
    ]
    return np.array(found, np.float32)


def _line_warp(scale: float, shift: float) -> Float[np.ndarray, "order order"]:
    """Return the matrix that moves and scales one direction of an image; its border is repeated."""
    places = ((np.arange(SIDE) + 0.5) / SIDE - 0.5) * scale + 0.5 + shift
    places = np.clip(places * SIDE - 0.5, 0, SIDE - 1)
    left = np.minimum(places.astype(int), SIDE - 2)
    weight = places - left
    matrix = np.zeros((SIDE, SIDE))
    matrix[np.arange(SIDE), left] = 1 - weight
    matrix[np.arange(SIDE), left + 1] = weight
    return looks.basis() @ matrix @ looks.basis().T
