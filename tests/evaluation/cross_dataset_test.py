"""Runs scored on data sets: cells, shared dimensions, warnings and errors."""

import dataclasses
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from tests.evaluation.score_table_test import trace
from tests.train.multiprocess_test import ROOT
from va_jax.evaluation import cross_dataset
from va_jax.evaluation.score_table import metrics_table
from va_jax.types import InputError


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_run):
    """Return an evaluated run, and a copy that names another set as its training data."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(tiny_run, folder / "home")
    shutil.copytree(tiny_run, folder / "away")
    path = folder / "away" / "data.json"
    facts = json.loads(path.read_text())
    facts["name"] = "elsewhere"
    facts["crop"]["margin"] = 0.7
    path.write_text(json.dumps(facts))
    return folder


def filled(runs, data, processed=False, names=("home", "away")):
    cells = cross_dataset.plan([runs / name for name in names], data, "", "test")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return list(cross_dataset.score_cells(cells, processed))


@pytest.mark.slow
def test_a_cell_equals_the_evaluation_of_that_run_on_that_split(runs):
    results = filled(runs, ["synthetic_faces/tiny", "synthetic_faces/tiny:dev"])
    assert [(each["split"], each["own"]) for each in results] == [
        ("test", True), ("dev", True), ("test", False), ("dev", False),
    ]  # fmt: skip
    kept = json.loads((runs / "home" / "metrics.json").read_text())["splits"]
    for each in results:
        assert each["metrics"]["scores"] == kept[each["split"]]["scores"]
    assert not results[0]["warnings"]
    assert "crop.margin of synthetic_faces/tiny is 0.0" in results[2]["warnings"][0]


def test_the_post_processing_of_the_run_is_applied(runs):
    results = filled(runs, ["synthetic_faces/tiny"], processed=True, names=("home",))
    kept = json.loads((runs / "home" / "metrics.json").read_text())["splits"]["test"]
    assert results[0]["metrics"]["scores"] == kept["processed"]["scores"]


def test_dimensions_are_matched_by_name_whatever_their_order():
    given = trace(0, 50)
    reversed_target = dataclasses.replace(given, target=given.target[:, ::-1])
    cell = cross_dataset.Cell(
        None, None, ("valence", "arousal"), ("arousal",), 0, "test", False, []
    )
    aligned = cross_dataset._select_shared(reversed_target, cell, ("arousal", "valence"))
    np.testing.assert_array_equal(aligned.pred[:, 0], given.pred[:, 1])
    np.testing.assert_array_equal(aligned.target[:, 0], given.target[:, 1])


def results_of(*names):
    metrics = metrics_table([trace(i, 40) for i in range(6)], ("valence", "arousal"), resamples=50)
    common = {"split": "test", "warnings": ["fps of b is 50"], "metrics": metrics}
    return [
        {"run": run, "data": name, "own": name == "a", **common}
        for run in ("runs/x", "runs/longer") for name in names
    ]  # fmt: skip


def test_the_tables_have_a_line_for_every_run_and_a_column_for_every_set():
    results = results_of("a", "b")
    row = results[0]["metrics"]["scores"]["arousal"]["pooled"]
    low, high = row["interval"]["ccc"]
    cell = f"{row['ccc']:.3f} [{low:.3f}, {high:.3f}]"
    text = cross_dataset.text(results)
    block = text.split("arousal, pooled CCC\n")[1].splitlines()
    assert block[0].split() == ["run", "a", "test", "b", "test"]
    assert block[1].startswith("runs/x ")
    assert block[2].split("  ")[-1] == cell
    assert f"{cell} *" in block[2]
    assert text.count("warning: fps of b is 50") == 1
    assert "* the data set that the run was trained on" in text
    lines = cross_dataset.markdown(results).splitlines()
    assert f"| runs/longer | {cell} * | {cell} |" in lines


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("synthetic_faces/tiny:private", "no split 'private'"),
        ("nowhere/96", "not found in data.dir"),
    ],
)
def test_a_missing_set_or_split_is_refused_before_anything_is_predicted(runs, data, message):
    with pytest.raises(InputError, match=message):
        cross_dataset.plan([runs / "home"], ["synthetic_faces/tiny", data], "", "test")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="the workdir of a run"):
        cross_dataset.plan([tmp_path], ["synthetic_faces/tiny"], "", "test")


@pytest.mark.slow
def test_the_command_prints_the_table_and_refuses_in_one_line(runs, tmp_path):
    command = [sys.executable, "-m", "va_jax", "cross-dataset", str(runs / "home")]
    flags = ["--data=synthetic_faces/tiny", f"--out={tmp_path / 'table.txt'}"]
    done = subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "valence, pooled CCC" in done.stdout
    assert (tmp_path / "table.txt").read_text() == done.stdout
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--data" in done.stderr.splitlines()[-1]
