"""The pages in Debian's Chromium, as people use them: find a model, switch, talk to it, copy the call."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.fix_gateway import Gateway, filled
from tests.fix_upstream import MESSAGES, ScriptedUpstream, recording, streamed

OpenPage = Callable[..., Page]
WAIT_MS = 60_000  # the local model takes its time on a loaded machine
PAGES = [
    "/",
    "/models",
    "/models/anthropic/claude-opus-4-8",
    "/models/new",
    "/reference",
    "/playground",
]
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}
CLAUDE = """\
providers:
  - {name: scripted-messages, kind: anthropic, base_url: $URL, api_key: $KEY}
engine: {start: never}
models:
  - {id: anthropic/claude-opus-4-8, targets: [{provider: scripted-messages, model: opus}]}
"""
# The smallest PNG: one pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f00010501"
    "012718e3660000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def claude(tmp_path_factory: pytest.TempPathFactory, upstream_server: ScriptedUpstream) -> Iterator[Gateway]:
    """A gateway with a model that thinks, sees and reads documents, behind the scripted upstream."""
    gateway = Gateway(tmp_path_factory.mktemp("claude"), filled(CLAUDE, upstream_server))
    gateway.start_new()
    yield gateway
    assert gateway.stop() == 0, gateway.log_tail


def table(page: Page) -> list[str]:
    return page.locator("#parameter-table tbody th code").all_inner_texts()


def ask(page: Page, key: str, text: str) -> Locator:
    """Sends a message; the answer's element, once there is one."""
    before = page.locator(".turn.assistant").count()
    page.fill("#key", key)
    page.fill("#prompt", text)
    page.click("#send")
    answer = page.locator(".turn.assistant").nth(before)
    expect(answer).to_be_visible(timeout=WAIT_MS)
    return answer


def figures(answer: Locator) -> dict[str, str]:
    """What stands under an answer that has ended."""
    expect(answer.locator(".turn-figures dt").first).to_be_visible(timeout=WAIT_MS)
    names = answer.locator(".turn-figures dt").all_inner_texts()
    return dict(zip(names, answer.locator(".turn-figures dd").all_inner_texts(), strict=True))


def said(answer: Locator) -> Locator:
    return answer.locator(":scope > .said")


def test_filters_narrow_the_list_in_place_and_the_address_keeps_them(
    gateway: Gateway, open_page: OpenPage
) -> None:
    page = open_page(gateway.base_url, "/models")
    everything = page.locator("li.row").count()
    page.evaluate("window.notReloaded = true")

    page.select_option("select[name=vendor]", "anthropic")
    page.get_by_label("Prefill").check()
    expect(page.locator("li.row")).not_to_have_count(everything)
    page.fill("input[name=q]", "haiku")
    expect(page).to_have_url(re.compile(r"\?q=haiku&vendor=anthropic&capability=prefill$"))
    ids = page.locator("li.row .id").all_inner_texts()

    assert ids
    assert all(name.startswith("anthropic/") and "haiku" in name for name in ids)
    assert page.evaluate("window.notReloaded")
    page.reload()
    assert page.locator("li.row .id").all_inner_texts() == ids
    assert page.get_by_label("Prefill").is_checked()


def test_switching_the_model_changes_table_example_and_address_in_place(
    gateway: Gateway, open_page: OpenPage
) -> None:
    page = open_page(gateway.base_url, "/models?vendor=anthropic")
    page.get_by_role("link", name="Claude Haiku 4.5", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Claude Haiku 4.5")
    haiku = table(page)
    page.evaluate("window.notReloaded = true")

    page.select_option("#open", "anthropic/claude-opus-4-8")
    expect(page.get_by_role("heading", level=1)).to_have_text("Claude Opus 4.8")
    opus = table(page)

    assert {"temperature", "top_k"} <= set(haiku)
    assert {"temperature", "top_k"}.isdisjoint(opus)
    assert '"anthropic/claude-opus-4-8"' in page.locator("#code").inner_text()
    assert "/models/anthropic/claude-opus-4-8" in page.url
    assert page.evaluate("window.notReloaded")

    page.get_by_role("link", name="Messages", exact=True).click()
    expect(page.locator("#code")).to_contain_text("/v1/messages")
    page.get_by_role("link", name="Python", exact=True).click()
    expect(page.locator("#code")).to_contain_text("from anthropic import Anthropic")
    assert "output_config.effort" in table(page)
    assert page.url.endswith("?api=messages&lang=python")
    page.go_back()
    expect(page.locator("#code")).to_contain_text("curl")


def test_an_answer_of_the_local_model_streams_with_its_figures(
    local_gateway: Gateway, open_page: OpenPage
) -> None:
    page = open_page(local_gateway.base_url, "/models/local/smollm2")
    page.get_by_role("link", name="Open in the playground").click()
    page.fill("#system", "You are brief.")
    page.fill('[data-parameter="max_tokens"]', "40")
    page.fill('[data-parameter="temperature"]', "0.2")

    answer = ask(page, local_gateway.api_key, "Why is the sky blue?")
    shown = figures(answer)

    assert said(answer).inner_text()
    assert 0 < int(shown["Tokens out"]) <= 40
    assert int(shown["Tokens in"]) > 0
    assert float(shown["Tokens/s"]) > 0
    assert shown["First token"].endswith(" s")
    assert shown["Cost"] == "free"
    request = json.loads((page.locator("#raw-request").text_content() or "").partition("\n\n")[2])
    assert request["temperature"] == 0.2
    assert request["messages"][0] == {"role": "system", "content": "You are brief."}
    assert "data:" in (page.locator("#raw-response").text_content() or "")

    ask(page, local_gateway.api_key, "And at night?")
    request = json.loads((page.locator("#raw-request").text_content() or "").partition("\n\n")[2])
    assert [message["role"] for message in request["messages"]] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("protocol", "limit"), [("messages", "max_tokens"), ("responses", "max_output_tokens")]
)
def test_the_other_protocols_stream_as_well(
    local_gateway: Gateway, open_page: OpenPage, protocol: str, limit: str
) -> None:
    page = open_page(local_gateway.base_url, "/playground")
    page.fill("#system", "You are brief.")
    page.select_option("#api", protocol)
    expect(page.locator(f"#form[data-api={protocol}]")).to_be_visible()
    page.fill(f'[data-parameter="{limit}"]', "40")

    answer = ask(page, local_gateway.api_key, "Say hello.")

    assert int(figures(answer)["Tokens out"]) > 0
    assert said(answer).inner_text()
    assert f"api={protocol}" in page.url
    assert page.input_value("#system") == "You are brief."


def test_stopping_ends_the_answer_and_the_call(local_gateway: Gateway, open_page: OpenPage) -> None:
    page = open_page(local_gateway.base_url, "/playground?p.max_tokens=3000")
    answer = ask(page, local_gateway.api_key, "Write a very long story about a lighthouse and the sea.")
    expect(said(answer)).to_have_text(re.compile(r"(\w+\s+){3}"), timeout=WAIT_MS)

    page.click("#stop")

    assert figures(answer)["Ended"] == "stopped"
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#stop")).to_be_hidden()
    assert answer.locator(".trouble").inner_text() == ""


def test_the_copied_curl_line_runs(local_gateway: Gateway, open_page: OpenPage) -> None:
    page = open_page(local_gateway.base_url, "/playground", permissions=["clipboard-read", "clipboard-write"])
    page.fill('[data-parameter="max_tokens"]', "20")
    page.fill("#prompt", 'It\'s late: what is "now"?')
    page.click("#raw summary")
    page.locator("[data-copy='#as-code']").click()
    expect(page.locator("#said")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")

    done = subprocess.run(
        ["sh", "-c", copied],
        env={"PATH": os.environ["PATH"], "MODELWAY_API_KEY": local_gateway.api_key},
        capture_output=True,
        text=True,
        timeout=WAIT_MS / 1000,
        check=True,
    )

    assert json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_the_address_brings_model_and_parameters_back_and_never_the_key(
    claude: Gateway, open_page: OpenPage
) -> None:
    page = open_page(claude.base_url, "/playground?api=messages")
    page.fill("#key", claude.api_key)
    page.fill('[data-parameter="max_tokens"]', "77")
    page.select_option('[data-parameter="output_config.effort"]', "low")
    page.fill("#system", "Be & stay brief.")
    address = page.url
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")

    page.reload()

    assert claude.api_key not in address + stored
    assert page.input_value("#key") == ""
    assert page.input_value('[data-parameter="max_tokens"]') == "77"
    assert page.input_value('[data-parameter="output_config.effort"]') == "low"
    assert page.input_value("#system") == "Be & stay brief."


def test_thinking_is_shown_apart_from_the_answer(
    claude: Gateway, upstream: ScriptedUpstream, open_page: OpenPage
) -> None:
    upstream.answers(MESSAGES, streamed(recording("messages/thinking.sse")))
    blocks = json.loads(recording("messages/thinking.json"))["content"]
    page = open_page(claude.base_url, "/playground?api=messages")

    answer = ask(page, claude.api_key, "Think.")
    figures(answer)

    thought = next(block["thinking"] for block in blocks if block["type"] == "thinking")
    text = next(block["text"] for block in blocks if block["type"] == "text")
    assert answer.locator(".thinking .said").text_content() == thought
    assert said(answer).text_content() == text

    upstream.answers(MESSAGES, streamed(recording("messages/text.sse")))
    figures(ask(page, claude.api_key, "Go on."))
    sent = upstream.last.json()["messages"][1]["content"]
    assert [block for block in sent if block["type"] == "thinking"] == [blocks[0]]


def test_a_tool_is_offered_and_its_call_can_be_answered(
    claude: Gateway, upstream: ScriptedUpstream, open_page: OpenPage
) -> None:
    upstream.answers(
        MESSAGES, streamed(recording("messages/tool_use.sse")), streamed(recording("messages/text.sse"))
    )
    page = open_page(claude.base_url, "/playground?api=messages")
    page.click("#tool-example")

    answer = ask(page, claude.api_key, "What is the weather in Paris?")
    figures(answer)
    answer.locator(".call textarea").first.fill("12 degrees, rain")
    page.click("#send")
    figures(page.locator(".turn.assistant").nth(1))

    first, second = upstream.calls
    assert first.json()["tools"][0]["name"] == "get_weather"
    results = [block for block in second.json()["messages"][-1]["content"] if block["type"] == "tool_result"]
    assert "12 degrees, rain" in json.dumps(results)


def test_a_picture_goes_with_the_question_where_the_model_sees(
    claude: Gateway, upstream: ScriptedUpstream, open_page: OpenPage, tmp_path: Path
) -> None:
    upstream.answers(MESSAGES, streamed(recording("messages/text.sse")))
    tmp_path.joinpath("pixel.png").write_bytes(PIXEL)
    page = open_page(claude.base_url, "/playground?api=chat")
    page.set_input_files("#files", tmp_path / "pixel.png")
    expect(page.locator("#attached")).to_contain_text("pixel.png")

    figures(ask(page, claude.api_key, "What is this?"))

    blocks = upstream.last.json()["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["image", "text"]
    assert blocks[0]["source"]["media_type"] == "image/png"


def test_a_model_that_only_reads_text_is_offered_no_files(
    local_gateway: Gateway, open_page: OpenPage
) -> None:
    page = open_page(local_gateway.base_url, "/playground")

    expect(page.locator("#attach")).to_be_hidden()


def test_what_a_model_says_is_text_and_never_html(
    claude: Gateway, upstream: ScriptedUpstream, open_page: OpenPage
) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    stream = recording("messages/text.sse").replace(b'"text": "Hello"', b'"text": "' + evil.encode() + b'"')
    assert evil.encode() in stream
    upstream.answers(MESSAGES, streamed(stream))
    page = open_page(claude.base_url, "/playground?api=messages")

    answer = ask(page, claude.api_key, "Be evil.")
    figures(answer)

    assert evil in (said(answer).text_content() or "")
    assert answer.locator("img, script").count() == 0


def test_a_refusal_says_why_and_gives_the_question_back(claude: Gateway, open_page: OpenPage) -> None:
    page = open_page(claude.base_url, "/playground")

    answer = ask(page, "sk-mw-wrong", "Hello?")

    expect(answer.locator(".trouble")).to_contain_text("401")
    assert page.input_value("#prompt") == "Hello?"


def test_an_upstreams_error_in_the_middle_is_shown_beside_what_was_said(
    claude: Gateway, upstream: ScriptedUpstream, open_page: OpenPage
) -> None:
    upstream.answers(MESSAGES, streamed(recording("messages/error_after_text.sse"), pause_after=3))
    page = open_page(claude.base_url, "/playground?api=messages")

    answer = ask(page, claude.api_key, "Hello?")
    expect(said(answer)).to_have_text("Hel", timeout=WAIT_MS)
    upstream.resume()

    expect(answer.locator(".trouble")).to_contain_text("Overloaded", timeout=WAIT_MS)
    assert said(answer).inner_text() == "Hel"


def test_without_script_the_pages_read_and_the_playground_says_what_it_needs(
    gateway: Gateway, open_page: OpenPage
) -> None:
    page = open_page(gateway.base_url, "/models", java_script_enabled=False)
    page.select_option("select[name=vendor]", "google")
    page.get_by_role("button", name="Apply").click()
    assert "vendor=google" in page.url
    page.locator("li.row a").first.click()
    page.select_option("#open", "anthropic/claude-opus-4-8")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Claude Opus 4.8")

    page.goto(gateway.base_url + "/playground")

    expect(page.get_by_text("it needs JavaScript")).to_be_visible()


def test_the_theme_is_the_systems_until_one_is_chosen(gateway: Gateway, open_page: OpenPage) -> None:
    page = open_page(gateway.base_url, "/", color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)

    page.click("#theme")
    light = page.evaluate(background)
    page.reload()

    assert dark != light
    assert page.evaluate(background) == light


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(
    gateway: Gateway, open_page: OpenPage, node_packages: Path, path: str, look: str
) -> None:
    page = open_page(gateway.base_url, path, **LOOKS[look])
    page.evaluate((node_packages / "node_modules" / "axe-core" / "axe.min.js").read_text())
    page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true })")

    violations = page.evaluate("axe.run({resultTypes: ['violations']}).then((found) => found.violations)")

    serious = [each for each in violations if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in serious] == []


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_never_scrolls_sideways(gateway: Gateway, open_page: OpenPage, path: str) -> None:
    page = open_page(gateway.base_url, path, **LOOKS["phone"])

    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("path", PAGES)
def test_the_keyboard_reaches_everything_and_focus_is_seen(
    gateway: Gateway, open_page: OpenPage, path: str
) -> None:
    page = open_page(gateway.base_url, path)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"

    for _ in range(12):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            "(() => { const style = getComputedStyle(document.activeElement.closest('.row') ??"
            " document.activeElement); return [document.activeElement.tagName, style.outlineStyle,"
            " parseFloat(style.outlineWidth)]; })()"
        )
        if seen[0] == "BODY":
            break  # behind the last thing on the page
        last = page.evaluate("document.activeElement.textContent")
        assert seen[1] != "none", seen
        assert seen[2] >= 2, seen
    else:
        return
    assert last == "openapi.json", "focus was lost in the middle"
