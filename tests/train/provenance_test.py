"""What a run was trained on: kept, carried along by exports, compared with the data at hand."""

import copy
import json

import jax
import pytest

from tests.train.loop_test import tiny
from va_jax.config import Data
from va_jax.data import sources
from va_jax.evaluation.evaluate import evaluate
from va_jax.export.export import export
from va_jax.train import provenance
from va_jax.train.loop import train
from va_jax.train.setup import record_data
from va_jax.types import InputError

METADATA = {
    "dims": ["valence", "arousal"],
    "crop": {
        "size": 96, "source": "boxes", "margin": 0.1, "alignment": "level eyes",
        "jpeg_quality": 90,
    },
    "fps": 25.0,
    "labels": {"source": "gold standard", "range": (-1, 1), "join": "time"},
    "split_hash": "0123456789abcdef",
    "counts": {"train": {"tracks": 2, "frames": 700}, "dev": {"tracks": 1, "frames": 300}},
    "tracks": {"train": []},
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("without_page")


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def facts(size=0, name="aff_wild/96", **changes):
    """The facts of METADATA with `section__key` or `key` replaced."""
    metadata = copy.deepcopy(METADATA)
    for key, value in changes.items():
        section, _, last = key.rpartition("__")
        (metadata[section] if section else metadata)[last] = value
    return provenance.facts(Data(name=name, size=size), metadata)


@pytest.fixture
def run(tmp_path):
    """A workdir with the facts of METADATA."""
    provenance.write(tmp_path, facts())
    return tmp_path


def test_what_is_written_is_read(run):
    assert provenance.read(run) == {
        "name": "aff_wild/96",
        "input_size": 96,
        **{key: METADATA[key] for key in ("dims", "crop", "fps", "split_hash")},
        "labels": {"source": "gold standard", "range": [-1, 1], "join": "time"},
        "frames": {"train": 700, "dev": 300},
    }
    assert [path.name for path in run.iterdir()] == ["data.json"]


def test_the_side_of_the_fed_frames_is_that_of_the_config_where_it_names_one():
    assert facts(size=48)["input_size"] == 48


def test_the_same_set_gives_no_warning(run):
    assert provenance.check(facts(), run) == []
    assert provenance.differences(facts(), run, provenance.FROM_ANOTHER) == []


@pytest.mark.parametrize(
    ("key", "value", "values"),
    [
        ("crop__source", "detect", ("'detect'", "'boxes'")),
        ("crop__margin", 0.0, ("0.0", "0.1")),
        ("crop__alignment", "none", ("'none'", "'level eyes'")),
        ("crop__jpeg_quality", 50, ("50", "90")),
        ("fps", 30.0, ("30.0", "25.0")),
        ("labels__source", "raters", ("'raters'", "'gold standard'")),
        ("labels__range", [0, 1], ("[0, 1]", "[-1, 1]")),
        ("labels__join", "number", ("'number'", "'time'")),
        ("split_hash", "ff", ("'ff'", "'0123456789abcdef'")),
    ],
)
def test_a_fact_that_differs_within_a_run_is_one_line_with_both_values(run, key, value, values):
    (line,) = provenance.check(facts(**{key: value}), run)
    now, then = values
    start = (
        f"{key.replace('__', '.')} of aff_wild/96 is {now}, but the network in {run} was trained "
        "with"
    )
    assert line.startswith(f"{start} {then}: ")
    assert "\n" not in line


def test_every_fact_that_differs_has_its_line(run):
    lines = provenance.check(facts(crop__alignment="none", crop__margin=0.3, fps=50.0), run)
    assert [line.split(" of ")[0] for line in lines] == ["crop.margin", "crop.alignment", "fps"]


def test_crops_of_another_size_that_are_fed_alike_are_only_warned_of(tmp_path):
    provenance.write(tmp_path, facts(size=48))
    (line,) = provenance.check(facts(size=48, crop__size=112), tmp_path)
    assert line.startswith("crop.size of aff_wild/96 is 112, ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dims": ["arousal", "valence"]},
            "dims=arousal,valence, .* dims=valence,arousal; rebuild",
        ),
        ({"dims": ["valence"]}, "dims=valence, but the run in"),
        ({"crop__size": 112}, "size=112, but the run in .* with size=96; rebuild"),
    ],
)
def test_a_set_that_the_network_of_a_run_does_not_fit_is_refused(run, changes, message):
    with pytest.raises(InputError, match=f"^data.name='aff_wild/96' has {message}"):
        provenance.check(facts(**changes), run)


def test_a_start_from_another_run_is_compared_by_its_faces_alone(run):
    here = facts(
        name="recola/112", crop__size=112, crop__alignment="none", fps=30.0, split_hash="ff",
        labels__source="raters", dims=["arousal"],
    )  # fmt: skip
    lines = provenance.differences(here, run, provenance.FROM_ANOTHER)
    assert [line.split(" of ")[0] for line in lines] == ["crop.alignment", "input_size"]
    assert all("(aff_wild/96): " in line for line in lines)
    fed_alike = facts(96, "recola/112", crop__size=112)
    assert provenance.differences(fed_alike, run, provenance.FROM_ANOTHER) == []


def test_labels_are_compared_if_the_tracks_are_the_same_and_both_hashes_cover_them(tmp_path):
    provenance.write(tmp_path, facts(split_hash="aa-11"))
    (line,) = provenance.check(facts(split_hash="aa-22"), tmp_path)
    assert line.startswith("label_hash of aff_wild/96 is '22', but the network in")
    (line,) = provenance.check(facts(split_hash="bb-22"), tmp_path)
    assert line.startswith("split_hash of aff_wild/96 is 'bb', but the network in")
    assert provenance.check(facts(split_hash="aa"), tmp_path) == []  # an older data set
    (line,) = provenance.check(facts(split_hash="bb"), tmp_path)
    assert line.startswith("split_hash of aff_wild/96 is 'bb', but the network in")


def test_the_splits_of_two_different_sets_are_not_compared(run):
    assert provenance.check(facts(name="aff_wild2/96", split_hash="ff"), run) == []


def test_what_one_side_does_not_tell_is_passed_over(tmp_path):
    older = {key: value for key, value in METADATA.items() if key not in ("labels", "counts")}
    provenance.write(tmp_path, provenance.facts(Data(name="a"), older))
    assert provenance.check(facts(name="a"), tmp_path) == []
    assert provenance.check(facts(), tmp_path / "of an older run") == []


def test_a_median_rate_may_move_a_little(run):
    assert provenance.check(facts(fps=25.01), run) == []


def test_a_broken_file_is_one_line(run):
    (run / "data.json").write_text("{")
    with pytest.raises(InputError, match=r"data.json: .*not valid JSON .* delete it") as error:
        provenance.check(facts(), run)
    assert "\n" not in str(error.value)


def rebuilt(monkeypatch, **crop):
    """From here on the data sets have other crop facts."""
    true = sources.metadata

    def metadata(*args):
        found = true(*args)
        return found | {"crop": found["crop"] | crop}

    monkeypatch.setattr(sources, "metadata", metadata)


OTHER = "warning: crop.alignment of synthetic_faces/tiny is 'level eyes', but the network in "


def test_a_run_that_has_begun_is_compared_and_one_that_begins_is_recorded(
    tmp_path, tiny_data, monkeypatch, capsys
):
    config, path = tiny(tiny_data), tmp_path / "data.json"
    record_data(config, tmp_path, resumed=False)
    kept = path.read_text()
    assert json.loads(kept)["frames"] == {"train": 460, "dev": 230, "test": 230}
    record_data(config, tmp_path, resumed=True)
    assert capsys.readouterr().err == ""
    rebuilt(monkeypatch, alignment="level eyes")
    record_data(config, tmp_path, resumed=True)
    assert capsys.readouterr().err.startswith(f"{OTHER}{tmp_path} was trained with 'none': ")
    assert path.read_text() == kept
    record_data(config, tmp_path, resumed=False)  # killed before its first checkpoint
    assert json.loads(path.read_text())["crop"]["alignment"] == "level eyes"


@pytest.mark.parametrize("key", ["from_workdir", "from_export"])
def test_what_a_run_starts_from_is_compared(tmp_path, tiny_data, monkeypatch, capsys, key):
    origin, workdir = tmp_path / "first", tmp_path / "second"
    origin.mkdir()
    workdir.mkdir()
    record_data(tiny(tiny_data), origin, resumed=False)
    rebuilt(monkeypatch, alignment="level eyes")
    record_data(tiny(tiny_data, **{f"init.{key}": str(origin)}), workdir, resumed=False)
    assert capsys.readouterr().err.startswith(f"{OTHER}{origin} was trained with 'none': ")


def test_a_run_is_scored_with_a_warning_or_refused(tmp_path, tiny_data, monkeypatch, capsys):
    config = tiny(tiny_data)
    record_data(config, tmp_path, resumed=False)
    rebuilt(monkeypatch, alignment="level eyes")
    with pytest.raises(InputError, match="no evaluated checkpoint"):
        evaluate(config, tmp_path)
    assert capsys.readouterr().err.startswith(f"{OTHER}{tmp_path} was trained with 'none': ")
    rebuilt(monkeypatch, size=96)
    with pytest.raises(InputError, match=r"has size=96, but the run in .* with size=32; rebuild"):
        evaluate(config, tmp_path)


@pytest.mark.slow
def test_warnings_stop_neither_a_run_nor_its_scores_nor_a_start_from_it(
    tmp_path, tiny_data, monkeypatch, capsys
):
    config = tiny(tiny_data, **{"train.steps": 1})
    run, out = tmp_path / "run", tmp_path / "out"
    train(config, run)
    evaluate(config, run)
    assert "warning" not in capsys.readouterr().err
    export(run, out)
    scores = (run / "metrics.json").read_text()
    assert (out / "data.json").read_text() == (run / "data.json").read_text()
    rebuilt(monkeypatch, alignment="level eyes")
    train(config, run)
    evaluate(config, run)
    expected = f"{OTHER}{run} was trained with 'none': "
    assert capsys.readouterr().err.count(expected) == 2
    assert (run / "metrics.json").read_text() == scores
    train(tiny(tiny_data, **{"init.from_export": str(out)}), tmp_path / "second")
    assert f"{OTHER}{out} was trained with 'none': " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": [1]}, r"data\.json: dims=\[1\]: expected a list of names"),
        ({"sets": {"b": 3}}, r"data\.json: sets: b: expected a JSON object"),
        ({"sets": {"b": {"fps": 3}}}, r"data\.json: sets: b: name=None: expected text"),
    ],
)
def test_facts_of_the_wrong_kind_are_one_line(tmp_path, change, message):
    (tmp_path / provenance.NAME).write_text(json.dumps(facts() | change))
    with pytest.raises(InputError, match=message):
        provenance.read(tmp_path)
