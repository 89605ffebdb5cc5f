"""A browser for the tests of pages: an installed Chromium without a window."""

import contextlib
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser found, none of {', '.join(NAMES)}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Return a function that opens a file; the page must print nothing and request nothing else."""
    with contextlib.ExitStack() as stack:

        def visit(path, width=1280, height=900, requests=(), **context):
            viewport = {"width": width, "height": height}
            opened = stack.enter_context(browser.new_context(viewport=viewport, **context))
            page, said, asked = opened.new_page(), [], []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(path.as_uri())
            page.problems = lambda: (
                said,
                [url for url in asked if not url.startswith(("data:", "blob:", path.as_uri()))],
            )
            return page

        yield visit
