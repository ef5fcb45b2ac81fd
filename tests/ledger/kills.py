"""kill -9 at random moments under forty streams; the scripted upstream's own log is the oracle.

Every call has a model of its own, so that upstream and ledger can be compared call by call. Half of the
streams are paid by an account with a balance, half by one without a limit, and a quarter of all are slow.
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from modelway.store.audit import TERMINAL
from modelway.store.schema import entries, holds
from tests.fix_gateway import Gateway, filled, until
from tests.fix_upstream import CHAT, ScriptedUpstream, recording, streamed
from tests.ledger.through_gateway import QUESTION, ask, open_account
from tests.whole.wire import call

STREAMS = 40  # at once, under each kill
CALLS_PER_KILL_MAX = 320  # models to tell calls apart by; forty streams of a fifth of a second need fewer
LIFE_S = (0.005, 0.8)  # between the first stream and the kill
TENTH = 10
LONG_LIFE_S = (2.1, 3.0)  # every tenth time: long enough for a checkpoint of what streams have cost so far
DRIP_S = 0.02
SLOW_DRIP_S = 0.3
SLOW_PATH = f"/slow{CHAT}"
FREED_WITHIN_S = 10
CONFIG = """\
engine: {start: never}
providers:
  - {name: lab, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}
  - {name: slow, kind: openai-compatible, base_url: $URL/slow/v1, api_key: $KEY}
models:
"""
# Who pays, and which provider answers; streams take turns.
KINDS = (("paid", "lab"), ("free", "lab"), ("paid", "slow"), ("free", "lab"))


def kill_config(number: int) -> str:
    """The models of the calls under this kill."""
    rows = [
        f"  - {{id: {name}, price: {{input: 1, output: 2000}},"
        f" targets: [{{provider: {provider}, model: {name}}}]}}\n"
        for kind, (_, provider) in enumerate(KINDS)
        for name in _names(number, kind)
    ]
    return CONFIG + "".join(rows)


def _names(number: int, kind: int) -> list[str]:
    payer, provider = KINDS[kind]
    return [f"{payer}-{provider}-{number}-{kind}-{n}" for n in range(CALLS_PER_KILL_MAX // len(KINDS))]


@dataclass
class Kills:
    """What a series of kills showed. The lists have to be empty."""

    calls: int = 0
    lines: Counter[str] = field(default_factory=Counter)
    freed_s: list[float] = field(default_factory=list)  # from when it served again until nothing was held
    unbooked: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)


def kill_again_and_again(
    gateway: Gateway, upstream: ScriptedUpstream, url: str, kills: int, seed: int
) -> Kills:
    """Kill the gateway under forty streams at random moments; compare call by call in the end."""
    moments = random.Random(seed)
    answer = recording("whole/chat_text.sse")
    upstream.answers(CHAT, streamed(answer, drip_s=DRIP_S))
    upstream.answers(SLOW_PATH, streamed(answer, drip_s=SLOW_DRIP_S))
    keys = {
        "paid": open_account(gateway, "paid", usd=10_000),
        "free": open_account(gateway, "free", billing="postpaid"),
    }
    freed_s = []
    for number in range(kills):
        gateway.configure(filled(kill_config(number), upstream))
        is_tenth = number % TENTH == TENTH - 1
        gateway.start()
        if is_tenth:  # the others are killed before a lease of the one before could run out
            freed_s.append(_until_nothing_is_held(url))
        _stream_until_killed(gateway, keys, number, moments.uniform(*(LONG_LIFE_S if is_tenth else LIFE_S)))
    gateway.start()
    freed_s.append(_until_nothing_is_held(url))
    assert gateway.stop() == 0
    return _compared(upstream, ask(url, _lines), freed_s)


def _stream_until_killed(gateway: Gateway, keys: dict[str, str], number: int, after_s: float) -> None:
    over = threading.Event()
    names: list[Iterator[str]] = [iter(_names(number, kind)) for kind in range(len(KINDS))]
    taking = threading.Lock()

    def call_on(kind: int) -> None:
        headers = {"authorization": f"Bearer {keys[KINDS[kind][0]]}"}
        while not over.is_set():
            with taking:
                name = next(names[kind], None)
            if name is None:
                return
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                call(gateway, CHAT, {**QUESTION, "model": name, "stream": True}, headers=headers)

    with ThreadPoolExecutor(STREAMS) as streams:
        for stream in range(STREAMS):
            streams.submit(call_on, stream % len(KINDS))
        time.sleep(after_s)
        os.kill(gateway.pid, signal.SIGKILL)
        over.set()
    gateway.wait()


def _held(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(holds)).scalar_one()


def _until_nothing_is_held(url: str) -> float:
    began_s = time.monotonic()
    until(lambda: ask(url, _held) == 0, "a ledger without holds")
    return time.monotonic() - began_s


def _lines(connection: Connection) -> list[tuple[str, str, int]]:
    columns = (entries.c.model, entries.c.kind, entries.c.amount_nano_usd)
    rows = connection.execute(select(*columns).where(entries.c.kind.in_(TERMINAL)))
    return [(row.model, row.kind, row.amount_nano_usd) for row in rows]


def _compared(upstream: ScriptedUpstream, lines: list[tuple[str, str, int]], freed_s: list[float]) -> Kills:
    made = Counter(received.json()["model"] for received in upstream.calls)
    booked = Counter(model for model, _, _ in lines)
    return Kills(
        calls=made.total(),
        lines=Counter(kind for _, kind, _ in lines),
        freed_s=freed_s,
        unbooked=sorted(set(made) - set(booked)),
        twice=sorted(name for name in made | booked if max(made[name], booked[name]) > 1),
        invented=sorted(model for model, _, amount in lines if amount and not made[model]),
    )
