"""Gateways with accounts, on either database, and what their books say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import Connection

from modelway.accounts.money import parse_usd
from modelway.manage import money
from modelway.manage.keys import KeyWishes, create_key
from modelway.manage.people import create_account
from modelway.store.audit import audit
from modelway.store.database import Database
from modelway.store.migrate import upgrade
from modelway.store.people import Billing
from modelway.store.secret import secret_from_file
from tests.fix_gateway import Gateway

T = TypeVar("T")
KEY = KeyWishes(name="test")

# One answer costs exactly what is set aside for it: the prompt is free, and all of `max_tokens` is written.
MAX_TOKENS = 50
OUTPUT_USD_PER_MILLION = 2_000
CALL_USD = MAX_TOKENS * OUTPUT_USD_PER_MILLION / 1_000_000
CONFIG = f"""\
engine: {{start: never}}
providers:
  - {{name: scripted-chat, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}}
  - {{name: second, kind: openai-compatible, base_url: $URL/second/v1, api_key: $KEY}}
models:
  - {{id: twice, price: {{input: 100, output: {OUTPUT_USD_PER_MILLION}}},
     targets: [{{provider: scripted-chat, model: far-chat}}], fallback: [{{provider: second, model: near}}]}}
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


def open_account(
    gateway: Gateway,
    name: str,
    *,
    billing: Billing = "prepaid",
    usd: float = 0,
    limit_usd: float | None = None,
    wishes: KeyWishes = KEY,
) -> str:
    """An account, with money in it, and a key of it: as the command line makes them, without the second that
    each command takes to start. "postpaid" without a limit is an account that nothing limits.
    """

    async def make(database: Database) -> str:
        limit = None if limit_usd is None else nano(limit_usd)
        account = await create_account(database, name, billing=billing, limit_nano_usd=limit)
        if usd:
            await money.top_up(database, name, nano(usd))
        gateway.data_dir.mkdir(mode=0o700, exist_ok=True)
        return (await create_key(database, secret_from_file(gateway.data_dir), account.id, wishes)).text

    upgrade(gateway.database_url)
    return _with(gateway.database_url, make)


def top_up(url: str, name: str, usd: float) -> None:
    """Money put in beside the running gateway."""
    _with(url, lambda database: money.top_up(database, name, nano(usd)))


def shown(gateway: Gateway, name: str) -> dict[str, str | None]:
    found: dict[str, str | None] = json.loads(gateway.manage("accounts", "show", "--account", name, "--json"))
    return found


def nano(usd: float) -> int:
    return parse_usd(f"{usd:.2f}")


def _with(url: str, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        database = await Database.open(url)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def ask(url: str, query: Callable[[Connection], T]) -> T:
    """What the database says, beside the running gateway."""
    return _with(url, lambda database: database.read(query))


def broken_books(url: str) -> list[str]:
    return ask(url, audit)
