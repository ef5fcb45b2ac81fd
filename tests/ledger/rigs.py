"""Crowd and hang-up rigs: what a short test runs a few times and `bench.reliability` many times.

The scripted upstream's own log is the oracle: it knows which calls were really made.
"""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from modelway.store.schema import entries, usage
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream, recording, silence, streamed
from tests.ledger.through_gateway import ANSWER, CALL_USD, QUESTION, ask, top_up
from tests.whole.wire import call, stream

CROWD = 200
AFFORDABLE = 10
DRIP_S = 0.1
HEARD_PERCENT_MAX = 60  # the gateway takes some bytes out; nobody is to hear all of it


def crowd(gateway: Gateway, upstream: ScriptedUpstream, url: str, account: str) -> int:
    """Two hundred calls at once on a balance for ten; how many were sent to the provider."""
    top_up(url, account, AFFORDABLE * CALL_USD)
    upstream.reset()
    upstream.answers(CHAT, silence(ANSWER))
    with ThreadPoolExecutor(CROWD) as callers:
        answers = [callers.submit(call, gateway, CHAT, QUESTION) for _ in range(CROWD)]
        until(lambda: sum(each.done() for each in answers) >= CROWD - AFFORDABLE, "the refusals", 60)
        upstream.resume()
        statuses = Counter(each.result().status for each in answers)
    assert statuses == {200: AFFORDABLE, 429: CROWD - AFFORDABLE}, statuses
    return len(upstream.calls)


@dataclass
class HangUps:
    booked: int
    left_early: int  # upstreams that were let go before their answer was whole
    closed_after_s: list[float]


def hang_up(gateway: Gateway, upstream: ScriptedUpstream, url: str, clients: int, seed: int) -> HangUps:
    """Clients that leave at any byte of a stream, twenty at a time."""
    moments = random.Random(seed)
    answer_bytes = recording("whole/chat_text.sse")
    upstream.answers(CHAT, streamed(answer_bytes, drip_s=DRIP_S))
    heard_bytes = [moments.randrange(len(answer_bytes) * HEARD_PERCENT_MAX // 100) for _ in range(clients)]
    left: dict[str, float] = {}

    def leave(number: int) -> str:
        body = {**QUESTION, "stream": True, "user": f"client-{number}"}
        with stream(gateway, CHAT, body) as answer:
            answer.some(heard_bytes[number])
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
    return HangUps(ask(url, rows), sum(each.left_early for each in upstream.calls), sorted(closed))
