"""RECOLA in its three layouts: rows join frames by number, raters are fused, splits are fixed."""

import itertools

import numpy as np
import pytest

from tests.tfds_builders.layouts import build, build_set, report_of, write_text, write_video
from tfds_builders.raters import fuse_raters
from tfds_builders.recola.protocols import COUNTS, FULL46, PROTOCOLS
from tfds_builders.recola.recola_dataset_builder import Builder
from va_jax.types import InputError

ROWS = 13
FRAMES = ROWS - 1
TIMES = [round(0.04 * k, 2) for k in range(ROWS)]

ARFF = """@relation GOLDSTANDARD

@attribute Instance_name string
@attribute frameTime numeric
@attribute GoldStandard numeric

@data

"""
RATER_HEADER = "time in seconds;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3"


def trace(seed, rows=ROWS):
    """Return a random trace, rounded so that text represents it exactly."""
    return np.round(np.cumsum(np.random.default_rng(seed).normal(0, 0.05, rows)), 3)


def ratings(seed):
    return np.stack([np.round(trace(seed) + trace(seed + k) / 2 + k / 50, 3) for k in range(1, 7)])


def arff(name, values, times=TIMES):
    return ARFF + "".join(f"{name},{t},{v}\n" for t, v in zip(times, values, strict=True))


def raters_csv(values, header=RATER_HEADER):
    rows = (f"{t};" + ";".join(map(str, row)) for t, row in zip(TIMES, values.T, strict=True))
    return "\n".join([header, *rows]) + "\n"


def video(path, frames=FRAMES, fps=25):
    """Write a video too small for a face, so that no detector is compiled."""
    return write_video(path, frames, width=32, height=32, fps=fps)


def built(tmp_path, name="recola/96", *options):
    return build_set(tmp_path, name, "no_face=mask", *options)


def scan(root, **options):
    return Builder(data_dir=root / "data", options=options).scan(root / "in")


def fused_by_hand(x):
    """Fuse raters by the formula of the gold standard, term by term."""
    count = len(x)
    weight = [
        np.mean([ccc_by_hand(x[r], x[o]) for o in range(count) if o != r]) for r in range(count)
    ]
    pond = np.dot(weight, x.mean(1)) / np.sum(weight)
    return x.mean(0) - x.mean() + pond


def ccc_by_hand(a, b):
    (aa, ab), (_, bb) = np.cov(a, b, bias=True)
    return 2 * ab / (aa + bb + (a.mean() - b.mean()) ** 2)


def agreement_by_hand(pairs):
    """Return the mean and the list of the pairwise CCC of [raters, rows]."""
    each = [ccc_by_hand(a, b) for a, b in itertools.combinations(pairs, 2)]
    return np.mean(each), each


@pytest.fixture
def avec(tmp_path):
    """Write a small package of AVEC 2016 with quirks."""
    root = tmp_path / "in" / "AVEC2016"
    gold, individual = root / "ratings_gold_standard", root / "ratings_individual"
    for name in ("train_1", "train_2", "train_3", "dev_1", "dev_3", "test_1"):
        video(root / "recordings_video" / f"{name}.mp4")
    video(root / "recordings_video" / "dev_2.mp4", fps=30)
    for seed, dim in enumerate(("arousal", "valence")):
        plain = arff("train_1", trace(seed))
        write_text(gold / dim / "train_1.arff", plain.replace("\n", "\r\n"))
        write_text(individual / dim / "train_1.csv", raters_csv(ratings(seed)))
        write_text(gold / dim / "train_2.arff", arff("train_1", trace(seed)))
        odd = arff('"dev_1"', trace(10 + seed)).replace("@data", "% a comment\n@DATA\n% another")
        odd = odd.replace("@attribute frameTime", "@ATTRIBUTE 'FrameTime'")
        write_text(gold / dim / "dev_1.arff", "\ufeff" + odd)
        write_text(gold / dim / "dev_2.arff", arff("dev_2", trace(seed)))
    write_text(gold / "arousal" / "dev_3.arff", arff("dev_3", trace(5)))
    short = arff("train_3", trace(20)[3:], TIMES[3:])
    write_text(gold / "valence" / "train_3.arff", short)
    longer = arff("train_3", trace(21, 15)[:-4], TIMES[:-2])
    write_text(gold / "arousal" / "train_3.arff", longer)
    return root


def test_row_0_is_dropped_and_frame_1_takes_the_row_of_40_ms(tmp_path, avec):
    facts, tracks = built(tmp_path)
    row, track = tracks["train_1"]
    assert (row["split"], row["frames"], row["fps"]) == ("train", FRAMES, 25)
    assert (row["video_id"], row["subject_id"], row["group"]) == ("train_1", "train_1", "")
    expected = np.stack([trace(1), trace(0)], 1).astype(np.float32)  # valence, arousal
    np.testing.assert_array_equal(track["target"], expected[1:])
    np.testing.assert_allclose(track["time_s"], np.arange(FRAMES) / 25, atol=1e-6)
    line = report_of(tmp_path)["train_1"]
    assert (line["rows"], line["rows_unused"], line["not_found"]) == ("13", "1", "12")
    assert not track["face"].any()
    assert facts["labels"] == {
        "source": "gold standard of AVEC 2016",
        "range": [-1, 1],
        "join": "frame number, time / 0.04 s",
    }
    assert facts["layout"] == "avec2016"
    assert facts["splits"] == {"drawn": False, "protocol": "avec2016"}


def test_comments_quotes_case_and_a_byte_order_mark_change_nothing(tmp_path, avec):
    _, tracks = built(tmp_path)
    expected = np.stack([trace(11), trace(10)], 1).astype(np.float32)
    row, track = tracks["dev_1"]
    assert row["split"] == "dev"
    np.testing.assert_array_equal(track["target"], expected[1:])


def test_dims_can_be_swapped_or_single(tmp_path, avec):
    _, tracks = built(tmp_path, "recola/96", "dims=arousal,valence")
    expected = np.stack([trace(0), trace(1)], 1).astype(np.float32)
    np.testing.assert_array_equal(tracks["train_1"][1]["target"], expected[1:])
    facts, tracks = built(tmp_path, "recola/96", "dims=arousal")
    np.testing.assert_array_equal(tracks["train_1"][1]["target"], expected[1:, :1])
    assert set(facts["rater_agreement"]["train"]) == {"arousal"}
    assert "dev_3" in tracks  # only its valence is missing


def test_rows_missing_in_one_dimension_are_unlabelled_there(tmp_path, avec):
    _, tracks = built(tmp_path)
    valence, arousal = tracks["train_3"][1]["target"].T
    expected = trace(20)[1:].astype(np.float32)
    np.testing.assert_array_equal(valence, np.where(np.arange(1, 13) >= 3, expected, np.nan))
    expected = trace(21, 15)[1:13].astype(np.float32)
    np.testing.assert_array_equal(arousal, np.where(np.arange(1, 13) <= 10, expected, np.nan))
    line = report_of(tmp_path)["train_3"]
    assert (line["rows"], line["rows_invalid"], line["labelled"]) == ("13", "5", "8")


def test_test_recordings_of_avec_2016_are_built_without_labels(tmp_path, avec):
    facts, tracks = built(tmp_path)
    row, track = tracks["test_1"]
    assert row["split"] == "test"
    assert np.isnan(track["target"]).all()
    assert facts["counts"]["test"]["labelled"] == 0


def test_bad_recordings_are_left_out_with_a_reason_and_the_others_are_built(tmp_path, avec):
    facts, tracks = built(tmp_path)
    assert set(tracks) == {"train_1", "train_3", "dev_1", "test_1"}
    assert set(facts["refused"]) == {"train_2", "dev_2", "dev_3"}
    assert "valence/train_2.arff: line 9: the instance is 'train_1'" in facts["refused"]["train_2"]
    assert (
        "dev_2.mp4: has 30 frames per second, but its labels have 25" in facts["refused"]["dev_2"]
    )
    assert "valence/dev_3.arff: cannot be found" in facts["refused"]["dev_3"]


def test_rater_agreement_is_measured_along_with_the_gold_standard(tmp_path, avec):
    facts, _ = built(tmp_path)
    assert set(facts["rater_agreement"]) == {"train"}
    for seed, dim in enumerate(("arousal", "valence")):
        found = facts["rater_agreement"]["train"][dim]
        mean, each = agreement_by_hand(ratings(seed))
        assert (found["raters"], found["recordings"]) == (6, 1)
        np.testing.assert_allclose(found["pairwise_ccc"], each, atol=1e-10)
        assert found["mean_ccc"] == pytest.approx(mean, abs=1e-10)


def test_frames_have_the_spread_of_the_individual_ratings_along_with_the_gold_standard(
    tmp_path, avec
):
    _, tracks = built(tmp_path)
    expected = np.stack([np.std(ratings(seed), axis=0, ddof=1) for seed in (1, 0)], 1)
    np.testing.assert_allclose(tracks["train_1"][1]["spread"], expected[1:], atol=1e-6)
    assert np.isnan(tracks["train_3"][1]["spread"]).all()  # has no individual ratings


def test_individual_ratings_of_avec_2016_can_be_fused_instead(tmp_path, avec):
    facts, tracks = built(tmp_path, "recola/96_raters")
    assert facts["labels"]["source"] == "six raters of AVEC 2016, fused"
    assert facts["labels"]["fusion"] == "avec2016"
    expected = np.stack([fused_by_hand(ratings(1)), fused_by_hand(ratings(0))], 1)
    np.testing.assert_allclose(tracks["train_1"][1]["target"], expected[1:], atol=1e-7)
    assert "ratings_individual/valence/dev_1.csv" in facts["refused"]["dev_1"]
    _, tracks = built(tmp_path, "recola/96_raters", "dims=arousal,valence")
    np.testing.assert_allclose(tracks["train_1"][1]["target"], expected[1:, ::-1], atol=1e-7)
    facts, tracks = built(tmp_path, "recola/96_raters", "fusion=ewe")
    expected = np.stack([fuse_raters(ratings(seed), "ewe") for seed in (1, 0)], 1)
    np.testing.assert_allclose(tracks["train_1"][1]["target"], expected[1:], atol=1e-7)
    assert facts["labels"]["fusion"] == "ewe"


@pytest.fixture
def original(tmp_path):
    """Write the original release: one participant of each split, and one without a video."""
    root = tmp_path / "in"
    ratings_of = {"P16": 30, "P19": 40, "P13": 50, "P65": 60}
    for name, seed in ratings_of.items():
        for step, dim in enumerate(("arousal", "valence")):
            path = root / "RECOLA-Annotation" / "emotional_behaviour" / dim / f"{name}.csv"
            write_text(path, raters_csv(ratings(seed + step)).replace("\n", "\r\n"))
        if name != "P65":
            video(root / "RECOLA-Video-recordings" / f"{name}.mp4", frames=FRAMES - 2)
    return root


def test_the_six_raters_of_the_original_release_are_fused(tmp_path, original):
    facts, tracks = built(tmp_path)
    assert {name: row["split"] for name, (row, _) in tracks.items()} == {
        "P16": "train",
        "P19": "dev",
        "P13": "test",
    }
    for name, seed in (("P16", 30), ("P19", 40), ("P13", 50)):
        raters = (ratings(seed + 1), ratings(seed))
        expected = np.stack([fused_by_hand(each) for each in raters], 1)
        np.testing.assert_allclose(tracks[name][1]["target"], expected[1:11], atol=1e-7)
        agreement = facts["rater_agreement"][tracks[name][0]["split"]]
        for dim, each in zip(("valence", "arousal"), raters, strict=True):
            assert agreement[dim]["mean_ccc"] == pytest.approx(agreement_by_hand(each)[0])
    assert "P65.mp4: cannot be found" in facts["refused"]["P65"]
    assert facts["splits"] == {"drawn": False, "protocol": "full46"}
    assert report_of(tmp_path)["P16"]["rows_unused"] == "3"  # row 0, and two without a frame


def test_agreement_is_pooled_over_the_recordings_of_a_split(tmp_path, original):
    (tmp_path / "in" / "RECOLA-Video-recordings" / "P13.mp4").rename(
        tmp_path / "in" / "RECOLA-Video-recordings" / "P18.mp4"
    )
    for dim in ("arousal", "valence"):
        folder = original / "RECOLA-Annotation" / "emotional_behaviour" / dim
        (folder / "P13.csv").rename(folder / "P18.csv")
    facts, _ = built(tmp_path)
    both = np.concatenate([ratings(30), ratings(50)], axis=1)
    found = facts["rater_agreement"]["train"]["arousal"]
    assert found["recordings"] == 2
    np.testing.assert_allclose(found["pairwise_ccc"], agreement_by_hand(both)[1], atol=1e-10)


@pytest.fixture
def centred(tmp_path):
    root = tmp_path / "in" / "RECOLA"
    for n in (16, 17, 18, 14, 13):
        video(root / "Video_recordings_MP4" / f"P{n}.mp4", frames=7)
        for dim in ("arousal", "valence"):
            path = root / "Ratings_affective_behaviour_CCC_centred" / dim / f"P{n}.csv"
            sign = {"arousal": 1, "valence": -1}[dim]
            values = sign * trace(n)
            write_text(path, "".join(f"{t}, {v}\n" for t, v in zip(TIMES, values, strict=True)))
    return root


def test_the_centred_copy_has_the_splits_of_the_full_protocol(tmp_path, centred):
    facts, tracks = built(tmp_path)
    assert {name: row["split"] for name, (row, _) in tracks.items()} == {
        "P16": "train",
        "P17": "train",
        "P18": "train",
        "P14": "dev",
        "P13": "test",
    }
    expected = np.stack([-trace(16), trace(16)], 1).astype(np.float32)
    np.testing.assert_array_equal(tracks["P16"][1]["target"], expected[1:8])
    assert facts["labels"]["source"] == "CCC-centred ratings"
    assert facts["rater_agreement"] == {}


def test_folds_share_no_subject_and_test_each_once(tmp_path, centred):
    tested = []
    for fold in range(5):
        builder = Builder(data_dir=tmp_path / "data", options={"folds": 5, "fold": fold})
        splits = builder.recordings(tmp_path / "in")
        names = {split: {each.subject_id for each in found} for split, found in splits.items()}
        assert sum(map(len, names.values())) == len(set().union(*names.values())) == 5
        tested += names["test"]
        assert builder.expected == {"all": 46}
    assert sorted(tested) == ["P13", "P14", "P16", "P17", "P18"]


def test_the_full_protocol_names_46_participants_once():
    assert {split: len(each) for split, each in FULL46.items()} == COUNTS["full46"]
    assert COUNTS["full46"] == {"train": 16, "dev": 15, "test": 15}
    everyone = [n for each in FULL46.values() for n in each]
    assert len(everyone) == len(set(everyone)) == 46
    assert COUNTS["avec2016"] == {"train": 9, "dev": 9, "test": 9}
    assert PROTOCOLS["avec2016"]["dev"][8] == "dev_9"


def test_a_tree_of_several_layouts_is_read_as_the_first_or_as_chosen(tmp_path, avec, centred):
    assert {each.split for each in scan(tmp_path)} == {"train", "dev", "test"}
    assert len(scan(tmp_path)) == 7
    assert len(scan(tmp_path, layout="centred")) == 5
    builder = Builder(data_dir=tmp_path / "data")
    assert builder.expected == {}
    builder.scan(tmp_path / "in")
    assert builder.expected == {"train": 9, "dev": 9, "test": 9}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "original"}, r"RECOLA folders are missing \(original: RECOLA-Video-rec.*top"),
        ({"labels": "raters"}, "labels=raters: the layout centred supports only labels=gold"),
        (
            {"protocol": "avec2016"},
            "protocol=avec2016: the layout centred supports only protocol=full46",
        ),
        ({"labels": "mine"}, "labels='mine' is not one of gold, raters"),
        ({"layout": "mine"}, "layout='mine' is not one of auto, avec2016, original, centred"),
        ({"protocol": "mine"}, "protocol='mine' is not one of avec2016, full46"),
        ({"dims": ("valence", "liking")}, "dims=valence,liking: RECOLA has only valence, arousal"),
        ({"faces": "landmarks"}, "faces='landmarks' is not one of detect"),
    ],
)
def test_options_that_the_tree_does_not_have_are_refused(tmp_path, centred, options, message):
    with pytest.raises(InputError, match=message):
        scan(tmp_path, **options)


def test_names_beyond_the_protocol_are_refused_unless_splits_are_drawn(tmp_path, centred):
    video(centred / "Video_recordings_MP4" / "P99.mp4")
    with pytest.raises(InputError, match=r"P99\.mp4: 'P99' is not a recording in full46 .*folds=N"):
        scan(tmp_path)
    assert len(scan(tmp_path, folds=3)) == 6


def test_avec_2016_has_fixed_names_and_no_folds(tmp_path, avec):
    with pytest.raises(InputError, match="folds=5: AVEC 2016 has fixed splits"):
        scan(tmp_path, folds=5)
    video(avec / "recordings_video" / "train_10.mp4")
    with pytest.raises(InputError, match=r"'train_10' is not a recording in avec2016 \(train_1, "):
        scan(tmp_path)


def test_other_trees_are_refused(tmp_path):
    video(tmp_path / "in" / "recordings_video" / "train_1.mp4")
    with pytest.raises(
        InputError, match=r"RECOLA folders are missing .*avec2016: recordings_video"
    ):
        build("recola", tmp_path / "data", tmp_path / "in")


def test_the_detector_is_the_only_source_of_faces_and_every_config_has_a_name():
    assert {config.name for config in Builder.BUILDER_CONFIGS} == {
        *("112", "96", "224"),
        *("112_raters", "96_raters", "224_raters"),
    }
    assert {config.faces for config in Builder.BUILDER_CONFIGS} == {"detect"}
    assert {config.points for config in Builder.BUILDER_CONFIGS} == {5}
