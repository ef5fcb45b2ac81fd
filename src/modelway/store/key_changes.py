"""What may change about a key after it is made; every worker hears of it by the keys' counter."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select, update

from modelway.accounts.keys import Key
from modelway.accounts.rates import RateLimits
from modelway.accounts.windows import window_start_ms
from modelway.store.budgets import Budget, seed
from modelway.store.changes import count_up
from modelway.store.keys import SUBJECT
from modelway.store.schema import cap_windows, keys
from modelway.store.statements import insert_for


def restrict(connection: Connection, key: Key) -> None:
    """Store where and for what a key may be used; its row is there already."""
    values = {
        "kind": key.kind,
        "endpoints": None if key.endpoints is None else list(key.endpoints),
        "addresses": None if key.addresses is None else list(key.addresses),
        "replaces_id": key.replaces_id,
        "rate_limits": None if key.rate_limits is None else key.rate_limits.stored(),
    }
    connection.execute(update(keys).where(keys.c.id == key.id).values(values))


def expire(connection: Connection, key: Key, at_ms: int) -> None:
    """End a key at a time, unless it ends before."""
    ends_ms = at_ms if key.expires_at_ms is None else min(at_ms, key.expires_at_ms)
    _change(connection, key.id, expires_at_ms=ends_ms)


def change(connection: Connection, key: Key, changed: Collection[str], now_ms: int) -> None:
    """Store the fields of `key` that are named; what it spent in a window before counts in the window of
    another limit.
    """
    values = {name: getattr(key, name) for name in changed}
    _change(connection, key.id, **{name: _stored(value) for name, value in values.items()})
    if key.limit_nano_usd is not None and {"limit_nano_usd", "resets"} & set(changed):
        limit = Budget(
            key.id, key.account_id, "key", key.id, key.resets, key.limit_nano_usd, created_at_ms=now_ms
        )
        seed(connection, limit)


def _stored(value: object) -> object:
    match value:
        case tuple():
            return list(value)
        case RateLimits():
            return value.stored()
        case _:
            return value


def hand_over(connection: Connection, old: Key, new: Key, now_ms: int) -> None:
    """The new key begins its window with what the old one has spent in it."""
    if old.limit_nano_usd is None:
        return
    start_ms = window_start_ms(old.resets, now_ms)
    spent = connection.execute(
        select(cap_windows.c.posted_nano_usd).where(
            cap_windows.c.cap_id == old.id, cap_windows.c.window_start_ms == start_ms
        )
    ).scalar()
    row = {
        "cap_id": new.id,
        "window_start_ms": start_ms,
        "posted_nano_usd": spent or 0,
        "held_nano_usd": 0,
    }
    connection.execute(insert_for(connection.dialect.name, cap_windows).values(row))


def _change(connection: Connection, key_id: str, **values: object) -> None:
    numbered = {**values, "change": count_up(connection, SUBJECT)}
    connection.execute(update(keys).where(keys.c.id == key_id).values(numbered))
