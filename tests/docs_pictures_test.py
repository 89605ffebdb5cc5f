"""The pictures of the README and the documentation are those that docs/pictures.py makes."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]


def test_every_picture_is_made_by_the_script_and_shown():
    script = ast.parse((ROOT / "docs" / "pictures.py").read_text())
    made = next(
        set(ast.literal_eval(node.value))
        for node in script.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "PICTURES"
    )
    there = {
        path.name for kind in ("png", "jpg", "gif") for path in (ROOT / "docs").glob(f"*.{kind}")
    }
    assert there == made
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]
    shown = {
        name
        for path in texts
        for name in re.findall(r"\]\((?:docs/|\.\./)?([\w.]+\.(?:png|jpg|gif))\)", path.read_text())
    }
    assert shown == made
