"""What a resumed run keeps of the log it had written."""

import json

from va_jax.config import parse
from va_jax.train.logs import Logs, rewind


def quiet(progress=False):
    return parse({"data": {"name": "none"}, "log": {"progress": progress}})


def test_lines_after_the_step_and_a_line_cut_off_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "kind": "train"}) for step in (10, 20, 30)]
    path.write_text("\n".join(lines) + '\n{"step": 4')
    rewind(path, 20)
    assert path.read_text() == "\n".join(lines[:2]) + "\n"
    rewind(tmp_path / "none.jsonl", 20)


def test_a_line_holds_the_means_the_speed_and_the_wait(tmp_path):
    with Logs(tmp_path, 0, quiet(), active=True) as logs:
        with logs.spending("input"):
            pass
        logs.train(5, 64, {"steps": 5.0, "loss": 0.5, "grad_norm": 1.0}, 1e-3)
        logs.dev(5, {"valence": 0.25})
    train, dev = (json.loads(line) for line in (tmp_path / "metrics.jsonl").open())
    assert (train["step"], train["kind"], train["loss"]) == (5, "train", 0.5)
    assert train["frames_per_s"] > 0
    assert 0 <= train["input_wait"] <= 1
    assert dev == {"step": 5, "kind": "dev", "ccc_valence": 0.25}
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_the_bar_counts_the_steps_that_are_logged_and_so_have_ended(tmp_path, capsys):
    with Logs(tmp_path, 3, quiet(progress=True), active=True) as logs:
        for step in (5, 12):
            logs.train(step, 64, {"steps": 2.0, "loss": 0.5, "grad_norm": 1.0}, 1e-3)
    shown = capsys.readouterr().err.splitlines()[-1]
    assert f" 12/{quiet().train.steps} " in shown


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path):
    with Logs(tmp_path, 0, quiet(), active=False) as logs:
        logs.dev(5, {"valence": 0.25})
    assert not list(tmp_path.iterdir())
