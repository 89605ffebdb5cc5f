"""The README is true: two set-up commands, commands and files that exist, flags that parse."""

import importlib.util
import itertools
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import av
import pytest

from va_jax import keys
from va_jax.cli import command
from va_jax.cli.parser import Parser
from va_jax.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [*sorted(ROOT.glob("tfds_builders/*/README.md")), ROOT / "tpu_scripts" / "README.md"]


def commands(text, name):
    """The lines of code in a page that begin with `name`, without continuations and comments."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL))
    lines = [*blocks.replace("\\\n", " ").splitlines(), *re.findall(r"`([^`\n]+)`", text)]
    return [line.strip() for line in lines if line.strip().startswith(name)]


def section(heading):
    """The text of a section of the README, without its heading."""
    pattern = rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)"
    found = re.findall(pattern, README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"README.md: expected one section {heading!r}"
    return found[0]


def test_there_are_exactly_two_set_up_commands():
    block = re.search(r"<!-- set-up -->(.*?)<!-- end -->", README, re.DOTALL).group(1)
    setup = re.findall(r"```\n(.*?)\n```", block, re.DOTALL)
    assert len(setup) == 2
    assert all("\n" not in each for each in setup)
    assert "va_jax.main --config=configs/quickstart.py" in setup[0]
    assert "pytest" in setup[1]
    assert "git clone" in README


def test_the_readme_is_short_and_begins_with_a_picture():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert next(line for line in lines[1:] if line).startswith("![")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_exists_and_has_the_flags(page):
    for line in commands(page.read_text(), "va_jax "):
        words = shlex.split(line, comments=True)[1:]
        if not words or words[0].startswith("-") or words[0].isupper():
            continue
        assert words[0] in command.COMMANDS, line
        module = importlib.import_module(f"va_jax.cli.{words[0].replace('-', '_')}")
        parser = Parser()
        module.add_arguments(parser)
        known = {option for action in parser._actions for option in action.option_strings}
        sections = {name.split(".")[0] for name in keys.flatten(keys.default_tree(Config))}
        for word in words[1:]:
            flag = word.partition("=")[0]
            first = flag.lstrip("-").split(".")[0]
            if flag.startswith("--") and not (first in sections or first == "config"):
                assert flag in known, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_module_config_and_key_of_a_page_exists(page):
    text = page.read_text()
    for module in set(re.findall(r"python -m ([\w.]+)", text)) - {"venv", "pytest", "pip"}:
        assert importlib.util.find_spec(module.rstrip(".")), module
    for config in re.findall(r"--config=([\w/]+\.py)", text):
        assert (ROOT / "configs" / config.removeprefix("configs/")).is_file(), config
    known = keys.flatten(keys.default_tree(Config))
    for key in re.findall(r"--config\.([a-z_.]+)=", text):
        assert key in known, key


SHORT = " --train.steps=2 --train.batch_size=4 --eval.every_steps=2 --checkpoint.every_steps=2"
"""Added to the training command of the README, which would take an hour."""
VIDEOS = {"one": ("train", 0), "two": ("dev", 150), "three": ("test", 300)}
"""Split, and the first of 60 frames that are taken from an annotated clip."""


def cut(source, target, start, frames=60):
    """Copy some frames of a video, and of the label file next to it."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        (video,) = old.streams.video
        stream = new.add_stream("libx264", rate=video.average_rate)
        stream.width, stream.height = video.width, video.height
        for frame in itertools.islice(old.decode(video), start, start + frames):
            picture = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"))
            new.mux(stream.encode(picture))
        new.mux(stream.encode(None))
    header, *rows = source.with_suffix(".csv").read_text().splitlines()
    cells = [row.split(",") for row in rows[start : start + frames]]
    shifted = [[f"{float(x[0]) - float(cells[0][0]):.3f}", *x[1:]] for x in cells]
    rows = [header, *(",".join(row) for row in shifted)]
    target.with_suffix(".csv").write_text("\n".join(rows) + "\n")


def shell(line, folder):
    programs = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PATH": programs},
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.slow
def test_the_commands_for_your_own_videos_run_as_written(tmp_path, media):
    videos = tmp_path / "FOLDER"
    (tmp_path / "clips").mkdir()
    videos.mkdir()
    for name, (_, start) in VIDEOS.items():
        cut(media / "tears_to_laughter.mp4", videos / f"{name}.mp4", start)
    rows = [f"{name}.mp4,{name}.csv,{name},{split}" for name, (split, _) in VIDEOS.items()]
    (videos / "videos.csv").write_text("\n".join(["video,labels,subject,split", *rows]) + "\n")
    for path in (tmp_path / "video.mp4", tmp_path / "clips" / "a.mp4"):
        shutil.copy(media / "smile.mp4", path)
    text = section("Train on your own videos") + section("Your own video")
    lines = "".join(re.findall(r"```\n(.*?)```", text, re.DOTALL)).splitlines()
    assert [line.split()[1] for line in lines] == [
        "inspect", "build", "train", "export", "predict", "predict",
    ]  # fmt: skip
    for line in lines:
        shell(line + SHORT * line.startswith("va_jax train"), tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", section("In Python"), re.DOTALL)
    (tmp_path / "five_lines.py").write_text(code)
    shell("python five_lines.py", tmp_path)
    for path in ("seen.mp4", "seen.html", "video.csv", "predicted/a.csv"):
        assert (tmp_path / path).is_file(), path


def test_the_commands_of_the_launch_scripts_are_accepted():
    text = (ROOT / "tpu_scripts" / "README.md").read_text()
    lines = [line for line in commands(text, "tpu_scripts/") if "=" in line]
    assert len(lines) == 2
    for line in lines:
        shell(line.replace(" -- ", " --dry-run -- "), ROOT)
