"""The database goes away, or the disk is full, in the middle of calls: new ones are refused, those that run
are answered and booked, and nothing has to be started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from modelway.store.audit import TERMINAL
from modelway.store.schema import entries
from tests.fix_databases import PostgresqlServer
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream, recording, streamed, whole
from tests.ledger.power import NoDisk, disk
from tests.ledger.through_gateway import ANSWER, CONFIG, QUESTION, ask, broken_books, open_account
from tests.store.test_postgresql_outage import Outage
from tests.whole.wire import OpenStream, call, stream

RUNNING = 5


class Clients:
    """Somebody whose account has a balance and somebody whose account has no limit."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._keys = {
            "paid": open_account(gateway, "paid", usd=1_000),
            "free": open_account(gateway, "free", billing="postpaid"),
        }

    def _headers(self, who: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._keys[who]}"}

    def ask(self) -> list[int]:
        """The statuses of one call of each."""
        return [
            call(self._gateway, CHAT, QUESTION, headers=self._headers(who)).status for who in ("paid", "free")
        ]

    def begin(self, streams: ExitStack) -> list[OpenStream]:
        """Streams of both that have said something and wait for the rest."""
        body = {**QUESTION, "stream": True}
        begun = [
            streams.enter_context(stream(self._gateway, CHAT, body, self._headers(who)))
            for _ in range(RUNNING)
            for who in ("paid", "free")
        ]
        for each in begun:
            assert each.frame()
        return begun


def lines(connection: Connection) -> Counter[str]:
    kinds = select(entries.c.kind).where(entries.c.kind.in_(TERMINAL))
    return Counter(connection.execute(kinds).scalars())


def assert_all_is_booked(url: str, upstream: ScriptedUpstream, charged: int) -> None:
    """What the upstream was asked has a line; those that were answered are charged."""
    until(lambda: ask(url, lines)["charge"] == charged, "every charge")
    until(lambda: ask(url, lines).total() >= len(upstream.calls), "every line")
    assert broken_books(url) == []


def test_calls_survive_a_database_that_goes_away(
    postgresql_server: PostgresqlServer,
    postgresql_url: str,
    make_gateway: Callable[..., Gateway],
    upstream: ScriptedUpstream,
) -> None:
    outage = Outage(postgresql_server, postgresql_url)
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=3))
    gateway = make_gateway(CONFIG, MODELWAY_DATABASE=postgresql_url)
    clients = Clients(gateway)
    gateway.start()

    with ExitStack() as streams:
        running = clients.begin(streams)
        outage.begin()
        until(lambda: clients.ask() == [503, 503], "refusals")
        asked = len(upstream.calls)
        assert clients.ask() == [503, 503]
        assert len(upstream.calls) == asked, "what cannot be booked is not sent"
        upstream.resume()
        assert all(b"[DONE]" in each.rest() for each in running)
        outage.end()

    upstream.answers(CHAT, whole(ANSWER))
    until(lambda: clients.ask() == [200, 200], "answers")
    answered = len(upstream.calls) - asked
    assert_all_is_booked(postgresql_url, upstream, len(running) + answered)
    assert gateway.stop() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with disk(tmp_path) as made:
            yield made.path
    except NoDisk as reason:
        pytest.skip(f"no disk can be filled here: {reason}")


def fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_calls_survive_a_disk_that_is_full(
    small_disk: Path, make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=3))
    gateway = make_gateway(CONFIG)
    gateway.data_dir = small_disk / "data"
    clients = Clients(gateway)
    gateway.start()
    url = f"sqlite:///{gateway.database}"

    with ExitStack() as streams:
        running = clients.begin(streams)
        fill(small_disk / "filler")
        until(lambda: clients.ask() == [503, 503], "refusals")
        asked = len(upstream.calls)
        assert clients.ask() == [503, 503]
        assert len(upstream.calls) == asked, "what cannot be booked is not sent"
        upstream.resume()
        assert all(b"[DONE]" in each.rest() for each in running)
        (small_disk / "filler").unlink()

    upstream.answers(CHAT, whole(ANSWER))
    until(lambda: clients.ask() == [200, 200], "answers")
    answered = len(upstream.calls) - asked
    assert_all_is_booked(url, upstream, len(running) + answered)
    assert gateway.stop() == 0
