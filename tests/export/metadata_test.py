"""Model metadata are complete, equal the facts of the run, and are checked when read."""

import json
import shutil

import pytest

from tests.train.loop_test import tiny
from va_jax.data import sources
from va_jax.export import metadata
from va_jax.predict import selftest
from va_jax.types import InputError


@pytest.fixture(scope="module")
def known(tiny_run):
    return metadata.of_run(tiny_run)


def changed(tree, key, value):
    """A copy of `tree` with another `value` at `key`; without it where that is ..."""
    copy = json.loads(json.dumps(tree))
    *parents, name = key.split(".")
    inner = copy
    for parent in parents:
        inner = inner[parent]
    if value is ...:
        del inner[name]
    else:
        inner[name] = value
    return copy


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def rewrite(path, key, value):
    path.write_text(json.dumps(changed(json.loads(path.read_text()), key, value)))


def test_facts_are_those_of_the_data_set(known, tiny_data):
    facts = sources.metadata(str(tiny_data), "synthetic_faces/tiny")
    assert known["dims"] == list(facts["dims"])
    assert known["crop"] == facts["crop"]
    assert known["input"]["size"] == facts["crop"]["size"]
    assert known["fps"] == facts["fps"]
    assert known["data"]["name"] == "synthetic_faces/tiny"
    assert known["data"]["split_hash"] == facts["split_hash"]
    assert known["data"]["frames"]["dev"] == facts["counts"]["dev"]["frames"]


def test_scores_are_those_of_the_evaluation_without_its_recordings(known, tiny_run):
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert known["checkpoint_step"] == metrics["checkpoint_step"]
    assert known["post_processing"] == metrics["post_processing"]
    for split, table in metrics["splits"].items():
        assert table.pop("recordings")
        assert known["scores"][split] == table


def test_the_state_of_a_stream_is_described_by_its_shapes(known, tiny_run):
    model = json.loads((tiny_run / "config.json").read_text())["model"]
    assert known["temporal"] == "causal"
    assert known["stream_state"] == [[model["units"]]] * model["layers"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "causal"),
        *(
            ({"model.temporal": name}, "causal")
            for name in ("tcn", "lru", "tcn_lru", "transformer")
        ),
        *(
            (
                {"model.temporal": name, "model.bidirectional": True, "eval.state": "window"},
                "both_ways",
            )
            for name in ("tcn", "lru", "tcn_lru", "transformer")
        ),
        ({"model.temporal": "none"}, "none"),
        ({"model.bidirectional": True, "eval.state": "window"}, "both_ways"),
        ({"model.inflation.taps": 3}, "both_ways"),
        ({"model.temporal": "none", "model.bidirectional": True, "eval.state": "window"}, "none"),
        ({"model.temporal": "none", "model.inflation.taps": 3}, "both_ways"),
    ],
)
def test_the_frames_a_prediction_depends_on_follow_from_the_config(changes, expected):
    assert metadata.temporal(tiny(".", **changes).model) == expected


def test_the_licence_names_the_weights_that_training_started_from(run):
    rewrite(run / "config.json", "init.weights", "/home/me/resnet50.pth")
    licence = metadata.of_run(run)["licence"]
    assert "synthetic_faces/tiny" in licence
    assert "resnet50.pth" in licence
    assert "/home/me" not in licence


def test_a_run_that_is_not_evaluated_has_no_scores(run):
    (run / "metrics.json").unlink()
    (fitted,) = run.glob("checkpoints/*/postprocess.json")
    fitted.unlink()
    found = metadata.of_run(run)
    assert found["scores"] is found["post_processing"] is None


def test_scores_of_another_checkpoint_are_ignored(run):
    rewrite(run / "metrics.json", "checkpoint_step", 77)
    assert metadata.of_run(run)["scores"] is None


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        ("data.json", "fps", ..., r"data\.json: 'fps' is missing; build"),
        ("data.json", "fps", 0, r"run: fps=0 .*above 0.*; correct"),
        ("metrics.json", "splits", ..., r"metrics\.json: this is not the result of an evaluation"),
        ("metrics.json", "splits", [1], r"metrics\.json: this is not the result of an evaluation"),
        (
            "metrics.json",
            "eval.state",
            "window",
            r"metrics\.json: .*eval\.state='window'.*config\.json has 'carry'; .*va_jax evaluate",
        ),
    ],
)
def test_a_run_with_inconsistent_facts_is_refused(run, file, key, value, message):
    rewrite(run / file, key, value)
    with pytest.raises(InputError, match=message):
        metadata.of_run(run)


def test_an_older_run_without_facts_is_refused_with_a_remedy(run):
    (run / "data.json").unlink()
    with pytest.raises(InputError, match=r"data\.json: not found; copy the file"):
        metadata.of_run(run)


def test_metadata_survive_writing_and_reading(known, tmp_path):
    metadata.write(tmp_path, known)
    assert metadata.read(tmp_path) == known


def test_a_missing_or_damaged_file_is_refused_with_the_command(tmp_path):
    with pytest.raises(InputError, match=r"passport\.json: .*va_jax export"):
        metadata.read(tmp_path)
    (tmp_path / metadata.NAME).write_text("{")
    with pytest.raises(InputError, match=r"passport\.json: .*JSON.*va_jax export"):
        metadata.read(tmp_path)


@pytest.mark.parametrize("key", metadata.FIELDS)
def test_an_entry_that_is_missing_is_named(known, tmp_path, key):
    metadata.write(tmp_path, changed(known, key, ...))
    with pytest.raises(InputError, match=rf"passport\.json: '{key}' is missing; .*va_jax export"):
        metadata.read(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("format", True),
        ("dims", []),
        ("dims", ["valence", "valence"]),
        ("dims", "valence"),
        ("range", [1, -1]),
        ("range", [-1, float("nan")]),
        ("input", None),
        ("input.size", 0),
        ("input.size", 48.0),
        ("input.channels", "BGR"),
        ("input.landmarks.points", -1),
        ("input.landmarks.points", 5),
        ("crop.margin", "0"),
        ("crop.jpeg_quality", 101),
        ("fps", float("inf")),
        ("fps", True),
        ("stride", 0),
        ("evaluation.state", "sideways"),
        ("evaluation.hop", 10_000),
        ("temporal", ["causal"]),
        ("stream_state", [[0]]),
        ("post_processing", []),
        ("post_processing", {"valence": {"steps": []}}),
        ("data.frames", {"train": "many"}),
        ("scores", {"dev": {}}),
        ("scores", {"dev": 3}),
        ("checkpoint_step", -1),
        ("versions", {"jax": 0.1}),
        ("licence", ""),
        ("comparisons", [1]),
    ],
)
def test_an_illegal_entry_is_named_in_one_line(known, tmp_path, key, value):
    metadata.write(tmp_path, changed(known, key, value))
    last = key.split(".")[-1]
    with pytest.raises(InputError, match=rf"passport\.json: .*{last}.*; .*export") as caught:
        metadata.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_metadata_that_are_not_a_mapping_are_refused(tmp_path):
    (tmp_path / metadata.NAME).write_text("[]")
    with pytest.raises(InputError, match=r"'format' is missing"):
        metadata.read(tmp_path)


def test_an_export_of_the_previous_version_is_read():
    found = metadata.read(selftest.PUBLISHED / "model")
    assert found["data"]["name"] == "synthetic_faces/quickstart"
    assert found["stream_state"] == [[16]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("synthetic_faces/quickstart", True), ("aff_wild2", False), ("my_synthetic_faces/x", False)],
)
def test_a_model_is_synthetic_by_the_name_of_its_data_set(known, name, expected):
    assert metadata.is_synthetic(changed(known, "data.name", name)) == expected
