"""Two systems compared on the same frames: differences, their intervals and refusals."""

import json
import pathlib

import numpy as np
import pytest

from tests.evaluation.jackknife_test import AGGREGATIONS
from tests.tfds_builders.layouts import write_text
from va_jax.cli.command import main as command
from va_jax.evaluation import bootstrap, jackknife
from va_jax.evaluation.metrics import METRICS, Moments, aggregate
from va_jax.scoring import compare as comparison
from va_jax.scoring import compare_text
from va_jax.scoring.compare import CompareOptions, to_json
from va_jax.scoring.difference import Difference, differences

DIMS = ("valence", "arousal")
FRAMES = 40


def write_run(folder, noise, seed=0, names="abcdefg", frames=FRAMES, change=None, more=()):
    """Write traces like those of an evaluation, on labels that are always the same.

    `change` maps (recording, frame, column) -> the text of that cell; `more` names columns of
    predictions that have no noise.
    """
    header = ["frame", "time_s", *DIMS, *more, *(f"{dim}_target" for dim in DIMS), "face", "valid"]
    for name in names:
        rng = np.random.default_rng([ord(name), 7])
        target = np.tanh(rng.normal(0, 0.4, 2) + 0.05 * rng.normal(size=(FRAMES, 2)).cumsum(0))
        error = np.random.default_rng([ord(name), seed]).normal(0, noise, (FRAMES, 2))
        lines = [",".join(header)]
        for i in range(frames):
            values = [*(target[i] + error[i]), *(target[i, 0] for _ in more), *target[i]]
            cells = [str(i), f"{i / 25:.4f}", *(f"{x:.6f}" for x in values), "1", "1"]
            for column, key in enumerate(header):
                cells[column] = (change or {}).get((name, i, key), cells[column])
            lines.append(",".join(cells))
        write_text(folder / f"{name}.csv", "\n".join(lines) + "\n")
    return str(folder)


def unlabelled(run, folder):
    """Write the predictions of a run without its labels."""
    for path in sorted(run.glob("*.csv")):
        lines = [line.split(",")[:4] for line in path.read_text().splitlines()]
        write_text(folder / path.name, "\n".join(map(",".join, lines)) + "\n")
    return str(folder)


def simulated(rng, count, frames=60, gain=(0.75, 0.6)):
    """Return moments of two systems on `count` recordings that share most of their errors."""
    size = (count, 1)
    level, bias, spread = (
        rng.normal(0, 0.25, size),
        rng.normal(0, 0.15, size),
        rng.gamma(4, 1, size),
    )
    target = level + 0.05 * spread * rng.normal(size=(count, frames))
    common = bias + 0.1 * rng.normal(size=target.shape)
    every, sides = np.ones(frames, bool), []
    for each in gain:
        pred = each * target + common + rng.normal(0, 0.05, size)
        pairs = zip(pred[..., None], target[..., None], strict=True)
        sides.append(Moments.stack([Moments.of(*pair, every) for pair in pairs]))
    return sides


def main(argv):
    assert command(["compare", "--resamples=100", *map(str, argv)]) == 0


def refusal(capsys, *argv):
    """Return the one line with which the command ends."""
    try:
        assert command(["compare", *map(str, argv)]) == 1
    except SystemExit as stop:
        message = str(stop.code)
    else:
        printed, message = capsys.readouterr()
        assert not printed
    assert message.startswith("error: ")
    assert message.count("\n") <= 1
    return message


def compare(first, second, labels=None, **options):
    """Return a comparison, as JSON, with fewer resamples than the command takes."""
    return json.loads(to_json(compare_runs(first, second, labels, **options)))


def compare_runs(first, second, labels=None, **options):
    options = CompareOptions(**{"resamples": 200} | options)
    return comparison.compare(first, second, labels, options)


def cells(result):
    """Yield every entry of a result."""
    for rows in result["scores"].values():
        for row in rows.values():
            yield from row.values()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {
        "good": write_run(root / "good" / "traces" / "test", 0.1, 1) and str(root / "good"),
        "bad": write_run(root / "bad", 0.4, 2),
        "bad_too": write_run(root / "bad_too", 0.5, 3),
    }


def test_a_system_does_not_differ_from_itself(runs):
    found = compare_runs(runs["good"], runs["good"])
    result = json.loads(to_json(found))
    assert all(row["difference"] == 0 and row["p"] == 1 for row in cells(result))
    assert all(row["interval"] == [0, 0] for row in cells(result))
    assert found.headline.better == ""
    assert "no significant difference" in compare_text.text(found)


def test_the_order_of_runs_makes_no_difference(runs):
    three = [runs["good"], runs["bad"], runs["bad_too"]]
    result = compare(",".join(three), ",".join(three[::-1]))
    assert all(row["difference"] == 0 and row["p"] == 1 for row in cells(result))


def test_swapped_sides_give_the_negative(runs):
    good, bad = runs["good"], runs["bad"]
    for row, swapped in zip(cells(compare(good, bad)), cells(compare(bad, good)), strict=True):
        assert row["difference"] == -swapped["difference"]
        low, high = row["interval"]
        np.testing.assert_allclose(swapped["interval"], [-high, -low], rtol=1e-9)
        assert row["p"] == swapped["p"]


def test_a_clearly_better_system_is_found_and_named(runs, capsys):
    main([runs["bad"], runs["good"], "--resamples=200"])
    sentence = capsys.readouterr().out.splitlines()[-1]
    assert sentence.startswith("B is better by 0.")
    assert "in pooled CCC, mean of valence and arousal, p = 0.0" in sentence
    assert compare_runs(runs["bad"], runs["good"]).headline.better == "B"
    result = compare(runs["bad"], runs["good"])
    row = result["scores"]["ccc"]["mean over dimensions"]["pooled"]
    assert row.items() <= result["headline"].items()
    low, high = result["headline"]["interval"]
    assert f"[{-high:.3f}, {-low:.3f}]" in sentence


def test_scores_are_those_of_the_files_read_by_hand(runs):
    row = compare(runs["good"], runs["bad"])["scores"]["ccc"]["arousal"]["pooled"]
    for name, key in (("good/traces/test", "a"), ("bad", "b")):
        folder = runs["bad"].removesuffix("bad") + name
        table = [
            np.loadtxt(f"{folder}/{each}.csv", delimiter=",", skiprows=1) for each in "abcdefg"
        ]
        x, y = np.concatenate(table)[:, 3], np.concatenate(table)[:, 5]
        expected = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        assert row[key] == pytest.approx(expected, abs=1e-6)


def test_a_side_is_the_mean_of_its_runs_beside_their_standard_deviation(runs):
    found = compare_runs(f"{runs['bad']}, {runs['bad_too']}", runs["good"])
    result = json.loads(to_json(found))
    alone = [compare(runs[name], runs["good"]) for name in ("bad", "bad_too")]
    for row, one, two in zip(cells(result), *map(cells, alone), strict=True):
        assert row["a_runs"] == [one["a"], two["a"]]
        assert row["a"] == pytest.approx((one["a"] + two["a"]) / 2)
        assert row["a_sd"] == pytest.approx(abs(one["a"] - two["a"]) / 2**0.5)  # n - 1 is 1
        assert row["difference"] == pytest.approx((one["difference"] + two["difference"]) / 2)
        assert row["b_sd"] is None
    row = result["scores"]["ccc"]["valence"]["pooled"]
    assert f"{row['a']:.3f} +-{row['a_sd']:.3f}" in compare_text.text(found)


def test_runs_are_also_named_by_a_glob(runs):
    by_glob = compare(f"{runs['bad']}*", runs["good"])
    assert by_glob["a"]["runs"] == [runs["bad"], runs["bad_too"]]


def test_the_standard_error_of_a_difference_follows_from_its_slopes(monkeypatch):
    """Compare the standard errors with derivatives from small steps of the weights."""
    (first, second), (third, _) = (simulated(np.random.default_rng(i), 8) for i in range(2))
    monkeypatch.setattr(
        bootstrap, "symmetric_interval", lambda value, error, *_: (value - error, value + error)
    )
    rows = differences([first, third], [second], resamples=100)
    slopes = {}
    for i in range(8):
        below, above = (
            [aggregate(m, np.ones(8) + sign * 1e-5 * np.eye(8)[i]) for m in (first, third, second)]
            for sign in (-1, 1)
        )
        for name in AGGREGATIONS:
            for metric in METRICS:
                a, b, c = (
                    (up[name][metric][0] - down[name][metric][0]) / 2e-5
                    for up, down in zip(above, below, strict=True)
                )
                slopes.setdefault((name, metric), []).append((a + b) / 2 - c)
    for (name, metric), each in slopes.items():
        low, high = rows[name][metric][0].interval
        assert (high - low) / 2 == pytest.approx(np.linalg.norm(each), rel=1e-4)


def test_differences_do_not_depend_on_how_many_resamples_are_held_at_once(monkeypatch):
    first, second = simulated(np.random.default_rng(2), 9)
    whole = differences([first], [second], resamples=100)
    monkeypatch.setattr(jackknife, "TOGETHER", 50)
    parts = differences([first], [second], resamples=100)
    for name, row in whole.items():
        for metric, (one, *_) in row.items():
            np.testing.assert_allclose(parts[name][metric][0].interval, one.interval)


def test_the_paired_interval_is_narrower_than_that_of_separate_draws():
    rng = np.random.default_rng(3)
    first, second = simulated(rng, 30)
    low, high = differences([first], [second])["pooled"]["ccc"][0].interval
    drawn = bootstrap.resamples(30, 1000)
    apart = [
        aggregate(moments, weights)["pooled"]["ccc"][:, 0]
        for moments, weights in ((first, drawn), (second, bootstrap.resamples(30, 1000, 1)))
    ]
    assert high - low < 0.6 * 2 * 1.96 * (apart[0] - apart[1]).std()


@pytest.mark.slow
def test_the_interval_covers_the_true_difference_at_the_nominal_rate():
    rng = np.random.default_rng(4)
    truth = [aggregate(each) for each in simulated(rng, 5000)]
    trials, hits = 300, {}
    for trial in range(trials):
        sides = simulated(rng, 20)
        rows = differences(*([side] for side in sides), resamples=200, seed=trial)
        for name in AGGREGATIONS:
            for metric in ("ccc", "rmse", "sagr"):
                true = truth[0][name][metric][0] - truth[1][name][metric][0]
                low, high = rows[name][metric][0].interval
                hits[name, metric] = hits.get((name, metric), 0) + (low <= true <= high)
    rates = {key: count / trials for key, count in hits.items()}
    assert np.mean(list(rates.values())) == pytest.approx(0.95, abs=0.025), rates
    assert min(rates.values()) > 0.91, rates  # three standard errors of 300 trials are 0.038


@pytest.mark.slow
def test_equal_systems_differ_significantly_no_more_often_than_by_chance():
    rng = np.random.default_rng(5)
    significant = 0
    for trial in range(200):
        first, second = simulated(rng, 20, gain=(0.7, 0.7))
        row = differences([first], [second], resamples=400, seed=trial)
        significant += bool(row["pooled"]["ccc"][0].better)
    assert significant / 200 == pytest.approx(0.05, abs=0.04)


def test_only_frames_that_count_in_every_run_are_scored_and_the_others_are_counted(tmp_path):
    gone = {("b", i, "valid"): "0" for i in range(4)}
    first = write_run(tmp_path / "first", 0.1, 1, "abcdefg", change=gone)
    second = write_run(tmp_path / "second", 0.2, 2, "bcdefgh", frames=FRAMES - 10)
    found = compare_runs(first, second)
    result = json.loads(to_json(found))
    assert result["recordings"] == 6
    assert result["frames"] == 6 * 30 - 4
    assert result["a"]["recordings_left_out"] == result["b"]["recordings_left_out"] == 1
    assert result["a"]["frames_left_out"] == 6 * 10
    assert result["b"]["frames_left_out"] == 4
    assert result["a"]["first_left_out"] == "a"
    (line,) = [each for each in compare_text.text(found).splitlines() if "A: left out" in each]
    assert "1 recordings" in line
    assert "60 frames" in line
    same = [
        write_run(tmp_path / name, noise, seed, "bcdefg", frames=30, change=gone)
        for name, noise, seed in (("third", 0.1, 1), ("fourth", 0.2, 2))
    ]
    assert compare(*same)["scores"] == result["scores"]


def test_strict_refuses_data_of_which_something_is_left_out(tmp_path, capsys):
    first = write_run(tmp_path / "first", 0.1)
    second = write_run(tmp_path / "second", 0.1, names="abcdef")
    short = write_run(tmp_path / "short", 0.1, frames=FRAMES - 1)
    broken = write_run(tmp_path / "broken", 0.1, change={("a", 0, "valence"): ""})
    message = refusal(capsys, first, second, "--strict")
    assert "A: recordings left out: 1 (first: g)" in message
    message = refusal(capsys, short, first, "--strict")
    assert "B: frames left out: 7 (first: a: frame 39)" in message
    assert "frame 0" in refusal(capsys, first, broken, "--strict")
    assert compare(first, broken)["b"]["counts"]["invalid_predictions"] == 1
    assert compare(first, first, strict=True)["frames"] == 7 * FRAMES


def test_labels_that_disagree_are_refused_with_recording_frame_and_values(tmp_path, capsys):
    first = write_run(tmp_path / "first", 0.1)
    second = write_run(tmp_path / "second", 0.1, change={("c", 5, "arousal_target"): "0.99"})
    message = refusal(capsys, first, second)
    assert message.startswith("error: c: frame 5: arousal is labelled ")
    assert "0.99 in " in message
    assert str(tmp_path / "first" / "c.csv") in message
    labels = tmp_path / "first"
    assert compare(first, second, labels)["frames"] == 7 * FRAMES


def test_labels_in_a_folder_give_the_same_scores_as_labels_in_the_traces(runs, tmp_path):
    good = f"{runs['good']}/traces/test"
    root = runs["bad"].removesuffix("/bad")
    plain = [
        unlabelled(tmp_path.parent / root / name, tmp_path / name.split("/")[0])
        for name in ("good/traces/test", "bad")
    ]
    expected = compare(good, runs["bad"])["scores"]
    assert compare(*plain, tmp_path / good)["scores"] == expected
    assert compare(runs["good"], plain[1], tmp_path / runs["good"])["scores"] == expected


def test_recordings_of_the_labels_that_a_side_lacks_are_counted(runs, tmp_path):
    few = write_run(tmp_path / "few", 0.1, names="abcde")
    result = compare(few, runs["bad"], tmp_path / runs["bad"])
    assert result["a"]["counts"]["labels_without_file"] == 2
    assert result["b"]["counts"]["labels_without_file"] == 0
    assert result["b"]["recordings_left_out"] == 2


def test_few_recordings_give_differences_without_interval_and_a_reason(tmp_path, capsys):
    names = "abcdefg"[: bootstrap.FEWEST - 1]
    sides = [write_run(tmp_path / f"{i}", 0.1 + i / 5, i, names) for i in range(2)]
    result = compare(*sides)
    assert all(row["interval"] is row["p"] is None for row in cells(result))
    assert all(row["difference"] for row in cells(result))
    main(sides)
    printed = capsys.readouterr().out
    assert "they require 5 recordings, and there are only 4" in printed
    assert "4 recordings are too few" in printed.splitlines()[-1]


def test_processed_columns_are_compared_where_both_sides_have_them(runs, tmp_path, capsys):
    sides = [
        write_run(tmp_path / f"{i}", 0.1 + i / 5, i, more=["valence_processed"]) for i in range(2)
    ]
    found = [compare_runs(*sides, processed=flag) for flag in (False, True)]
    raw, processed = (json.loads(to_json(each)) for each in found)
    assert raw["scores"]["ccc"]["valence"]["pooled"]["difference"] > 0.05
    assert processed["scores"]["ccc"]["valence"]["pooled"]["a"] == pytest.approx(1)
    assert processed["scores"]["ccc"]["arousal"] == raw["scores"]["ccc"]["arousal"]
    texts = [compare_text.text(each) for each in found]
    assert "raw predictions; pass --processed " in texts[0]
    assert "post-processed predictions of valence; raw predictions of arousal" in texts[1]
    assert "column valence_processed" in refusal(capsys, sides[0], runs["bad"], "--processed")


def test_the_avec_formula_is_used_and_reported(runs):
    found = compare_runs(runs["good"], runs["bad"], formula="avec", metrics=("ccc",))
    result = json.loads(to_json(found))
    plain = compare(runs["good"], runs["bad"], metrics=("ccc",))
    assert "CCC formula 'avec'" in compare_text.text(found)
    pooled, expected = (each["scores"]["ccc"]["valence"]["pooled"]["a"] for each in (result, plain))
    assert 0 < abs(pooled - expected) < 0.01


def test_json_has_the_numbers_and_how_they_were_computed(runs, capsys):
    main([runs["good"], runs["bad"], "--json", "--resamples=100", "--seed=3"])
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {
        "a", "b", "labels", "dims", "processed", "has_processed", "recordings", "frames",
        "formula", "bootstrap", "headline", "scores",
    }  # fmt: skip
    assert list(result["scores"]) == list(METRICS)
    assert list(result["scores"]["ccc"]) == [*DIMS, "mean over dimensions"]
    assert list(result["scores"]["rmse"]) == list(DIMS)
    assert set(result["scores"]["ccc"]["valence"]) == set(AGGREGATIONS)
    assert set(result["scores"]["ccc"]["valence"]["pooled"]) == {
        "a", "b", "difference", "interval", "p", "a_runs", "b_runs", "a_sd", "b_sd",
    }  # fmt: skip
    assert result["bootstrap"] == {
        "method": "paired, symmetric bootstrap-t over recordings",
        "resamples": 100,
        "level": 0.95,
        "seed": 3,
    }


def test_text_shows_a_table_for_each_metric_with_the_ccc_first(runs, capsys):
    main([runs["good"], runs["bad"]])
    blocks = [block.splitlines() for block in capsys.readouterr().out.split("\n\n")[1:-2]]
    assert [lines[0].split()[0] for lines in blocks] == [metric.upper() for metric in METRICS]
    for lines in blocks:
        assert "95 % interval" in lines[0]
        assert len(set(map(len, lines))) == 1


def test_markdown_shows_one_metric_and_dimension_on_request(runs, capsys):
    main([runs["good"], runs["bad"], "--metric=ccc", "--dims=arousal", "--markdown"])
    printed = capsys.readouterr().out
    assert printed.count("| 95 % interval |") == 1
    assert "| arousal, pooled |" in printed
    assert "valence" not in printed
    assert "pooled arousal CCC" in printed.splitlines()[-1]
    result = compare(runs["good"], runs["bad"], dims=["arousal"])
    assert result["scores"]["ccc"]["arousal"]["pooled"].items() <= result["headline"].items()


@pytest.mark.parametrize(
    ("difference", "p", "better"),
    [(0.2, 0.01, "A"), (-0.2, 0.01, "B"), (0.2, 0.06, ""), (0.2, None, "")],
)
def test_a_side_is_better_only_if_p_is_small(difference, p, better):
    assert Difference(0.5, 0.3, difference, None, p, [], [], None, None).better == better


@pytest.mark.parametrize("count", [100, 199, 399])
def test_an_interval_excludes_zero_exactly_where_p_is_at_most_a_twentieth(count):
    rng = np.random.default_rng(6)
    difference, error = rng.normal(2, 1, 3000), np.ones(3000)
    resampled = difference + rng.standard_t(4, (count, 3000))
    parts = difference, error, resampled, np.ones_like(resampled)
    low, high = bootstrap.symmetric_interval(*parts)
    excluded = (low > 0) | (high < 0)
    np.testing.assert_array_equal(excluded, bootstrap.p_value(*parts) <= 0.05)
    assert 0.1 < excluded.mean() < 0.9


def test_a_difference_that_is_the_same_in_every_recording_has_the_smallest_p():
    rng = np.random.default_rng(7)
    target = rng.normal(0, 0.3, (8, 1, 30, 1)) / rng.integers(1, 9, (8, 1, 1, 1))
    first, second = (
        Moments.stack([Moments.of(t[0] + bias, t[0], np.ones(30, bool)) for t in target])
        for bias in (0.1, 0.3)
    )
    row = differences([first], [second], resamples=100)["pooled"]["rmse"][0]
    assert row.difference == pytest.approx(-0.2)
    assert row.interval == pytest.approx([-0.2, -0.2])
    assert row.p == pytest.approx(1 / 101)


def test_a_page_needs_times_and_is_refused_after_the_scores_are_printed(runs, tmp_path, capsys):
    labels = tmp_path / "labels"
    sides = []
    for place, run in enumerate((runs["good"], runs["bad"])):
        for path in sorted(pathlib.Path(run).rglob("*.csv")):
            rows = [line.split(",") for line in path.read_text().splitlines()]
            text = "\n".join(",".join([row[0], *row[2:4]]) for row in rows)
            write_text(tmp_path / str(place) / path.name, text + "\n")
            text = "\n".join(",".join([row[0], *row[4:6]]) for row in rows)
            write_text(labels / path.name, text.replace("_target", "") + "\n")
        sides.append(str(tmp_path / str(place)))
    words = ["compare", *sides, str(labels), f"--page={tmp_path}/page.html", "--resamples=100"]
    assert command(words) == 1
    printed = capsys.readouterr()
    assert "CCC" in printed.out
    assert "the labels of 'a' have no times to draw curves over; set --fps" in printed.err
    assert command([*words, "--fps=25"]) == 0
    assert (tmp_path / "page.html").is_file()


def test_a_folder_of_labels_is_taken_literally(runs, tmp_path):
    """Its name may look like a pattern that matches another folder."""
    for name, shift in (("gt[1]", 0.0), ("gt1", 0.1)):
        for path in sorted(pathlib.Path(runs["good"]).rglob("*.csv")):
            header, *rows = (line.split(",") for line in path.read_text().splitlines())
            lines = [[*header[:2], *DIMS]]
            lines += [[*row[:2], *(f"{float(x) - shift:g}" for x in row[4:6])] for row in rows]
            write_text(tmp_path / name / path.name, "\n".join(map(",".join, lines)) + "\n")
    options = CompareOptions(resamples=100)
    given = runs["good"], runs["bad"], tmp_path / "gt[1]"
    assert comparison.compare(*given, options).labels == tmp_path / "gt[1]"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--page=none/p.html"], "--page=none/p.html: there is no folder none; create it"),
        (["--out=none/x.txt"], "--out=none/x.txt: there is no folder none; create it"),
        (["--page=p.html", "--out=./p.html"], "--page=p.html is also --out"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(flags, message, capsys):
    assert command(["compare", "a", "b", *flags]) == 1
    assert message in capsys.readouterr().err


def test_runs_that_cannot_be_compared_are_refused_in_one_line(runs, tmp_path, capsys):
    good, bad = runs["good"], runs["bad"]
    other = write_run(tmp_path / "other", 0.1, names="xyz")
    plain = unlabelled(tmp_path / "other", tmp_path / "plain")
    never = {(name, i, "valid"): "0" for name in "abcdefg" for i in range(FRAMES)}
    blind = write_run(tmp_path / "blind", 0.1, change=never)
    for argv, message in (
        ([good], "required: B"),
        ([good, bad, bad, bad], f"unexpected argument {bad!r}"),
        ([good, other], "no recording is in every folder"),
        ([other, plain], "x.csv: there is no column of labels"),
        ([good, f"{tmp_path}/none*"], f"{tmp_path}/none*: no folder matches"),
        ([good, tmp_path / "none"], f"{tmp_path}/none: not a folder"),
        ([good, ","], "','"),
        ([f"{bad},{bad}", good], f"{bad} is listed twice"),
        ([good, bad, "--split=dev"], "no split 'dev', only test"),
        ([good, bad, "--dims=liking"], "no column 'liking'"),
        ([good, bad, "--dims=,"], "--dims"),
        ([good, bad, "--resamples=10"], "--resamples=10"),
        ([good, bad, "--seed=-1"], "--seed=-1"),
        ([good, bad, "--fps=0"], "--fps=0"),
        ([good, bad, "--metric=rmse"], "invalid choice: 'rmse'"),
        ([good, blind], "none of the frames in 7 recordings"),
    ):
        assert message in refusal(capsys, *argv), argv
