"""The metrics table as text and as Markdown: every row with all its metrics, aligned."""

import re

import numpy as np
import pytest

from tests.evaluation.score_table_test import DIMS, TRACES, trace
from va_jax.evaluation import score_table
from va_jax.evaluation.score_table import scores
from va_jax.report import tables
from va_jax.types import Trace

MANY = [trace(i, 60, "ab"[i % 2]) for i in range(8)]


@pytest.fixture(scope="module")
def metrics_table():
    table = score_table.metrics_table(MANY, DIMS, {"valence": 0.1, "arousal": -0.2}, resamples=100)
    table["ceiling"] = {"valence": 0.91}
    table["raters"] = {"arousal": {"raters": 3, "mean_ccc": 0.625}}
    table["processed"] = {
        "fitted_on": "dev",
        "steps": {"valence": "no step kept", "arousal": "x 1.25"},
        "scores": scores(MANY, [t.pred * 1.25 for t in MANY], DIMS),
    }
    return table


def test_a_row_shows_the_numbers_of_the_metrics_table(metrics_table):
    lines = tables.text("dev", metrics_table).splitlines()
    assert lines[0] == "dev: 8 tracks, 480 frames, 480 of them scored"
    row = metrics_table["scores"]["valence"]["pooled"]
    low, high = row["interval"]["ccc"]
    shown = next(line for line in lines if line.startswith("  pooled "))
    expected = [f"{row['ccc']:.3f}", f"[{low:.3f},", f"{high:.3f}]"]
    expected += [f"{row[key]:.3f}" for key in ("pcc", "rmse", "mse", "sagr")]
    assert shown.split() == ["pooled", *expected, "480", "8"]


def test_every_possible_row_is_shown_under_its_dimension(metrics_table):
    valence, arousal = tables.text("dev", metrics_table).split("\narousal ")
    for part in ("mean of recordings ", "length weighted ", "group a ", "train mean ",
                 "label held oracle ", "pooled, post-processed "):  # fmt: skip
        assert part in valence
        assert part in arousal
    assert re.search(r"ceiling of the data set +0\.910\n", valence)
    assert "ceiling" not in arousal
    assert re.search(r"agreement of rater pairs, 3 raters +0\.625\n", arousal)
    assert "raters" not in valence


def test_both_kinds_of_rater_agreement_are_shown_with_what_they_mean(metrics_table):
    agreement = {"raters": 3, "mean_ccc": 0.625, "mean_leave_one_out_ccc": 0.75}
    table = {**metrics_table, "raters": {"arousal": agreement}}
    for form in (tables.text, tables.markdown):
        found = form("dev", table)
        assert re.search(r"agreement of rater pairs, 3 raters[ |]+0\.625", found)
        assert re.search(r"one rater and the mean of the others, 3 raters[ |]+0\.750", found)
        assert "Neither is an upper limit" in found
        older = form("dev", metrics_table)
        assert "mean of the others" not in older
        assert "not an upper limit" in older


def test_notes_name_the_steps_of_the_post_processing_and_their_split(metrics_table):
    for form in (tables.text, tables.markdown):
        valence, arousal = form("dev", metrics_table).splitlines()[-2:]
        assert re.search("valence.*fitted on dev: no step kept", valence)
        assert re.search(r"arousal.*fitted on dev: x 1\.25", arousal)


def test_columns_are_aligned(metrics_table):
    lines = tables.text("dev", metrics_table).splitlines()
    ends = {line.index(" CCC") + 4 for line in lines if " CCC" in line}
    assert len(ends) == 1
    rows = [line for line in lines if line.startswith("  ")]
    assert len(rows) > 20
    for line in rows:
        assert re.fullmatch(r".* -?\d\.\d{3}", line[: max(ends)]), line


def test_markdown_has_the_same_cells_as_the_text(metrics_table):
    text = tables.text("dev", metrics_table).splitlines()
    rows = [line for line in tables.markdown("dev", metrics_table).splitlines() if line[:1] == "|"]
    assert {line.count("|") for line in rows} == {len(tables.HEADER) + 2}
    shown = [
        line.split() for line in text if line.startswith(("  ", *DIMS)) and "fitted" not in line
    ]
    assert [line.replace("|", " ").split() for line in rows if "---" not in line] == shown


def test_a_split_without_labels_is_described_in_one_line():
    blank = [
        Trace(t.track, t.pred, np.full_like(t.target, np.nan), t.face, t.time_s) for t in TRACES
    ]
    table = score_table.metrics_table(blank, DIMS, {"valence": 0.1, "arousal": -0.2})
    assert table["scores"] == {"valence": {}, "arousal": {}}
    assert not tables.is_scored(table)
    for form in (tables.text, tables.markdown):
        text = form("test", table)
        assert "predictions only" in text
        assert len(text.splitlines()) == 1


def test_an_undefined_score_is_noted():
    constant = np.full((40, 2), 0.25, np.float32)
    still = Trace(TRACES[0].track, constant, constant, np.ones(40, bool), np.arange(40.0))
    text = tables.text("dev", score_table.metrics_table([still], DIMS, resamples=0))
    assert re.search(r"valence, pooled: .*0/0", text)
    assert re.search(r"arousal, mean of recordings: in 1 of 1 recordings .*0/0", text)


def test_the_ccc_formula_is_named_if_it_is_not_the_usual_one():
    for formula, named in (("avec", True), ("population", False)):
        table = score_table.metrics_table(TRACES, DIMS, formula=formula, resamples=0)
        assert ("AVEC" in tables.headline("dev", table)) == named


def test_a_group_keeps_the_spelling_of_its_name():
    traces = [trace(i, 60, group) for i, group in enumerate(("set_a", "set_b:2"))]
    text = tables.text("dev", score_table.metrics_table(traces, DIMS, resamples=0))
    assert "  group set_a " in text
    assert "  group set_b:2 " in text


def test_an_interval_with_an_unknown_end_shows_a_dash_there():
    row = {"interval": {"rmse": [0.1, None]}}
    assert tables.format_interval(row, "rmse") == "[0.100, -]"
    assert tables.format_interval({"interval": None}, "ccc") == ""
    assert tables.format_interval({}, "ccc") == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (-0.00001, "0.000"), (-0.5, "-0.500"), (None, "-")]
)
def test_a_score_has_three_decimals_and_a_leading_zero(value, text):
    assert tables.format_score(value) == text


def test_a_missing_interval_is_explained_in_its_place():
    few = score_table.metrics_table(MANY[:4], DIMS, resamples=50)
    none = score_table.metrics_table(MANY, DIMS, resamples=0)
    for table, reason in ((few, "needs 5 recordings"), (none, "not computed")):
        rows = [line for line in tables.text("dev", table).splitlines() if "pooled" in line]
        assert len(rows) == len(DIMS)
        assert all(reason in row for row in rows)
        assert reason in tables.markdown("dev", table)
        assert reason in tables.interval_note(tables.groups(table, "valence"))
    for line in tables.text("dev", few).splitlines():
        assert "needs" not in line or "oracle" not in line  # baselines never have intervals


def test_the_agreement_of_raters_is_not_called_a_ceiling(metrics_table):
    text = tables.text("dev", {**metrics_table, "ceiling": {}})
    assert "agreement of rater pairs, 3 raters" in text
    assert "ceiling" not in text
    titles = [group.title for group in tables.groups(metrics_table, "arousal")]
    assert not any("ceiling" in title for title in titles)
