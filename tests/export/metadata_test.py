"""What is known of a network: complete, true to its run, and checked entry by entry when read."""

import json
import shutil

import pytest

from tests.train.loop_test import tiny
from va_jax.data import sources
from va_jax.export import metadata, metadata_fields
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
    told = json.loads((tiny_run / "metrics.json").read_text())
    assert known["checkpoint_step"] == told["checkpoint_step"]
    assert known["post_processing"] == told["post_processing"]
    for split, card in told["splits"].items():
        assert card.pop("recordings")
        assert known["scores"][split] == card


def test_the_state_of_a_stream_has_its_shapes(known, tiny_run):
    model = json.loads((tiny_run / "config.json").read_text())["model"]
    assert known["temporal"] == "causal"
    assert known["stream_state"] == [[model["units"]]] * model["layers"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "causal"),
        ({"model.recurrent": "none"}, "none"),
        ({"model.bidirectional": True}, "both_ways"),
        ({"model.inflation.taps": 3}, "both_ways"),
        ({"model.recurrent": "none", "model.bidirectional": True}, "none"),
        ({"model.recurrent": "none", "model.inflation.taps": 3}, "both_ways"),
    ],
)
def test_what_a_prediction_rests_on_is_told(changes, expected):
    assert metadata.temporal(tiny(".", **changes).model) == expected


def test_weights_that_a_run_started_from_are_named_beside_its_data(run):
    rewrite(run / "config.json", "init.weights", "/home/me/resnet50.pth")
    licence = metadata.of_run(run)["licence"]
    assert "Trained on synthetic_faces/tiny. It started from resnet50.pth. The licence" in licence


def test_what_was_not_scored_has_no_scores(run):
    (run / "metrics.json").unlink()
    (fitted,) = run.glob("checkpoints/*/postprocess.json")
    fitted.unlink()
    found = metadata.of_run(run)
    assert found["scores"] is found["post_processing"] is None


def test_scores_of_another_checkpoint_are_not_taken(run):
    rewrite(run / "metrics.json", "checkpoint_step", 77)
    assert metadata.of_run(run)["scores"] is None


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        ("data.json", "fps", ..., r"data\.json: 'fps' is missing; build the data set"),
        ("data.json", "fps", 0, r"run: fps=0 is not legal: a number above 0; see its"),
        ("metrics.json", "splits", ..., r"metrics\.json: is no result of an evaluation"),
        ("metrics.json", "splits", [1], r"metrics\.json: is no result of an evaluation"),
        (
            "metrics.json",
            "eval.state",
            "window",
            r"metrics\.json: was scored with eval\.state='window', config\.json there says 'carry';"
            r" score again: `python -m va_jax\.main --mode=eval --workdir=",
        ),
    ],
)
def test_a_run_whose_facts_do_not_fit_is_refused(run, file, key, value, message):
    rewrite(run / file, key, value)
    with pytest.raises(InputError, match=message):
        metadata.of_run(run)


def test_an_older_run_without_facts_is_told_what_to_do(run):
    (run / "data.json").unlink()
    with pytest.raises(InputError, match=r"data\.json: not found; put there that of a run on the"):
        metadata.of_run(run)


def test_what_is_written_is_read(known, tmp_path):
    metadata.write(tmp_path, known)
    assert metadata.read(tmp_path) == known


def test_a_folder_without_a_passport_is_told_the_command(tmp_path):
    with pytest.raises(InputError, match=r"passport\.json: not readable .*--mode=export"):
        metadata.read(tmp_path)
    (tmp_path / metadata.NAME).write_text("{")
    with pytest.raises(InputError, match=r"passport\.json: no JSON .*--mode=export"):
        metadata.read(tmp_path)


@pytest.mark.parametrize("key", metadata_fields.FIELDS)
def test_an_entry_that_is_missing_is_named(known, tmp_path, key):
    metadata.write(tmp_path, changed(known, key, ...))
    with pytest.raises(InputError, match=rf"passport\.json: '{key}' is missing; write the export"):
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
def test_an_entry_that_is_not_legal_is_one_line_that_names_it(known, tmp_path, key, value):
    metadata.write(tmp_path, changed(known, key, value))
    last = key.split(".")[-1]
    with pytest.raises(InputError, match=rf"passport\.json: .*{last}.*; .*export") as caught:
        metadata.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_passport_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / metadata.NAME).write_text("[]")
    with pytest.raises(InputError, match=r"'format' is missing"):
        metadata.read(tmp_path)
