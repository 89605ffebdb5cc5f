"""How commands end: on Ctrl-C, without the chosen platform; and `~` in paths."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from va_jax.cli import command, config_file
from va_jax.cli.parser import Parser, expand_home

ROOT = pathlib.Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "va_jax" / "published"


@pytest.fixture
def home(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("HOME", str(tmp_path))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("~", "HOME"),
        ("~/x", "HOME/x"),
        ("--out=~/x", "--out=HOME/x"),
        ("--data.dir=~/x", "--data.dir=HOME/x"),
        ("root=~/x", "root=HOME/x"),
        ("~/a,b,~/c", "HOME/a,b,HOME/c"),
        ("~nobody_of_that_name/x", "~nobody_of_that_name/x"),
        ("./~/x", "./~/x"),
        ("a~/x", "a~/x"),
        ("x/~", "x/~"),
        ("--label_suffix=_a~b", "--label_suffix=_a~b"),
    ],
)
def test_a_tilde_at_the_beginning_of_a_path_is_the_home(home, text, expanded):
    assert expand_home(text) == expanded.replace("HOME", home)


def test_every_flag_and_every_argument_is_expanded(home):
    parser = Parser()
    parser.add_argument("source")
    parser.add_argument("--out", type=pathlib.Path)
    args, extra = parser.parse_known_args(["~/a.mp4", "--out=~/x", "--init.weights=~/w.pth"])
    assert (args.source, args.out) == (f"{home}/a.mp4", pathlib.Path(home, "x"))
    assert extra == [f"--init.weights={home}/w.pth"]


def test_path_keys_of_a_config_file_are_expanded(home, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from va_jax import config\n\n"
        "def get_config():\n"
        "    found = config.defaults()\n"
        "    found.data.dir, found.init.weights = '~/data', '~/w.pth'\n"
        "    return found\n"
    )
    config = config_file.read(f"{tmp_path}/mine.py", ["--init.from_workdir=x"])
    assert (config.data.dir, config.init.weights) == (f"{home}/data", f"{home}/w.pth")
    assert config.init.from_workdir == "x"


def test_ctrl_c_is_one_line_in_every_command(capsys):
    def pressed() -> int:
        raise KeyboardInterrupt

    assert command.exit_code(pressed) == 130
    assert capsys.readouterr().err == "interrupted\n"


COLLECTED = """
import sys, time
from va_jax.cli import command

class Collected:
    def __del__(self):
        raise KeyboardInterrupt

def pressed():
    Collected()
    for _ in range(300):
        time.sleep(0.1)
    return 0

sys.exit(command.exit_code(pressed))
"""


def test_ctrl_c_during_garbage_collection_is_not_lost():
    """In a process of its own, since the repeated Ctrl-C would end that of the tests if late."""
    command = [sys.executable, "-c", COLLECTED]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_an_error_that_is_not_about_the_platform_keeps_its_traceback(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")

    def wrong() -> int:
        raise AssertionError("a bug")

    with pytest.raises(AssertionError, match="a bug"):
        command.exit_code(wrong)


def start(*words: str, folder: pathlib.Path, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "va_jax", *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["cuda", "cpuu"])
@pytest.mark.parametrize(
    "words",
    [
        ["selftest"],
        ["predict", str(PUBLISHED / "model"), str(PUBLISHED / "clip.mp4"), "--no-progress"],
        ["summary", "--config=quickstart.py", "--data.size=32"],
        ["evaluate", "nowhere"],
    ],
)
def test_a_platform_that_is_not_there_is_one_line(tmp_path, words, platform):
    process = start(*words, folder=tmp_path, JAX_PLATFORMS=platform)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert printed.splitlines()[-1].startswith(f"error: JAX_PLATFORMS={platform}: ")
    assert "Traceback" not in printed
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".csv"]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1, 3, 6])
@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["predict", str(PUBLISHED / "model"), "clips", "--no-progress"], "predict.json"),
        (["selftest"], ""),
        (["build", "synthetic_faces/quickstart", "--data_dir=data", "--jobs=2"], "/data/"),
        (["inspect", "video_folder/112", "clips"], ""),
    ],
)
def test_ctrl_c_in_a_terminal_is_one_line_and_leaves_nothing_half_written(
    tmp_path, words, left, seconds
):
    (tmp_path / "clips").mkdir()
    for number in range(9):
        (tmp_path / "clips" / f"{number}.mp4").write_bytes((PUBLISHED / "clip.mp4").read_bytes())
    process = start(*words, folder=tmp_path)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all processes
    printed = process.communicate(timeout=120)[0]
    if "interrupted" not in printed and "Traceback" not in printed:
        pytest.skip("the command was faster")
    assert process.returncode == 130, printed
    assert printed.splitlines()[-1] == "interrupted"
    assert "Traceback" not in printed
    assert not list(tmp_path.rglob(".*.tmp"))
    new = {path for path in tmp_path.rglob("*") if path.is_file() and "clips/" not in str(path)}
    assert all((left and left in str(path)) or path.suffix == ".csv" for path in new), new
