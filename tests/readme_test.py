"""The README is true: two set-up commands, commands and files that exist, flags that parse."""

import importlib.util
import pathlib
import re
import shlex

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
