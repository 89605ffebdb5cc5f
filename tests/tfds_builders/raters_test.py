"""Fusion of raters by each rule, their spread, and their agreement pooled over recordings."""

import itertools

import numpy as np
import pytest

from tests.tfds_builders.layouts import build_set, write_crops, write_text
from tfds_builders.raters import FUSIONS, agreement, agreement_sums, fuse_raters, spread
from va_jax.types import InputError


def ccc(a, b):
    s = np.cov(a, b, bias=True)
    return 2 * s[0, 1] / (s[0, 0] + s[1, 1] + (a.mean() - b.mean()) ** 2)


def test_agreement_is_the_pooled_ccc_of_every_pair():
    rng = np.random.default_rng(0)
    recordings = [rng.normal(0, 0.3, (2, 1, n)) + rng.normal(0, 0.1, (2, 3, n)) for n in (50, 80)]
    recordings[0][0, 1, :10] = np.nan  # rater 1 paused
    sums = [[agreement_sums(dim) for dim in each] for each in recordings]
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


def test_a_rater_left_out_is_compared_with_the_mean_of_the_others_over_all_recordings():
    rng = np.random.default_rng(5)
    recordings = [rng.normal(0, 0.3, n) + rng.normal(0, 0.1, (4, n)) for n in (50, 80)]
    recordings[0][1, :10] = np.nan  # rater 2 paused
    recordings[1][1:, 70:] = np.nan  # only rater 1 went on
    whole = np.concatenate(recordings, axis=1)
    expected = []
    for rater in range(4):
        others = np.delete(whole, rater, 0)
        rows = np.isfinite(whole[rater]) & np.isfinite(others).any(0)
        expected.append(ccc(whole[rater, rows], np.nanmean(others[:, rows], axis=0)))
    result = agreement([[agreement_sums(each)] for each in recordings], ("valence",))["valence"]
    np.testing.assert_allclose(result["leave_one_out_ccc"], expected, rtol=1e-9)
    np.testing.assert_allclose(result["mean_leave_one_out_ccc"], np.mean(expected), rtol=1e-9)
    assert result["mean_leave_one_out_ccc"] > result["mean_ccc"]


def test_of_two_raters_the_one_left_out_is_compared_with_the_other():
    pair = np.random.default_rng(6).random((2, 30))
    result = agreement([[agreement_sums(pair)]], ("valence",))["valence"]
    np.testing.assert_allclose(result["leave_one_out_ccc"], [ccc(*pair)] * 2, rtol=1e-9)
    assert result["mean_ccc"] == pytest.approx(ccc(*pair))


def test_a_recording_of_fewer_raters_counts_for_the_first_of_them():
    rng = np.random.default_rng(1)
    recordings = [rng.random((raters, 20)) for raters in (3, 3, 2, 1)]
    result = agreement([[agreement_sums(each)] for each in recordings], ("valence",))["valence"]
    assert (result["raters"], result["recordings"]) == (3, 3)
    assert result["recordings_by_raters"] == {"2": 1, "3": 2}
    first, second = (np.concatenate([each[r] for each in recordings[:3]]) for r in (0, 1))
    third = np.concatenate([each[2] for each in recordings[:2]])
    expected = [ccc(first, second), ccc(first[:40], third), ccc(second[:40], third)]
    np.testing.assert_allclose(result["pairwise_ccc"], expected, rtol=1e-9)
    means = [each[:2].mean(0) for each in recordings[:2]]
    third_alone = ccc(third, np.concatenate(means))
    assert result["leave_one_out_ccc"][2] == pytest.approx(third_alone)


def test_the_spread_is_the_standard_deviation_between_the_raters_of_a_row():
    values = np.random.default_rng(2).uniform(-1, 1, (4, 30))
    np.testing.assert_allclose(spread(values), np.std(values, axis=0, ddof=1), rtol=1e-12)
    values[0, 3], values[1:, 5], values[:, 7] = np.nan, np.nan, np.nan
    found = spread(values)
    assert found[3] == pytest.approx(np.std(values[1:, 3], ddof=1))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found)), [5, 7])
    assert np.isnan(spread(values[:1])).all()


def test_different_levels_of_the_raters_count_as_spread():
    base = np.sin(np.arange(50) / 9) / 3
    np.testing.assert_allclose(spread(np.stack([base, base + 0.3])), 0.3 / np.sqrt(2), rtol=1e-9)


def test_constant_and_missing_ratings_have_no_agreement():
    constant = np.full((2, 9), 0.5)
    missing = np.array([[0.1] * 9, [np.nan] * 9])
    for values in (constant, missing):
        found = agreement([[agreement_sums(values)]], ("valence",))["valence"]
        assert found["mean_ccc"] == found["mean_leave_one_out_ccc"] == 0


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
