"""The whole loop on the tiny rendered set: exact resumption, freezing, accumulation, refusals."""

import importlib
import json
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest

from va_jax import keys
from va_jax.config import Config, parse, with_values
from va_jax.data import sources
from va_jax.data.pipeline import TrainingData
from va_jax.evaluation.evaluate import evaluate
from va_jax.evaluation.metrics import METRICS
from va_jax.models import forms
from va_jax.models.build import build_model
from va_jax.train import logs, loop, optim, sharding, step, workdir
from va_jax.train.checkpoints import Checkpoints
from va_jax.train.loop import train
from va_jax.train.setup import initial_state
from va_jax.train.state import Tally, abstract
from va_jax.train.stopping import Stopped, Stopping
from va_jax.types import InputError

pytestmark = pytest.mark.usefixtures("without_page")


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def tiny(data_dir: pathlib.Path, **overrides):
    config = importlib.import_module("configs.quickstart").get_config("tiny")
    config.data.dir = str(data_dir)
    config.log.progress = False
    config.update_from_flattened_dict(overrides)
    return parse(config)


def pooled(card, dim):
    """The pooled metrics of a card; its few recordings have no intervals."""
    row = card["scores"][dim]["pooled"]
    assert row["interval"] is None
    return {metric: row[metric] for metric in (*METRICS, "n")}


def parameters(workdir, config):
    mesh = sharding.make_mesh()
    facts = sources.metadata(config.data.dir, config.data.name)
    model = build_model(config.model, tuple(facts["dims"]))
    tx = optim.make_tx(config.optim, config.train.steps)
    averaged = optim.is_averaged(config.optim)
    state = initial_state(model, tx, facts["crop"]["size"], config.seed, averaged)
    target = abstract(state, sharding.replicated(mesh))
    with Checkpoints(workdir) as saved:
        state, _ = saved.restore(saved.latest_step(), target)
    return jax.tree.map(np.asarray, state.variables)


def assert_identical(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"optim.ema": 0.9, "model.bins": 20, "loss.cross_entropy": 0.5},
        {"optim.name": "schedule_free", "optim.schedule": "constant"},
    ],
    ids=["ema and bins", "schedule_free"],
)
def test_a_run_with_an_average_resumes_exactly_and_evaluates_the_average(
    changes, tmp_path, tiny_data
):
    config = tiny(tiny_data, **{"train.steps": 3}, **changes)
    train(config, tmp_path / "whole")
    train(with_values(config, **{"train.steps": 2}), tmp_path / "parts")
    train(config, tmp_path / "parts")
    whole, parts = (parameters(tmp_path / name, config) for name in ("whole", "parts"))
    assert_identical(whole, parts)
    evaluate(config, tmp_path / "whole")
    logged = [line for line in logs.history(tmp_path / "whole") if line["kind"] == "dev"]
    metrics = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    (own,) = (line for line in logged if line["step"] == metrics["checkpoint_step"])
    for dim, row in metrics["splits"]["dev"]["scores"].items():
        assert row["pooled"]["ccc"] == pytest.approx(own[f"ccc_{dim}"], abs=1e-6)


@pytest.mark.slow
def test_a_run_without_progress_on_dev_ends_early_and_goes_on_with_more_patience(
    tmp_path, tiny_data, capsys
):
    never = {"optim.learning_rate": 1e-12, "train.steps": 9, "eval.every_steps": 1}
    config = tiny(tiny_data, **never, **{"train.patience": 2})
    train(config, tmp_path)
    ended = max(line["step"] for line in logs.history(tmp_path))
    with Checkpoints(tmp_path) as saved:
        best = saved.best_step()
    assert (ended < 9) == (ended == best + 2)
    assert (
        f"ended at step {ended}: the dev CCC has not improved since step {best}"
        in capsys.readouterr().out
    )
    train(config, tmp_path)
    assert max(line["step"] for line in logs.history(tmp_path)) == ended
    train(with_values(config, **{"train.patience": 9}), tmp_path)
    assert max(line["step"] for line in logs.history(tmp_path)) == 9


@pytest.mark.slow
def test_a_run_stopped_before_its_dev_score_ends_early_when_it_goes_on(
    tmp_path, tiny_data, monkeypatch
):
    never = {"optim.learning_rate": 1e-12, "train.steps": 9, "eval.every_steps": 1}
    config, stop = tiny(tiny_data, **never, **{"train.patience": 1}), Stopping()
    train(config, tmp_path / "whole")
    ended = max(line["step"] for line in logs.history(tmp_path / "whole"))
    assert ended < 9
    log = loop.log_means

    def log_and_stop(run, number, *rest):
        log(run, number, *rest)
        if number == ended:
            stop._heard.set()

    monkeypatch.setattr(loop, "log_means", log_and_stop)
    with pytest.raises(Stopped):
        train(config, tmp_path / "stopped", stop)
    monkeypatch.undo()
    train(config, tmp_path / "stopped")
    assert max(line["step"] for line in logs.history(tmp_path / "stopped")) == ended


@pytest.mark.slow
def test_a_run_stopped_at_any_checkpoint_ends_as_if_it_had_not_been(tmp_path, tiny_data):
    config = tiny(tiny_data, **{"train.steps": 4})
    train(config, tmp_path / "whole")
    evaluate(config, tmp_path / "whole")
    for stop in (1, 3):
        stopped = tmp_path / f"stopped{stop}"
        shutil.copytree(tmp_path / "whole", stopped)
        (stopped / "metrics.json").unlink()
        for later in (stopped / "checkpoints").iterdir():
            if later.name.isdigit() and int(later.name) > stop:
                shutil.rmtree(later)
        if not (stopped / "checkpoints" / str(stop)).exists():
            shutil.rmtree(stopped / "checkpoints")  # not kept: then from the start
        train(config, stopped)
        evaluate(config, stopped)
        assert_identical(parameters(stopped, config), parameters(tmp_path / "whole", config))
        for name in ("metrics.json",):
            assert (stopped / name).read_text() == (tmp_path / "whole" / name).read_text()
        steps = [json.loads(x)["step"] for x in (stopped / "metrics.jsonl").open()]
        assert sorted(steps) == sorted([1, 2, 3, 4] * 3)  # train, dev, time


@pytest.mark.slow
def test_every_frame_of_every_track_has_a_row_and_scores_do_not_depend_on_the_batch(
    tmp_path, tiny_data
):
    config = tiny(tiny_data)
    train(config, tmp_path / "run")
    results = []
    for batch, length in ((4, 16), (8, 16), (4, 7)):
        changes = {"eval.batch_size": batch, "eval.length": length, "eval.hop": length}
        evaluate(with_values(config, **changes), tmp_path / "run")
        results.append(json.loads((tmp_path / "run" / "metrics.json").read_text()))
        source = sources.open_split(config.data.dir, config.data.name, "test")
        for track in source.tracks:
            path = tmp_path / "run" / "traces" / "test" / f"{track.track_id}.csv"
            assert len(path.read_text().splitlines()) == track.frames + 1
    for other in results[1:]:
        for split in ("dev", "test"):
            for dim in ("valence", "arousal"):
                first, second = (pooled(each["splits"][split], dim) for each in (results[0], other))
                assert second == pytest.approx(first, rel=1e-4, abs=1e-6)


def run_steps(config, count, devices=None):
    """State and mean loss after `count` steps on the tiny set, on some or all devices."""
    source = sources.open_split(config.data.dir, config.data.name, "train")
    data = TrainingData(source, config)
    model = build_model(config.model, source.dims)
    tx = optim.make_tx(config.optim, config.train.steps)
    mesh = sharding.make_mesh(devices)
    state = sharding.replicate(mesh, initial_state(model, tx, source.size, config.seed))
    first = jax.tree.map(np.asarray, state)
    tally = sharding.replicate(mesh, Tally.zero())
    take_step = step.make_step(config, model, tx)
    batches = data.batches(0, 1)
    for _ in range(count):
        state, tally = take_step(state, tally, sharding.shard_batch(mesh, next(batches)))
    return first, jax.tree.map(np.asarray, state), jax.tree.map(np.asarray, tally)


@pytest.mark.slow
def test_the_number_of_devices_changes_nothing_but_rounding(tiny_data):
    config = tiny(tiny_data, **{"optim.name": "sgd", "model.dropout": 0.2})
    _, one, tally_one = run_steps(config, 3, jax.devices()[:1])
    _, many, tally_many = run_steps(config, 3, jax.devices()[:4])
    np.testing.assert_allclose(tally_many.loss, tally_one.loss, rtol=1e-5)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-6), many.params, one.params)


@pytest.mark.slow
def test_a_batch_computed_in_pieces_has_the_gradient_of_the_whole(tiny_data, monkeypatch):
    frozen = {"optim.rates.backbone": 0.0, "optim.name": "sgd", "train.accumulate": 1}
    whole = run_steps(tiny(tiny_data, **frozen), 2, jax.devices()[:1])[1]
    for pieces, backend in ((2, "cpu"), (4, "gpu")):  # unrolled, or a loop
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        config = tiny(tiny_data, **(frozen | {"train.accumulate": pieces}))
        cut = run_steps(config, 2, jax.devices()[:1])[1]
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), cut.params, whole.params
        )


@pytest.mark.slow
def test_a_frozen_part_keeps_parameters_and_statistics_and_the_others_learn(tiny_data):
    config = tiny(tiny_data, **{"optim.rates.backbone": 0.0})
    first, last, _ = run_steps(config, 2)
    assert_identical(last.params["backbone"], first.params["backbone"])
    assert_identical(last.batch_stats, first.batch_stats)
    for part in ("temporal", "head_valence", "head_arousal"):
        changed = jax.tree.map(
            lambda x, y: bool((x != y).any()), last.params[part], first.params[part]
        )
        assert any(jax.tree.leaves(changed)), part


@pytest.mark.slow
def test_batch_norm_statistics_move_when_nothing_is_frozen(tiny_data):
    first, last, _ = run_steps(tiny(tiny_data), 1)
    moved = jax.tree.map(lambda x, y: bool((x != y).any()), last.batch_stats, first.batch_stats)
    assert not any(jax.tree.leaves(moved.pop("input")))  # a scale, not a statistic of the batch
    assert all(jax.tree.leaves(moved))


@pytest.mark.slow
def test_a_step_that_is_not_finite_stops_the_run_with_its_number_and_tracks(tmp_path, tiny_data):
    config = tiny(
        tiny_data,
        **{"train.steps": 4, "optim.name": "sgd", "optim.clip_norm": 0.0, "loss.mse": 1.0},
        **{"optim.learning_rate": 1e30, "optim.warmup_steps": 0},
    )
    with pytest.raises(InputError, match=r"step [23]: the loss or .*not finite.*tracks \S+"):
        train(config, tmp_path / "run")
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(parameters(tmp_path / "run", config)))


@pytest.mark.slow
def test_a_run_starts_from_the_best_parameters_of_another(tmp_path, tiny_data):
    given = tiny(tiny_data, **{"train.steps": 1})
    train(given, tmp_path / "first")
    start = {"init.from_workdir": str(tmp_path / "first")}
    config = tiny(tiny_data, **{"train.steps": 1, "optim.learning_rate": 1e-12}, **start)
    train(config, tmp_path / "second")
    first = parameters(tmp_path / "first", given)["params"]
    second = parameters(tmp_path / "second", config)["params"]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), first, second)


def test_a_missing_set_and_a_missing_split_are_refused_and_leave_no_workdir(tmp_path, tiny_data):
    config = tiny(tmp_path / "nowhere", **{"data.build_missing": False})
    with pytest.raises(InputError, match=r"not found in data.dir.*va_jax build"):
        train(config, tmp_path / "run")
    config = tiny(tiny_data, **{"data.dev": "validation"})
    with pytest.raises(InputError, match=r"no split 'validation', only dev, test, train;"):
        train(config, tmp_path / "run")
    config = tiny(tiny_data, **{"data.test": "private"})
    with pytest.raises(InputError, match=r"no split 'private'"):
        train(config, tmp_path / "run")
    config = tiny(tiny_data, **{"window.length": 4000, "window.remainder": "drop"})
    with pytest.raises(InputError, match=r"window.length=4000 .* track"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_set_without_labels_is_refused(tmp_path, tiny_data, monkeypatch):
    monkeypatch.setattr(sources, "metadata", lambda *_: {"train_mean": {}})
    with pytest.raises(InputError, match="nothing to learn"):
        train(tiny(tiny_data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["mean", "median", "extremum"])
def test_overlapping_windows_of_a_frame_network_fuse_to_what_one_pass_gives(
    tmp_path, tiny_data, fusion
):
    config = tiny(tiny_data, **{"model.temporal": "none", "train.steps": 1})
    train(config, tmp_path)
    cards = []
    for state, hop in (("carry", 16), ("window", 5)):
        changes = {"eval.state": state, "eval.hop": hop, "eval.fusion": fusion}
        evaluate(with_values(config, **changes), tmp_path)
        cards.append(json.loads((tmp_path / "metrics.json").read_text())["splits"]["test"])
    for dim in ("valence", "arousal"):
        one_pass, fused = (pooled(card, dim) for card in cards)
        assert fused == pytest.approx(one_pass, rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_a_workdir_of_another_config_is_left_as_it_is(tmp_path, tiny_data):
    workdir.store(tmp_path / "run", workdir.with_dtype(tiny(tiny_data)))
    with pytest.raises(InputError, match=r"a different config: seed \(0 in the run, 9 given\)"):
        train(tiny(tiny_data, seed=9), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json"]


@pytest.mark.slow
def test_a_lengthened_run_equals_a_run_of_that_length(tmp_path, tiny_data):
    short = {"optim.schedule": "constant", "train.steps": 2}
    long = {
        "optim.schedule": "constant", "train.steps": 4, "train.log_every_steps": 2,
        "checkpoint.every_steps": 2, "eval.every_steps": 2, "data.threads": 1,
    }  # fmt: skip
    train(tiny(tiny_data, **short), tmp_path / "run")
    config = tiny(tiny_data, **long)
    train(config, tmp_path / "run")
    train(config, tmp_path / "whole")
    assert_identical(parameters(tmp_path / "run", config), parameters(tmp_path / "whole", config))
    assert workdir.load(tmp_path / "run") == workdir.with_decided(config, tmp_path / "run")
    with pytest.raises(InputError, match=r"train\.steps=3: .* at step 4"):
        train(tiny(tiny_data, **long | {"train.steps": 3}), tmp_path / "run")
    with pytest.raises(InputError, match=r"train\.batch_size \(\d+ in the run, 16 given\)"):
        train(tiny(tiny_data, **long, **{"train.batch_size": 16}), tmp_path / "run")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.steps", 80), ("train.log_every_steps", 7), ("eval.every_steps", 400),
        ("checkpoint.every_steps", 50), ("checkpoint.keep", 9), ("data.threads", 7),
        ("log.profile_steps", 3), ("log.hlo", True), ("post.steps", ()),
    ],
)  # fmt: skip
def test_a_run_that_continues_may_change_what_its_config_page_marks(tmp_path, key, value):
    config = parse({"data": {"name": "a"}})
    workdir.store(tmp_path, config)
    changed = with_values(config, **{key: value})
    workdir.store(tmp_path, changed)
    assert workdir.load(tmp_path) == changed
    assert re.search(rf"`{key}` .*\(\*\)", keys.page(Config))


@pytest.mark.parametrize(("key", "value"), [("eval.length", 80), ("optim.warmup_steps", 1)])
def test_a_run_that_continues_keeps_all_other_keys(tmp_path, key, value):
    config = parse({"data": {"name": "a"}})
    workdir.store(tmp_path, config)
    with pytest.raises(InputError, match=rf"{key} \(\d+ in the run, {value} given\)"):
        workdir.store(tmp_path, with_values(config, **{key: value}))
    assert workdir.load(tmp_path) == config
    assert not re.search(rf"`{key}` .*\(\*\)", keys.page(Config))


def test_a_schedule_that_depends_on_the_length_is_named(tmp_path):
    config = parse({"data": {"name": "a"}, "train": {"steps": 60}})
    longer = with_values(config, **{"train.steps": 80})
    cosine = {"optim.schedule": "cosine"}
    workdir.store(tmp_path / "constant", config)
    workdir.store(tmp_path / "cosine", with_values(config, **cosine))
    assert workdir.schedule_change(tmp_path / "constant", longer) is None
    assert workdir.schedule_change(tmp_path / "cosine", with_values(config, **cosine)) is None
    line = workdir.schedule_change(tmp_path / "cosine", with_values(longer, **cosine))
    assert "from 60 to 80" in line
    assert "'cosine'" in line


@pytest.mark.slow
def test_the_number_type_is_chosen_for_the_device_at_the_start_and_then_kept(tiny_data, tmp_path):
    config = tiny(tiny_data, **{"train.steps": 1})
    assert config.model.compute_dtype == "auto"
    with forms.using(forms.BY_BACKEND["tpu"]):
        train(config, tmp_path)
    assert workdir.load(tmp_path).model.compute_dtype == "bfloat16"
    longer = with_values(config, **{"train.steps": 2})
    train(longer, tmp_path)  # now on a CPU, whose own type is float32
    assert workdir.load(tmp_path).model.compute_dtype == "bfloat16"
    assert workdir.for_evaluation(tmp_path, config).model.compute_dtype == "bfloat16"
    with pytest.raises(InputError, match=r"model\.compute_dtype"):
        train(with_values(longer, **{"model.compute_dtype": "float32"}), tmp_path)
    assert workdir.with_dtype(config).model.compute_dtype == "float32"
