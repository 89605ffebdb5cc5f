"""The commands in the documentation: each parses; each is run here, or marked with the reason not.

A comment in front of a block of commands says what becomes of it:

`<!-- run -->`: a test runs it, with the files that are shipped or made by tests
`<!-- needs data -->`: it needs files that the reader supplies; so does a word in capitals
`<!-- takes long -->`: it takes minutes to hours
`<!-- changes the package -->`: `extend_examples_test.py` does the same to a copy of the package
"""

import functools
import importlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

from va_jax import config as configuration
from va_jax import main
from va_jax.cli import command, config_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("**/*.md"))
PAGES = [ROOT / "README.md", *DOCS, *sorted(ROOT.glob("tfds_builders/*/README.md"))]
PAGES += [ROOT / "configs" / "chains.md"]
MARKS = ("run", "needs data", "takes long", "changes the package")
PLACEHOLDER = re.compile(r"\b(FILE|DIR|FOLDER|MODEL|SOURCE|CLIP|FRAMES|URL)\b")
PROGRAM = re.compile(r"va_jax [a-z]|python -m (va_jax|tfds_builders|benchmarks)|python examples/")
CONTROL = {"&&", "|", ">", ";"}


class Block(NamedTuple):
    """A fenced block that contains commands."""

    mark: str  # "" if there is none
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """Return the words of each command, without variables, redirections and comments."""
        found = []
        for line in re.split(r"\n|&&", self.text.replace("\\\n", " ")):
            start = PROGRAM.search(line)
            if start:
                words = shlex.split(line[start.start() :], comments=True)
                end = next((n for n, word in enumerate(words) if word in CONTROL), len(words))
                found.append(words[:end])
        return found


@functools.cache
def blocks(page: pathlib.Path) -> list[Block]:
    pattern = r"(?:^ *<!-- ([a-z -]+) -->\n)?^( *)```(\w*)\n(.*?)^\2```$"
    found = re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)
    plain = [Block(mark, text) for mark, _, language, text in found if not language]
    return [block for block in plain if block.commands]


def of_pages(pages):
    names = [page.relative_to(ROOT).as_posix() for page in pages if blocks(page)]
    return pytest.mark.parametrize("name", names)


def check(words: list[str]) -> None:
    """Parse a command with its real parser, and its config keys with the real config.

    Raises:
        InputError: a flag, key or value is not legal; argparse exits instead.
    """
    if words[0] == "va_jax":
        _, args, overrides = command.parse(*words[1:])
    elif words[2] in ("va_jax", "va_jax.main"):
        args, overrides = main.make_parser().parse_known_args(words[3:])
    elif words[2].startswith("tfds_builders."):
        return check(["va_jax", "build", *words[3:]])
    else:
        return
    file = getattr(args, "config", None)
    if file or overrides:
        known = file if file and not PLACEHOLDER.search(file) else "quickstart.py"
        configuration.parse(config_file.read(known, overrides))


@of_pages(PAGES)
def test_every_command_parses(name):
    for block in blocks(ROOT / name):
        for words in block.commands:
            try:
                if words[0] == "python" and words[1] != "-m":
                    assert (ROOT / words[1]).is_file()
                elif block.mark != "changes the package":  # whose values are new
                    check(words)
                elif words[0] == "va_jax":
                    command.parse(*words[1:])
            except (SystemExit, ValueError) as error:
                pytest.fail(f"{name}: {shlex.join(words)}: {error}")


def test_a_wrong_command_flag_key_and_value_are_found():
    for line in ("va_jax trian", "va_jax score a b --lag=1", "va_jax summary --config=nothing.py",
                 "va_jax train --config=quickstart.py --workdir=a --model.unit=3",
                 "python -m va_jax.main --config=configs/quickstart.py --config.model.pool=max",
                 "python -m tfds_builders.build video_folder --data=data"):  # fmt: skip
        with pytest.raises((SystemExit, ValueError)):
            check(line.split())


@of_pages(DOCS)
def test_every_block_is_run_or_says_why_not_and_every_page_what_it_needs(name):
    for block in blocks(ROOT / name):
        assert block.mark in MARKS or PLACEHOLDER.search(block.text), f"{name}: {block.text}"
    assert re.search(r"^\*\*Needs:\*\* \w", (ROOT / name).read_text(), re.MULTILINE), name


def marked_run(page):
    return [block.text for block in blocks(page) if block.mark == "run"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [page.relative_to(ROOT).as_posix() for page in DOCS if marked_run(page)]
)
def test_the_commands_marked_run_succeed_in_the_order_of_the_page(
    name, tmp_path, tiny_run, tiny_export, tiny_data
):
    text = "\n".join(marked_run(ROOT / name))
    for folder in ("va_jax", "examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    shutil.copytree(tiny_run, tmp_path / "runs" / "quickstart")
    shutil.copytree(tiny_data, tmp_path / "data")
    if "--out=exported" not in text:
        shutil.copytree(tiny_export, tmp_path / "exported")
    (tmp_path / "clips").mkdir()
    shutil.copy(ROOT / "va_jax" / "published" / "clip.mp4", tmp_path / "clips" / "a.mp4")
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    python_path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        ["bash", "-e", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PATH": path, "PYTHONPATH": python_path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Traceback" not in done.stderr


BENCHMARKS = sorted({
    tuple(words[2:]) for page in PAGES for block in blocks(page) for words in block.commands
    if words[0] == "python" and words[1] == "-m" and words[2].startswith("benchmarks.")
})  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", sorted({words[0] for words in BENCHMARKS if any("--" in word for word in words)})
)
def test_every_benchmark_has_the_flags_of_the_documentation(module):
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True,
                          text=True, check=False, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    known = set(re.findall(r"--[\w-]+", done.stdout))
    for words in BENCHMARKS:
        if words[0] == module and "--" not in words:
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used <= known, words


@pytest.mark.parametrize("name", ["evaluation_explained.md"])
def test_the_python_of_a_page_prints_what_its_comments_say(name, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / name).read_text(), re.DOTALL)
    exec(code, {})
    expected = re.findall(r"print\(.*\)  # (.*)", code)
    assert capsys.readouterr().out.splitlines() == expected


def test_the_scores_of_the_simulated_recordings_are_those_on_the_page():
    example = importlib.import_module("examples.aggregations")
    page = (ROOT / "docs" / "evaluation_explained.md").read_text()
    for name, value in example.scores(*example.simulate()).items():
        assert f"{name:<40}{value:.3f}" in page, name
