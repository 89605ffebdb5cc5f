"""The model card agrees with the metadata, and its code runs."""

import copy
import functools
import re

import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from va_jax.export import arrays, metadata, model_card, stablehlo
from va_jax.models.build import build_model
from va_jax.train import workdir as run_config


@pytest.fixture(scope="module")
def known(tiny_export):
    return metadata.read(tiny_export)


@pytest.fixture
def config(tiny_export):
    return run_config.load(tiny_export)


def section(text, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.S | re.M)[1]


def test_the_card_in_an_export_is_that_of_its_metadata(tiny_export, known, config):
    assert (tiny_export / "MODEL_CARD.md").read_text() == model_card.text(known, config)


def test_scores_have_intervals_and_ceilings(known, config):
    shown = section(model_card.text(known, config), "Scores")
    for split, card in known["scores"].items():
        for dim, rows in card["scores"].items():
            assert f"| pooled | {rows['pooled']['ccc']:.3f} |" in shown
            assert f"| ceiling of the data set | {card['ceiling'][dim]:.3f} |" in shown
        assert f"### {split}: {card['tracks']} tracks" in shown
    known = copy.deepcopy(known)
    known["scores"]["dev"]["scores"]["valence"]["pooled"]["interval"] = {"ccc": [-0.25, 0.75]}
    assert "[-0.250, 0.750]" in model_card.text(known, config)


@pytest.mark.parametrize(
    ("lag_s", "words"),
    [(0.3, "0.30 s after the labels"), (-1.26, "1.26 s before the labels"), (0.0, "none")],
)
def test_a_lag_is_described_in_words(known, config, lag_s, words):
    known = copy.deepcopy(known)
    curve = {"lags_s": [lag_s], "ccc": [0.5], "best_lag_s": lag_s, "best_ccc": 0.5}
    for dim in known["dims"]:
        known["post_processing"][dim] = {"steps": [], "lag_curve": curve}
    assert f"- valence: {words}" in section(model_card.text(known, config), "Post-processing")


def test_missing_scores_post_processing_and_streaming_are_stated(known, config):
    bare = known | {"scores": None, "post_processing": None, "stream_state": None}
    text = model_card.text(bare, config)
    assert "not evaluated" in section(text, "Scores")
    assert "No post-processing was fitted" in section(text, "Post-processing")
    assert "cannot be processed in pieces" in section(text, "Use")


def test_the_licence_and_missing_real_frames_are_stated(known, config):
    random = [row for row in known["comparisons"] if row["frames"] == "random"]
    text = model_card.text(known | {"comparisons": random}, config)
    assert "Real frames were not compared" in section(text, "Check")
    assert "Real frames were not compared" not in model_card.text(known, config)
    assert known["licence"] in section(text, "Licence")


def test_landmarks_are_named_wherever_they_are_needed(known, config):
    known = copy.deepcopy(known)
    known["input"]["landmarks"] = {"points": 68, "place": "after_fc"}
    text = model_card.text(known, config)
    assert "[batch, time, 68, 2]" in section(text, "Input")
    used = section(text, "Use")
    assert "network(frames, face, landmarks)" in used
    assert "model(frames, face, landmarks=landmarks)" in used


def test_the_lines_for_jax_alone_run(tiny_export, tiny_run, known):
    card = (tiny_export / "MODEL_CARD.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", card, re.S)
    (block,) = (block for block in blocks if "jaxexport" in block)
    size = known["input"]["size"]
    frames = np.random.default_rng(0).integers(0, 256, (1, 3, size, size, 3), np.uint8)
    names = {"frames": frames, "face": np.ones((1, 3), bool)}
    exec(block.replace("FOLDER", str(tiny_export)), names)
    config = run_config.load(tiny_run)
    model = build_model(config.model, tuple(known["dims"]))
    variables = unflatten_dict(arrays.read(tiny_export), sep="/")
    expected = jax.jit(functools.partial(stablehlo.predict, model))(
        variables, frames, names["face"]
    )
    np.testing.assert_allclose(names["pred"], expected, atol=1e-5, rtol=0)


def test_a_model_trained_on_drawings_is_marked_at_the_top_in_bold(known, config):
    first, second = model_card.text(known, config).split("\n\n")[:2]
    assert first.startswith("# ")
    assert second.startswith("**")
    assert second.endswith("**")
    assert metadata.SYNTHETIC_WARNING in second


def test_a_model_trained_on_faces_has_no_such_mark(known, config):
    real = known | {"data": known["data"] | {"name": "aff_wild2"}}
    assert metadata.SYNTHETIC_WARNING not in model_card.text(real, config)
