"""Label files that are copies in whole or in part, or constant, judged against all files."""

import pathlib
import time

import numpy as np

from tfds_builders.inspect_copies import check_together
from tfds_builders.inspect_recording import Inspected
from tfds_builders.labels import NumberedLabels
from tfds_builders.material import Material, Recording


def problems(labels):
    """Return the findings about {file: rows of valence and arousal} as (check, problem)."""
    inspected = [
        Inspected(
            Recording(name, name, name, {"labels": name}),
            [],
            Material(pathlib.Path(name), "crops", NumberedLabels(np.arange(len(values)), values)),
        )
        for name, values in labels.items()
    ]
    found = check_together(inspected, ("valence", "arousal"))
    return [(each.check, each.problem) for each in found]


def drift(seed, count=400):
    """Return labels that change in every row."""
    steps = np.random.default_rng(seed).normal(0, 0.01, (count, 2))
    return np.round(np.clip(np.cumsum(steps, axis=0), -1, 1), 4)


def test_copied_parts_are_found_wherever_they_lie():
    labels = {name: drift(seed) for seed, name in enumerate("abcde")}
    labels["b"][:350] = labels["a"][:350]
    labels["d"][150:] = labels["c"][3:253]
    labels["e"][100:150] = labels["a"][100:150]  # too little to be a copy
    labels["x"], labels["z"] = drift(8, 40), drift(9, 40)
    labels["x_again"] = labels["x"].copy()
    labels["z_part"] = np.concatenate([labels["z"][:35], drift(10, 5)])
    assert problems(labels) == [
        ("duplicated labels", problem)
        for problem in (
            "b: 350 of 400 rows, between rows 1 and 350, have the same values as rows 1 to 350 "
            "of a",
            "d: 250 of 400 rows, between rows 151 and 400, have the same values as rows 4 to 253 "
            "of c",
            "x_again: has the same values as x",
            "z_part: 35 of 40 rows, between rows 1 and 35, have the same values as rows 1 to 35 "
            "of z",
        )
    ]


def test_unlabelled_rows_and_the_sign_of_zero_hide_no_copy():
    labels = {"a": drift(0), "b": drift(0)}
    labels["a"][50:60], labels["b"][300] = 0.0, np.nan
    labels["b"][50:60] = -0.0
    ((check, problem),) = problems(labels)
    assert check == "duplicated labels"
    assert problem.startswith("b: 399 of 400 rows")
    labels["a"][300] = np.nan
    assert problems(labels) == [("duplicated labels", "b: has the same values as a")]


def test_short_constant_files_get_a_line_each_or_one_for_all_if_they_are_many():
    labels = {f"{n:02}": drift(n, 60) for n in range(12)}
    labels["03"][:, 0] = 0.25
    rare = ("constant labels", "03: valence is 0.25 in all 60 rows")
    assert problems(labels) == [rare]
    for n in (4, 5, 6, 7):
        labels[f"{n:02}"][:, 1] = 0
    usual = "04, 05, 06 and 1 more: arousal is constant in 4 of 12 files with fewer than 100 rows"
    assert problems(labels) == [rare, ("constant labels", usual)]


def test_labels_that_are_alike_by_chance_are_not_copies():
    """Whole numbers that change rarely, as in sets of short clips."""
    rng = np.random.default_rng(0)
    labels = {}
    for n in range(300):
        changes = (rng.random((50, 2)) < 0.06) * rng.choice([-1, 1], (50, 2))
        labels[f"{n}"] = np.clip(np.cumsum(changes, axis=0), -10, 10) / 10
    assert not [problem for check, problem in problems(labels) if check == "duplicated labels"]


def test_a_large_set_is_compared_in_seconds():
    labels = {f"{n:03}": drift(n, 2000) for n in range(100)}
    labels["099"][500:1900] = labels["001"][100:1500]
    begun = time.monotonic()
    ((_, problem),) = problems(labels)
    assert problem.startswith("099: 1400 of 2000 rows")
    assert time.monotonic() - begun < 5
