"""Who is alive: a row per start of a worker, kept young by it, and what becomes of the calls of the dead.

On PostgreSQL a worker is dead when its lease has run out by the database's own clock, so that no
worker's clock matters. An SQLite file is served by one process at a time: whoever starts knows that
every other worker is dead, and asks no clock at all.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, text, update

from modelway.store import claims
from modelway.store.entries import RECOVERED, Hold, Settlement, lock_accounts, settle
from modelway.store.schema import holds, workers
from modelway.store.usage_rows import UsageRow, add, storable

LEASE_MS = 7_000  # renewed every two seconds: three may be lost; and nothing is held 10 s after a crash
LOST_STATUS = 500  # of a call whose worker died
DURATION_MS_MAX = 2**31 - 1  # the column's; a gateway may have been down for a month
RECOVERED_MAX = 500  # holds resolved in one transaction, for which nobody else writes

_POSTGRESQL_NOW = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")


def database_now_ms(connection: Connection, own_now_ms: int) -> int:
    if connection.dialect.name == "postgresql":
        now_ms: int = connection.execute(_POSTGRESQL_NOW).scalar_one()
        return now_ms
    return own_now_ms  # one process, one clock


def renew(connection: Connection, worker_id: str, own_now_ms: int) -> bool:
    """Keep the lease young; False if it had run out (or was never there), so others may have stepped in."""
    now_ms = database_now_ms(connection, own_now_ms)
    until_ms = now_ms + LEASE_MS
    held = connection.execute(
        update(workers)
        .where(workers.c.id == worker_id, workers.c.lease_until_ms >= now_ms)
        .values(lease_until_ms=until_ms)
    )
    if held.rowcount == 1:
        return True
    again = connection.execute(
        update(workers).where(workers.c.id == worker_id).values(lease_until_ms=until_ms)
    )
    if again.rowcount != 1:
        row = {"id": worker_id, "started_at_ms": now_ms, "lease_until_ms": until_ms}
        connection.execute(insert(workers).values(row))
    return False


def living(connection: Connection, own_now_ms: int) -> list[str]:
    """The workers on this database that are alive, in an order that all of them agree on."""
    now_ms = database_now_ms(connection, own_now_ms)
    statement = select(workers.c.id).where(workers.c.lease_until_ms >= now_ms).order_by(workers.c.id)
    return list(connection.execute(statement).scalars())


def leave(connection: Connection, worker_id: str) -> None:
    """A worker that ends well: everything it held is settled."""
    connection.execute(delete(workers).where(workers.c.id == worker_id))


def recover(connection: Connection, worker_id: str, own_now_ms: int) -> int:
    """Resolve calls of dead workers; how many there were.

    A call that had brought nothing is void: nobody pays for an answer that nobody heard. A stream is
    charged what its last checkpoint had seen. Both are on the statement, marked as recovered.
    """
    now_ms = database_now_ms(connection, own_now_ms)
    living = select(workers.c.id).where(workers.c.lease_until_ms >= now_ms)
    if connection.dialect.name == "sqlite":
        living = select(workers.c.id).where(workers.c.id == worker_id)
    orphans = [
        Hold(*row)
        for row in connection.execute(
            select(holds)
            .where(holds.c.worker_id != worker_id, holds.c.worker_id.not_in(living))
            .order_by(holds.c.attempt_id)
            .limit(RECOVERED_MAX)
        )
    ]
    if orphans:
        lock_accounts(connection, {hold.account_id for hold in orphans})
        settle(connection, [_settlement(hold, now_ms) for hold in orphans])
        add(connection, [storable(_row(hold, now_ms)) for hold in orphans])
        for hold in orphans:
            _settle_claim(connection, hold)
    else:
        connection.execute(delete(workers).where(workers.c.id != worker_id, workers.c.id.not_in(living)))
    return len(orphans)


def _settle_claim(connection: Connection, hold: Hold) -> None:
    """Whoever repeats an idempotent call: one that was never heard may run again, a broken one may not."""
    if hold.state == "sent":
        claims.release(connection, hold.attempt_id)
    else:
        claims.keep(connection, hold.attempt_id, LOST_STATUS, b"", None)


def _settlement(hold: Hold, now_ms: int) -> Settlement:
    heard = hold.state == "streaming"
    return Settlement(
        # Sorts among the entries of its time, and is the same whoever recovers it.
        entry_id=f"ent_{hold.attempt_id.rpartition('_')[2]}r",
        attempt_id=hold.attempt_id,
        account_id=hold.account_id,
        key_id=hold.key_id,
        member_id=hold.member_id,
        kind="estimate" if heard else "void",
        cost_nano_usd=hold.cost_nano_usd if heard else 0,
        ended_at_ms=now_ms,
        model=hold.model,
        price_version=hold.price_version,
        note=RECOVERED,
    )


def _row(hold: Hold, now_ms: int) -> UsageRow:
    cost = hold.cost_nano_usd if hold.state == "streaming" else 0
    return UsageRow(
        request_id=hold.attempt_id,
        account_id=hold.account_id,
        key_id=hold.key_id,
        started_at_ms=hold.started_at_ms,
        protocol=hold.protocol,
        model_asked=hold.model,
        model_answered=None,
        provider=None,
        upstream_protocol=None,
        status=LOST_STATUS,
        outcome="internal",
        error_code="worker_lost",
        stream=hold.stream,
        input_tokens=hold.input_tokens,
        cache_read_tokens=None,
        cache_write_5m_tokens=None,
        cache_write_1h_tokens=None,
        output_tokens=hold.output_tokens,
        reasoning_tokens=None,
        estimated=True,
        cost_nano_usd=cost if hold.price_version or not hold.output_tokens else None,
        first_token_ms=None,
        duration_ms=min(max(0, now_ms - hold.started_at_ms), DURATION_MS_MAX),
        member_id=hold.member_id,
        price_version=hold.price_version,
    )
