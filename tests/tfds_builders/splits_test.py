"""Splits and folds: nobody in two splits, everybody tested once, partners stay together."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfds_builders.splits import fold_splits, linked_subjects, subject_disjoint_splits
from va_jax.types import InputError

NAMES = st.text("abc012", min_size=1, max_size=3)
SHARES = {"train": 0.7, "dev": 0.15, "test": 0.15}


@pytest.mark.parametrize("folds", [3, 5])
def test_over_all_folds_everybody_is_in_test_once_and_in_dev_once(folds):
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
def test_subjects_linked_by_sessions_share_a_unit(pairs):
    unit = linked_subjects(pairs)
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
    splits = subject_disjoint_splits(subjects, seed, SHARES)
    assert set(splits) == set(subjects)
    assert set(splits.values()) <= {"train", "dev", "test"}


def sizes(splits):
    return [list(splits.values()).count(name) for name in SHARES]


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (20, [14, 3, 3])],
)
def test_splits_have_the_shares_and_train_comes_first(subjects, expected):
    splits = subject_disjoint_splits((f"s{n}" for n in range(subjects)), 0, SHARES)
    assert sizes(splits) == expected


def test_splits_depend_on_seed_and_names_alone():
    names = [f"s{n}" for n in range(40)]
    splits = subject_disjoint_splits(names, 1, SHARES)
    assert splits == subject_disjoint_splits(names[::-1] * 2, 1, SHARES)
    assert splits != subject_disjoint_splits(names, 2, SHARES)
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"1:{name}".encode()).digest())
    assert {splits[name] for name in ranked[:28]} == {"train"}
    assert {splits[name] for name in ranked[28:34]} == {"dev"}


def test_strata_are_shared_out_evenly():
    strata = {f"s{n}": "abcde"[n % 5] for n in range(50)}
    splits = subject_disjoint_splits(strata, 0, SHARES, strata)
    assert sizes(splits) == [35, 8, 7] or sizes(splits) == [35, 7, 8]
    for culture in "abcde":
        inside = {name: split for name, split in splits.items() if strata[name] == culture}
        assert np.abs(np.array(sizes(inside)) - [7, 1.5, 1.5]).max() <= 1


def test_shares_that_do_not_sum_to_one_are_refused():
    with pytest.raises(InputError, match="split fractions"):
        subject_disjoint_splits(["a"], 0, {"train": 0.7, "dev": 0.7})
