"""Training logs reach Weights & Biases and MLflow once, in one run, and only if asked for."""

import importlib.machinery
import json
import struct
import sys
import types

import pytest

from va_jax import keys
from va_jax.config import parse, to_tree
from va_jax.train import workdir, writers
from va_jax.train.logs import Logs
from va_jax.train.loop import train
from va_jax.train.stopping import Stopped
from va_jax.types import InputError

MEANS = {"steps": 1.0, "loss": 0.5}


def config(*writers):
    log = {"progress": False, "writers": ["jsonl", *writers]}
    return parse({"data": {"name": "none"}, "log": log})


def log(folder, start, lines, *writers, error=None, active=True):
    """Log lines, given as (kind, step), as a run does that starts from step `start`."""
    logs = Logs(folder, start, config(*writers), active)
    for kind, step in lines:
        if kind == "train":
            logs.train(step, 64, dict(MEANS), 1e-3)
        elif kind == "dev":
            logs.dev(step, {"valence": step / 100})
        else:
            logs.time(step)
    logs.__exit__(None, error, None)


@pytest.fixture
def calls(monkeypatch):
    """Calls of fake modules `wandb` and `mlflow`, in order, as (name, arguments)."""
    found = []

    def module(name, **content):
        fake = types.ModuleType(name)
        fake.__spec__ = importlib.machinery.ModuleSpec(name, None, origin="fake")
        fake.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, fake)

    def noted(name, result=None):
        return lambda *args, **given: found.append((name, args, given)) or result

    run = types.SimpleNamespace(
        id="w1", define_metric=noted("define"), log=noted("log"), finish=noted("finish")
    )
    module("wandb", init=noted("init", run), Error=RuntimeError)
    started = types.SimpleNamespace(info=types.SimpleNamespace(run_id="m1"))
    names = ("log_params", "log_metrics", "end_run")
    content = {name: noted(name) for name in names} | {"start_run": noted("start_run", started)}
    module("mlflow", get_tracking_uri=lambda: "file:here", **content)
    module("mlflow.exceptions", MlflowException=RuntimeError)
    return found


def sent(calls):
    """Names and steps of the dev and train lines that arrived."""
    rows = [given["step"] if name == "log_metrics" else args[0]["step"]
            for name, args, given in calls if name in ("log", "log_metrics")]  # fmt: skip
    values = [args[0] for name, args, _ in calls if name in ("log", "log_metrics")]
    kinds = [next(key.split("/")[0] for key in row if "/" in key) for row in values]
    return list(zip(kinds, rows, strict=True))


def test_a_new_run_of_weights_and_biases_gets_the_config_and_every_line(tmp_path, calls):
    log(tmp_path, 0, [("train", 20), ("dev", 20)], "wandb")
    assert [name for name, *_ in calls] == ["init", "define", "log", "log", "finish"]
    given = calls[0][2]
    assert given["id"] is None
    assert given["config"] == to_tree(config("wandb"))
    assert given["dir"] == str(tmp_path)
    assert calls[2][1][0]["train/loss"] == 0.5
    assert calls[3][1][0] == {"step": 20, "dev/ccc_valence": 0.2}
    assert calls[-1][2] == {"exit_code": 0}


def test_a_new_run_of_mlflow_gets_every_key_and_line(tmp_path, calls):
    log(tmp_path, 0, [("dev", 20)], "mlflow")
    assert [name for name, *_ in calls] == ["start_run", "log_params", "log_metrics", "end_run"]
    params = calls[1][1][0]
    assert params.keys() == keys.flatten(to_tree(config())).keys()
    assert params["optim.learning_rate"] == "0.0001"
    assert calls[2][1:] == (({"dev/ccc_valence": 0.2},), {"step": 20, "run_id": "m1"})
    assert calls[3][1] == ("FINISHED",)


@pytest.mark.parametrize("writer", ["wandb", "mlflow"])
def test_a_run_that_is_killed_twice_writes_each_line_once_to_the_same_run(tmp_path, calls, writer):
    log(tmp_path, 0, [("train", 20), ("dev", 20), ("train", 40), ("train", 60)], writer)
    log(tmp_path, 20, [("train", 40)], writer)  # killed again before it reached step 60
    log(tmp_path, 20, [("train", 40), ("train", 60), ("dev", 60), ("train", 80)], writer)
    assert sent(calls) == [
        ("train", 20), ("dev", 20), ("train", 40), ("train", 60), ("dev", 60), ("train", 80),
    ]  # fmt: skip
    started = [given for name, _, given in calls if name in ("init", "start_run")]
    ids = [given.get("id", given.get("run_id")) for given in started]
    assert ids == [None, *[{"wandb": "w1", "mlflow": "m1"}[writer]] * 2]
    assert sum(name == "log_params" for name, *_ in calls) == (writer == "mlflow")
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").open()]
    assert steps == [20, 20, 40, 60, 60, 80]


def test_a_writer_that_joins_later_misses_nothing_from_then_on(tmp_path, calls):
    log(tmp_path, 0, [("train", 20), ("train", 40)])
    log(tmp_path, 20, [("train", 40), ("train", 60)], "mlflow")
    assert sent(calls) == [("train", 40), ("train", 60)]


def test_the_runs_show_how_training_ended(tmp_path, calls):
    for name, error in (("a", Stopped()), ("b", ValueError())):
        (tmp_path / name).mkdir()
        log(tmp_path / name, 0, [], "wandb", "mlflow", error=error)
    ends = [args or given for name, args, given in calls if name in ("finish", "end_run")]
    assert ends == [{"exit_code": 0}, ("KILLED",), {"exit_code": 1}, ("FAILED",)]


def test_only_the_first_process_writes(tmp_path, calls):
    log(tmp_path, 0, [("dev", 20)], "wandb", "mlflow", "tensorboard", active=False)
    assert not calls
    assert not list(tmp_path.iterdir())


def test_a_server_that_fails_costs_lines_but_not_the_run(tmp_path, calls, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("no route to host\nTraceback")

    monkeypatch.setattr(sys.modules["mlflow"], "log_metrics", fail)
    log(tmp_path, 0, [("dev", 20), ("dev", 40)], "mlflow")
    assert capsys.readouterr().err.count("no route to host") == 1
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(("writer", "function"), [("wandb", "init"), ("mlflow", "start_run")])
def test_a_run_that_cannot_be_started_is_one_line(tmp_path, calls, monkeypatch, writer, function):
    def fail(*_, **__):
        raise RuntimeError("not logged in\nTraceback")

    monkeypatch.setattr(sys.modules[writer], function, fail)
    with pytest.raises(InputError, match=rf"log\.writers.*not logged in.*'{writer}'") as found:
        log(tmp_path, 0, [], writer)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "tracking.json").exists()


def test_what_is_open_is_closed_as_failed_if_another_writer_cannot_start(
    tmp_path, calls, monkeypatch
):
    def refuse(*_):
        raise RuntimeError("no such key")

    monkeypatch.setattr(sys.modules["mlflow"], "log_params", refuse)
    with pytest.raises(InputError, match="MLflow cannot start"):
        log(tmp_path, 0, [], "wandb", "mlflow")
    assert [name for name, *_ in calls] == ["init", "define", "start_run", "end_run", "finish"]
    assert calls[-2][1] == ("FAILED",)
    assert calls[-1][2] == {"exit_code": 1}


def test_what_is_open_is_closed_if_the_file_of_ids_cannot_be_written(tmp_path, calls, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        log(tmp_path, 0, [], "wandb")
    assert [name for name, *_ in calls] == ["init", "define", "finish"]


@pytest.mark.parametrize("writer", ["wandb", "mlflow"])
def test_a_missing_library_is_named_before_anything_is_written(tmp_path, monkeypatch, writer):
    monkeypatch.setitem(sys.modules, writer, None)
    folder = tmp_path / "run"
    with pytest.raises(InputError, match=rf"log\.writers=.*\.\[{writer}\]"):
        train(config(writer), folder)
    assert not folder.exists()


def test_nothing_is_imported_unless_asked_for(tmp_path, monkeypatch):
    for name in ("wandb", "mlflow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    log(tmp_path, 0, [("dev", 20)], "tensorboard")
    assert not {"wandb", "mlflow"} & sys.modules.keys()
    assert not (tmp_path / "tracking.json").exists()


def test_metrics_jsonl_cannot_be_left_out():
    with pytest.raises(InputError, match=r"log\.writers=\('wandb',\): .*'jsonl'"):
        parse({"data": {"name": "none"}, "log": {"writers": ["wandb"]}})


@pytest.mark.parametrize("text", ["[]", '{"wandb": "w1"}', '{"mlflow": {"id": 3, "written": {}}}'])
def test_a_damaged_file_of_ids_is_refused(tmp_path, calls, text):
    (tmp_path / "tracking.json").write_text(text)
    with pytest.raises(InputError, match=r"tracking\.json"):
        log(tmp_path, 0, [], "wandb")
    assert not calls


def test_the_key_of_an_earlier_version_is_read_from_runs_and_refused_elsewhere(tmp_path):
    with pytest.raises(InputError, match=r"log\.tensorboard; .*log\.writers"):
        parse({"data": {"name": "none"}, "log": {"tensorboard": True}})
    tree = json.loads(json.dumps(to_tree(config())))
    for value, names in ((False, ("jsonl",)), (True, ("jsonl", "tensorboard"))):
        tree["log"] = {"tensorboard": value, "progress": False}
        (tmp_path / "config.json").write_text(json.dumps(tree))
        assert workdir.load(tmp_path).log.writers == names


def wandb_rows(folder):
    """Rows of all offline runs in a folder, and the ids of the runs, in order of their start."""
    from wandb.proto import wandb_internal_pb2

    rows, ids = [], []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        content, place, whole = path.read_bytes(), 7, b""
        while place + 7 <= len(content):
            if (left := -place % 32768) and left < 7:  # padding at the end of a block
                place += left
                continue
            _, length, kind = struct.unpack("<IHB", content[place : place + 7])
            whole += content[place + 7 : place + 7 + length]
            place += 7 + length
            if kind in (1, 4):  # a whole record, or the last piece of one
                record, whole = wandb_internal_pb2.Record.FromString(whole), b""
                if record.WhichOneof("record_type") == "run":
                    ids.append(record.run.run_id)
                elif record.WhichOneof("record_type") == "history":
                    items = record.history.item
                    row = {x.key or "/".join(x.nested_key): json.loads(x.value_json) for x in items}
                    rows.append({key: row[key] for key in row if not key.startswith("_")})
    return rows, ids


def test_the_real_weights_and_biases_continues_its_run_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    log(tmp_path, 0, [("dev", 20), ("dev", 40)], "wandb", error=Stopped())
    log(tmp_path, 20, [("dev", 40), ("dev", 60)], "wandb")
    rows, ids = wandb_rows(tmp_path)
    assert [row["step"] for row in rows] == [20, 40, 60]
    assert [row["dev/ccc_valence"] for row in rows] == [0.2, 0.4, 0.6]
    assert len(ids) >= 2
    assert len({*ids}) == 1


def test_the_real_mlflow_continues_its_run_in_a_folder(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'runs'}")
    log(tmp_path, 0, [("dev", 20), ("dev", 40)], "mlflow", error=Stopped())
    (found,) = mlflow.search_runs(output_format="list")
    assert found.info.status == "KILLED"
    log(tmp_path, 20, [("dev", 40), ("dev", 60)], "mlflow")
    (found,) = mlflow.search_runs(output_format="list")
    history = mlflow.MlflowClient().get_metric_history(found.info.run_id, "dev/ccc_valence")
    assert [(each.step, each.value) for each in history] == [(20, 0.2), (40, 0.4), (60, 0.6)]
    assert found.info.status == "FINISHED"
    assert found.data.params["optim.name"] == "'adamw'"
    mlflow.end_run()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'elsewhere'}")
    with pytest.raises(InputError, match=r"tracking\.json names the run"):
        log(tmp_path, 20, [], "mlflow")
