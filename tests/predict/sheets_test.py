"""Results for spreadsheets and R: the summary, separators, plots of a folder, rows per second."""

import csv
import itertools
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.predict.predicting import FakeModel, detect, write_video
from va_jax import faces
from va_jax.cli import command as console
from va_jax.data.csv_format import CsvFormat
from va_jax.predict import run
from va_jax.predict.outputs import Outputs
from va_jax.predict.predictor import Predictor
from va_jax.predict.run import Choices
from va_jax.scoring import predicted
from va_jax.scoring.files import read_trace_file
from va_jax.scoring.folders import find_recordings
from va_jax.types import InputError

OUT = pathlib.Path("out")
FACE = [[(0, 40, 20, 48)]] * 6
MOVES = [[(0, 20 + 4 * n, 20, 40)] if n not in (4, 5, 6) else [] for n in range(12)]
TWO = [[(0, 4, 20, 40), (1, 100, 24, 36)]] * 8
FORMATS = [CsvFormat(*each) for each in itertools.product(",;\t", ".,") if each[0] != each[1]]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`command(*sources, **outputs)` with a fake model and detector, from an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "load", lambda folder: FakeModel())
    monkeypatch.setattr(faces, "Detector", lambda **_: detect)

    def command(*sources, out=OUT, track="largest", **outputs) -> bool:
        chosen = Outputs(out, progress=False, **outputs)
        return run.predict("model", sources, chosen, Choices(track=track))

    return command


def folder(**videos) -> str:
    for name, places in videos.items():
        path = pathlib.Path("clips", *name.split("__")).with_suffix(".mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, places)
    return "clips"


def table(path, sep=",", decimal=".") -> list[dict[str, str]]:
    with pathlib.Path(path).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=sep))
    return [
        {key: x if key == "source" else x.replace(decimal, ".") for key, x in row.items()}
        for row in rows
    ]


def errors(capsys) -> list[str]:
    return [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]


def test_the_summary_has_the_statistics_of_the_visible_frames_of_each_face(command):
    assert command(folder(a=MOVES, deep__b=TWO), track="all")
    rows = table("out/summary.csv")
    assert [(row["source"], row["track"]) for row in rows] == [
        ("clips/a.mp4", "0"), ("clips/deep/b.mp4", "0"), ("clips/deep/b.mp4", "1"),
    ]  # fmt: skip
    for row in rows:
        name = pathlib.Path("out", *pathlib.PurePath(row["source"]).parts[1:]).with_suffix(".csv")
        lines = [line for line in table(name) if line["track"] == row["track"]]
        assert int(row["frames"]) == len(lines)
        assert float(row["minutes"]) == pytest.approx(len(lines) / 25 / 60, abs=1e-4)
        seen = [line for line in lines if line["valid"] == "1"]
        assert float(row["face_share"]) == pytest.approx(len(seen) / len(lines), abs=1e-6)
        for dim in ("valence", "arousal"):
            x = np.array([float(line[dim]) for line in seen])
            expected = [x.mean(), x.std(ddof=1), *np.percentile(x, [25, 50, 75]), x.min(), x.max()]
            columns = ("mean", "sd", "q25", "median", "q75", "min", "max")
            found = [float(row[f"{dim}_{column}"]) for column in columns]
            np.testing.assert_allclose(found, expected, atol=2e-6)
    assert 0 < float(rows[0]["face_share"]) < 1


def test_the_rows_of_a_summary_are_in_natural_order_and_a_video_without_a_face_has_one(command):
    assert not command(folder(P10=FACE, P2=[[]] * 5, P1=FACE))
    rows = table("out/summary.csv")
    assert [row["source"] for row in rows] == ["clips/P1.mp4", "clips/P2.mp4", "clips/P10.mp4"]
    assert (rows[1]["track"], rows[1]["face_share"], rows[1]["frames"]) == ("", "0.000000", "5")
    assert {x for key, x in rows[1].items() if key.startswith("valence")} == {""}


def test_a_resumed_folder_has_the_summary_of_an_uninterrupted_one(command, monkeypatch):
    folder(a=FACE, b=MOVES, c=FACE)
    assert command("clips", out=pathlib.Path("whole"))
    predict = Predictor.predict

    def stopped(self, video, progress):
        if video.path.name == "b.mp4":
            raise KeyboardInterrupt
        return predict(self, video, progress)

    monkeypatch.setattr(Predictor, "predict", stopped)
    with pytest.raises(KeyboardInterrupt):
        command("clips")
    assert not pathlib.Path("out/summary.csv").exists()
    monkeypatch.setattr(Predictor, "predict", predict)
    assert command("clips")
    both = [pathlib.Path(x, "summary.csv").read_bytes() for x in ("out", "whole")]
    assert both[0] == both[1]
    os.remove("clips/b.mp4")  # its rows stay in the folder, and so in the summary
    assert command("clips")
    assert pathlib.Path("out/summary.csv").read_bytes() == both[0]


SUMMARY_LIKE = "source,track,minutes,frames,face_share,valence_mean\n"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("content", ["mine\n", "", "source,track\n", SUMMARY_LIKE, "\0\xff"])
def test_a_summary_of_the_user_is_kept(command, capsys, content, overwrite):
    OUT.mkdir()
    (OUT / "summary.csv").write_text(content)
    assert not command(folder(a=FACE), overwrite=overwrite)
    assert (OUT / "summary.csv").read_text() == content
    (line,) = errors(capsys)
    assert "out/summary.csv is not a summary that this command wrote" in line
    assert len(table("out/a.csv")) == 6


def test_the_rows_of_a_video_called_summary_are_kept(command, capsys):
    assert command(folder(a=FACE, summary=FACE))
    assert "no summary, because summary.csv has the rows of clips/summary.mp4" in (
        capsys.readouterr().err
    )
    before = pathlib.Path("out/summary.csv").read_bytes()
    assert table("out/summary.csv")[0]["frame"] == "0"
    assert command("clips")
    assert pathlib.Path("out/summary.csv").read_bytes() == before


def test_results_of_another_command_in_a_sub_folder_are_not_in_the_summary(command):
    assert command(folder(a=FACE))
    assert command("clips", out=OUT / "again")
    assert command("clips")
    assert len(table("out/summary.csv")) == 1


def test_listed_files_have_a_summary_if_there_are_several_in_a_chosen_folder(command):
    folder(a=FACE, b=FACE)
    sources = ("clips/a.mp4", "clips/b.mp4")
    assert command(sources[0])
    assert command(*sources, out=None)
    assert command(*sources, out=pathlib.Path("other"), csv="all.csv")
    found = [str(path) for path in pathlib.Path().rglob("summary.csv")]
    assert found == []
    assert command(*sources, overwrite=True)
    assert [row["source"] for row in table("out/summary.csv")] == list(sources)


def test_a_csv_that_was_damaged_is_one_error_and_the_others_are_described(command, capsys):
    assert command(folder(a=FACE, b=FACE))
    text = pathlib.Path("out/a.csv").read_text()
    pathlib.Path("out/a.csv").write_text(text.replace("0.040000", "soon"))
    capsys.readouterr()
    assert not command("clips")
    (line,) = errors(capsys)
    assert "out/a.csv: column 'time_s': " in line
    assert [row["source"] for row in table("out/summary.csv")] == ["clips/b.mp4"]


def test_scoring_a_folder_of_results_does_not_read_the_summary(command):
    assert command(folder(a=FACE, b=FACE))
    assert list(find_recordings(OUT)) == ["a", "b"]
    (OUT / "summary.csv").write_text("time_s,valence\n0,0.5\n")
    assert list(find_recordings(OUT)) == ["a", "b", "summary"]


@pytest.mark.parametrize("csv_format", FORMATS, ids=lambda x: repr(x.sep + x.decimal))
def test_every_format_has_the_same_rows_and_is_read_back(command, capsys, csv_format):
    folder(**{"a;b,c": MOVES})
    assert command("clips", out=pathlib.Path("plain"))
    assert command("clips", csv_format=csv_format)
    for name in ("a;b,c.csv", "summary.csv"):
        rows = table(OUT / name, csv_format.sep, csv_format.decimal)
        assert rows == table(pathlib.Path("plain", name))
    path = OUT / "a;b,c.csv"
    assert predicted.source_of(path) == "clips/a;b,c.mp4"
    capsys.readouterr()
    assert command("clips", csv_format=csv_format)
    assert "skipped: clips/a;b,c.mp4: out/a;b,c.csv is complete" in capsys.readouterr().err
    ours, plain = (
        read_trace_file(each / path.name, ["valence", "arousal"], has_marks=True)
        for each in (OUT, pathlib.Path("plain"))
    )
    np.testing.assert_array_equal(ours.values, plain.values)
    np.testing.assert_array_equal(ours.excluded, plain.excluded)
    assert ours.excluded.any()


def test_predictions_for_a_german_spreadsheet_are_scored(command, capsys):
    assert command(folder(a=MOVES), csv_format=CsvFormat(";", ","))
    pathlib.Path("labels").mkdir()
    rows = [f"{n},{n / 20},{0.5 - n / 20}\n" for n in range(12)]
    pathlib.Path("labels/a.csv").write_text("frame,valence,arousal\n" + "".join(rows))
    capsys.readouterr()
    assert console.main(["score", "out", "labels", "--strict", "--resamples=10"]) == 0
    assert "valence" in capsys.readouterr().out


def test_a_folder_is_not_resumed_in_another_format_or_at_another_rate(command):
    assert command(folder(a=FACE))
    with pytest.raises(InputError, match=r"predict.json: .*sep=','.*';'"):
        command("clips", csv_format=CsvFormat(";", "."))
    with pytest.raises(InputError, match=r"predict.json: .*fps=None.*5"):
        command("clips", fps=5.0)
    assert command("clips", csv_format=CsvFormat(";", ","), overwrite=True)
    with pytest.raises(InputError, match=r"predict.json: .*decimal=','"):
        command("clips", csv_format=CsvFormat(";", "."))


def test_a_folder_of_an_earlier_version_is_resumed_in_the_format_of_that_version(command):
    assert command(folder(a=FACE))
    side = pathlib.Path("out/predict.json")
    text = side.read_text()
    for line in (' "sep": ",",\n', ' "decimal": ".",\n', ',\n "fps": null'):
        shorter = text.replace(line, "")
        if shorter == text:
            shorter = text.replace(line.removeprefix(",\n"), "")
        assert shorter != text, line
        text = shorter
    side.write_text(text)
    assert command("clips")


@pytest.mark.parametrize(
    ("sep", "decimal"), [(",", ","), (";", ";"), ("|", "."), ("", "."), (";;", "."), (";", "")]
)
def test_formats_that_could_not_be_read_are_refused(sep, decimal):
    with pytest.raises(InputError, match=r"--(sep|decimal)="):
        CsvFormat(sep, decimal)


def test_a_tab_can_be_named():
    assert {CsvFormat.named(x, ".").sep for x in ("tab", r"\t", "\t")} == {"\t"}


def test_the_rows_of_a_camera_and_of_standard_output_have_the_format_too(command, capsys):
    folder(a=FACE)
    assert command("clips/a.mp4", csv="-", csv_format=CsvFormat("\t", ","))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[:3] == ["source", "frame", "time_s"]
    assert lines[2].split("\t")[:3] == ["clips/a.mp4", "1", "0,040000"]


def test_a_folder_has_a_folder_of_plots_that_can_be_resumed(command, monkeypatch):
    folder(a=FACE, deep__b=MOVES)
    assert command("clips", plot=pathlib.Path("plots"))
    names = ["plots/a.png", "plots/deep/b.png"]
    assert sorted(str(path) for path in pathlib.Path("plots").rglob("*.png")) == names
    before = {name: pathlib.Path(name).stat().st_mtime_ns for name in names}
    pictures = [np.asarray(Image.open(name).convert("RGB")).astype(int) for name in names]
    os.remove(names[1])

    def never(*_):
        raise AssertionError("predicted again")

    monkeypatch.setattr(Predictor, "predict", never)
    assert command("clips", plot=pathlib.Path("plots"))  # draws b from its rows
    assert pathlib.Path(names[0]).stat().st_mtime_ns == before[names[0]]
    again = np.asarray(Image.open(names[1]).convert("RGB")).astype(int)
    assert np.abs(again - pictures[1]).mean() < 0.5
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.5
    assert Image.open(names[1]).info["va_jax predict: source"] == "clips/deep/b.mp4"


def test_plots_can_be_added_to_a_folder_that_is_complete(command, monkeypatch):
    assert command(folder(a=FACE, b=FACE))
    monkeypatch.setattr(Predictor, "predict", None)
    assert command("clips", plot=pathlib.Path("plots"))
    assert sorted(os.listdir("plots")) == ["a.png", "b.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_picture_of_the_user_is_not_replaced_by_a_plot(command, capsys, overwrite):
    os.mkdir("plots")
    Image.new("RGB", (4, 4)).save("plots/a.png")
    pathlib.Path("plots/b.png").write_text("not a picture")
    before = pathlib.Path("plots/a.png").read_bytes()
    assert not command(folder(a=FACE, b=FACE), plot=pathlib.Path("plots"), overwrite=overwrite)
    assert pathlib.Path("plots/a.png").read_bytes() == before
    assert pathlib.Path("plots/b.png").read_text() == "not a picture"
    assert [line.split()[1] for line in errors(capsys)] == ["plots/a.png", "plots/b.png"]
    assert sorted(os.listdir("out")) == ["a.csv", "b.csv", "predict.json", "summary.csv"]


def test_the_plot_of_another_video_is_replaced_only_if_asked(command, capsys):
    folder(a=FACE)
    os.rename("clips", "others")
    folder(a=MOVES)
    plots = pathlib.Path("plots")
    assert command("others", out=None, plot=plots)
    before = pathlib.Path("plots/a.png").read_bytes()
    capsys.readouterr()
    assert not command("clips", plot=plots)
    (line,) = errors(capsys)
    assert "plots/a.png is the plot of others/a.mp4" in line
    assert pathlib.Path("plots/a.png").read_bytes() == before
    assert len(table("out/a.csv")) == len(MOVES)
    assert command("clips", plot=plots, overwrite=True)
    assert pathlib.Path("plots/a.png").read_bytes() != before
    os.rename("clips/a.mp4", "clips/a.mov")  # the same video under another name
    assert command("clips", plot=plots)
    assert Image.open("plots/a.png").info["va_jax predict: source"] == "clips/a.mov"


def test_listed_files_have_a_folder_of_plots_too(command):
    folder(a=FACE, b=FACE)
    sources, plots = ("clips/a.mp4", "clips/b.mp4"), pathlib.Path("plots")
    assert command(*sources, csv="all.csv", plot=plots)
    assert sorted(os.listdir("plots")) == ["a.png", "b.png"]
    with pytest.raises(InputError, match=r"plots/a.png already exists"):
        command(*sources, csv="other.csv", plot=plots)
    assert command(*sources, csv="other.csv", plot=plots, overwrite=True)
    os.makedirs("clips/deep")
    write_video(pathlib.Path("clips/deep/a.mp4"), FACE)
    with pytest.raises(InputError, match=r"plots/a.mp4.png is also .*another output"):
        command("clips/a.mp4", "clips/deep/a.mp4", csv="x.csv", plot=plots, overwrite=True)


def test_one_picture_for_several_sources_is_refused(command):
    folder(a=FACE, b=FACE)
    with pytest.raises(InputError, match=r"a.png: .*--plot .*single source.* 2;"):
        command("clips", plot=pathlib.Path("a.png"))
    assert not OUT.exists()


def test_rows_per_second_are_means_on_a_regular_grid(command):
    pathlib.Path("clips").mkdir()
    stamps = [0, 20, 60, 70, 110, 200, 210, 260, 330, 400, 690, 710]  # ms, 12 frames of MOVES
    write_video(pathlib.Path("clips/a.mp4"), MOVES, stamps)
    assert command("clips", out=pathlib.Path("frames"))
    assert command("clips", fps=5.0)
    frames, rows = table("frames/a.csv"), table("out/a.csv")
    time_s = np.array([float(row["time_s"]) for row in frames])
    np.testing.assert_allclose(time_s, np.array(stamps) / 1000, atol=1e-6)
    assert [row["time_s"] for row in rows] == [f"{n / 5:.6f}" for n in range(5)]
    for n, row in enumerate(rows):
        here = [x for x, t in zip(frames, time_s, strict=True) if abs(t - n / 5) < 0.1]
        seen = [x for x in here if x["valid"] == "1"]
        nearest = int(np.argmin(np.abs(time_s - n / 5)))
        assert row["frame"] == str(nearest)
        if not here:  # 0.6 s, between the frames at 0.4 s and 0.69 s
            continue
        assert row["valid"] == str(int(bool(seen)))
        mean = np.mean([float(x["valence"]) for x in seen or here])
        assert float(row["valence"]) == pytest.approx(mean, abs=2e-6)
        if seen:
            box = min(seen, key=lambda x: abs(float(x["time_s"]) - n / 5))
            assert [row[key] for key in ("x", "y", "face_score")] == [
                box[key] for key in ("x", "y", "face_score")
            ]
    before, after = (float(frames[n]["valence"]) for n in (9, 10))
    share = (0.6 - 0.4) / (0.69 - 0.4)
    assert float(rows[3]["valence"]) == pytest.approx(before + share * (after - before), abs=2e-6)
    assert rows[3]["valid"] == "1"
    assert table("out/summary.csv")[0]["frames"] == "5"


def test_rows_per_second_without_a_face_and_of_an_image(command, capsys):
    assert not command(folder(a=[[]] * 10), fps=5.0)
    assert [row["time_s"] for row in table("out/a.csv")] == ["0.000000", "0.200000", "0.400000"]
    assert "2 rows" not in capsys.readouterr().err
    Image.new("RGB", (160, 96)).save("a.png")
    assert not command("a.png", out=pathlib.Path("image"), fps=5.0)
    assert len(table("image/a.csv")) == 1


def test_a_camera_has_no_rows_per_second(command):
    with pytest.raises(InputError, match=r"camera 0: .*--fps"):
        command("0", fps=5.0)


@pytest.mark.parametrize("flag", ["--fps=0", "--fps=-1", "--fps=nan", "--fps=1e6", "--decimal=,"])
def test_flags_out_of_range_are_one_line(command, capsys, flag):
    assert console.main(["predict", "model", "clips", flag]) == 1
    (line,) = errors(capsys)
    assert flag.partition("=")[0] in line


def code(language: str) -> str:
    page = pathlib.Path(__file__).parents[2] / "docs" / "predict.md"
    (block,) = re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)
    return block


WIDE = ["valence_0", "arousal_0", "valence_1", "arousal_1"]


@pytest.fixture
def two_faces(command):
    """Rows of a video, as the documentation names them, and their values by column of `WIDE`."""
    pathlib.Path("clips").mkdir()
    write_video(pathlib.Path("clips/video.mp4"), TWO)
    assert command("clips", out=pathlib.Path("predicted"), track="all")
    rows = table("predicted/video.csv")
    return {
        name: [row[name[:-2]] for row in rows if row["track"] == name[-1] and row[name[:-2]]]
        for name in WIDE
    }


def test_the_lines_for_pandas_make_the_wide_format(two_faces):
    pytest.importorskip("pandas")
    names = {}
    exec(code("python"), names)
    for name, values in two_faces.items():
        found = names["wide"][name].dropna()
        np.testing.assert_allclose(found, np.array(values, float))
    assert len(names["summary"]) == 2
    assert len(names["wide"]) == len(TWO)
    assert set(names["seen"].valid) == {1}


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_the_lines_for_r_make_the_wide_format(two_faces):
    more = 'write.csv(wide, "wide.csv", row.names = FALSE)\nstopifnot(nrow(summary) == 2)\n'
    more += "stopifnot(all(seen$valid == 1))\n"
    pathlib.Path("page.R").write_text(code("r") + more)
    subprocess.run(["Rscript", "page.R"], check=True)
    rows = table("wide.csv")
    assert len(rows) == len(TWO)
    for name, values in two_faces.items():
        found = [float(row[name]) for row in rows if row[name] != "NA"]
        np.testing.assert_allclose(found, np.array(values, float))
