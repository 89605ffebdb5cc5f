"""The files of an evaluation exist and agree with each other."""

import csv
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from tests.train.loop_test import tiny
from va_jax.evaluation.evaluate import evaluate
from va_jax.evaluation.postprocess import NAME, PostProcessing
from va_jax.scoring import score
from va_jax.train import workdir as run_config
from va_jax.types import InputError


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def scores(folder: pathlib.Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_evaluation_writes_scores_traces_and_a_page(tiny_run):
    for name in ("metrics.json", "metrics.txt", "metrics.md", "report.html", "traces_test.png"):
        assert (tiny_run / name).stat().st_size > 100, name
    kept = scores(tiny_run)
    assert set(kept["splits"]) == {"dev", "test"}
    assert kept["formula"] == "population"
    assert kept["eval"]["state"] == "carry"
    assert set(kept["versions"]) == {"va_jax", "jax", "flax"}
    table = kept["splits"]["test"]
    assert set(table["ceiling"]) == {"valence", "arousal"}
    assert table["bootstrap"]["method"] == "bootstrap-t over recordings"


def test_the_scores_can_be_computed_from_the_traces(tiny_run):
    folder = tiny_run / "traces" / "test"
    options = score.ScoreOptions(label_suffix="_target", strict=True)
    again = score.score(folder, folder, options).table["scores"]
    kept = scores(tiny_run)["splits"]["test"]["scores"]
    for dim in ("valence", "arousal"):
        for aggregation in ("pooled", "mean_of_recordings", "length_weighted"):
            for metric in ("ccc", "pcc", "rmse", "mse", "sagr", "n", "recordings"):
                expected = kept[dim][aggregation][metric]
                assert again[dim][aggregation][metric] == pytest.approx(expected, abs=2e-4)


def test_post_processing_is_stored_with_its_checkpoint_and_gives_the_processed_columns(tiny_run):
    kept = scores(tiny_run)
    path = tiny_run / "checkpoints" / str(kept["checkpoint_step"]) / NAME
    fitted = PostProcessing.from_json(json.loads(path.read_text()), str(path))
    assert fitted.to_json() == kept["post_processing"]
    for each in (tiny_run / "traces" / "test").glob("*.csv"):
        lines = rows(each)
        assert ("valence_processed" in lines[0]) == bool(fitted)
        if fitted:
            dims = ("valence", "arousal")
            pred, processed = (
                np.array([[float(line[f"{dim}{end}"]) for dim in dims] for line in lines])
                for end in ("", "_processed")
            )
            time_s = np.array([float(line["time_s"]) for line in lines])
            expected = fitted.apply(pred.astype(np.float32), time_s, dims)
            gain = max(1, (np.ptp(expected, 0) / np.ptp(pred, 0)).max())  # of the stored rounding
            np.testing.assert_allclose(processed, expected, atol=2e-6 * gain)


def test_an_export_holds_the_post_processing(tiny_run, tiny_export):
    kept = json.loads((tiny_export / NAME).read_text())
    assert kept == scores(tiny_run)["post_processing"]


def test_missing_faces_and_missing_labels_are_marked_separately(tiny_run):
    lines = [line for path in (tiny_run / "traces").glob("*/*.csv") for line in rows(path)]
    for line in lines:
        labelled = line["valence_target"] != "" and line["arousal_target"] != ""
        assert int(line["valid"]) == (int(line["face"]) and labelled)
    assert {line["face"] for line in lines} == {"0", "1"}


@pytest.mark.slow
def test_another_evaluation_can_go_to_its_own_folder(tiny_run, tiny_data, tmp_path):
    before = (tiny_run / "metrics.json").read_text()
    keys = {"train.steps": 1, "eval.state": "window", "eval.hop": 4, "eval.fusion": "last"}
    config = run_config.for_evaluation(tiny_run, tiny(tiny_data, **keys))
    evaluate(config, tiny_run, tmp_path / "windows")
    assert (tiny_run / "metrics.json").read_text() == before
    found = scores(tmp_path / "windows")
    assert found["eval"]["fusion"] == "last"
    assert found["checkpoint_step"] == json.loads(before)["checkpoint_step"]
    first, second = (
        json.loads(x)["splits"]["test"]["scores"]["valence"]["pooled"]["rmse"]
        for x in (before, json.dumps(found))
    )
    assert first != second
    assert first == pytest.approx(second, abs=0.1)


def test_a_config_of_another_network_does_not_evaluate_a_run(tiny_run, tiny_data):
    with pytest.raises(
        InputError, match=r"a different config: model.units \(8 in the run, 16 given\)"
    ):
        run_config.for_evaluation(
            tiny_run, tiny(tiny_data, **{"train.steps": 1, "model.units": 16})
        )


@pytest.mark.slow
def test_traces_of_an_earlier_evaluation_are_removed(tiny_run, tiny_data, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "copy")
    stale = tmp_path / "copy" / "traces" / "test" / "gone.csv"
    stale.write_text("frame,time_s,valence\n")
    evaluate(run_config.load(tmp_path / "copy"), tmp_path / "copy")
    assert not stale.exists()
    assert list(stale.parent.glob("*.csv"))
