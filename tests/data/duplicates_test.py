"""Edited copies of recordings are found; different recordings, even of one subject, are not."""

import numpy as np
import pytest

from tests import edited_copies
from tests.edited_copies import EDITS, FPS, recording
from va_jax.data import duplicates, looks
from va_jax.data.looks import Look


def look(name, frames, fps, group="", start_s=0.0):
    time_s = start_s + np.arange(len(frames)) / fps
    sampler = looks.Sampler(start_s)
    chosen = looks.nearest(time_s, start_s)
    for frame, point, off_s in zip(chosen.frame, chosen.point, chosen.off_s, strict=True):
        sampler.put(int(point), float(off_s), looks.describe(frames[frame]))
    return sampler.look(name, group)


@pytest.fixture(scope="module")
def originals():
    return [
        look(f"s{subject}_{number}", recording(subject, number), FPS, "train")
        for subject in range(10)
        for number in range(2 if subject < 3 else 1)
    ]


@pytest.fixture(scope="module")
def edited():
    return [look(name, *each, "test") for name, each in edited_copies.copies().items()]


def test_ten_edited_copies_are_found_and_nothing_else(originals, edited):
    found = duplicates.find_duplicates([*originals, *edited])
    pairs = {frozenset((each.one, each.other)): each for each in found}
    assert pairs.keys() == {frozenset((name, f"s{n}_0")) for n, name in enumerate(EDITS)}
    by_edit = {name: pairs[frozenset((name, f"s{n}_0"))] for n, name in enumerate(EDITS)}
    assert [name for name, each in by_edit.items() if each.mirrored] == ["mirrored"]
    moved = {
        name: each.later_s * (1 if each.other == name else -1) for name, each in by_edit.items()
    }
    expected = dict.fromkeys(EDITS, 0.0) | {"trimmed": -83 / FPS, "later": 59 / FPS}
    assert moved == pytest.approx(expected, abs=0.11)


def test_the_order_of_the_recordings_and_further_recordings_change_nothing(originals, edited):
    everything = [*originals, *edited]
    found = duplicates.find_duplicates(everything)
    assert duplicates.find_duplicates(everything[::-1]) == found
    names = ("s0_0", "s5_0", "brightness", "mirrored")
    kept = [each for each in everything if each.name in names]
    some = duplicates.find_duplicates(kept)
    assert [(e.one, e.other) for e in some] == [("brightness", "s0_0"), ("mirrored", "s5_0")]


def test_only_pairs_of_different_groups_are_compared_on_request(originals):
    again = [Look(f"{each.name}_again", each.values, "train") for each in originals[:2]]
    other = Look("other", originals[4].values, "dev")
    found = duplicates.find_duplicates([*originals, *again, other], across=True)
    assert [(each.one, each.other) for each in found] == [("other", "s2_0")]
    assert len(duplicates.find_duplicates([*originals, *again, other])) == 3


def test_different_parts_of_a_recording_are_no_copies(originals):
    halves = []
    for each in originals:
        middle = len(each.values) // 2
        halves += [Look(f"{each.name}a", each.values[:middle])]
        halves += [Look(f"{each.name}b", each.values[middle:])]
    assert duplicates.find_duplicates(halves) == []


def test_recordings_that_are_still_or_short_are_not_compared():
    still = np.repeat(recording(0, 0)[:1], 100, axis=0)
    moving = look("moving", recording(0, 0), FPS)
    assert duplicates.is_comparable(moving)
    assert not duplicates.is_comparable(look("still", still, FPS))
    assert not duplicates.is_comparable(look("short", recording(0, 0)[:30], FPS))
    assert not duplicates.is_comparable(look("empty", recording(0, 0)[:0], FPS))
    assert duplicates.find_duplicates([look("a", still, FPS), look("b", still, FPS)]) == []


def test_the_two_real_clips_and_the_halves_of_one_are_different(media):
    from va_jax.video.read import read_frames

    found = []
    for name in ("tears_to_laughter", "smile"):
        sampler = looks.Sampler(0.0)
        for time_s, frame in read_frames(media / f"{name}.mp4"):
            place = time_s * looks.RATE
            sampler.put(round(place), abs(place - round(place)), looks.describe(frame))
        found.append(sampler.look(name))
    tears, smile = found
    middle = len(tears.values) // 2
    parts = [Look("a", tears.values[:middle]), Look("b", tears.values[middle:])]
    assert duplicates.find_duplicates([*parts, smile]) == []
    (pair,) = duplicates.find_duplicates([tears, smile, parts[1]])
    assert (pair.one, pair.other) == ("b", "tears_to_laughter")
    assert pair.later_s == pytest.approx(middle / looks.RATE, abs=0.11)
