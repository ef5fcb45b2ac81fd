"""Debian's Chromium, driven from Python, and the packages of npm that tests run in Node or in the browser."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
# Nothing that would call home; no sandbox, because containers run the tests as root.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROGRAMS = Path(__file__).parent / "web" / "node"
NODE = Path(__file__).parent.parent / "build" / "node"  # not tracked; `make clean` takes it away
INSTALL_S = 300  # three packages from a registry; seconds where it is near
WAIT_MS = 60_000  # the local model takes its time on a loaded machine


# For one file at a time: playwright keeps an event loop running in its thread, and no other test of the
# same process could run one of its own meanwhile.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there; `make test` as root installs Debian's chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages of a fresh, empty profile; words are those of a browser context (`color_scheme="dark"`).

    At the end nothing may have gone to another host, and no script may have failed.
    """
    contexts: list[BrowserContext] = []
    elsewhere: list[str] = []
    failures: list[str] = []

    def watch(page: Page, origin: str) -> None:
        def asked(request: Request) -> None:
            if not request.url.startswith((f"{origin}/", "data:")):
                elsewhere.append(request.url)

        def said(message: ConsoleMessage) -> None:
            if message.type == "error" and "Failed to load resource" not in message.text:
                failures.append(message.text)

        page.on("request", asked)
        page.on("console", said)
        page.on("pageerror", lambda error: failures.append(str(error)))

    def open_(origin: str, path: str, **words: object) -> Page:
        context = chromium.new_context(**words)  # type: ignore[arg-type]  # handed on as they are
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        watch(page, origin)
        page.goto(origin + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert elsewhere == [], "a page asked another host"
    assert failures == [], "a script failed or the content policy stopped something"


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """A folder with tests/web/node/* and the packages its package.json names, installed once."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not there; on Debian: apt-get install nodejs npm")
    wanted = (PROGRAMS / "package.json").read_text()
    NODE.joinpath("node_modules").mkdir(parents=True, exist_ok=True)
    with (NODE / "node_modules" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come here at once
        for program in PROGRAMS.iterdir():
            shutil.copy(program, NODE)
        stamp = NODE / "node_modules" / ".installed-from"
        if not stamp.exists() or stamp.read_text() != wanted:
            command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(
                command, cwd=NODE, capture_output=True, text=True, timeout=INSTALL_S, check=False
            )
            assert done.returncode == 0, f"npm install failed:\n{done.stderr[-2000:]}"
            stamp.write_text(wanted)
    return NODE
