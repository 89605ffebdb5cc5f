"""The card in words: every row with all metrics, aligned, and as Markdown."""

import re

import numpy as np
import pytest

from tests.evaluation.score_table_test import DIMS, TRACES, trace
from va_jax.evaluation.score_table import metric_card, scores
from va_jax.report import tables
from va_jax.types import Trace

MANY = [trace(i, 60, "ab"[i % 2]) for i in range(8)]


@pytest.fixture(scope="module")
def card():
    card = metric_card(MANY, DIMS, {"valence": 0.1, "arousal": -0.2}, resamples=100)
    card["ceiling"] = {"valence": 0.91}
    card["raters"] = {"arousal": {"raters": 3, "mean_ccc": 0.625}}
    card["processed"] = {
        "fitted_on": "dev",
        "steps": {"valence": "nothing kept", "arousal": "x 1.25"},
        "scores": scores(MANY, [t.pred * 1.25 for t in MANY], DIMS),
    }
    return card


def test_a_row_shows_the_numbers_of_the_card(card):
    lines = tables.text("dev", card).splitlines()
    assert lines[0] == "dev: 8 tracks, 480 frames, 480 of them count"
    row = card["scores"]["valence"]["pooled"]
    low, high = row["interval"]["ccc"]
    shown = next(line for line in lines if line.startswith("  pooled "))
    expected = [f"{row['ccc']:.3f}", f"[{low:.3f},", f"{high:.3f}]"]
    expected += [f"{row[key]:.3f}" for key in ("pcc", "rmse", "mse", "sagr")]
    assert shown.split() == ["pooled", *expected, "480", "8"]


def test_every_row_that_a_card_can_have_is_shown_under_its_dimension(card):
    valence, arousal = tables.text("dev", card).split("\narousal ")
    for part in ("mean of recordings ", "length weighted ", "group a ", "train mean ",
                 "label held oracle ", "pooled, processed ", "fitted on dev: "):  # fmt: skip
        assert part in valence
        assert part in arousal
    assert re.search(r"ceiling of the set +0\.910\n", valence)
    assert "ceiling of the set" not in arousal
    assert re.search(r"3 raters, mean of pairs +0\.625\n", arousal)
    assert "raters" not in valence
    assert "fitted on dev: x 1.25" in arousal


def test_columns_are_aligned(card):
    lines = tables.text("dev", card).splitlines()
    ends = {line.index(" CCC") + 4 for line in lines if " CCC" in line}
    assert len(ends) == 1
    for line in lines:
        if line.startswith("  ") and "raters" not in line and "fitted" not in line:
            assert line[: ends.copy().pop()].split()[-1].replace(".", "").isdigit(), line


def test_markdown_has_the_same_cells_as_the_text(card):
    text = tables.text("dev", card).splitlines()
    grid = [line for line in tables.markdown("dev", card).splitlines() if line[:1] == "|"]
    columns = {line.count("|") for line in grid}
    assert columns == {len(tables.HEADER) + 2}
    cells = next(line for line in grid if line.startswith("| pooled |"))
    shown = next(line for line in text if line.startswith("  pooled "))
    assert cells.replace("|", " ").split() == shown.split()


def test_a_split_without_labels_says_so():
    blank = [
        Trace(t.track, t.pred, np.full_like(t.target, np.nan), t.face, t.time_s) for t in TRACES
    ]
    card = metric_card(blank, DIMS, {"valence": 0.1, "arousal": -0.2})
    assert card["scores"] == {"valence": {}, "arousal": {}}
    for form in (tables.text, tables.markdown):
        told = form("test", card)
        assert "predictions only" in told
        assert len(told.splitlines()) == 1


def test_what_is_undefined_is_told():
    constant = np.full((40, 2), 0.25, np.float32)
    still = Trace(TRACES[0].track, constant, constant, np.ones(40, bool), np.arange(40.0))
    told = tables.text("dev", metric_card([still], DIMS, resamples=0))
    assert "pooled: the signal is the same constant as the label: CCC is 0/0, taken as 0" in told


def test_an_interval_whose_end_is_not_known_shows_that():
    row = {"interval": {"rmse": [0.1, None]}}
    assert tables.format_interval(row, "rmse") == "[0.100, -]"
    assert tables.format_interval({"interval": None}, "ccc") == ""
    assert tables.format_interval({}, "ccc") == ""
