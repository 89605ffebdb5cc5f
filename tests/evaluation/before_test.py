"""A network fine-tuned on one subject is compared with the network that it started from."""

import json

import jax
import pytest

from tests.train.loop_test import tiny
from va_jax.data import personal, sources
from va_jax.evaluation.before import NAME
from va_jax.evaluation.evaluate import evaluate
from va_jax.train.loop import train
from va_jax.types import InputError


@pytest.fixture(autouse=True)
def _optax_promotes_types(without_page):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def subject(tiny_data, monkeypatch):
    """A subject of the test split with two tracks, divided into parts of at least one clip."""
    monkeypatch.setattr(personal, "DEV_SHARE", 0.5)
    monkeypatch.setattr(personal, "GAP", 0)
    tracks = sources.metadata(str(tiny_data), "synthetic_faces/tiny")["tracks"]
    return tracks["test"][0]["subject_id"]


def fine_tuned(tiny_data, tiny_run, workdir, subject, **overrides):
    given = {"init.from_workdir": str(tiny_run), "data.subject": subject}
    config = tiny(tiny_data, **given, **{"data.subject_minutes": 0.1}, **overrides)
    train(config, workdir)
    evaluate(config, workdir)
    return json.loads((workdir / "metrics.json").read_text())["splits"]


def test_the_report_compares_before_and_after_on_the_rest(tiny_data, tiny_run, subject, tmp_path):
    after = fine_tuned(tiny_data, tiny_run, tmp_path, subject, **{"train.steps": 1})
    before = json.loads((tmp_path / NAME).read_text())
    assert before["init"] == str(tiny_run)
    for split in ("dev", "test"):
        table = after[split]
        assert table["before"] == before["splits"][split]
        row = table["before"]["raw"]["valence"]["pooled"]
        assert row["n"] == table["scores"]["valence"]["pooled"]["n"] > 0
    text = (tmp_path / "metrics.txt").read_text()
    assert "pooled, post-processed, before fine-tuning" in text


def test_without_a_change_of_parameters_before_is_after(tiny_data, tiny_run, subject, tmp_path):
    frozen = {f"optim.rates.{part}": 0.0 for part in ("backbone", "fc", "temporal", "heads")}
    after = fine_tuned(tiny_data, tiny_run, tmp_path, subject, **frozen)
    for table in after.values():
        for dim, rows in table["scores"].items():
            assert table["before"]["raw"][dim]["pooled"]["ccc"] == pytest.approx(
                rows["pooled"]["ccc"], abs=1e-6
            )


@pytest.mark.slow
def test_a_subject_of_the_training_split_is_reported(
    tiny_data, tiny_run, subject, tmp_path, capsys
):
    tracks = sources.metadata(str(tiny_data), "synthetic_faces/tiny")["tracks"]
    known = tracks["train"][0]["subject_id"]
    fine_tuned(tiny_data, tiny_run, tmp_path / "known", known)
    assert f"data.subject='{known}' is in the split 'train'" in capsys.readouterr().err
    fine_tuned(tiny_data, tiny_run, tmp_path / "other", subject)
    assert "data.subject" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_resumed_run_keeps_the_scores_before(tiny_data, tiny_run, subject, tmp_path):
    once = fine_tuned(tiny_data, tiny_run, tmp_path, subject, **{"train.steps": 1})
    twice = fine_tuned(tiny_data, tiny_run, tmp_path, subject, **{"train.steps": 2})
    assert once["test"]["before"] == twice["test"]["before"]


@pytest.mark.slow
def test_a_damaged_file_is_named(tiny_data, tiny_run, subject, tmp_path):
    fine_tuned(tiny_data, tiny_run, tmp_path, subject)
    (tmp_path / NAME).write_text("[]")
    with pytest.raises(InputError, match=NAME):
        fine_tuned(tiny_data, tiny_run, tmp_path, subject)
