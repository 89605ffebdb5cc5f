"""SEWA of the AVEC challenges: splits by name, labels by time, nothing shifted."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfds_builders.layouts import (
    build,
    build_set,
    labels_or_one_line,
    report_of,
    write_text,
    write_video,
)
from tfds_builders.sewa_avec.labels import read_labels
from va_jax.types import DIMS, InputError

HEADER = "name;timestamp;arousal;valence;liking\n"
UNSEEN = ("no_face=mask", "min_face=64")
"""Options under which no face is found in small pictures, and no detector is compiled."""


def rows(name, values, step_s=0.1):
    """Return the rows of a label file, of (arousal, valence, liking) each."""
    return "".join(
        f"'{name}';{step_s * n:.6f};{a:.6f};{v:.6f};{liking:.6f}\n"
        for n, (a, v, liking) in enumerate(values)
    )


def ramp(count):
    """Return values: arousal rises by 0.1 per row, valence falls by 0.05, liking is 0.5."""
    return [(round(0.1 * n, 6), round(-0.05 * n, 6), 0.5) for n in range(count)]


def in_2019(root):
    """Write a video of each split and culture in the layout of 2019."""
    for name in ("Train_DE_01", "Devel_HU_03", "Test_CN_07"):
        write_video(root / "video" / f"{name}.avi", 10)
        if not name.startswith("Test"):
            write_text(root / "labels" / f"{name}.csv", HEADER + rows(name, ramp(4)))
    return root


def test_names_give_split_and_culture_and_labels_join_by_time(tmp_path):
    in_2019(tmp_path / "in")
    write_text(tmp_path / "in" / "audio_features" / "Train_DE_01.csv", "x")
    write_text(tmp_path / "in" / "labels" / "overview.csv", "x")
    facts, tracks = build_set(tmp_path, "sewa_avec/112", *UNSEEN)
    places = {name: (row["split"], row["group"]) for name, (row, _) in tracks.items()}
    assert places == {
        "Train_DE_01": ("train", "DE"),
        "Devel_HU_03": ("dev", "HU"),
        "Test_CN_07": ("test", "CN"),
    }
    row, track = tracks["Train_DE_01"]
    assert (row["subject_id"], row["fps"], row["frames"]) == ("Train_DE_01", 25, 10)
    times = np.arange(10) / 25  # s; rows end at 0.3 s, and half a step of 0.05 s is held
    expected = np.stack([-0.5 * np.minimum(times, 0.3), np.minimum(times, 0.3)], 1)
    expected[times > 0.35] = np.nan
    np.testing.assert_allclose(track["target"], expected, atol=1e-6)
    assert not track["face"].any()
    assert np.isnan(tracks["Test_CN_07"][1]["target"]).all()
    assert facts["counts"]["test"]["labelled"] == 0
    assert facts["labels"]["join"] == "time"
    assert facts["splits"] == {"drawn": False}
    assert facts["refused"] == {}
    line = report_of(tmp_path)["Train_DE_01"]
    assert (line["rows"], line["not_found"]) == ("4", "10")


def test_the_package_of_2017_has_no_culture_in_its_names_and_no_header(tmp_path):
    root = tmp_path / "in"
    for name in ("Train_01", "Devel_02"):
        write_video(root / "videos" / f"{name}.mp4", 5)
        write_text(root / "labels" / f"{name}.csv", rows(name, ramp(4)))
    _, tracks = build_set(tmp_path, "sewa_avec/112", *UNSEEN, "dims=liking,arousal")
    assert {row["group"] for row, _ in tracks.values()} == {"DE"}
    target = tracks["Devel_02"][1]["target"]
    np.testing.assert_allclose(target[:, 0], 0.5)
    np.testing.assert_allclose(target[:, 1], np.arange(5) / 25, atol=1e-6)


def test_packages_of_two_years_in_one_folder_are_refused(tmp_path):
    root = in_2019(tmp_path / "in")
    write_video(root / "video" / "Train_01.avi", 2)
    with pytest.raises(InputError, match="show the same people"):
        build("sewa_avec", tmp_path / "data", root)


def test_labels_and_videos_without_each_other_are_left_out_by_name(tmp_path):
    root = in_2019(tmp_path / "in")
    shutil.copy(root / "video" / "Test_CN_07.avi", root / "video" / "Train_HU_02.avi")
    shutil.copy(root / "video" / "Test_CN_07.avi", root / "video" / "Train_HU_3a.avi")
    write_text(root / "labels" / "Devel_DE_09.csv", HEADER + rows("Devel_DE_09", ramp(4)))
    facts, tracks = build_set(tmp_path, "sewa_avec/112", *UNSEEN)
    assert set(tracks) == {"Train_DE_01", "Devel_HU_03", "Test_CN_07"}
    assert "labels/Train_HU_02.csv: does not exist; add" in facts["refused"]["Train_HU_02"]
    assert "video/Devel_DE_09.avi: does not exist" in facts["refused"]["Devel_DE_09"]
    assert "Train_HU_3a.avi: expected a name like Train_01" in facts["refused"]["Train_HU_3a"]
    assert report_of(tmp_path)["Train_HU_02"]["split"] == "train"


def test_other_trees_are_refused(tmp_path):
    (tmp_path / "in" / "video").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no folder .*labels"):
        build("sewa_avec", tmp_path / "data", tmp_path / "in")
    write_video(tmp_path / "in" / "video" / "01.avi", 2)
    write_text(tmp_path / "in" / "labels" / "01.csv", "x")
    with pytest.raises(InputError, match=r"video: contains no videos such as Train_01\.avi"):
        build("sewa_avec", tmp_path / "data", tmp_path / "in")


@pytest.mark.parametrize("dims", ["valence,arousal,power", "joy"])
def test_targets_that_the_challenges_do_not_have_are_refused(tmp_path, dims):
    with pytest.raises(InputError, match=f"dims={dims}: AVEC has only arousal, valence, li"):
        build("sewa_avec", tmp_path, in_2019(tmp_path / "in"), options=[f"dims={dims}"])


VALUES = [(0.1, -0.2, 0), (0.25, -0.3, 0), (1, -1, 0)]


@pytest.mark.parametrize(
    "text",
    [
        HEADER + rows("Train_01", VALUES),
        rows("Train_01", VALUES),
        (HEADER + rows("Train_01", VALUES)).replace("\n", "\r\n"),
        "\ufeff" + HEADER + rows("Train_01", VALUES),
        "\ufeff" + rows("Train_01", VALUES),
        rows("Train_01", VALUES).replace(".", ","),
        rows("Train_01", VALUES).replace("'", ""),
        rows("Train_01", VALUES).replace("'", '"').replace(";", " ; "),
        HEADER.upper() + rows("Train_01", VALUES) + "\n\n",
        rows("Train_01", VALUES).replace(";", ","),
        "name;valence;arousal;timestamp;liking\n'Train_01';-.2;.1;0;0\n"
        "'Train_01';-.3;.25;.1;0\n'Train_01';-1;1;.2;0\n",
    ],
)
def test_all_dialects_read_the_same(tmp_path, text):
    labels = read_labels(write_text(tmp_path / "Train_01.csv", text), "Train_01", DIMS, 1.0)
    np.testing.assert_allclose(labels.time_s, [0, 0.1, 0.2], atol=1e-12)
    np.testing.assert_array_equal(labels.values, [[-0.2, 0.1], [-0.3, 0.25], [-1, 1]])


def test_empty_and_nan_cells_are_unlabelled(tmp_path):
    text = "'a';0;nan;0;0\n'a';.1;0;;0\n'a';.2;.1;.2;NaN\n"
    labels = read_labels(write_text(tmp_path / "a.csv", text), "a", DIMS, 1.0)
    np.testing.assert_array_equal(labels.values, [[0, np.nan], [np.nan, 0], [0.2, 0.1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (HEADER, r"fewer than 2 label rows \(0\)"),
        ("'a';0;0;0;0\n", r"fewer than 2 label rows \(1\)"),
        (
            "'a';0;0;0;0\n'b';.1;0;0;0\n",
            "line 2: the row belongs to 'b', but the file is named after 'a'",
        ),
        (HEADER + "'a';0;0;0;0\n'a';.1;0;0\n", "line 3: has 4 cells"),
        (
            "name;timestamp;arousal;valence\n'a';0;0;0\n",
            "line 1: the 4 columns are name;timestamp;arousal;v",
        ),
        ("'a';0;0;0;0\n'a';0;0;0;0\n", "line 2: time 0 repeats time 0"),
        ("'a';.1;0;0;0\n'a';0;0;0;0\n", "line 2: time 0 comes after time 0.1"),
        ("'a';x;0;0;0\n'a';0;0;0;0\n", "line 1: time 'x' is not a number"),
        ("'a';0;0;0;0\n'a';1;0;1.2;0\n", r"line 2: valence 1.2 is outside \[-1, 1\]"),
        ("'a';0;0;0;0\n'a';1;-1.5;0;0\n", r"line 2: arousal -1.5 is outside \[-1, 1\]"),
        ("'a';0;0;0;0\n'a';1;high;0;0\n", "line 2: arousal 'high' is not a number"),
        ("'a';0;0;0\n'a';1;0;0\n", "line 1: the 4 columns"),
        ("'a';0;0;0;0\n'a';2;0;0;0\n", "labels are 2 s apart, more than max_gap_s=1"),
        ("'a';0;0;0;0\n'a';1;0;0;\0\n", "zero bytes"),
    ],
)
def test_bad_label_files_are_refused_with_file_and_line(tmp_path, text, message):
    path = write_text(tmp_path / "a.csv", text)
    with pytest.raises(InputError, match=message) as caught:
        read_labels(path, "a", DIMS, 1.0)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_binary_label_file_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_labels(tmp_path / "a.csv", "a", DIMS, 1.0)


@settings(max_examples=50)
@given(st.booleans(), st.text() | st.text(st.sampled_from("'a;0123456789.,-en \n\ufeff")))
def test_any_text_gives_labels_in_range_or_a_one_line_error(tmp_path_factory, header, text):
    path = tmp_path_factory.getbasetemp() / "any_avec.csv"
    path.write_bytes((HEADER * header + text).encode(errors="surrogatepass"))
    labels = labels_or_one_line(lambda: read_labels(path, "a", DIMS, 1.0), path)
    assert labels is None or (np.diff(labels.time_s) > 0).all()


UNIT = st.floats(-1, 1)


@settings(max_examples=50)
@given(st.lists(st.tuples(UNIT, UNIT, UNIT), min_size=2, max_size=20), st.booleans())
def test_written_labels_are_read_back(tmp_path_factory, values, header):
    text = "".join(f"'b';{n / 10};{a};{v};{lik}\n" for n, (a, v, lik) in enumerate(values))
    path = write_text(tmp_path_factory.getbasetemp() / "written.csv", HEADER * header + text)
    labels = read_labels(path, "b", ("liking", "valence", "arousal"), 1.0)
    np.testing.assert_array_equal(labels.values, np.array(values)[:, ::-1])
    np.testing.assert_array_equal(labels.time_s, np.arange(len(values)) / 10)


@pytest.mark.slow
def test_a_real_face_is_found_and_labelled_by_time(tmp_path, media):
    root = tmp_path / "in"
    (root / "video").mkdir(parents=True)
    shutil.copy(media / "smile.mp4", root / "video" / "Train_DE_01.mp4")
    write_text(root / "labels" / "Train_DE_01.csv", HEADER + rows("Train_DE_01", ramp(11)))
    _, tracks = build_set(tmp_path, "sewa_avec/112", "detect_every=5", "max_side=320")
    row, track = tracks["Train_DE_01"]
    assert row["frames"] == 72
    assert track["face"].all()
    assert np.isfinite(track["landmarks"]).all()
    labelled = track["time_s"] <= 1.05
    np.testing.assert_array_equal(np.isfinite(track["target"]).all(1), labelled)
    arousal = np.minimum(track["time_s"], 1.0)
    np.testing.assert_allclose(track["target"][labelled, 1], arousal[labelled], atol=1e-6)
