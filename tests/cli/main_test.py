"""The command line as a user types it: the modes of `main`, the commands, mistakes as one line."""

import pathlib
import subprocess
import sys

import pytest

from va_jax.cli import build, command, compare, cross_dataset, inspect, score
from va_jax.cli.command import COMMANDS
from va_jax.cli.parser import Parser

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_main(*flags):
    line = [sys.executable, "-m", "va_jax.main", *flags]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_a_summary_needs_neither_workdir_nor_data_set(tmp_path):
    done = run_main(
        "--mode=summary",
        "--config=configs/tzirakis2021.py:resnet18_lstm",
        f"--config.data.dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    assert "12,489,794" in done.stdout
    assert "layer4_1" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mode=summary"], "--config is missing"),
        (["--config=configs/quickstart.py"], "--workdir is missing"),
        (["--mode=guess"], "--mode"),
        (
            ["--mode=summary", "--config=configs/quickstart.py", "--coordinator=auto"],
            "--coordinator=auto applies only to --mode=train and --mode=eval; omit it",
        ),
        (
            ["--config=configs/quickstart.py", "--workdir=w", "--out=x"],
            "--out=x applies only to --mode=eval and --mode=export; omit it",
        ),
        (["--config=configs/kollias2017.py:resnet50_cnn,gru,gru"], "'gru'"),
        (["--config=configs/quickstart.py", "--config.model.unit=3", "--workdir=w"], "unit"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(flags, message):
    done = run_main(*flags)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0
    assert f"\nva_jax {name}" in capsys.readouterr().out.replace("    va_jax", "va_jax")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (score, ["p", "l", "--dims=a,b", "--dims=c"]),
        (compare, ["p", "q", "--dims=a,b", "--dims=c"]),
        (cross_dataset, ["run", "--data=a,b", "--data=c"]),
        (inspect, ["set", "tree", "--config_options", "a", "b", "--config_options=c"]),
        (build, ["set", "--data_dir=d", "--config_options", "a", "b", "--config_options=c"]),
        (build, ["set", "--data_dir=d", "--beam=a b", "--beam=c"]),
    ],
)
def test_a_list_may_be_given_in_several_flags(module, words):
    parser = Parser()
    module.add_arguments(parser)
    args = vars(parser.parse_args(words))
    assert args[words[-1].lstrip("-").partition("=")[0]] == ["a", "b", "c"]


def test_the_commands_are_listed(capsys):
    assert command.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)
    assert command.main([]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "unknown command 'trian'"),
        (["export", "nowhere", "--ouut=x"], "--ouut"),
        (["evaluate", "nowhere"], "nowhere"),
        (["evaluate", "nowhere", "--eval.state=window"], "config.json"),
        (["score", "nowhere", "labels"], "nowhere"),
        (["preview", "--out=x.png"], "NAME is missing"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys):
    assert command.main(words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
