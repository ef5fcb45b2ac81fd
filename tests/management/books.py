"""An account that made calls of every sort, and what the clients and the upstream know of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest

from modelway.accounts.money import format_usd
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, MESSAGES, ScriptedUpstream, streamed, whole
from tests.management.conftest import ask
from tests.whole.wire import Answer, call, stream

INPUT_NANO_USD, OUTPUT_NANO_USD = 1_000, 2_000  # a token of chat-model
FORMULA = "=cmd|' /C calc'!A0"
SECRET = "the secret of the prompt"
TOP_UP_USD = "5.00"
HELLO = [{"role": "user", "content": SECRET}]


Tokens = tuple[int, int, int, int, int]  # input, cache read, cache write, output, reasoning


@dataclass
class Told:
    """One call as its client and the upstream know it."""

    request_id: str
    key: str
    model: str | None = "chat-model"
    status: int = 200
    outcome: str = "ok"
    tokens: Tokens = (0, 0, 0, 0, 0)
    cost_nano_usd: int | None = 0
    stream: bool = False


@dataclass
class Books:
    """An account, its keys by name, and the calls it made."""

    gateway: Gateway
    key_ids: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    calls: list[Told] = field(default_factory=list)

    def get(self, path: str, who: str = "manager", **headers: str) -> Answer:
        return ask(self.gateway, self.texts[who], "GET", path, **headers)

    def json(self, path: str, who: str = "manager") -> Any:
        answer = self.get(path, who)
        assert answer.status == 200, answer.body
        return answer.json()

    def told(self, headers: Mapping[str, str], key: str, **more: Any) -> None:
        self.calls.append(Told(headers["request-id"], key, **more))

    def pages(self, path: str) -> list[dict[str, Any]]:
        """Every row of a list, two at a time."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.json(f"{path}limit=2&cursor={cursor}")
            rows += page["data"]
            if not page["has_more"]:
                return rows
            cursor = page["next_cursor"]


def chat_usage(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def chat_answer(usage: dict[str, Any]) -> bytes:
    message = {"role": "assistant", "content": "Hi."}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": "far-chat",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
    ).encode()


def chat_stream(usage: dict[str, Any]) -> bytes:
    def frame(choices: list[Any], **more: object) -> bytes:
        chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "far-chat"}
        return b"data: " + json.dumps({**chunk, "choices": choices, **more}).encode() + b"\n\n"

    said = {"index": 0, "delta": {"role": "assistant", "content": "Hello "}, "finish_reason": None}
    done = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return frame([said]) * 20 + frame([done]) + frame([], usage=usage) + b"data: [DONE]\n\n"


def messages_answer() -> bytes:
    usage = {
        "input_tokens": 7,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 11,
        "output_tokens": 5,
    }
    return json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "far-messages",
            "content": [{"type": "text", "text": "Hi."}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage,
        }
    ).encode()


def cost(tokens: Tokens) -> int:
    """Of chat-model, whose price says nothing of caches: they cost as much as any input."""
    return sum(tokens[:3]) * INPUT_NANO_USD + tokens[3] * OUTPUT_NANO_USD


UNPRICED = None


def openai_calls(books: Books, upstream: ScriptedUpstream, client: openai.OpenAI) -> None:
    """A plain answer, one that reasons, one that streams, one that fails."""
    ask_for: Any = {"model": "chat-model", "messages": HELLO}
    plain, raw = (21, 0, 0, 14, 0), client.chat.completions.with_raw_response
    upstream.answers(CHAT, whole(chat_answer(chat_usage(21, 14))))
    books.told(raw.create(**ask_for).headers, "app", tokens=plain, cost_nano_usd=cost(plain))

    reasoned = (33, 0, 0, 120, 100)
    upstream.answers(CHAT, whole(chat_answer(chat_usage(33, 120, reasoning=100))))
    books.told(raw.create(**ask_for).headers, "app", tokens=reasoned, cost_nano_usd=cost(reasoned))

    flowed = (8, 0, 0, 40, 0)
    upstream.answers(CHAT, streamed(chat_stream(chat_usage(8, 40))))
    with client.chat.completions.with_streaming_response.create(**ask_for, stream=True) as streaming:
        streaming.read()
    books.told(streaming.headers, "app", tokens=flowed, cost_nano_usd=cost(flowed), stream=True)

    upstream.answers(CHAT, whole(b'{"error": {"message": "down"}}', status=500))
    with pytest.raises(openai.APIStatusError) as failed:
        client.chat.completions.create(**ask_for)
    books.told(failed.value.response.headers, "app", status=502, outcome="upstream")


def anthropic_calls(books: Books, upstream: ScriptedUpstream, client: anthropic.Anthropic) -> None:
    """An answer from a cache, one of a model without a price, and a model that is not there."""
    ask_for: Any = {"max_tokens": 99, "messages": HELLO}
    raw = client.messages.with_raw_response
    cached = (200, 800, 0, 50, 0)
    upstream.answers(CHAT, whole(chat_answer(chat_usage(1000, 50, cached=800))))
    headers = raw.create(model="chat-model", **ask_for).headers
    books.told(headers, "other", tokens=cached, cost_nano_usd=cost(cached))

    upstream.answers(MESSAGES, whole(messages_answer()))
    headers = raw.create(model="messages-alias", **ask_for).headers
    unpriced = (7, 30, 11, 5, 0)
    books.told(headers, "other", tokens=unpriced, model="messages-model", cost_nano_usd=UNPRICED)

    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(model="nobody", **ask_for)
    books.told(unknown.value.response.headers, "other", status=404, outcome="unknown_model", model="nobody")


def calls_by_hand(books: Books, upstream: ScriptedUpstream) -> None:
    """A body that is no request, and a client that leaves in the middle."""
    bearer = {"authorization": f"Bearer {books.texts['app']}"}
    bad = call(books.gateway, CHAT, {"model": "chat-model", "messages": 7}, headers=bearer)
    books.told(bad.headers, "app", status=400, outcome="invalid", model=None)

    upstream.answers(CHAT, streamed(chat_stream(chat_usage(8, 40)), pause_after=5))
    body = {"model": "chat-model", "messages": HELLO, "stream": True}
    with stream(books.gateway, CHAT, body, bearer) as opened:
        opened.frames(3)
        opened.hang_up()
    books.told(opened.headers, "app", outcome="client_gone", stream=True)
    # Before it is in the log the gateway may not have seen that the client left, and would hear the rest.
    until(lambda: len(books.json("/v1/usage/logs")["data"]) == len(books.calls), "every call in the log")
    upstream.resume()


def open_books(gateway: Gateway, upstream: ScriptedUpstream, owner: str) -> Books:
    """An account with money, two API keys and a management key, and calls of every sort."""

    def done(path: str, body: dict[str, object]) -> dict[str, Any]:
        answer = ask(gateway, owner, "POST", path, body)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json()
        return found

    done("/v1/accounts", {"name": "books"})
    books = Books(gateway)
    member = done("/v1/members", {"account": "books", "name": "-Mia", "role": "owner"})
    wishes: dict[str, dict[str, object]] = {
        "app": {"name": FORMULA, "limit_usd": "3.00", "resets": "daily"},
        "other": {"name": "other", "member_id": member["id"]},
        "manager": {"name": "manager", "kind": "management", "member_id": member["id"]},
    }
    for name, terms in wishes.items():
        made = done("/v1/keys", {"account": "books", **terms})
        books.texts[name], books.key_ids[name] = made["key"], made["id"]
    done("/v1/billing/top-ups", {"account": "books", "usd": TOP_UP_USD, "note": "@first"})
    url = gateway.base_url
    with openai.OpenAI(base_url=f"{url}/v1", api_key=books.texts["app"], max_retries=0) as client:
        openai_calls(books, upstream, client)
    with anthropic.Anthropic(base_url=url, api_key=books.texts["other"], max_retries=0) as claude:
        anthropic_calls(books, upstream, claude)
    calls_by_hand(books, upstream)
    done("/v1/budgets", {"account": "books", "limit_usd": "4.00", "resets": "monthly"})
    budget: dict[str, object] = {
        "account": "books",
        "scope": "key",
        "subject": books.key_ids["other"],
        "limit_usd": "2.00",
    }
    done("/v1/budgets", budget)
    done("/v1/budgets", {**budget, "scope": "member", "subject": member["id"]})
    gone = next(each for each in books.calls if each.outcome == "client_gone")
    row = books.json(f"/v1/usage/logs?request_id={gone.request_id}")["data"][0]
    gone.tokens = (row["input_tokens"], 0, 0, row["output_tokens"], 0)  # nobody else has counted them
    gone.cost_nano_usd = cost(gone.tokens)
    return books


def expected(calls: list[Told]) -> dict[str, Any]:
    """The figures of these calls."""
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    paid = sum(each.cost_nano_usd or 0 for each in calls)
    return {
        "requests": len(calls),
        "failed_requests": sum(each.outcome not in ("ok", "client_gone") for each in calls),
        "estimated_requests": sum(each.outcome == "client_gone" for each in calls),
        "unpriced_requests": sum(each.cost_nano_usd is None and sum(each.tokens) > 0 for each in calls),
        **{name: sum(each.tokens[number] for each in calls) for number, name in enumerate(names)},
        "cost_usd": format_usd(paid),
        "cost_nano_usd": paid,
    }
