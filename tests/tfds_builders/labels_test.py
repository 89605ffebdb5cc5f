"""Label files: reading, refusals, fusion of raters, resampling to the frames' times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfds_builders.layouts import labels_or_one_line
from tfds_builders.label_csv import read_labels
from tfds_builders.labels import NumberedLabels, TimedLabels, resample, to_label_range
from tfds_builders.muse.labels import _segment_name
from tfds_builders.raters import fuse_raters
from va_jax.types import DIMS, InputError


@pytest.fixture
def read(tmp_path):
    def read_text(text, dims=DIMS):
        path = tmp_path / "clip.csv"
        path.write_text(text)
        return read_labels(path, dims)

    return read_text


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_every_delimiter_reads_the_same(read, delimiter):
    text = "time,valence,arousal\n0,.5,-.25\n0.5,,0\n1,1,-1\n"
    labels = read(text.replace(",", delimiter))
    np.testing.assert_array_equal(labels.time_s, [0, 0.5, 1])
    np.testing.assert_array_equal(labels.values, [[0.5, -0.25], [np.nan, 0], [1, -1]])
    assert labels.step_s == 0.5


def test_a_file_without_header_has_the_time_first_and_then_the_dims(read):
    labels = read("0.00;0.24;0.14\n0.04;0.25;0.15\n", ("arousal", "valence"))
    np.testing.assert_array_equal(labels.values, [[0.24, 0.14], [0.25, 0.15]])


def test_columns_are_found_by_name_wherever_they_stand(read):
    text = "name;Time (s);liking;Arousal;valence\n'a';0;.9;.1;.2\n'a';1;.9;.3;.4\n"
    labels = read(text)
    np.testing.assert_array_equal(labels.values, [[0.2, 0.1], [0.4, 0.3]])
    np.testing.assert_array_equal(labels.time_s, [0, 1])


@pytest.mark.parametrize(
    "name", ["time", "time_s", "Time in seconds", "timestamp", "time_stamp", "frameTime", "TIME"]
)
def test_time_columns_go_by_several_names(read, name):
    labels = read(f"valence,{name},arousal\n.1,0,.2\n.1,2,.2\n")
    np.testing.assert_array_equal(labels.time_s, [0, 2])


def test_byte_order_mark_quotes_and_blank_lines_are_accepted(read):
    labels = read('\ufeff"time","valence","arousal"\r\n"0","0.1","nan"\r\n\r\n1,NA,0.3\r\n')
    np.testing.assert_array_equal(labels.values, [[0.1, np.nan], [np.nan, 0.3]])


def test_a_column_goes_to_the_longest_target_name_it_starts_with(read):
    text = "time,valence_self,valence,arousal\n0,.9,.1,.2\n1,.9,.1,.2\n"
    labels = read(text, ("valence", "arousal", "valence_self"))
    np.testing.assert_array_equal(labels.values[0], [0.1, 0.2, 0.9])


def test_several_raters_of_one_target_are_fused(read):
    rng = np.random.default_rng(0)
    raters = np.round(rng.uniform(-0.5, 0.5, (3, 8)), 3)
    rows = "".join(
        f"{t},{a},0,{b},{c}\n" for t, (a, b, c) in enumerate(zip(*raters.tolist(), strict=True))
    )
    labels = read("time,valence_1,arousal,valence FM2,Valence r3\n" + rows)
    np.testing.assert_allclose(labels.values[:, 0], fuse_raters(raters, "ewe"), rtol=1e-12)


HEADER = "time,valence,arousal\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (HEADER, r"fewer than 2 label rows \(0\)"),
        (HEADER + "0,.1,.1\n", r"fewer than 2 label rows \(1\)"),
        (HEADER + "0,.1,.1\n1,.1\n", "line 3: has 2 cells, but line 1 has 3"),
        (HEADER + "0,.1,.1\n1,.1,high\n", "line 3: arousal 'high' is not a number"),
        (HEADER + "0,.1,.1\n1,inf,.1\n", "line 3: valence 'inf' is not a number"),
        (HEADER + "0,.1,.1\n1,-5,.1\n", r"line 3: valence -5 is outside \[-1, 1\]; .*label_range"),
        (HEADER + "0,.1,.1\nnan,.1,.1\n", "line 3: time 'nan' is not a number"),
        (HEADER + "1,.1,.1\n0.5,.1,.1\n", "line 3: time 0.5 comes after time 1"),
        (HEADER + "1,.1,.1\n1.0,.1,.1\n", "line 3: time 1.0 repeats time 1"),
        (
            "time,valence\n0,.1\n1,.1\n",
            r"line 1: there is no column for 'arousal' \(columns: time, valence",
        ),
        ("0,.1\n1,.1\n", r"2 columns without a header; expected 3 \(time, valence, arousal\)"),
        ("frame,valence,arousal\n0,.1,.1\n.5,.1,.1\n", "line 3: frame '.5' is not a whole number"),
        ("index,valence,arousal\n0,.1,.1\n1,.1,.1\n", "line 1: no column .* index.*time_column"),
        ("time_us,valence,arousal\n0,.1,.1\n1,.1,.1\n", "line 1: no column .*time_us.*time_unit"),
        ("0.0;abc;.3\n0.1;.2;.3\n", "line 1: valence 'abc' is not a number"),
    ],
)
def test_bad_label_files_are_refused_with_file_line_and_value(read, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert "clip.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_label_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"gone\.csv: No such file"):
        read_labels(tmp_path / "gone.csv", DIMS)
    (tmp_path / "labels.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_labels(tmp_path / "labels.xlsx", DIMS)


def fused_by_hand(x):
    """Return the fusion of complete ratings, term by term: w_r, pond, gs."""
    n = len(x)
    ccc = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            s = np.cov(x[i], x[j], bias=True)
            gap = (x[i].mean() - x[j].mean()) ** 2
            ccc[i, j] = 2 * s[0, 1] / (s[0, 0] + s[1, 1] + gap)
    w = (ccc.sum(1) - 1) / (n - 1)
    pond = np.sum(w * x.mean(1)) / np.sum(w)
    return x.mean(0) - x.mean() + pond


def test_fusion_is_the_reliability_weighted_recipe():
    rng = np.random.default_rng(1)
    truth = np.cumsum(rng.normal(0, 0.02, 300))
    ratings = truth + np.array([[0.1], [-0.05], [0.2], [0]]) + rng.normal(0, 0.05, (4, 300))
    np.testing.assert_allclose(fuse_raters(ratings), fused_by_hand(ratings), atol=1e-12)


def test_fusion_does_not_depend_on_the_order_of_raters_and_keeps_one_rater_as_is():
    ratings = np.random.default_rng(2).uniform(-0.5, 0.5, (3, 50))
    np.testing.assert_allclose(fuse_raters(ratings), fuse_raters(ratings[::-1]), atol=1e-12)
    np.testing.assert_array_equal(fuse_raters(ratings[:1]), ratings[0])


def test_a_gap_in_one_rating_does_not_make_the_trace_jump():
    """Two raters agree in shape, 0.4 apart in level; one of them pauses."""
    base = np.linspace(-0.2, 0.2, 101)
    ratings = np.stack([base - 0.2, base + 0.2])
    ratings[1, 40:61] = np.nan
    fused = fuse_raters(ratings)
    assert np.abs(np.diff(fused)).max() < 0.006
    ratings[0, 50] = np.nan
    assert np.isnan(fuse_raters(ratings)[50])


def test_a_rater_who_disagrees_with_all_does_not_pull_the_level():
    base = np.sin(np.linspace(0, 9, 200)) / 3
    ratings = np.stack([base, base, -base + 0.5])
    np.testing.assert_allclose(fuse_raters(ratings).mean(), base.mean(), atol=1e-6)


def test_labels_at_30_hz_land_on_frames_at_23_976_fps():
    """Hand values: frame 1 at 0.041708 s lies 25.12 % of the way from row 1 to row 2."""
    label_s = np.arange(4) / 30
    values = np.array([[0.0], [0.3], [0.6], [0.0]])
    frame_s = np.arange(4) * 1001 / 24000
    expected = [0.0, 0.375375, 0.29850, np.nan]
    # frame 2 at 0.083417 s: 50.25 % from .6 to 0; frame 3 at 0.125125 s: .76 rows past the end
    resampled = resample(label_s, values, frame_s, 1.0)
    assert resampled.dtype == np.float32
    np.testing.assert_allclose(resampled[:, 0], expected, atol=2e-5)


def test_frames_up_to_half_a_step_beyond_the_ends_take_the_last_row():
    values = np.array([[0.1], [0.2], [0.3]])
    frame_s = np.array([0.74, 0.76, 1.0, 1.25, 2.24, 2.26])
    resampled = resample(np.array([1.0, 1.5, 2.0]), values, frame_s, 1.0)
    np.testing.assert_allclose(resampled[:, 0], [np.nan, 0.1, 0.1, 0.15, 0.3, np.nan], atol=1e-6)


def test_nothing_is_interpolated_across_a_gap_or_an_unlabelled_row():
    label_s = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 1.2])
    values = np.array([[0.0, 0], [0.1, 0.1], [0.2, np.nan], [0.3, 0.3], [0.4, 0.4], [0.5, 0.5]])
    frame_s = np.array([0.05, 0.12, 0.18, 0.22, 0.6, 0.97, 1.05])
    resampled = resample(label_s, values, frame_s, 0.5)
    nan = np.nan
    np.testing.assert_allclose(resampled[:, 0], [0.05, 0.12, 0.18, 0.2, nan, 0.3, 0.35], atol=1e-6)
    np.testing.assert_allclose(resampled[:, 1], [0.05, 0.1, nan, nan, nan, 0.3, 0.35], atol=1e-6)


def test_frames_on_the_label_times_get_the_labels_exactly():
    values = np.random.default_rng(3).uniform(-1, 1, (20, 2))
    times = np.arange(20) * 0.04
    np.testing.assert_array_equal(resample(times, values, times, 0.1), values.astype(np.float32))


def test_numbered_labels_join_by_number_alone():
    labels = NumberedLabels(np.array([1, 2, 4]), np.array([[0.1], [0.2], [0.4]]))
    number = np.array([4, 0, 2, 3, 9])
    np.testing.assert_array_equal(
        labels.at(number, np.zeros(5))[:, 0], np.float32([0.4, np.nan, 0.2, np.nan, np.nan])
    )
    assert labels.covers(number, np.zeros(5)).tolist() == [True, False, True, False, False]
    assert labels.unused((2, 3), (0, 1)) == 2


def test_timed_labels_beyond_the_frames_are_unused():
    labels = TimedLabels(np.arange(10) / 10, np.zeros((10, 1)))
    assert labels.unused((0, 9), (0.2, 0.5)) == 6
    assert labels.unused((0, 9), (0.24, 0.46)) == 6  # half a step further counts
    assert labels.covers(np.arange(3), np.array([-0.1, 0.0, 0.94])).tolist() == [False, True, True]


def test_ranges_are_mapped_end_to_end():
    np.testing.assert_allclose(to_label_range(np.array([0, 0.25, 1]), (0, 1)), [-1, -0.5, 1])
    np.testing.assert_allclose(to_label_range(np.array([-10, 0, 7]), (-10, 10)), [-1, 0, 0.7])


def test_decimal_commas_are_read_if_another_delimiter_separates_cells(read):
    labels = read("time;valence;arousal\n0,0;0,5;-,25\n0,1;1;,5\n")
    np.testing.assert_array_equal(labels.values, [[0.5, -0.25], [1, 0.5]])
    np.testing.assert_array_equal(labels.time_s, [0, 0.1])


def test_several_raters_are_kept_beside_their_fusion(read):
    labels = read("time,valence_1,valence_2,arousal\n0,.1,.3,0\n1,.2,.5,0\n")
    np.testing.assert_array_equal(labels.raters[0], [[0.1, 0.2], [0.3, 0.5]])
    assert labels.raters[1].shape == (1, 2)
    assert read("time,valence,arousal\n0,.1,.3\n1,.2,.5\n").raters == ()


CSV = st.text(st.sampled_from("0123456789.,;-e\n\t \ufeff'\"timevalncrou"))


@given(st.text() | CSV | CSV.map(lambda text: HEADER + text))
@settings(max_examples=200)
def test_any_text_is_labels_in_range_or_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.encode(errors="surrogatepass"))
    labels = labels_or_one_line(lambda: read_labels(path, DIMS), path)
    if labels is not None:
        assert (np.diff(labels.time_s) > 0).all()
        assert labels.values.shape == (len(labels.time_s), 2)


VALUE = st.floats(-1, 1) | st.just(float("nan"))


@given(st.lists(st.tuples(VALUE, VALUE), min_size=2, max_size=20), st.sampled_from(",;\t"))
def test_what_is_written_is_read(tmp_path_factory, values, delimiter):
    path = tmp_path_factory.getbasetemp() / "written.csv"
    lines = [delimiter.join(map(str, (t / 10, *row))) for t, row in enumerate(values)]
    path.write_text("\n".join([HEADER.strip().replace(",", delimiter), *lines]))
    labels = read_labels(path, DIMS)
    np.testing.assert_array_equal(labels.values, values)
    np.testing.assert_array_equal(labels.time_s, np.arange(len(values)) / 10)


@pytest.mark.parametrize("first", np.arange(0.01, 1, 0.07))
def test_gaps_of_a_second_are_interpolated_whatever_the_rounding(first):
    label_s, values = first + np.arange(100), np.stack([np.arange(100.0)] * 2, 1)
    frame_s = first + np.arange(0, 99, 0.25)
    np.testing.assert_allclose(
        resample(label_s, values, frame_s, 1.0)[:, 0], frame_s - first, rtol=0, atol=1e-5
    )


def test_numbers_of_segments_are_kept_whole():
    assert [_segment_name(cell) for cell in ("1.0", "1234567", "1234568.0", "a")] == [
        "1", "1234567", "1234568", "a",
    ]  # fmt: skip
