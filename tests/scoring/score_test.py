"""The scorer: numbers against numpy, each planted fault counted once, one-line refusals."""

import contextlib
import importlib
import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from va_jax.cli.command import main
from va_jax.evaluation import score_table
from va_jax.report.traces import write_traces
from va_jax.types import Trace, Track

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIMS = ("valence", "arousal")
AGGREGATIONS = ["pooled", "mean_of_recordings", "length_weighted"]
LENGTHS = {"a": 60, "b": 90, "c": 40, "d": 75, "e": 50, "f": 65}


def command(*flags):
    line = [sys.executable, "-m", "va_jax", "score", *map(str, flags)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def scored(capsys, *flags):
    """Return the JSON that the command prints."""
    return json.loads(printed(capsys, *flags, "--json"))


def printed(capsys, *flags):
    assert main(["score", "--resamples=50", *map(str, flags)]) == 0
    return capsys.readouterr().out


def refusal(*flags):
    """Return the one line with which the command ends."""
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            assert main(["score", *map(str, flags)]) == 1
            message = errors.getvalue().removesuffix("\n")
        except SystemExit as stop:
            message = str(stop.code)
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


def write(path, rows, header="frame,valence,arousal", delimiter=","):
    path.parent.mkdir(exist_ok=True)
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines).replace(",", delimiter) + "\n")


def signals(seed=0):
    """Return recording -> labels and predictions, float64 [frames, 2], rounded as in files."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, frames in LENGTHS.items():
        labels = np.sin(np.cumsum(rng.normal(size=(frames, 2)), 0) / 6).round(6)
        predictions = 0.5 * labels + 0.2 + 0.2 * rng.normal(size=labels.shape)
        found[name] = labels, predictions.round(6)
    return found


def folders(place, found, **kwargs):
    for name, sides in found.items():
        for side, values in zip(("labels", "predictions"), sides, strict=True):
            rows = [[i, *row] for i, row in enumerate(values.tolist())]
            write(place / side / f"{name}.csv", rows, **kwargs)
    return place / "predictions", place / "labels"


@pytest.fixture
def clean(tmp_path):
    """Folders of predictions and labels without a fault."""
    return folders(tmp_path, signals())


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def expected(x, y, formula="population"):
    """Return the metrics of predictions x and labels y, written out."""
    less = 1 if formula == "avec" else 0
    covariance = np.mean((x - x.mean()) * (y - y.mean()))
    gap = (x.mean() - y.mean()) ** 2
    mse = np.mean((x - y) ** 2)
    return {
        "ccc": 2 * covariance / (x.var(ddof=less) + y.var(ddof=less) + gap),
        "pcc": np.corrcoef(x, y)[0, 1],
        "rmse": np.sqrt(mse),
        "mse": mse,
        "sagr": np.mean(np.sign(x) == np.sign(y)),
    }


@pytest.mark.parametrize("formula", ["population", "avec"])
def test_every_number_equals_that_of_numpy(clean, capsys, formula):
    result = scored(capsys, *clean, f"--formula={formula}")
    assert list(result) == [*DIMS, "about"]
    frames = np.array(list(LENGTHS.values()))
    for i, dim in enumerate(DIMS):
        single = [expected(p[:, i], y[:, i], formula) for y, p in signals().values()]
        whole = [np.concatenate([pair[k][:, i] for pair in signals().values()]) for k in (1, 0)]
        for key, value in expected(*whole, formula).items():
            values = np.array([row[key] for row in single])
            means = value, values.mean(), (values * frames).sum() / frames.sum()
            found = [result[dim][name][key] for name in AGGREGATIONS]
            np.testing.assert_allclose(found, means, rtol=2e-6)
        assert list(result[dim]) == AGGREGATIONS
        assert {result[dim][name]["n"] for name in AGGREGATIONS} == {frames.sum()}
        for name, row in zip(LENGTHS, single, strict=True):
            ccc = result["about"]["recordings"][name][dim]["ccc"]
            assert ccc == pytest.approx(row["ccc"], rel=2e-6)
    assert not any(result["about"]["counts"].values())
    assert result["about"]["formula"] == formula


def test_a_number_depends_neither_on_the_order_of_rows_nor_on_the_delimiter(
    clean, tmp_path, capsys
):
    before = scored(capsys, *clean)
    for n, path in enumerate(sorted(clean[0].glob("*.csv"))):
        head, *rows = path.read_text().splitlines()
        np.random.default_rng(n).shuffle(rows)
        path.write_text("\n".join([head, *rows]).replace(",", ";\t,"[n % 3]) + "\n")
    after = scored(capsys, *clean)
    assert after == before


def test_each_planted_fault_is_counted_once_and_its_first_place_is_named(clean, capsys):
    predictions, labels = clean
    (predictions / "a.csv").unlink()
    (labels / "f.csv").unlink()
    kept = [
        line
        for line in (predictions / "b.csv").read_text().splitlines()
        if not line.startswith(("7,", "8,"))
    ]
    (predictions / "b.csv").write_text("\n".join([*kept, "500,0.1,0.1"]) + "\n")
    lines = (labels / "c.csv").read_text().splitlines()
    lines[3] = "2,-5,-5"
    lines[6] = "5,,0.1"
    (labels / "c.csv").write_text("\n".join(lines) + "\n")
    lines = (predictions / "d.csv").read_text().splitlines()
    lines[11] = "10,0.1,"
    lines[12] = "11,0.1,nan"
    (predictions / "d.csv").write_text("\n".join(lines) + "\n")

    about = scored(capsys, *clean)["about"]
    assert about["counts"] == {
        "labels_without_file": 1,
        "predictions_without_file": 1,
        "labels_without_prediction": 2,
        "predictions_without_label": 1,
        "invalid_labels": 2,
        "invalid_predictions": 2,
        "marked_invalid": 0,
    }
    assert about["first"] == {
        "labels_without_file": f"{labels}/a.csv",
        "predictions_without_file": f"{predictions}/f.csv",
        "labels_without_prediction": f"{labels}/b.csv: line 9: frame 7",
        "predictions_without_label": f"{predictions}/b.csv: line 90: frame 500",
        "invalid_labels": f"{labels}/c.csv: line 4: valence -5 is outside [-1, 1]",
        "invalid_predictions": f"{predictions}/d.csv: line 12: arousal is not a number",
    }
    assert about["frames_that_count"] == 90 - 2 + 40 - 2 + 75 - 2 + 50
    text = printed(capsys, *clean)
    assert f"label rows without a prediction: 2 (first: {labels}/b.csv: line 9: frame 7)" in text
    message = refusal(*clean, "--strict")
    assert f"--strict: {labels}/a.csv" in message
    assert "invalid label rows: 2, invalid prediction rows: 2" in message


def test_strict_scores_data_without_faults(clean, capsys):
    assert scored(capsys, *clean, "--strict") == scored(capsys, *clean)


def test_rows_marked_invalid_in_the_labels_are_neither_scored_nor_faults(clean, capsys):
    path = clean[1] / "a.csv"
    head, *rows = path.read_text().splitlines()
    rows = [f"{row},1" for row in rows]
    rows[4], rows[9] = "4,,,0", "9,0.5,0.5,0"
    path.write_text("\n".join([f"{head},valid", *rows]) + "\n")
    result = scored(capsys, *clean, "--strict")
    assert result["about"]["counts"]["marked_invalid"] == 2
    assert result["valence"]["pooled"]["n"] == sum(LENGTHS.values()) - 2
    y, p = signals()["a"]
    kept = np.delete(np.arange(60), [4, 9])
    ccc = result["about"]["recordings"]["a"]["arousal"]["ccc"]
    assert ccc == pytest.approx(expected(p[kept, 1], y[kept, 1])["ccc"], rel=2e-6)


def test_a_constant_prediction_scores_zero_and_a_constant_pair_is_reported(tmp_path, capsys):
    """One recording of constants, one of a single frame."""
    sides = signals()
    sides["a"] = np.full((60, 2), 0.25), np.full((60, 2), 0.25)
    sides["b"] = np.full((1, 2), 0.5), np.full((1, 2), 0.75)
    result = scored(capsys, *folders(tmp_path, sides))
    for dim in DIMS:
        assert result[dim]["mean_of_recordings"]["undefined"] == 1
        assert result[dim]["mean_of_recordings"]["recordings"] == 6
        assert result["about"]["recordings"]["a"][dim]["ccc"] == 0
        assert result["about"]["recordings"]["b"][dim] == {
            "ccc": 0, "pcc": 0, "rmse": 0.25, "mse": 0.0625, "sagr": 1, "n": 1,
        }  # fmt: skip


def test_labels_at_ten_hertz_are_joined_to_25_frames_per_second(tmp_path, capsys):
    rng = np.random.default_rng(3)
    predictions, labels = rng.uniform(-1, 1, (125, 2)), rng.uniform(-1, 1, (50, 2))
    rows = [[i, *row] for i, row in enumerate(predictions.tolist())]
    write(tmp_path / "p/a.csv", rows)
    rows = [[f"{i / 10:.1f}", *row] for i, row in enumerate(labels.tolist())]
    write(tmp_path / "l/a.csv", rows, "timestamp,Arousal,Valence", ";")
    sides = tmp_path / "p", tmp_path / "l"
    assert "--fps" in refusal(*sides)
    result = scored(capsys, *sides, "--fps=25")
    assert result["about"]["joined_by"] == {"frame": 0, "time": 1}
    assert result["about"]["counts"]["labels_without_prediction"] == 0
    assert result["about"]["counts"]["predictions_without_label"] == 75
    # the labels at 0.1, 0.3 .. lie midway between two frames: either is right
    earlier, later = (predictions[np.arange(50) * 5 // 2 + np.arange(50) % 2 * k] for k in (0, 1))
    assert result["valence"]["pooled"]["n"] == 50
    errors = [np.square(x[:, 0] - labels[:, 1]) for x in (earlier, later)]
    low, high = (np.sqrt(pick(*errors).mean()) for pick in (np.minimum, np.maximum))
    assert low - 1e-6 <= result["valence"]["pooled"]["rmse"] <= high + 1e-6


def late(place, frames=400, by=25):
    """Write predictions at 25 frames per second that are `by` frames late."""
    rng = np.random.default_rng(5)
    found = {}
    for name in "ab":
        truth = np.sin(np.cumsum(rng.normal(size=(frames, 2)), 0) / 8).round(6)
        found[name] = truth, np.concatenate([truth[:1].repeat(by, 0), truth[:-by]])
    return folders(place, found), found


def test_a_lag_moves_late_predictions_onto_the_labels(tmp_path, capsys):
    sides, found = late(tmp_path)
    assert "--fps" in refusal(*sides, "--lag_s=1")
    result = scored(capsys, *sides, "--fps=25", "--lag_s=1")
    for i, dim in enumerate(DIMS):
        moved = [
            np.concatenate([y[:-25], y[-26:-25].repeat(25, 0)])[:, i] for y, _ in found.values()
        ]
        labels = np.concatenate([y[:, i] for y, _ in found.values()])
        want = expected(np.concatenate(moved), labels)["ccc"]
        assert result[dim]["pooled"]["ccc"] == pytest.approx(want, rel=1e-5)
    text = printed(capsys, *sides, "--fps=25", "--lag_s=1")
    assert "predictions moved 1.00 s earlier" in text
    text = printed(capsys, *sides, "--fps=25", "--lag_s=-0.5")
    assert "predictions moved 0.50 s later" in text


@pytest.mark.parametrize("flags", [["--lag_s=1e300"], ["--lag_sweep", "--max_lag_s=1e9"]])
def test_a_lag_longer_than_every_recording_is_refused(tmp_path, flags):
    sides, _ = late(tmp_path)
    assert "the longest recording has" in refusal(*sides, "--fps=25", *flags)


def test_a_sweep_finds_the_lag_and_warns_that_it_is_optimistic(tmp_path, capsys):
    sides, _ = late(tmp_path)
    flags = [*sides, "--fps=25", "--lag_sweep", "--max_lag_s=2"]
    plain, best = scored(capsys, *flags), scored(capsys, *flags, "--lag_s=1")
    for dim in DIMS:
        sweep = plain["about"]["lag_sweep"][dim]
        assert sweep["best_lag_s"] == pytest.approx(1)
        assert sweep["best_ccc"] == pytest.approx(best[dim]["pooled"]["ccc"], rel=1e-6)
        assert sweep["ccc_without"] == pytest.approx(plain[dim]["pooled"]["ccc"], rel=1e-6)
        assert len(sweep["lags_s"]) == len(sweep["ccc"]) == 101
        assert best["about"]["lag_sweep"][dim] == sweep
    text = printed(capsys, *flags)
    assert "predictions moved 1.00 s earlier" in text
    assert "optimistic: choose it on dev" in text


def test_the_traces_of_a_run_can_be_both_sides(tmp_path, capsys):
    traces = []
    for name, (labels, predictions) in signals().items():
        target = labels.astype(np.float32)
        target[3] = np.nan
        face = np.arange(len(target)) != 5
        times = (np.arange(len(target)) / 25).astype(np.float32)
        track = Track(name, name, name, "", 25.0, len(target), 0)
        traces.append(Trace(track, predictions.astype(np.float32), target, face, times))
    write_traces(tmp_path / "traces", traces, DIMS)
    result = scored(
        capsys, tmp_path / "traces", tmp_path / "traces", "--label_suffix=_target", "--strict"
    )
    expected_table = score_table.metrics_table(traces, DIMS)
    assert result["about"]["counts"]["marked_invalid"] == 2 * len(LENGTHS)
    for dim in DIMS:
        for name in AGGREGATIONS:
            for key, value in expected_table["scores"][dim][name].items():
                if key != "interval":
                    assert result[dim][name][key] == pytest.approx(value, rel=1e-5)


def test_each_group_gets_a_row(clean, tmp_path, capsys):
    groups = tmp_path / "groups.csv"
    write(groups, [(name, "DE" if name < "d" else "HU") for name in LENGTHS], "recording,group")
    result = scored(capsys, *clean, f"--groups={groups}")
    whole = [np.concatenate([signals()[name][k][:, 0] for name in "def"]) for k in (1, 0)]
    found = result["valence"]["group:HU"]["ccc"]
    assert found == pytest.approx(expected(*whole)["ccc"], rel=2e-6)
    write(groups, [("a", "DE")], "recording,group")
    assert f"{groups}: no row for recording 'b'" in refusal(*clean, f"--groups={groups}")


def test_the_dimensions_are_those_of_both_sides_or_those_named(clean, capsys):
    predictions, labels = clean
    for path in predictions.glob("*.csv"):
        edit(path, "valence", "dominance")
    assert list(scored(capsys, *clean)) == ["arousal", "about"]
    assert "no column 'dominance'" in refusal(*clean, "--dims=arousal,dominance")
    for path in labels.glob("*.csv"):
        edit(path, "valence", "Dominance")
    assert list(scored(capsys, *clean, "--dims=dominance")) == ["dominance", "about"]
    for path in labels.glob("*.csv"):
        edit(path, "arousal", "joy")
    assert "neither valence nor arousal is in both" in refusal(*clean)
    assert "--dims=about" in refusal(*clean, "--dims=about")


def test_the_printed_output_is_also_written(clean, tmp_path, capsys):
    for flag in ("--seed=0", "--markdown", "--json"):
        out = tmp_path / f"scores{flag}"
        text = printed(capsys, *clean, flag, f"--out={out}")
        assert out.read_text() == text
        assert "pooled" in text
    assert "scores.txt" in refusal(*clean, f"--out={tmp_path}/absent/scores.txt")
    assert f"--out={tmp_path}" in refusal(*clean, f"--out={tmp_path}")


def test_bad_input_is_refused(clean, tmp_path):
    predictions, labels = clean
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{empty}: " in refusal(empty, labels)
    assert "absent: no such folder" in refusal(predictions, tmp_path / "absent")
    write(empty / "z.csv", [[0, 0.1, 0.1]])
    message = refusal(empty, labels)
    assert "no recording in common" in message
    assert "'z'" in message
    assert "'a'" in message
    write(empty / "a.csv", [[900, 0.1, 0.1]])
    assert "no prediction matches a valid label" in refusal(empty, labels)
    for flag, message in {
        "--fps=0": "--fps=0: must be greater than 0",
        "--lag_s=nan": "--lag_s=nan",
        "--resamples=-1": "--resamples=-1: must be 0 or greater",
        "--formula=sample": "invalid choice: 'sample'",
        "--unknown": "--unknown",
    }.items():
        assert message in refusal(predictions, labels, flag)


def test_the_command_prints_one_json_object_or_one_line(clean):
    done = command(*clean, "--json", "--resamples=50", "--seed=3")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["about"]["bootstrap"]["resamples"] == 50
    assert result["about"]["bootstrap"]["seed"] == 3
    low, high = result["valence"]["pooled"]["interval"]["ccc"]
    assert low <= result["valence"]["pooled"]["ccc"] <= high
    (clean[0] / "c.csv").write_text("frame,valence,arousal\n")
    done = command(*clean)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {clean[0]}/c.csv: the file has a header but no rows")


def test_score_and_compare_import_no_heavy_library():
    program = (
        "import sys, va_jax.cli.command, va_jax.cli.score, va_jax.cli.compare; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"jax", "flax", "tensorflow", "tensorflow_datasets", "matplotlib", "cv2", "torch"}
    assert not heavy & set(done.stdout.split())
    assert importlib.util.find_spec("jax")


def test_recordings_with_similar_names_in_sub_folders_are_all_scored(tmp_path, capsys):
    """Traces of a run encode names; other systems may use sub-folders. None hides another."""
    names = ["a/b", "a__b", "a%2Fb", "b", "c/b", ".hidden", "Ä:1"]
    traces = []
    for seed, name in enumerate(names):
        target = np.random.default_rng(seed).uniform(-1, 1, (30, 2)).astype(np.float32)
        track = Track(name, name, name, "", 25.0, 30, 0)
        time_s = np.arange(30, dtype=np.float32) / 25
        traces.append(Trace(track, target / 2, target, np.ones(30, bool), time_s))
    write_traces(tmp_path / "flat", traces, DIMS)
    nested = tmp_path / "nested"
    nested.mkdir()
    for path in (tmp_path / "flat").iterdir():
        (nested / path.name).write_bytes(path.read_bytes())
    for stem in ("a%2Fb", "c%2Fb"):
        (nested / stem[0]).mkdir(exist_ok=True)
        (nested / f"{stem}.csv").rename(nested / stem[0] / "b.CSV")
    found = scored(capsys, tmp_path / "flat", nested, "--label_suffix=_target", "--strict")
    assert sorted(found["about"]["recordings"]) == sorted(names)
    assert found["about"]["files"] == {"predictions": len(names), "labels": len(names)}


def test_predictions_of_a_run_are_not_taken_for_labels(tmp_path, capsys):
    target = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    track = Track("a", "a", "a", "", 25.0, 50, 0)
    time_s = np.arange(50, dtype=np.float32) / 25
    traces = [Trace(track, target / 2, target, np.ones(50, bool), time_s)]
    write_traces(tmp_path / "run", traces, DIMS, [target])
    folder = tmp_path / "run"
    assert "'valence_target'" in refusal(folder, folder)
    assert "--label_suffix=_target" in refusal(folder, folder, "--dims=valence")
    pooled = [
        scored(capsys, folder, folder, f"--label_suffix={suffix}")["valence"]["pooled"]["rmse"]
        for suffix in ("_target", "_processed", "")
    ]
    assert pooled == pytest.approx([0.29, 0.29, 0], abs=0.03)


def test_flags_settle_what_the_names_of_the_columns_leave_open(tmp_path, capsys):
    rows = [[i, 40 * i, i / 50, -i / 50] for i in range(50)]
    write(tmp_path / "p" / "a.csv", rows, "id,stamp,valence,arousal")
    write(tmp_path / "l" / "a.csv", [[i / 25, *row[2:]] for i, row in enumerate(rows)],
          "time,valence,arousal")  # fmt: skip
    sides = tmp_path / "p", tmp_path / "l"
    assert "--time_unit=" in refusal(*sides)
    assert "time_unit" in refusal(*sides, "--time_unit=h")
    for flags in (["--time_unit=ms"], ["--time_column=id", "--time_unit=frame", "--fps=25"]):
        found = scored(capsys, *sides, "--strict", *flags)
        assert found["valence"]["pooled"]["n"] == 50
        assert found["valence"]["pooled"]["rmse"] == 0
