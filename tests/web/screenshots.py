"""Takes the pictures of docs/screenshots: `python -m tests.web.screenshots ADDRESS KEY MANAGEMENT_KEY`.

The gateway runs at ADDRESS, with a provider `anthropic`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.fix_browser import CHROMIUM, FLAGS

FOLDER = Path(__file__).parent.parent.parent / "docs" / "screenshots"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 860}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 860}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
PAGES = {
    "start": "/",
    "models": "/models",
    "model": "/models/anthropic/claude-opus-4-8?api=messages",
    "editor": "/models/edit/anthropic/claude-opus-4-8",
    "reference": "/reference",
    "playground": "/playground?model=local/smollm2",
}
ANSWER_MS = 120_000
WRITTEN = """\
id: anthropic/claude-opus-4-8
max_output_tokens: 64000
prices: {input: 4, output: 20}
parameters:
  messages:
    max_tokens: {default: 4096}
"""


def take(browser: Browser, origin: str, key: str, management_key: str) -> None:
    for look, words in LOOKS.items():
        page = browser.new_context(**words).new_page()
        for name, path in PAGES.items():
            page.goto(origin + path)
            page.wait_for_load_state("networkidle")
            if name == "playground":
                talk(page, key)
            if name == "editor":
                write(page, management_key)
            page.screenshot(path=FOLDER / f"{name}-{look}.png")


def write(page: Page, management_key: str) -> None:
    """A card that changes something, and what it would change."""
    page.fill("#key", management_key)
    page.fill("#text", WRITTEN)
    page.wait_for_selector("#changes tbody tr")
    page.evaluate("scrollTo(0, 0)")


def talk(page: Page, key: str) -> None:
    """One question and its answer, so that the picture shows a conversation."""
    folded = page.locator("details.narrow > summary:visible")
    for summary in folded.all():  # a phone shows the settings when asked
        summary.click()
    page.fill("#key", key)
    page.fill("#system", "Answer in one short paragraph.")
    page.fill('[data-parameter="temperature"]', "0.2")
    for summary in folded.all():
        summary.click()
    page.fill("#prompt", "Why is the sky blue?")
    page.click("#send")
    page.wait_for_selector(".turn-figures dt", timeout=ANSWER_MS)
    page.locator(".turn.assistant").scroll_into_view_if_needed()


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        take(playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS), *sys.argv[1:4])
