"""Both counters behind one face, on a clock that a test moves: in Valkey the scripts read it from a key."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import Protocol

import uvloop

from modelway.accounts.rates import NAMES, RateLimits
from modelway.limits.memory import MemoryCounter
from modelway.limits.rules import Costs, Refusal, Rule, Ticket, rules_of
from modelway.limits.shared import Scripts, SharedCounter, shipped
from modelway.limits.valkey import Connection, ask, connect, parse_address
from tests.fix_valkey import ValkeyServer

KINDS = ("memory", "valkey")
_NUMBERS = count(1)
BEGAN_MS = 1_750_000_000_000
CLOCK = b"clock"
PATIENCE_S = 5.0  # a loaded machine is not what these tests are about


def on_a_test_clock() -> Scripts:
    """The scripts as they are, but for whose time they go by, and for how long the server keeps a bucket:
    its own clock does not stand still with the test's.
    """
    swaps = (
        (b"redis.call('TIME')", b"redis.call('HMGET', 'clock', 's', 'us')"),
        (b"math.ceil(bucket.level / bucket.limit) + 1", b"1e9"),
        (b"'-inf', now", b"'-inf', 0"),  # a minute passes here before anybody renews a lease
    )
    texts = shipped()
    for name, text in texts.items():
        for old, new in swaps:
            assert old in text
            text = text.replace(old, new)
        texts[name] = text
    return Scripts(texts)


class Counter(Protocol):
    """What the suite asks of a counter."""

    def admit(self, rules: tuple[Rule, ...], costs: Costs, member: str | None = None) -> Ticket | Refusal: ...

    def settle(self, ticket: Ticket, used: Costs) -> None: ...

    def advance(self, ms: int) -> None: ...

    def close(self) -> None: ...


class InMemory:
    """The counter of one process."""

    def __init__(self) -> None:
        self._now_ms = BEGAN_MS
        self._counter = MemoryCounter(lambda: self._now_ms)

    def admit(self, rules: tuple[Rule, ...], costs: Costs, member: str | None = None) -> Ticket | Refusal:
        return self._counter.admit(rules, costs, member or f"call_{next(_NUMBERS)}")

    def settle(self, ticket: Ticket, used: Costs) -> None:
        self._counter.settle(ticket, used)

    def advance(self, ms: int) -> None:
        self._now_ms += ms

    def close(self) -> None:
        pass


class InValkey:
    """The shared counter. Its own clock, the gateway's, is nonsense on purpose."""

    def __init__(self, server: ValkeyServer) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._stack = AsyncExitStack()
        self._now_ms = BEGAN_MS
        self._gateway_ms = 0
        self._runner.run(self._open(server))

    async def _open(self, server: ValkeyServer) -> None:
        address = parse_address(server.url)
        self._direct: Connection = await connect(address, lambda _: None, PATIENCE_S)
        await ask(self._direct, b"FLUSHALL")
        await self._set_clock()
        counter = SharedCounter(
            address,
            lambda: self._gateway_ms,
            None,
            scripts=on_a_test_clock(),
            answer_timeout_s=PATIENCE_S,
        )
        self._counter = await self._stack.enter_async_context(counter)
        assert not counter.is_away

    async def _set_clock(self) -> None:
        seconds, ms = divmod(self._now_ms, 1000)
        await ask(self._direct, b"HSET", CLOCK, b"s", b"%d" % seconds, b"us", b"%d" % (ms * 1000))

    def admit(self, rules: tuple[Rule, ...], costs: Costs, member: str | None = None) -> Ticket | Refusal:
        name = member or f"call_{next(_NUMBERS)}"
        return self._runner.run(self._counter.admit(rules, costs, name))

    def settle(self, ticket: Ticket, used: Costs) -> None:
        async def settle() -> None:
            self._counter.settle(ticket, used)

        self._runner.run(settle())

    def advance(self, ms: int) -> None:
        self._now_ms += ms
        self._gateway_ms += 7_200_000 if self._gateway_ms <= 0 else -9_000_000
        self._runner.run(self._set_clock())

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._direct.close()
        self._runner.close()


def rules_for(subject: str = "key_1", **limits: int) -> tuple[Rule, ...]:
    """A key's limits: `requests_per_minute=10`."""
    return rules_of(subject, "acct_1", RateLimits(*map(limits.get, NAMES)), None)
