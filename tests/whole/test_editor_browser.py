"""The card editor in Debian's Chromium: faults while one types, what a card would do, saving, removing."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.fix_gateway import Gateway, filled
from tests.fix_upstream import ScriptedUpstream

OpenPage = Callable[..., Page]
CONFIG = """\
providers:
  - {name: lab, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}
  - {name: anthropic, kind: anthropic, base_url: $URL, api_key: $KEY}
engine: {start: never}
"""
OWN = "id: lab/own-1\nvendor: lab\nname: Own 1\nprotocol: chat\nmax_output_tokens: 50\n"
OPUS = "anthropic/claude-opus-4-8"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream_server: ScriptedUpstream) -> Iterator[Gateway]:
    """A gateway whose `api_key` is its owner's management key."""
    made = Gateway(tmp_path_factory.mktemp("editor"), filled(CONFIG, upstream_server))
    made.api_key = made.manage("keys", "create", "--name", "manager", "--management").strip()
    made.start()
    yield made
    assert made.stop() == 0, made.log_tail


@pytest.fixture(autouse=True)
def _without_cards(gateway: Gateway) -> Iterator[None]:
    yield
    for card in asked(gateway, "GET", "/v1/cards")["data"]:
        asked(gateway, "DELETE", f"/v1/cards/{card['id']}")


def asked(gateway: Gateway, method: str, path: str) -> Any:
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    request = urllib.request.Request(gateway.base_url + path, method=method, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def write(page: Page, gateway: Gateway, text: str) -> None:
    page.fill("#key", gateway.api_key)
    page.fill("#text", text)


def test_a_card_is_written_saved_shown_and_removed(gateway: Gateway, open_page: OpenPage) -> None:
    page = open_page(gateway.base_url, "/models")
    page.get_by_role("link", name="Add a card").click()
    expect(page.locator("#save")).to_be_disabled()

    write(page, gateway, OWN)
    expect(page.locator("#verdict")).to_have_text("All right: a new card, lab/own-1.")
    expect(page.locator("#served")).to_have_text("lab serves it; requests name it lab/own-1.")
    rows = page.locator("#form tbody tr")
    expect(rows.filter(has_text="max_tokens").first).to_contain_text("1 to 50")
    page.get_by_role("button", name="Messages").click()
    expect(rows.filter(has_text="thinking").first).to_be_visible()

    page.click("#save")
    expect(page.locator("#verdict")).to_contain_text("Saved")
    assert page.url.endswith("/models/edit/lab/own-1")
    page.get_by_role("link", name="Open lab/own-1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Own 1")
    expect(page.get_by_text("Served here").first).to_be_visible()

    page.get_by_role("link", name="Edit card").click()
    page.fill("#key", gateway.api_key)
    expect(page.locator("#text")).to_have_value(OWN)
    page.click("#remove")
    expect(page.locator("#remove")).to_have_text("Press again to remove")
    page.click("#remove")
    expect(page.locator("#verdict")).to_contain_text("Removed")
    assert asked(gateway, "GET", "/v1/cards")["data"] == []


def test_faults_are_listed_with_lines_that_can_be_gone_to(gateway: Gateway, open_page: OpenPage) -> None:
    page = open_page(gateway.base_url, "/models/new")

    write(page, gateway, OWN + "max_output_tokens: 60\nreleased: 2026-01-01\nname: Again")
    expect(page.locator("#faults li")).to_have_count(2)
    expect(page.locator("#save")).to_be_disabled()
    expect(page.locator("#effects")).to_be_hidden()
    page.get_by_role("button", name="Line 8").click()
    selected = "document.activeElement.value.slice(document.activeElement.selectionStart, 999)"
    assert page.evaluate(selected) == "name: Again"

    page.fill("#text", OWN + "aliases: [claude-opus-4-8]")
    expect(page.locator("#faults")).to_contain_text(
        f"'claude-opus-4-8' is a name of the card '{OPUS}' already"
    )
    page.fill("#text", OWN)
    expect(page.locator("#faults li")).to_have_count(0)
    expect(page.locator("#save")).to_be_enabled()


def test_a_card_over_ours_shows_what_would_change(gateway: Gateway, open_page: OpenPage) -> None:
    page = open_page(gateway.base_url, f"/models/{OPUS}")
    page.get_by_role("link", name="Edit card").click()

    write(page, gateway, f"id: {OPUS}\nmax_output_tokens: 64000\n")
    expect(page.locator("#changes tbody tr")).to_have_text(["max_output_tokens12800064000"])
    page.get_by_text("The card as it is now").click()
    expect(page.locator(".whole pre")).to_contain_text("context_window_tokens: 1000000")
    page.click("#save")
    expect(page.locator("#verdict")).to_contain_text("Saved")

    page.goto(f"{gateway.base_url}/models/{OPUS}")
    expect(page.locator(".facts")).to_contain_text("64K")


def test_a_model_that_nobody_serves_says_how_it_would_be(gateway: Gateway, open_page: OpenPage) -> None:
    page = open_page(gateway.base_url, "/models/new")

    write(page, gateway, OWN.replace("lab/own-1", "openai/own-1"))
    expect(page.locator("#served")).to_contain_text("lab takes any name: calls to lab/own-1 go there")


def test_what_somebody_else_changed_meanwhile_is_not_lost(gateway: Gateway, open_page: OpenPage) -> None:
    first, second = (open_page(gateway.base_url, "/models/new") for _ in range(2))
    for page in (first, second):
        write(page, gateway, OWN)
        expect(page.locator("#save")).to_be_enabled()

    first.click("#save")
    expect(first.locator("#verdict")).to_contain_text("Saved")
    second.click("#save")

    expect(second.locator("#trouble")).to_contain_text("changed by somebody else")


def test_a_card_can_begin_with_what_another_says(gateway: Gateway, open_page: OpenPage) -> None:
    page = open_page(gateway.base_url, "/models/new")

    page.select_option("#from", OPUS)
    expect(page).to_have_url(re.compile(r"\?from=anthropic"))
    assert page.input_value("#text").startswith(
        "id: anthropic/new-model\nvendor: anthropic\nname: New model\n"
    )
    page.fill("#key", gateway.api_key)
    expect(page.locator("#verdict")).to_have_text("All right: a new card, anthropic/new-model.")


def test_a_key_that_may_not_is_told_so_and_no_key_is_kept(gateway: Gateway, open_page: OpenPage) -> None:
    api_key = gateway.create_key("no manager")
    page = open_page(gateway.base_url, "/models/new")

    page.fill("#key", api_key)
    expect(page.locator("#verdict")).to_contain_text("may not add and change model cards")
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert api_key not in stored + page.url
    page.reload()
    assert page.input_value("#key") == ""


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious_right_or_wrong(
    gateway: Gateway, open_page: OpenPage, node_packages: Path, look: str
) -> None:
    page = open_page(gateway.base_url, f"/models/edit/{OPUS}", **LOOKS[look])
    page.evaluate((node_packages / "node_modules" / "axe-core" / "axe.min.js").read_text())
    page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true })")

    for text, ready in (
        (f"id: {OPUS}\nmax_output_tokens: 9000\n", "#form tbody tr"),
        ("id: [", "#faults li"),
    ):
        write(page, gateway, text)
        expect(page.locator(ready).first).to_be_visible()
        found = page.evaluate("axe.run({resultTypes: ['violations']}).then((found) => found.violations)")
        serious = [each["id"] for each in found if each["impact"] in ("serious", "critical")]
        assert serious == [], [node["html"][:200] for each in found for node in each["nodes"]]
        assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
