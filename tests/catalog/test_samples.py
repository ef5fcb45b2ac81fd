"""The request examples run as printed and follow the model."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from modelway.catalog.capabilities import PATHS, Path
from modelway.catalog.cards import Card
from modelway.catalog.samples import LANGUAGES, ROUTES, Language, request_example, sample, samples
from modelway.catalog.validation import accepts
from tests.catalog.breaking import CATALOG, FORMS, form_id

ANSWERS: dict[str, Any] = {
    ROUTES["chat"]: {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Blue."}}
        ],
    },
    ROUTES["responses"]: {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "output": [
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Blue.", "annotations": []}],
            }
        ],
    },
    ROUTES["messages"]: {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Blue."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}
# One model of each kind: always thinking, thinking on a budget, reasoning efforts, plain, local.
KINDS = ("claude-opus-5-5", "claude-haiku-4-5", "gpt-6-sol", "gpt-4o", "local/smollm2")


class Upstream(http.server.ThreadingHTTPServer):
    """Answers each of the three paths in its protocol and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Upstream)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = self.headers["authorization"] or f"Bearer {self.headers['x-api-key']}"
        self.server.asked.append((self.path, key, body))
        answer = json.dumps(ANSWERS[self.path]).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the test's output is not a log."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(*command: str, text: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=True, env=environment or None
    )


def card(name: str) -> Card:
    found = CATALOG.find(name)
    assert found is not None
    return found


@pytest.mark.parametrize("form", FORMS, ids=form_id)
def test_an_example_asks_for_nothing_its_model_refuses(form: tuple[Card, Path]) -> None:
    body = request_example(*form)

    assert accepts(*form, body)
    if form[0].capabilities.sampling == "refused":
        assert {"temperature", "top_p", "top_k"}.isdisjoint(body)
    assert form[1] != "messages" or "max_tokens" in body


@pytest.mark.parametrize("path", PATHS)
def test_the_python_samples_run_as_printed(path: Path, upstream: Upstream) -> None:
    base_url, key = upstream.base_url, "sk-mw-test"
    # One after the other in one process, because importing an SDK takes a second.
    text = "\n".join(sample(card(name), path, "python", base_url=base_url, api_key=key) for name in KINDS)

    done = run(sys.executable, "-c", text)

    assert done.stdout == "Blue.\n" * len(KINDS)
    assert [(route, sent) for route, sent, _ in upstream.asked] == [(ROUTES[path], f"Bearer {key}")] * len(
        KINDS
    )
    assert [body for _, _, body in upstream.asked] == [request_example(card(name), path) for name in KINDS]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", KINDS)
def test_the_curl_sample_runs_as_printed(name: str, path: Path, upstream: Upstream) -> None:
    text = sample(card(name), path, "curl", base_url=upstream.base_url, api_key="$KEY")

    done = run("sh", "-c", text, PATH="/usr/bin:/bin", KEY="sk-mw-test")

    assert json.loads(done.stdout) == ANSWERS[ROUTES[path]]
    ((route, key, body),) = upstream.asked
    assert (route, key, body) == (ROUTES[path], "Bearer sk-mw-test", request_example(card(name), path))


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("path", PATHS)
def test_the_javascript_sample_is_javascript(path: Path) -> None:
    text = sample(card("gpt-6-sol"), path, "javascript", base_url="http://127.0.0.1:8080", api_key="K")

    run("node", "--check", "--input-type=module", "-", text=text)


def test_a_quote_in_the_text_survives_every_language(
    monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    prompt = 'What\'s a "quote"? \\ ${HOME} é'
    monkeypatch.setattr("modelway.catalog.samples.PROMPT", prompt)
    programs: list[tuple[Language, list[str]]] = [("python", [sys.executable, "-c"]), ("curl", ["sh", "-c"])]

    for language, program in programs:
        text = sample(card("gpt-4o"), "chat", language, base_url=upstream.base_url, api_key="K")
        run(*program, text)

    assert [body["messages"][0]["content"] for _, _, body in upstream.asked] == [prompt, prompt]


def test_all_samples_of_a_model_come_by_path_and_language() -> None:
    every = samples(card("smollm2"), base_url="http://127.0.0.1:8080/", api_key="K")

    assert {path: tuple(texts) for path, texts in every.items()} == dict.fromkeys(PATHS, LANGUAGES)
    assert all("127.0.0.1:8080/v1/" in texts["curl"] for texts in every.values())
