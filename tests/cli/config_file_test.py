"""A config file that cannot be used is one line that names the file."""

import sys

import pytest

from va_jax.cli import config_file
from va_jax.types import InputError

DEFAULTS = "from va_jax.config import defaults\n\n\ndef get_config():\n    config = defaults()\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_there\n", r"own\.py: line 1: ModuleNotFoundError: .*nothing_there"),
        ("x = 1\ndef get_config(:\n", r"own\.py: line 2: SyntaxError: invalid syntax"),
        ("def get_config():\n    return undefined\n", r"own\.py: line 2: NameError: "),
        ("x = 1\n", r"own\.py: there is no function get_config"),
        ("", r"own\.py: there is no function get_config"),
        (f"{DEFAULTS}    config.dat.name = ''\n    return config\n", "unknown config key 'dat'"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path, monkeypatch, text, message):
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # the config read before
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        config_file.read(str(tmp_path / "own.py"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("nothing.py", r"--config=nothing\.py: no such file; .*quickstart\.py"),
        ("/", "--config=/ is a folder"),
        ("own_videos.py:large", r"own_videos\.py:large: 'large' is unknown; .*small \| resnet18"),
    ],
)
def test_a_file_that_does_not_exist_or_a_wrong_variant_is_refused(file, message):
    with pytest.raises(InputError, match=message):
        config_file.read(file)
