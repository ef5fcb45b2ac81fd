"""Who asks for a report and hangs up gives back what it took."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.fix_gateway import Gateway, until
from tests.whole.wire import raw, raw_socket


def test_a_report_is_stopped_when_its_reader_hangs_up(
    postgresql_url: str, make_gateway: Callable[..., Gateway]
) -> None:
    gateway = make_gateway(MODELWAY_DATABASE=postgresql_url, MODELWAY_SECRET="3f" * 32)
    key = gateway.manage("keys", "create", "--name", "reader").strip()
    gateway.start()
    asked = f"GET /v1/usage HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n".encode()
    with (
        psycopg.connect(postgresql_url, autocommit=True) as looking,
        psycopg.connect(postgresql_url) as locking,
    ):
        locking.execute("LOCK TABLE usage IN ACCESS EXCLUSIVE MODE")  # what a report reads

        def reading() -> bool:
            waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'usage'::regclass"
            return bool(looking.execute(waiting).fetchall())

        with raw_socket(gateway) as connection:
            connection.sendall(asked)
            until(reading, "the report waits for the lock")
        until(lambda: not reading(), "it is given up")

    answer = raw(gateway, asked)
    assert answer.status == 200, answer.body
    assert "a read failed" not in gateway.log, "it ran into the database's own time limit"
