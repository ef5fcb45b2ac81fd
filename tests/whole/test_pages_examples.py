"""Every request example of every card runs as its page prints it, against a scripted upstream."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from modelway.catalog.capabilities import PATHS
from modelway.catalog.capabilities import Path as Protocol
from modelway.catalog.cards import Catalog
from modelway.catalog.forms import flat
from tests.fix_gateway import Gateway, filled
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES, ScriptedUpstream, recording, whole
from tests.web import run as python_runner

RUN_S = 300
SCRIPTED = {"chat": "scripted-chat", "messages": "scripted-messages", "responses": "scripted-responses"}
PROVIDERS = """\
providers:
  - {name: scripted-chat, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}
  - {name: scripted-messages, kind: anthropic, base_url: $URL, api_key: $KEY}
  - {name: scripted-responses, kind: openai, protocol: responses, base_url: $URL/v1, api_key: $KEY}
engine: {start: never}
models:
"""
CARDS = Catalog.shipped().all()
_ROW = re.compile(r'<th scope="row" class="depth-\d"><code>([^<]+)</code>')
_CODE = re.compile(r'<code id="code">(.*?)</code>', re.S)


def config_of_all_cards() -> str:
    """Every shipped card, behind the scripted upstream that speaks its vendor's protocol."""
    rows = [
        f"  - {{id: {card.id}, targets: [{{provider: {SCRIPTED[card.protocol]}, model: {card.id}}}]}}\n"
        for card in CARDS
    ]
    return PROVIDERS + "".join(rows)


@pytest.fixture(scope="module")
def all_cards(
    tmp_path_factory: pytest.TempPathFactory, upstream_server: ScriptedUpstream
) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("cards"), filled(config_of_all_cards(), upstream_server))
    gateway.start_new()
    yield gateway
    assert gateway.stop() == 0, gateway.log_tail


def model_page(gateway: Gateway, model: str, protocol: Protocol, language: str) -> str:
    address = f"{gateway.base_url}/models/{quote(model)}?api={protocol}&lang={language}"
    with urllib.request.urlopen(address) as answer:
        page: str = answer.read().decode()
    return page


def printed_example(gateway: Gateway, model: str, protocol: Protocol, language: str) -> str:
    found = _CODE.search(model_page(gateway, model, protocol, language))
    assert found, f"no example on the page of {model}"
    return html.unescape(found.group(1))


def table_in(page: str) -> list[str]:
    """The parameters in the table of a model's page."""
    table = page[page.index('id="parameter-table"') :].replace("<wbr>", "")
    return _ROW.findall(table[: table.index("</table>")])


def environment(gateway: Gateway) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "MODELWAY_API_KEY": gateway.api_key, "NO_PROXY": "127.0.0.1"}


def run_curl(sources: list[str], gateway: Gateway, node: Path) -> list[str]:
    results = []
    for source in sources:
        done = subprocess.run(
            ["sh", "-c", source.replace("curl ", "curl --silent --show-error ", 1)],
            capture_output=True, text=True, env=environment(gateway), timeout=RUN_S, check=False,
        )  # fmt: skip
        results.append(done.stdout if done.returncode == 0 else f"failed: {done.stderr}")
    return results


def run_together(command: list[str], sources: list[str], gateway: Gateway) -> list[str]:
    done = subprocess.run(
        command, input=json.dumps(sources), capture_output=True, text=True, env=environment(gateway),
        timeout=RUN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    results: list[str] = json.loads(done.stdout)
    return results


def run_python(sources: list[str], gateway: Gateway, node: Path) -> list[str]:
    return run_together([sys.executable, str(python_runner.__file__)], sources, gateway)


def run_javascript(sources: list[str], gateway: Gateway, node: Path) -> list[str]:
    return run_together(["node", str(node / "run.mjs")], sources, gateway)


RUNNERS = {"curl": run_curl, "python": run_python, "javascript": run_javascript}


def text_of(answer: Any) -> str:
    """The text of a whole answer in any of the three protocols."""
    if "choices" in answer:
        return str(answer["choices"][0]["message"]["content"])
    blocks = answer.get("content") or [part for item in answer["output"] for part in item.get("content", ())]
    return "".join(block["text"] for block in blocks if block["type"] in ("text", "output_text"))


def answer_in(printed: str) -> str:
    """The text of what curl printed; of an error, all of it."""
    answer = json.loads(printed) if printed.startswith("{") else {"error": printed}
    return printed if "error" in answer and answer.get("type") == "error" else text_of(answer)


@pytest.mark.parametrize("protocol", PATHS)
def test_the_table_of_every_page_has_exactly_the_parameters_of_the_form(
    protocol: Protocol, all_cards: Gateway
) -> None:
    shown = {card.id: table_in(model_page(all_cards, card.id, protocol, "curl")) for card in CARDS}

    assert shown == {card.id: [field["name"] for field in flat(card, protocol)] for card in CARDS}


@pytest.mark.parametrize("language", RUNNERS)
@pytest.mark.parametrize("protocol", PATHS)
def test_every_example_of_every_card_runs_as_printed(
    language: str,
    protocol: Protocol,
    all_cards: Gateway,
    upstream: ScriptedUpstream,
    node_packages: Path,
) -> None:
    said = {}
    for path, name in ((CHAT, "chat"), (MESSAGES, "messages"), (RESPONSES, "responses")):
        body = recording(f"{name}/text.json")
        upstream.answers(path, whole(body))
        said[name] = text_of(json.loads(body))
    sources = [printed_example(all_cards, card.id, protocol, language) for card in CARDS]

    printed = RUNNERS[language](sources, all_cards, node_packages)

    wrong = []
    for card, result in zip(CARDS, printed, strict=True):
        text = answer_in(result) if language == "curl" else result
        if said[card.protocol].strip() != text.strip():
            wrong.append(f"{card.id}: {result[:300]}")
    assert wrong == []
    assert [call.json()["model"] for call in upstream.calls] == [card.id for card in CARDS]
