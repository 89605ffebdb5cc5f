"""The table of several seeds, and runs that cannot be compared."""

import json

import pytest

from va_jax.cli import train
from va_jax.cli.parser import Parser
from va_jax.evaluation import seeds
from va_jax.types import InputError


def run(folder, scores, seconds=(1.5, 0.5)):
    folder.mkdir()
    rows = {dim: {"pooled": {"ccc": value}} for dim, value in scores.items()}
    metrics = {"splits": {"test": {"scores": rows}}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    lines = [{"step": 1, "kind": "time", "step_s": s, "eval_s": 1.0} for s in seconds]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_mean_and_standard_deviation_are_those_by_hand(tmp_path):
    runs = {
        3: run(tmp_path / "seed_3", {"valence": 0.1, "arousal": 0.5}),
        7: run(tmp_path / "seed_7", {"valence": 0.3, "arousal": 0.5}, seconds=(2.0,)),
    }
    text = seeds.write(tmp_path, runs)
    assert "test valence   0.100   0.300  0.200  0.141" in text
    found = json.loads((tmp_path / "seeds.json").read_text())
    assert found["seeds"] == [3, 7]
    assert found["rows"]["test arousal"] == {"values": [0.5, 0.5], "mean": 0.5, "sd": 0.0}
    assert found["rows"]["training, s"]["values"] == [4.0, 3.0]
    assert (tmp_path / "seeds.txt").read_text() == f"{text}\n"
    assert (tmp_path / "seeds.md").read_text().startswith("| CCC | seed 3 | seed 7 | mean | SD |")


def test_a_single_seed_has_no_standard_deviation(tmp_path):
    seeds.write(tmp_path, {0: run(tmp_path / "seed_0", {"valence": 0.1})})
    assert json.loads((tmp_path / "seeds.json").read_text())["rows"]["test valence"]["sd"] is None


def test_runs_on_other_dimensions_are_refused(tmp_path):
    runs = {
        0: run(tmp_path / "seed_0", {"valence": 0.1}),
        1: run(tmp_path / "seed_1", {"arousal": 0.1}),
    }
    with pytest.raises(
        InputError,
        match=r"seed_1: this run is scored on test arousal, but .*seed_0 is scored on test v",
    ):
        seeds.write(tmp_path, runs)


@pytest.mark.parametrize("text", ["[]", "{}", '{"splits": {"test": {"scores": {"v": {"a": 1}}}}}'])
def test_a_file_that_is_not_the_metrics_of_a_run_is_named(text, tmp_path):
    folder = run(tmp_path / "seed_0", {"valence": 0.1})
    (folder / "metrics.json").write_text(text)
    with pytest.raises(InputError, match=r"metrics\.json: these are not the metrics of a run"):
        seeds.write(tmp_path, {0: folder})


@pytest.mark.parametrize("text", ["", "0,", "1,1", "-1", "a", "1.5"])
def test_a_list_that_is_not_of_seeds_is_refused(text, capsys):
    parser = Parser()
    train.add_arguments(parser)
    with pytest.raises(SystemExit, match="not a list of different seeds"):
        parser.parse_known_args(["--config=a.py", "--workdir=w", f"--seeds={text}"])
