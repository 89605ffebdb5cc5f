"""Agreement of raters: pair by pair, pooled over recordings."""

import itertools

import numpy as np

from tfds_builders.raters import agreement, pair_sums


def ccc(a, b):
    s = np.cov(a, b, bias=True)
    return 2 * s[0, 1] / (s[0, 0] + s[1, 1] + (a.mean() - b.mean()) ** 2)


def test_agreement_is_the_pooled_ccc_of_every_pair():
    rng = np.random.default_rng(0)
    recordings = [rng.normal(0, 0.3, (2, 1, n)) + rng.normal(0, 0.1, (2, 3, n)) for n in (50, 80)]
    recordings[0][0, 1, :10] = np.nan  # rater 1 paused
    sums = [[pair_sums(dim) for dim in each] for each in recordings]
    result = agreement(sums, ("valence", "arousal"))
    for index, dim in enumerate(("valence", "arousal")):
        whole = np.concatenate([each[index] for each in recordings], axis=1)
        expected = []
        for i, j in itertools.combinations(range(3), 2):
            both = np.isfinite(whole[i]) & np.isfinite(whole[j])
            expected.append(ccc(whole[i, both], whole[j, both]))
        np.testing.assert_allclose(result[dim]["pairwise_ccc"], expected, rtol=1e-9)
        np.testing.assert_allclose(result[dim]["mean_ccc"], np.mean(expected), rtol=1e-9)
        assert (result[dim]["raters"], result[dim]["recordings"]) == (3, 2)


def test_recordings_of_another_number_of_raters_are_left_out():
    rng = np.random.default_rng(1)
    sums = [[pair_sums(rng.random((raters, 20)))] for raters in (6, 6, 2)]
    result = agreement(sums, ("valence",))["valence"]
    assert (result["raters"], result["recordings"], len(result["pairwise_ccc"])) == (6, 2, 15)


def test_constant_and_missing_ratings_have_no_agreement():
    constant = np.full((2, 9), 0.5)
    missing = np.array([[0.1] * 9, [np.nan] * 9])
    for values in (constant, missing):
        assert agreement([[pair_sums(values)]], ("valence",))["valence"]["mean_ccc"] == 0
