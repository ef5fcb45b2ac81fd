"""Keys: rows in and out, and the counter by which every worker learns that one has changed."""

from __future__ import annotations

import hmac

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from modelway.accounts.keys import Key
from modelway.accounts.rates import parse_rates
from modelway.store.changes import count_up
from modelway.store.schema import keys

SUBJECT = "keys"  # whose counter in `changes`
PAGE_ROWS = 1000  # unless another number is asked for

key_chain: ColumnElement[str] = func.coalesce(keys.c.first_id, keys.c.id)  # `Key.chain`
_COLUMNS = [column for column in keys.c if column.name not in ("digest", "change")]


def add(connection: Connection, key: Key, digest: bytes) -> None:
    connection.execute(
        insert(keys).values(
            id=key.id,
            account_id=key.account_id,
            member_id=key.member_id,
            name=key.name,
            digest=digest,
            masked=key.masked,
            models=None if key.models is None else list(key.models),
            limit_nano_usd=key.limit_nano_usd,
            resets=key.resets,
            created_at_ms=key.created_at_ms,
            expires_at_ms=key.expires_at_ms,
            change=count_up(connection, SUBJECT),
        )
    )


def find(connection: Connection, key_id: str) -> Key | None:
    return _first(connection, select(*_COLUMNS).where(keys.c.id == key_id))


def find_by_digest(connection: Connection, digest: bytes) -> Key | None:
    statement = select(*_COLUMNS, keys.c.digest).where(keys.c.digest == digest)
    row = connection.execute(statement).mappings().first()
    # The index has compared already; this compares again without telling by its time how far it agreed.
    if row is None or not hmac.compare_digest(row["digest"], digest):
        return None
    return _key(row)


def list_keys(
    connection: Connection, account_id: str | None = None, after: str = "", limit: int = PAGE_ROWS
) -> list[Key]:
    """The oldest `limit` keys with an id above `after`, revoked ones too."""
    statement = select(*_COLUMNS).where(keys.c.id > after).order_by(keys.c.id).limit(limit)
    if account_id is not None:
        statement = statement.where(keys.c.account_id == account_id)
    return [_key(row) for row in connection.execute(statement).mappings()]


def count_alive(connection: Connection, account_id: str, now_ms: int) -> int:
    """An account's keys that are neither revoked nor expired."""
    lives_on = or_(keys.c.expires_at_ms.is_(None), keys.c.expires_at_ms > now_ms)
    statement = select(func.count()).where(
        keys.c.account_id == account_id, keys.c.revoked_at_ms.is_(None), lives_on
    )
    return connection.execute(statement).scalar_one()


def of_member(connection: Connection, member_id: str) -> list[str]:
    """The ids of a member's keys that are not revoked, in one order everywhere: they will be locked."""
    statement = select(keys.c.id).where(keys.c.member_id == member_id, keys.c.revoked_at_ms.is_(None))
    return list(connection.execute(statement.order_by(keys.c.id)).scalars())


def revoke(connection: Connection, key_id: str, now_ms: int) -> bool:
    """True if it was revoked by this; False if there is no such key or it was revoked before."""
    statement = (
        update(keys)
        .where(keys.c.id == key_id, keys.c.revoked_at_ms.is_(None))
        .values(revoked_at_ms=now_ms, change=count_up(connection, SUBJECT))
    )
    return connection.execute(statement).rowcount == 1


def changed_since(connection: Connection, change: int) -> list[bytes]:
    """The digests of keys that are new or different since `change`."""
    return list(connection.execute(select(keys.c.digest).where(keys.c.change > change)).scalars())


def mark_used(connection: Connection, last_used: dict[str, int]) -> None:
    """Move `last_used_at_ms` of these keys forward, never back: workers write in any order."""
    statement = (
        update(keys)
        .where(
            keys.c.id == bindparam("key_id"),
            or_(keys.c.last_used_at_ms.is_(None), keys.c.last_used_at_ms < bindparam("used_at_ms")),
        )
        .values(last_used_at_ms=bindparam("used_at_ms"))
    )
    # In one order everywhere: two workers that update the same rows in different order deadlock.
    rows = [{"key_id": key_id, "used_at_ms": used_at_ms} for key_id, used_at_ms in sorted(last_used.items())]
    connection.execute(statement, rows)


def _first(connection: Connection, statement: Select[tuple[object, ...]]) -> Key | None:
    row = connection.execute(statement).mappings().first()
    return None if row is None else _key(row)


def _key(row: RowMapping) -> Key:
    return Key(
        id=row["id"],
        account_id=row["account_id"],
        member_id=row["member_id"],
        name=row["name"],
        masked=row["masked"],
        models=_strings(row["models"]),
        limit_nano_usd=row["limit_nano_usd"],
        resets=row["resets"],
        created_at_ms=row["created_at_ms"],
        expires_at_ms=row["expires_at_ms"],
        revoked_at_ms=row["revoked_at_ms"],
        last_used_at_ms=row["last_used_at_ms"],
        kind=row["kind"],
        endpoints=_strings(row["endpoints"]),
        addresses=_strings(row["addresses"]),
        replaces_id=row["replaces_id"],
        rate_limits=parse_rates(row["rate_limits"]),
        first_id=row["first_id"],
    )


def _strings(stored: list[str] | None) -> tuple[str, ...] | None:
    return None if stored is None else tuple(stored)
