"""Splits and folds: nobody in two splits, everybody tested once, partners never parted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfds_builders.splits import fold_splits, subject_disjoint_splits, unparted

NAMES = st.text("abc012", min_size=1, max_size=3)


@pytest.mark.parametrize("folds", [3, 5])
def test_over_all_folds_everybody_is_tested_once_and_chosen_on_once(folds):
    subjects = [f"s{n}" for n in range(23)]
    rounds = [fold_splits(subjects, 1, folds, fold) for fold in range(folds)]
    for subject in subjects:
        seen = [each[subject] for each in rounds]
        assert seen.count("test") == seen.count("dev") == 1
        assert seen.index("dev") == (seen.index("test") - 1) % folds
    sizes = [list(each.values()).count("test") for each in rounds]
    assert sum(sizes) == 23
    assert max(sizes) - min(sizes) <= 1


def test_folds_are_stratified_and_follow_from_the_seed():
    strata = {f"s{n}": "ab"[n % 2] for n in range(40)}
    rounds = [fold_splits(strata, 0, 5, fold, strata) for fold in range(5)]
    for each in rounds:
        tested = [strata[name] for name, split in each.items() if split == "test"]
        assert tested.count("a") == tested.count("b") == 4
    assert rounds[2] == fold_splits(list(strata)[::-1], 0, 5, 2, strata)
    assert rounds[2] != fold_splits(strata, 1, 5, 2, strata)


@given(st.lists(st.tuples(NAMES, NAMES), max_size=30))
def test_units_are_the_connected_parts_of_who_met_whom(pairs):
    unit = unparted(pairs)
    subjects = sorted({subject for subject, _ in pairs})
    place = {subject: index for index, subject in enumerate(subjects)}
    met = np.eye(len(subjects), dtype=bool)
    for a, session in pairs:
        for b, other in pairs:
            met[place[a], place[b]] |= session == other
    for _ in subjects:
        met |= met @ met
    for a in subjects:
        for b in subjects:
            assert (unit[a] == unit[b]) == met[place[a], place[b]]
        assert unit[a] == min(b for b in subjects if met[place[a], place[b]])


@given(st.lists(NAMES, max_size=40), st.integers(0, 3))
def test_every_subject_gets_one_split(subjects, seed):
    splits = subject_disjoint_splits(subjects, seed, {"train": 0.7, "dev": 0.15, "test": 0.15})
    assert set(splits) == set(subjects)
    assert set(splits.values()) <= {"train", "dev", "test"}
