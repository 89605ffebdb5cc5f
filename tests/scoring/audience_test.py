"""Audience curves: a planted common curve, its band and peaks, offsets, and what is refused."""

import csv
import pathlib

import numpy as np
import pytest
from scipy import stats

from va_jax.cli import command
from va_jax.data.csv_format import PLAIN, CsvFormat
from va_jax.predict.results import TrackResult, VideoResult, csv_rows, open_csv
from va_jax.report.audience import check_folder
from va_jax.scoring.audience import AudienceOptions, curves
from va_jax.scoring.viewings import read_viewings
from va_jax.types import InputError

DIMS = ("valence", "arousal")


def curve(time_s):
    """The planted values: valence has a maximum at 20 s and a minimum at 40 s, arousal at 30 s."""
    bump = lambda at: np.exp(-(((time_s - at) / 3) ** 2))  # noqa: E731
    return np.stack([0.5 * bump(20) - 0.5 * bump(40), 0.6 * bump(30)], axis=1)


def write_viewer(name, time_s, values, shown=None, csv_format=PLAIN, faces=1):
    """Write predictions as `va_jax predict` does."""
    shown = np.ones(len(time_s), bool) if shown is None else shown
    boxes, scores = np.zeros((len(time_s), 4), np.float32), np.ones(len(time_s), np.float32)
    tracks = [
        TrackResult(face, shown, boxes, scores, (values + face).astype(np.float32))
        for face in range(faces)
    ]
    path = pathlib.Path("predicted", f"{name}.csv")
    with open_csv(path, DIMS, csv_format=csv_format) as write_rows:
        write_rows(csv_rows(VideoResult(f"{name}.mp4", time_s, tracks, DIMS, 9, 9)))


def write_list(*rows, header="file,stimulus"):
    pathlib.Path("viewers.csv").write_text("\n".join([header, *rows]) + "\n")


def read(**options):
    viewings, _ = read_viewings(pathlib.Path("viewers.csv"), pathlib.Path("predicted"))
    return curves(viewings, AudienceOptions(**options))


def run(*flags):
    return command.main(
        ["audience", "predicted", "--stimuli=viewers.csv", "--out=audience", *flags]
    )


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def audience():
    """Twelve viewers with their own level, noise, frame rate and start of the stimulus."""
    rng, rows = np.random.default_rng(3), []
    for viewer in range(12):
        start_s = rng.uniform(0, 4)
        time_s = np.concatenate([[0], np.cumsum(rng.uniform(0.1, 0.3, 330))])
        level, noise = rng.normal(0, 0.1, 2), rng.normal(0, 0.08, (331, 2))
        write_viewer(f"P{viewer}", time_s, curve(time_s - start_s) + level + noise)
        rows.append(f"P{viewer}.mp4,film,{start_s:.3f}")
    write_list(*rows, header="file,stimulus,start_s")
    return rows


def test_the_peaks_are_at_the_planted_times(audience):
    (film,) = read(prominence=0.3)
    found = [(peak.dim, peak.kind, film.time_s[peak.place]) for peak in film.peaks(0.3)]
    assert [each[:2] for each in found] == [
        ("valence", "maximum"), ("valence", "minimum"), ("arousal", "maximum"),
    ]  # fmt: skip
    np.testing.assert_allclose([time_s for *_, time_s in found], [20, 40, 30], atol=1)


def test_the_band_covers_the_planted_curve_at_95_percent_of_the_times():
    rng = np.random.default_rng(0)
    time_s = np.arange(0, 400, 0.2)
    for viewer in range(6):
        noise = rng.normal(0, 0.2, (len(time_s), 2))  # independent, so that times are many trials
        write_viewer(f"P{viewer}", time_s, curve(time_s) + noise)
    write_list(*(f"P{viewer},film" for viewer in range(6)))
    (film,) = read()
    low, high = film.band()
    inside = (low <= curve(film.time_s)) & (curve(film.time_s) <= high)
    assert 0.935 < inside.mean() < 0.965


def test_mean_and_band_are_those_of_a_t_test_over_viewers(audience):
    (film,) = read()
    low, high = film.band()
    for time in (0, 100, 200):
        values = film.values[np.isfinite(film.values[:, time, 0]), time]
        expected = stats.ttest_1samp(values, 0, axis=0).confidence_interval(0.95)
        np.testing.assert_allclose(film.mean()[time], values.mean(0))
        np.testing.assert_allclose([low[time], high[time]], expected)
        assert film.count[time] == len(values)


def test_without_the_offsets_the_curve_would_be_smeared(audience):
    (right,) = read()
    write_list(*(row.rpartition(",")[0] for row in audience))
    (wrong,) = read()
    peak = np.nanmax(right.mean()[:, 1])
    assert np.nanmax(wrong.mean()[:, 1]) < peak - 0.05


def test_an_offset_moves_a_viewer_by_exactly_this_time():
    time_s = np.arange(0, 50, 0.2)
    write_viewer("early", time_s, curve(time_s))
    write_viewer("late", time_s, curve(time_s - 4))
    write_list("early,film,", "late,film,4", header="file,stimulus,start_s")
    (film,) = read()
    both = film.count == 2
    np.testing.assert_allclose(film.values[0, both], film.values[1, both], atol=1e-6)
    assert film.count.tolist() == [2] * 230 + [1] * 20


def test_one_recording_may_show_several_stimuli_one_after_the_other():
    time_s = np.arange(0, 100, 0.2)
    write_viewer("P1", time_s, np.stack([time_s, -time_s], 1) / 100)
    write_list("P1,b,50,80", "P1,a,10,30", header="file,stimulus,start_s,end_s")
    a, b = read()
    assert (a.stimulus, len(a.time_s), b.stimulus, len(b.time_s)) == ("a", 101, "b", 151)
    np.testing.assert_allclose(a.mean()[[0, -1], 0], [0.1, 0.3], atol=1e-6)
    np.testing.assert_allclose(b.mean()[[0, -1], 0], [0.5, 0.8], atol=1e-6)


def test_one_viewer_has_no_band_and_no_peaks_and_a_warning_says_so(capsys):
    time_s = np.arange(0, 60, 0.2)
    write_viewer("P1", time_s, curve(time_s))
    write_list("P1,film")
    assert run() == 0
    assert "film: 1 viewer, so there is no interval" in capsys.readouterr().err
    with pathlib.Path("audience/audience.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 300
    assert {row["viewers"] for row in rows} == {"1"}
    assert {row["valence_low"] + row["arousal_high"] for row in rows} == {""}
    assert pathlib.Path("audience/peaks.csv").read_text().count("\n") == 1


def test_a_viewer_counts_once_however_often_they_saw_the_stimulus():
    time_s, rng = np.arange(0, 20, 0.2), np.random.default_rng(1)
    for name in ("first", "second", "other"):
        write_viewer(name, time_s, rng.normal(size=(100, 2)))
    write_list("first,film,Ann", "second,film,Ann", "other,film,Ben", header="file,stimulus,viewer")
    (film,) = read()
    assert film.viewers == ("Ann", "Ben")
    write_list("first,film", "second,film", "other,film")
    (apart,) = read()
    np.testing.assert_allclose(film.values[0], apart.values[[0, 2]].mean(0))
    np.testing.assert_allclose(film.values[1], apart.values[1])


def test_centring_removes_the_level_of_each_viewer(audience):
    (plain,), (centred,) = read(), read(centre=True)
    np.testing.assert_allclose(np.nanmean(centred.values, axis=1), 0, atol=1e-12)
    width = [np.nanmean(np.subtract(*each.band()[::-1])) for each in (plain, centred)]
    assert width[1] < 0.8 * width[0]
    shape = centred.values - plain.values
    np.testing.assert_allclose(np.nanstd(shape, axis=1), 0, atol=1e-12)


def test_a_viewer_whose_face_is_hidden_does_not_count_at_this_time(capsys):
    time_s = np.arange(0, 20, 0.2)
    for name in ("P1", "P2"):
        write_viewer(name, time_s, np.full((100, 2), 0.5), (time_s < 5) | (time_s > 10))
    write_viewer("P3", time_s, np.zeros((100, 2)))
    write_viewer("P4", time_s, np.zeros((100, 2)), np.zeros(100, bool))
    write_viewer("P5", time_s, np.zeros((100, 2)), faces=0)
    write_list(*(f"P{n},film" for n in (1, 2, 3, 4, 5)))
    (film,) = read()
    assert film.viewers == ("P1", "P2", "P3")
    assert film.without_face == ("P4", "P5")
    assert film.count[[20, 35, 60]].tolist() == [3, 1, 3]
    np.testing.assert_allclose(film.mean()[[20, 35], 0], [1 / 3, 0], atol=1e-6)
    assert run() == 0
    assert "no face of P4 is visible" in capsys.readouterr().err


def test_nothing_depends_on_the_order_of_the_list(audience):
    assert run("--centre") == 0
    before = {path.name: path.read_bytes() for path in pathlib.Path("audience").iterdir()}
    assert sorted(before) == [
        "audience.csv", "audience.html", "audience.json", "film.svg", "peaks.csv",
    ]  # fmt: skip
    write_list(*audience[::-1], header="file,stimulus,start_s")
    assert run("--centre", "--overwrite") == 0
    assert before == {path.name: path.read_bytes() for path in pathlib.Path("audience").iterdir()}


def test_predictions_and_results_for_a_spreadsheet_hold_the_same_numbers(audience):
    (plain,) = read()
    german = CsvFormat(";", ",")
    time_s = np.arange(0, 10, 0.2)
    write_viewer("P0", time_s, curve(time_s), csv_format=german)
    write_list("P0;film;0,4", header="file;stimulus;start_s")
    assert run("--sep=;", "--decimal=,") == 0
    header, *rows = pathlib.Path("audience/audience.csv").read_text().splitlines()
    assert header.startswith("stimulus;time_s;viewers;valence_mean;")
    assert rows[1].startswith("film;0,200000;1;")
    (film,) = read()
    np.testing.assert_allclose(film.values[0, :, 1], curve(time_s[2:])[:, 1], atol=1e-6)
    assert not np.allclose(film.values[0], plain.values[0, : len(film.time_s)])


def test_the_warning_of_a_model_trained_on_drawings_is_passed_on(audience, capsys):
    pathlib.Path("predicted/predict.json").write_text('{"warning": "not meaningful"}')
    assert run() == 0
    assert "warning: not meaningful" in capsys.readouterr().err
    assert '"warning": "not meaningful"' in pathlib.Path("audience/audience.json").read_text()


def test_warnings_beside_single_files_and_in_folders_are_passed_on(audience, capsys):
    time_s = np.arange(0, 10, 0.2)
    write_viewer("day1/Q1", time_s, curve(time_s))
    pathlib.Path("predicted/P0.json").write_text('{"warning": "drawings"}')
    pathlib.Path("predicted/P11.json").write_text('{"warning": "not in the list"}')
    pathlib.Path("predicted/day1/predict.json").write_text('{"warning": "sketches"}')
    write_list(*audience[:2], "day1/Q1,film,", header="file,stimulus,start_s")
    assert run() == 0
    (line,) = (x for x in capsys.readouterr().err.splitlines() if "drawings" in x)
    assert line == "warning: drawings; sketches"


def test_names_in_any_script_are_drawn_without_python_warnings(audience, recwarn):
    rows = [
        row.replace("film", "\N{CJK UNIFIED IDEOGRAPH-6620}\N{THAI CHARACTER KO KAI}")
        for row in audience
    ]
    write_list(*rows, header="file,stimulus,start_s")
    assert run() == 0
    assert not [each for each in recwarn if "Glyph" in str(each.message)]


@pytest.mark.parametrize("name", ["a\x0bb", 100 * "\N{CJK UNIFIED IDEOGRAPH-6620}"])
def test_a_stimulus_that_cannot_be_a_file_name_is_refused(audience, capsys, name):
    write_list(audience[0].replace("film", name), header="file,stimulus,start_s")
    assert run() == 1
    assert "viewers.csv: the stimulus" in capsys.readouterr().err
    assert not pathlib.Path("audience").exists()


def test_names_keep_their_apostrophes():
    time_s = np.arange(0, 10, 0.2)
    write_viewer("Students'", time_s, curve(time_s))
    write_list("Students',Singin'")
    (film,) = read()
    assert (film.stimulus, film.viewers) == ("Singin'", ("Students'",))


def test_files_that_the_list_leaves_out_are_mentioned(audience, capsys):
    write_list(*audience[:-1], header="file,stimulus,start_s")
    assert run() == 0
    assert "1 of the files in predicted, such as P11" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("file,stimulus", "P9,film", r"viewers.csv: line 2: .*'P9'.*'P1'"),
        ("file,stimulus", "P1,", r"line 2: the stimulus of 'P1' is empty"),
        ("file,stimulus,start_s", "P1,film,x", r"line 2: start_s 'x'"),
        (
            "file,stimulus,start_s",
            "P1,film,99",
            r"line 2: predicted/P1.csv has no frame between start_s 99.*ends at 9.800 s",
        ),
        ("file,stimulus,start_s,end_s", "P1,film,3,3", r"line 2: end_s 3 is not after start_s 3"),
        ("file,stimulus,track", "P1,film,4", r"line 2: .*no track 4 \(tracks: 0\)"),
        ("file,stimulus,track", "P1,film,-1", r"line 2: track '-1'"),
        ("file,stimulus", "two,film", r"line 2: .*two.csv contains 2 faces"),
        ("file,stimulus,begin", "P1,film,3", r"line 1: unknown column 'begin'"),
        ("file,film", "P1,film", r"line 1: no column is named 'stimulus'"),
        ("file,stimulus", "", r"no viewings"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(header, row, message):
    time_s = np.arange(0, 10, 0.2)
    write_viewer("P1", time_s, curve(time_s))
    write_viewer("two", time_s, curve(time_s), faces=2)
    write_list(row, header=header)
    with pytest.raises(InputError, match=message):
        read()


def test_one_of_several_faces_is_chosen_by_its_number():
    time_s = np.arange(0, 10, 0.2)
    write_viewer("two", time_s, curve(time_s), faces=2)
    write_list("two,film,1", header="file,stimulus,track")
    (film,) = read()
    np.testing.assert_allclose(film.mean(), curve(film.time_s) + 1, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0.0}, "--fps=0"),
        ({"prominence": -1.0}, "--prominence=-1"),
        ({"dims": ["joy"]}, "joy"),
    ],
)
def test_options_out_of_range_are_refused(audience, options, message):
    with pytest.raises(InputError, match=message):
        read(**options)


def test_a_csv_of_another_program_is_refused_by_name():
    pathlib.Path("predicted").mkdir()
    pathlib.Path("predicted/P1.csv").write_text("time_s,valence\n0,0.1\n")
    write_list("P1,film")
    with pytest.raises(InputError, match=r"predicted/P1.csv: the first line"):
        read()


def test_only_a_folder_of_our_own_files_is_replaced(audience, capsys):
    assert run() == 0
    assert run() == 1
    assert "--out=audience already exists" in capsys.readouterr().err
    assert run("--overwrite") == 0
    pathlib.Path("audience/notes.txt").write_text("mine")
    assert run("--overwrite") == 1
    assert "audience contains notes.txt" in capsys.readouterr().err
    assert pathlib.Path("audience/notes.txt").read_text() == "mine"
    pathlib.Path("audience/notes.txt").unlink()
    pathlib.Path("audience/.Rhistory").touch()
    with pytest.raises(InputError, match=r"audience contains \.Rhistory"):
        check_folder(pathlib.Path("audience"), overwrite=True)
    pathlib.Path("audience/.Rhistory").rename("audience/.DS_Store")
    check_folder(pathlib.Path("audience"), overwrite=True)
    pathlib.Path("audience/audience.json").write_text('{"files": 3}')
    with pytest.raises(InputError, match=r"audience contains audience\.csv"):
        check_folder(pathlib.Path("audience"), overwrite=True)
    pathlib.Path("empty").mkdir()
    check_folder(pathlib.Path("empty"), overwrite=False)
    with pytest.raises(InputError, match=r"viewers.csv is not a folder"):
        check_folder(pathlib.Path("viewers.csv"), overwrite=True)


def test_a_plot_of_an_earlier_stimulus_does_not_stay(audience):
    assert run() == 0
    write_list(
        *(row.replace("film", "part/two") for row in audience), header="file,stimulus,start_s"
    )
    assert run("--overwrite") == 0
    names = sorted(path.name for path in pathlib.Path("audience").iterdir())
    assert names == [
        "audience.csv", "audience.html", "audience.json", "part%2Ftwo.svg", "peaks.csv",
    ]  # fmt: skip
    text = pathlib.Path("audience/part%2Ftwo.svg").read_text()
    assert text.startswith("<?xml")


def test_stimuli_that_differ_only_in_case_are_refused(audience, capsys):
    rows = [audience[0], *(row.replace("film", "Film") for row in audience[1:])]
    write_list(*rows, header="file,stimulus,start_s")
    assert run() == 1
    message = "viewers.csv: the stimuli 'Film' and 'film' differ only in case"
    assert message in capsys.readouterr().err
    assert not pathlib.Path("audience").exists()
