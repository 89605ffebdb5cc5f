"""Hooks of MkDocs that make links work both on GitHub and in the site.

The site consists of `docs/` and of the Markdown files elsewhere that are listed in `PAGES`. A link
to one of these leads to its page. A link to any other file of the repository, such as a file of
code, becomes its path as text, since the site contains no code and knows no address of it.
"""

import os.path
import pathlib
import re
from typing import Any

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[2]

PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "configs/chains.md": "chains.md",
    "tpu_scripts/README.md": "tpu_scripts.md",
}
"""Path in the repository of each Markdown file outside `docs/`, and its page of the site."""
PAGES |= {
    path.relative_to(ROOT).as_posix(): f"builders/{path.parent.name}.md"
    for path in sorted(ROOT.glob("tfds_builders/*/README.md"))
}

HOME = "README.md"
"""A file whose links lead to the home page, whatever their anchor."""

FENCED = re.compile(r"^( *)(```+).*?^ *\2 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"(?P<code>`+[^`]+`+)|(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)#\s]+)(?P<anchor>#[^)]*)?\)"
)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside `docs/`."""
    for path, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of a page, but not its code."""
    return rewrite(markdown, page.file.src_uri)


def rewrite(markdown: str, page: str) -> str:
    """Return the text of a page, such as `builders/sewa.md`, with links that work in the site."""
    inverse = {site: path for path, site in PAGES.items()}
    folder = os.path.dirname(inverse.get(page, f"docs/{page}"))
    result, end = [], 0
    for block in FENCED.finditer(markdown):
        text = markdown[end : block.start()]
        result += [LINK.sub(lambda link: _rewritten(link, folder, page), text), block[0]]
        end = block.end()
    text = markdown[end:]
    return "".join([*result, LINK.sub(lambda link: _rewritten(link, folder, page), text)])


def _title(path: pathlib.Path) -> str:
    """Return the first heading of a page, which names it better than its file does."""
    return path.read_text(encoding="utf-8").partition("# ")[2].partition("\n")[0]


def _rewritten(link: re.Match[str], folder: str, page: str) -> str:
    """Return a link of `page`, whose source lies in `folder` of the repository, for the site."""
    if link["code"] or ":" in link["path"]:
        return link[0]
    path = os.path.normpath(os.path.join(folder, link["path"]))
    text, anchor = link["text"], link["anchor"]
    if path == HOME:
        inside, anchor = "index.md", ""
    elif path.startswith("docs/"):
        inside = path.removeprefix("docs/")
    else:
        inside = PAGES.get(path, "")
    if inside:
        target = os.path.relpath(inside, os.path.dirname(page) or ".")
        if text == os.path.basename(path) and text.endswith(".md") and (ROOT / path).is_file():
            text = _title(ROOT / path)
        return f"{link['image']}[{text}]({target}{anchor or ''})"
    if not (ROOT / path).exists():
        return link[0]  # MkDocs reports it
    return f"`{path}`" if path.endswith(text.strip("`")) else f"{text} (`{path}`)"
