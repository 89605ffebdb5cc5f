"""The site of the documentation: its links, and that it builds and loads nothing from elsewhere."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
pytest.importorskip("material", reason="install the extra [docs]")


@pytest.fixture(scope="module")
def hooks():
    """The module docs/site/hooks.py."""
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "site" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("a.md", "[`Clip`](../va_jax/types.py)", "`Clip` (`va_jax/types.py`)"),
        ("a.md", "[`types.py`](../va_jax/types.py)", "`va_jax/types.py`"),
        ("a.md", "[what](../CHANGELOG.md#x)", "[what](changelog.md#x)"),
        ("reference/a.md", "[what](../../CHANGELOG.md)", "[what](../changelog.md)"),
        ("a.md", "[what](../README.md#set-up)", "[what](index.md)"),
        ("a.md", "[leaks.md](leaks.md)", "[Leaks between splits](leaks.md)"),
        ("a.md", "[the\nleaks](leaks.md#x)", "[the\nleaks](leaks.md#x)"),
        ("builders/sewa.md", "[v](../../docs/veatic.md)", "[v](../veatic.md)"),
        ("builders/sewa.md", "[v](../video_folder/README.md)", "[v](video_folder.md)"),
        ("changelog.md", "[a](docs/api.md)", "[a](api.md)"),
        ("a.md", "![a frame](overlay.jpg)", "![a frame](overlay.jpg)"),
        ("a.md", "[x](https://example.org/y.py)", "[x](https://example.org/y.py)"),
        ("a.md", "[gone](../va_jax/gone.py)", "[gone](../va_jax/gone.py)"),
        ("a.md", "`[x](../setup.py)`", "`[x](../setup.py)`"),
        ("a.md", "```\n[x](../setup.py)\n```", "```\n[x](../setup.py)\n```"),
    ],
)
def test_links_of_a_page_are_rewritten_for_the_site(hooks, page, text, expected):
    assert hooks.rewrite(text, page) == expected


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(site):
    for page in (ROOT / "docs").glob("**/*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file(), page
    for page in site.glob("**/*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text()):
            assert not re.search(r"(?:src|href)=\"?(?:https?:)?//", tag), f"{page}: {tag}"
    for style in site.glob("**/*.css"):
        assert not re.search(r"url\(\"?(?:https?:)?//", style.read_text()), style


@pytest.mark.slow
def test_the_site_contains_the_examples_the_docstrings_and_a_search_index_for_files(site):
    assert "class SmootherBlock" in re.sub("<[^>]*>", "", (site / "extend.html").read_text())
    assert 'id="va_jax.models.build.build_model"' in (site / "reference/networks.html").read_text()
    assert "jackknife" in (site / "search" / "search_index.js").read_text()
    assert "site/iframe-worker.js" in (site / "index.html").read_text()
    assert not (site / "site" / "hooks.py").exists()
