"""What a run's time is told to be spent on adds up, and a step that is compiled anew is a bug."""

import json
import time

import jax
import jax.numpy as jnp
import pytest

from tests.train.faults_test import run
from va_jax.config import parse
from va_jax.train import logs, profiling
from va_jax.train.loop import check_compiled_once


def settings():
    return parse({"data": {"name": "none"}, "log": {"progress": False, "writers": ["jsonl"]}})


def test_every_second_is_spent_on_something(tmp_path):
    begin = time.monotonic()
    with logs.Logs(tmp_path, 0, settings(), active=True) as log:
        with log.spending("compile"):
            time.sleep(0.2)
        with log.spending("input"):
            time.sleep(0.1)
        time.sleep(0.1)
        log.time(3)
        with log.spending("eval"):
            time.sleep(0.1)
        log.time(6)
    lines = logs.history(tmp_path)
    assert [line["step"] for line in lines] == [3, 6]
    assert lines[0]["compile_s"] == pytest.approx(0.2, abs=0.08)
    assert lines[0]["input_s"] == pytest.approx(0.1, abs=0.08)
    assert lines[1]["eval_s"] == pytest.approx(0.1, abs=0.08)
    assert lines[1]["compile_s"] == 0
    spent = sum(line[key] for line in lines for key in line if key.endswith("_s"))
    assert spent == pytest.approx(time.monotonic() - begin, abs=0.2)


def test_the_whole_of_a_run_is_told_over_all_its_starts(tmp_path):
    lines = [
        {"step": 2, "kind": "time", "compile_s": 1.0, "step_s": 5.0, "eval_s": 0.0},
        {"step": 2, "kind": "dev", "ccc_valence": 0.5},
        {"step": 4, "kind": "time", "compile_s": 1.0, "step_s": 2.0, "eval_s": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))
    assert logs.goodput(tmp_path) == "10 s: step 70%, compile 20%, eval 10%"
    (tmp_path / "metrics.jsonl").write_text("")
    assert logs.goodput(tmp_path) == ""


def test_a_step_that_is_compiled_anew_is_a_bug():
    step = jax.jit(lambda x: x + 1)
    step(jnp.zeros(2))
    check_compiled_once(step)
    step(jnp.zeros(3))
    with pytest.raises(RuntimeError, match="compiled 2 times"):
        check_compiled_once(step)


def test_no_step_is_traced_unless_asked_for(tmp_path):
    profile = profiling.Profile(tmp_path / "profile", 0, 99, 0)
    for number in range(1, 20):
        profile.before(number)
        profile.after(number, jnp.zeros(()))
    assert not (tmp_path / "profile").exists()


@pytest.mark.slow
def test_steps_are_traced_once_warm_and_the_step_is_written(tmp_path, tiny_data):
    flags = ["--config.train.steps=14", "--config.log.profile_steps=2", "--config.log.hlo=True"]
    done = run(tmp_path / "run", tiny_data, *flags)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "wrote a trace of steps 11 to 12" in done.stdout
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
    assert "HloModule jit_step" in (tmp_path / "run" / "step.hlo.txt").read_text()
