"""The page, built from the published models, served on loopback, in a real browser."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from commands.page import build, server

ROUND = "dream"
LOADED = "body[data-ready]"
TROUBLE = "#trouble:not([hidden])"
PATIENCE = 60_000  # ms


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The folder of the page. Not to be changed."""
    if not Path("models", ROUND, "agent.safetensors").exists():
        pytest.fail("the published models are not here: run `make` first")
    folder = tmp_path_factory.mktemp("page") / "site"
    build(ROUND, folder)
    return folder


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """`serve(folder)`: the address at which the folder is served."""
    servers = []

    def start(folder: Path) -> str:
        serving = server(folder, 0)
        servers.append(serving)
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{serving.server_port}/"

    yield start
    for serving in servers:
        serving.shutdown()
        serving.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    path = shutil.which("chromium") or pytest.fail("no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(site, serve, browser) -> Iterator[Page]:
    """The page as a visitor sees it once it is ready."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(serve(site))
    opened.wait_for_selector(f"{LOADED}, {TROUBLE}", state="attached", timeout=PATIENCE)
    assert not opened.query_selector(TROUBLE), opened.text_content("#trouble")
    yield opened
    opened.close()
    assert errors == []
