"""Crash, crowd and hang-up rigs: what a short test runs a few times and `bench.reliability` many times.

The scripted upstream's own log is the oracle: it knows which calls were really made.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

from sqlalchemy import Connection, func, select

from modelway.store.audit import TERMINAL
from modelway.store.schema import entries, holds, usage
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream, recording, silence, streamed
from tests.ledger.through_gateway import ANSWER, CALL_USD, QUESTION, ask, open_account
from tests.whole.wire import call, stream

STREAMS = 40  # at once, under each kill
CALLS_PER_KILL_MAX = 400  # models to tell calls apart by; forty streams of a third of a second need fewer
DRIP_S = 0.02
FREED_WITHIN_S = 10
CROWD = 200
AFFORDABLE = 10
_ROUNDS = count(1)


def kill_config(kills: int) -> str:
    """A model per call: its id is what upstream and ledger are compared by."""
    models = "\n".join(
        f"  - {{id: m-{n}, price: {{input: 1, output: 2000}}, targets: [{{provider: lab, model: m-{n}}}]}}"
        for n in range(kills * CALLS_PER_KILL_MAX)
    )
    provider = "{name: lab, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}"
    return f"engine: {{start: never}}\nproviders:\n  - {provider}\nmodels:\n{models}\n"


@dataclass
class Kills:
    """What a series of kills showed. All but `calls`, `lines` and `freed_s` have to be empty."""

    calls: int = 0
    lines: Counter[str] = field(default_factory=Counter)
    freed_s: list[float] = field(default_factory=list)
    unbooked: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)


def kill_again_and_again(
    gateway: Gateway, upstream: ScriptedUpstream, url: str, kills: int, seed: int
) -> Kills:
    """Kill the gateway under forty streams at random moments; compare call by call after each restart."""
    moments = random.Random(seed)
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), drip_s=DRIP_S))
    gateway.api_key = open_account(gateway, "us", "--prepaid", usd=10_000)
    names = (f"m-{n}" for n in range(kills * CALLS_PER_KILL_MAX))
    found = Kills()
    for _ in range(kills):
        gateway.start()
        found.freed_s.append(_until_nothing_is_held(url))
        _stream_until_killed(gateway, names, moments.uniform(0.05, 2.5))
    gateway.start()
    found.freed_s.append(_until_nothing_is_held(url))
    assert gateway.stop() == 0
    _compare(upstream, url, found)
    return found


def _stream_until_killed(gateway: Gateway, names: object, after_s: float) -> None:
    lock, over = threading.Lock(), threading.Event()

    def call_on() -> None:
        while not over.is_set():
            with lock:
                name = next(names, None)  # type: ignore[call-overload]  # an iterator of strings
            if name is None:
                return
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                call(gateway, CHAT, {**QUESTION, "model": name, "stream": True})

    with ThreadPoolExecutor(STREAMS) as streams:
        for _ in range(STREAMS):
            streams.submit(call_on)
        time.sleep(after_s)
        os.kill(gateway.pid, signal.SIGKILL)
        over.set()
    gateway.wait()


def _held(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(holds)).scalar_one()


def _until_nothing_is_held(url: str) -> float:
    began_s = time.monotonic()
    until(lambda: ask(url, _held) == 0, "a ledger without holds", FREED_WITHIN_S)
    return time.monotonic() - began_s


def _compare(upstream: ScriptedUpstream, url: str, found: Kills) -> None:
    made = Counter(received.json()["model"] for received in upstream.calls)

    def booked(connection: Connection) -> list[tuple[str, str, int]]:
        columns = (entries.c.model, entries.c.kind, entries.c.amount_nano_usd)
        rows = connection.execute(select(*columns).where(entries.c.kind.in_(TERMINAL)))
        return [(row.model, row.kind, row.amount_nano_usd) for row in rows]

    rows = ask(url, booked)
    lines = Counter(model for model, _, _ in rows)
    found.calls = made.total()
    found.lines = Counter(kind for _, kind, _ in rows)
    found.unbooked = sorted(set(made) - set(lines))
    found.twice = sorted(model for model, number in lines.items() if number > max(1, made[model]))
    found.invented = sorted(model for model, _, amount in rows if amount and not made[model])


def crowd(gateway: Gateway, upstream: ScriptedUpstream) -> int:
    """Two hundred calls at once on a balance for ten; how many were sent to the provider."""
    name = f"crowd-{next(_ROUNDS)}"
    key = open_account(gateway, name, "--prepaid", usd=AFFORDABLE * CALL_USD)
    upstream.reset()
    upstream.answers(CHAT, silence(ANSWER))
    headers = {"authorization": f"Bearer {key}"}
    with ThreadPoolExecutor(CROWD) as callers:
        answers = [callers.submit(call, gateway, CHAT, QUESTION, headers=headers) for _ in range(CROWD)]
        until(lambda: sum(each.done() for each in answers) >= CROWD - AFFORDABLE, "the refusals", 60)
        upstream.resume()
        statuses = Counter(each.result().status for each in answers)
    assert statuses == {200: AFFORDABLE, 429: CROWD - AFFORDABLE}, statuses
    return len(upstream.calls)


@dataclass
class HangUps:
    booked: int
    closed_after_s: list[float]


def hang_up(gateway: Gateway, upstream: ScriptedUpstream, url: str, clients: int, seed: int) -> HangUps:
    """Clients that leave in the middle of a stream, twenty at a time."""
    moments = random.Random(seed)
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), drip_s=0.05))
    frames = [moments.randrange(1, 8) for _ in range(clients)]
    left: dict[str, float] = {}

    def leave(number: int) -> str:
        body = {**QUESTION, "stream": True, "user": f"client-{number}"}
        with stream(gateway, CHAT, body) as answer:
            for _ in range(frames[number]):
                answer.frame()
            left[f"client-{number}"] = answer.hang_up()
            return answer.request_id

    with ThreadPoolExecutor(20) as callers:
        ids = list(callers.map(leave, range(clients)))
    closed = [each.wait_until_left() - left[each.json()["user"]] for each in upstream.calls]

    def rows(connection: Connection) -> int:
        statement = (
            select(func.count()).select_from(usage).join(entries, entries.c.attempt_id == usage.c.request_id)
        )
        return connection.execute(statement.where(usage.c.request_id.in_(ids))).scalar_one()

    until(lambda: ask(url, rows) == clients, "every call's row and line")
    return HangUps(ask(url, rows), sorted(closed))
