"""Render a page: a template with its style, its scripts, and its data as compressed blocks."""

import base64
import gzip
import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2

HERE = pathlib.Path(__file__).parent

STYLES = ("uplot/uPlot.min.css", "page.css", "report.css")
"""The style of every page."""


def render(
    template: pathlib.Path,
    context: Mapping[str, Any],
    scripts: Sequence[str] = (),
    filters: Mapping[str, Callable[..., Any]] | None = None,
) -> str:
    """Return the HTML of a page.

    Args:
        template: path to a Jinja template that extends `base.html`.
        context: its variables. Text is escaped; `| tojson` makes a value safe in a data block.
        scripts: names of scripts in this folder, in the order in which they run.
        filters: functions that the template applies to values.
    """
    loader = jinja2.FileSystemLoader([template.parent, HERE])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= filters or {}
    script = "\n".join(_read(name) for name in scripts)
    style = "\n".join(_read(name) for name in STYLES)
    shared = {
        "script": script,
        "style": style,
        "script_hash": _sha256(script),
        "style_hash": _sha256(style),
    }
    return environment.get_template(template.name).render(shared | dict(context)).lstrip()


def packed(content: bytes) -> str:
    """Return bytes for a data block that scripts read with `unpack`: gzip in base64."""
    return encoded(gzip.compress(content, mtime=0))


def encoded(content: bytes) -> str:
    """Return bytes as base64, for a data block or a data URL."""
    return base64.b64encode(content).decode()


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    """Return the source expression that admits an inline script or style of this text."""
    return f"'sha256-{encoded(hashlib.sha256(text.encode()).digest())}'"
