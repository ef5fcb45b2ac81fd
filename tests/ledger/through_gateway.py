"""Gateways with accounts, on either database, and what their books say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from modelway.accounts.money import parse_usd
from modelway.manage import money
from modelway.store.audit import audit
from modelway.store.database import Database
from tests.fix_gateway import Gateway

T = TypeVar("T")

# One answer costs exactly what is set aside for it: the prompt is free, and all of `max_tokens` is written.
MAX_TOKENS = 50
OUTPUT_USD_PER_MILLION = 2_000
CALL_USD = MAX_TOKENS * OUTPUT_USD_PER_MILLION / 1_000_000
CONFIG = f"""\
engine: {{start: never}}
providers:
  - {{name: scripted-chat, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}}
models:
  - {{id: dear, price: {{input: 0, output: {OUTPUT_USD_PER_MILLION}}},
     targets: [{{provider: scripted-chat, model: far-chat}}]}}
  - {{id: unpriced, targets: [{{provider: scripted-chat, model: far-chat}}]}}
"""
QUESTION = {"model": "dear", "max_tokens": MAX_TOKENS, "messages": [{"role": "user", "content": "Hello."}]}
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "far-chat",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": MAX_TOKENS, "total_tokens": 9 + MAX_TOKENS},
    }
).encode()


def open_account(gateway: Gateway, name: str, *terms: str, usd: float = 0, key: tuple[str, ...] = ()) -> str:
    """An account, with money in it, and a key of it."""
    gateway.manage("accounts", "create", "--name", name, *terms)
    if usd:
        gateway.manage("accounts", "top-up", "--account", name, "--usd", f"{usd:.2f}")
    return gateway.manage("keys", "create", "--name", "test", "--account", name, *key).strip()


def top_up(url: str, name: str, usd: float) -> None:
    """As the command line does it, beside the running gateway, without the second that takes to start."""

    async def run() -> None:
        database = await Database.open(url)
        try:
            await money.top_up(database, name, parse_usd(f"{usd:.2f}"))
        finally:
            await database.close()

    asyncio.run(run())


def shown(gateway: Gateway, name: str) -> dict[str, str | None]:
    found: dict[str, str | None] = json.loads(gateway.manage("accounts", "show", "--account", name, "--json"))
    return found


def ask(url: str, query: Callable[[Connection], T]) -> T:
    """What the database says, beside the running gateway."""

    async def run() -> T:
        database = await Database.open(url)
        try:
            return await database.read(query)
        finally:
            await database.close()

    return asyncio.run(run())


def broken_books(url: str) -> list[str]:
    return ask(url, audit)
