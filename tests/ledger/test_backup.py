"""docs/operating/backup.md does what it says: its commands are run, beside a gateway at work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from modelway.store.schema import entries, holds
from tests.fix_databases import PostgresqlServer
from tests.fix_gateway import Gateway
from tests.fix_upstream import CHAT, ScriptedUpstream, whole
from tests.ledger.through_gateway import ANSWER, CONFIG, QUESTION, ask, open_account
from tests.whole.wire import call

REPOSITORY = Path(__file__).parent.parent.parent
PAGE = REPOSITORY / "docs" / "operating" / "backup.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.S | re.M)
SQLITE_COPY, SQLITE_BACK, POSTGRESQL_COPY, POSTGRESQL_BACK, CHECK = BLOCKS
CALLERS = 4
CALLS_BEFORE = 20


def run(block: str, programs: Path | None = None, **variables: object) -> str:
    """A block of the page, as somebody would type it."""
    path = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {name: str(value) for name, value in variables.items()}
    environment["PATH"] = os.pathsep.join([*([str(programs)] if programs else []), *path])
    environment["PYTHONPATH"] = str(REPOSITORY / "src")
    done = subprocess.run(
        ["sh", "-e", "-c", block], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def at_work(gateway: Gateway, during: Callable[[], object]) -> list[str]:
    """Calls without a pause while `during` runs; the ids of those that were answered before it began."""
    over, begun = threading.Event(), threading.Event()
    answered: list[str] = []

    def call_on() -> None:
        while not over.is_set():
            answer = call(gateway, CHAT, QUESTION)
            assert answer.status == 200
            if not begun.is_set():
                answered.append(answer.request_id)

    with ThreadPoolExecutor(CALLERS) as callers:
        working = [callers.submit(call_on) for _ in range(CALLERS)]
        try:
            while len(answered) < CALLS_BEFORE and not any(each.done() for each in working):
                threading.Event().wait(0.01)
            begun.set()
            before = list(answered)
            during()
        finally:
            over.set()
        for each in working:
            each.result()
    return before


def known(connection: Connection) -> set[str]:
    ended = select(entries.c.attempt_id).where(entries.c.attempt_id.is_not(None))
    return {*connection.execute(ended).scalars(), *connection.execute(select(holds.c.attempt_id)).scalars()}


def assert_serves(restored: Gateway, before: list[str]) -> None:
    """What was answered is known, keys work, and books agree."""
    assert set(before) <= ask(restored.database_url, known)
    restored.start()
    assert call(restored, CHAT, QUESTION).status == 200
    assert restored.stop() == 0
    assert run(CHECK, DATABASE=restored.database_url).strip() == ""


def test_a_copy_of_sqlite_is_taken_beside_the_gateway_and_serves(
    tmp_path: Path, make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(ANSWER))
    gateway, restored = make_gateway(CONFIG), make_gateway(CONFIG)
    gateway.api_key = restored.api_key = open_account(gateway, "us", usd=1_000)
    gateway.start()

    before = at_work(gateway, lambda: run(SQLITE_COPY, DATA=gateway.data_dir, BACKUP=tmp_path))
    assert gateway.stop() == 0
    assert run(SQLITE_BACK, DATA=restored.data_dir, BACKUP=tmp_path) == "ok\n"

    assert_serves(restored, before)


@pytest.fixture
def postgresql_programs(postgresql_server: PostgresqlServer) -> Path:
    """pg_dump and pg_restore of the server under test."""
    [(folder,)] = postgresql_server.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    return Path(folder)


def test_a_dump_of_postgresql_is_taken_beside_the_gateway_and_serves(
    tmp_path: Path,
    postgresql_server: PostgresqlServer,
    postgresql_url: str,
    postgresql_programs: Path,
    make_gateway: Callable[..., Gateway],
    upstream: ScriptedUpstream,
) -> None:
    upstream.answers(CHAT, whole(ANSWER))
    name = postgresql_server.create()
    gateway = make_gateway(CONFIG, MODELWAY_DATABASE=postgresql_url)
    restored = make_gateway(CONFIG, MODELWAY_DATABASE=postgresql_server.url_of(name))
    gateway.api_key = restored.api_key = open_account(gateway, "us", usd=1_000)
    gateway.start()

    def copy() -> None:
        variables = {"DATA": gateway.data_dir, "BACKUP": tmp_path, "DATABASE": gateway.database_url}
        run(POSTGRESQL_COPY, postgresql_programs, **variables)

    before = at_work(gateway, copy)
    assert gateway.stop() == 0
    variables = {"DATA": restored.data_dir, "BACKUP": tmp_path, "DATABASE": restored.database_url}
    run(POSTGRESQL_BACK, postgresql_programs, **variables)

    assert_serves(restored, before)
    postgresql_server.drop(name)
