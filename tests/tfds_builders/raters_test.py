"""Fusion of raters by each rule, and their agreement: pair by pair, pooled over recordings."""

import itertools

import numpy as np
import pytest

from tests.tfds_builders.layouts import build_set, write_crops, write_text
from tfds_builders.raters import FUSIONS, agreement, fuse_raters, pair_sums
from va_jax.types import InputError


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


def two_agree_and_one_is_noise(rows=2000):
    """Return a slow truth and three traces of it: two that follow it, and one of noise."""
    rng = np.random.default_rng(3)
    k = np.arange(rows)
    truth = 0.3 * np.sin(k / 150) + 0.2 * np.sin(k / 47)
    noise = np.convolve(rng.normal(size=rows + 19), np.ones(20) / 12, "valid")
    return truth, np.stack([*(truth + rng.normal(0, 0.05, (2, rows))), noise])


def test_two_raters_who_agree_outweigh_one_of_noise():
    truth, ratings = two_agree_and_one_is_noise()
    follows = {rule: np.corrcoef(truth, fuse_raters(ratings, rule))[0, 1] for rule in FUSIONS}
    assert follows["ewe"] > 0.97
    assert follows["ewe"] > follows["mean"] + 0.1
    assert follows["ewe"] > follows["avec2016"] + 0.1
    for order in itertools.permutations(range(3)):
        again = fuse_raters(ratings[list(order)], "ewe")
        np.testing.assert_allclose(again, fuse_raters(ratings, "ewe"), atol=1e-12)


def test_the_weight_of_a_rater_is_the_correlation_with_the_mean_of_the_others():
    rng = np.random.default_rng(4)
    ratings = 0.3 * np.sin(np.arange(300) / 20) + rng.normal(0, [[0.02], [0.1], [0.3]], (3, 300))
    ratings = np.clip(ratings, -1, 1) / 2 + np.array([[0.1], [0.0], [-0.2]])
    weight = [np.corrcoef(ratings[r], np.delete(ratings, r, 0).mean(0))[0, 1] for r in range(3)]
    by_hand = np.tensordot(weight, ratings, 1) / np.sum(weight)
    np.testing.assert_allclose(fuse_raters(ratings, "ewe"), by_hand, atol=1e-12)
    np.testing.assert_allclose(fuse_raters(ratings, "mean"), ratings.mean(0), atol=1e-12)


def test_a_rater_who_opposes_the_others_has_no_weight_and_two_opponents_weigh_the_same():
    base = np.sin(np.arange(200) / 15) / 3
    ratings = np.stack([base, base + 0.02, 0.5 - base / 2])
    np.testing.assert_allclose(fuse_raters(ratings, "ewe"), base + 0.01, atol=1e-12)
    np.testing.assert_allclose(fuse_raters(ratings[[0, 2]], "ewe"), base / 4 + 0.25, atol=1e-12)


def test_rows_that_only_a_rater_without_weight_labelled_are_unlabelled():
    base = np.sin(np.arange(200) / 15) / 3
    ratings = np.stack([base, base, -base / 2])
    ratings[:2, 50:60] = np.nan
    fused = fuse_raters(ratings, "ewe")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(fused)), range(50, 60))
    constant = np.full((3, 20), 0.25)
    np.testing.assert_array_equal(fuse_raters(constant, "ewe"), constant[0])


def test_the_fusion_is_an_option_and_in_the_metadata(tmp_path):
    ratings = two_agree_and_one_is_noise(40)[1]
    ratings = np.round(ratings, 4)
    rows = "".join(
        f"{k / 25:.2f},{a},{b},{c},0\n" for k, (a, b, c) in enumerate(ratings.T.tolist())
    )
    write_text(tmp_path / "in" / "a.csv", "time_s,valence_1,valence_2,valence_3,arousal\n" + rows)
    write_crops(tmp_path / "in" / "a", range(40), size=96)
    write_text(tmp_path / "in" / "videos.csv", "video,labels,split\na,a.csv,train\n")
    for rule, options in {
        "ewe": (),
        "mean": ("fusion=mean",),
        "avec2016": ("fusion=avec2016",),
    }.items():
        facts, tracks = build_set(tmp_path, "video_folder/96", *options)
        assert facts["labels"]["fusion"] == facts["options"]["fusion"] == rule
        expected = fuse_raters(ratings, rule)
        np.testing.assert_allclose(tracks["a"][1]["target"][:, 0], expected, atol=1e-6)
    with pytest.raises(InputError, match="fusion='median' is not one of ewe, mean, avec2016"):
        build_set(tmp_path, "video_folder/96", "fusion=median")
    write_text(tmp_path / "in" / "a.csv", "time_s,valence,arousal\n0,.1,.1\n1,.2,.2\n")
    facts, _ = build_set(tmp_path, "video_folder/96")
    assert "fusion" not in facts["labels"]  # a single rater
