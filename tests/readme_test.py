"""The README is true: two set-up commands, modules and files that exist, flags that parse."""

import importlib.util
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_there_are_exactly_two_set_up_commands():
    block = re.search(r"<!-- set-up -->(.*?)<!-- end -->", README, re.DOTALL).group(1)
    commands = re.findall(r"```\n(.*?)\n```", block, re.DOTALL)
    assert len(commands) == 2
    assert all("\n" not in command for command in commands)
    assert "va_jax.main --config=configs/quickstart.py" in commands[0]
    assert "pytest" in commands[1]


def test_every_module_and_config_in_a_command_exists():
    modules = set(re.findall(r"python -m ([\w.]+)", README)) - {"venv", "pytest"}
    assert modules
    for module in modules:
        assert importlib.util.find_spec(module), module
    for config in re.findall(r"--config=(\S+?\.py)", README):
        assert (ROOT / config).is_file(), config


def test_every_key_in_a_command_is_a_key_of_the_config():
    from configs.default import get_config

    config = get_config()
    for key in re.findall(r"--config\.([\w.]+)=", README):
        value = config
        for part in key.split("."):
            value = value[part]


def test_every_room_of_the_tree_exists_and_every_room_is_in_the_tree():
    tree = re.search(r"```\n(configs/ .*?)```", README, re.DOTALL).group(1)
    named = set(re.findall(r"(\w+)\.py", tree))
    there = {path.stem for path in (ROOT / "va_jax").glob("*.py")} - {"__init__"}
    assert there <= named, there - named
    everywhere = {path.stem for path in ROOT.glob("*/*.py")}
    everywhere |= {path.stem for path in ROOT.glob("va_jax/*/*.py")}
    assert named <= everywhere, named - everywhere


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
