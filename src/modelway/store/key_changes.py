"""What may change about a key after it is made; every worker hears of it by the keys' counter."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, and_, select, update

from modelway.accounts.keys import Key
from modelway.accounts.rates import RateLimits
from modelway.store.budgets import own_limit, seed
from modelway.store.changes import count_up
from modelway.store.keys import SUBJECT, key_chain
from modelway.store.schema import keys

# What all keys of a chain have in common: it is counted for them together.
_COMMON = frozenset({"limit_nano_usd", "resets", "rate_limits"})


def begin(connection: Connection) -> None:
    """Others who would change a key wait until this transaction is over."""
    count_up(connection, SUBJECT)


def successor(connection: Connection, key: Key) -> str | None:
    """The masked text of the newest key that took over from this one."""
    statement = select(keys.c.masked).where(keys.c.account_id == key.account_id, keys.c.replaces_id == key.id)
    return connection.execute(statement.order_by(keys.c.id.desc()).limit(1)).scalar()


def restrict(connection: Connection, key: Key) -> None:
    """Store where and for what a key may be used; its row is there already."""
    values = {
        "kind": key.kind,
        "endpoints": None if key.endpoints is None else list(key.endpoints),
        "addresses": None if key.addresses is None else list(key.addresses),
        "replaces_id": key.replaces_id,
        "first_id": key.first_id,
        "rate_limits": None if key.rate_limits is None else key.rate_limits.stored(),
    }
    connection.execute(update(keys).where(keys.c.id == key.id).values(values))


def expire(connection: Connection, key: Key, at_ms: int) -> None:
    """End a key at a time, unless it ends before."""
    ends_ms = at_ms if key.expires_at_ms is None else min(at_ms, key.expires_at_ms)
    _change(connection, keys.c.id == key.id, {"expires_at_ms": ends_ms})


def change(connection: Connection, key: Key, changed: Collection[str], now_ms: int) -> None:
    """Store the fields of `key` that are named, its limits for the key before it as well, which may live on a
    while; what was spent in a window before counts in the window of another limit.
    """
    values = {name: _stored(getattr(key, name)) for name in changed}
    common = {name: value for name, value in values.items() if name in _COMMON}
    own = {name: value for name, value in values.items() if name not in _COMMON}
    if own:
        _change(connection, keys.c.id == key.id, own)
    if common:
        in_chain = (
            keys.c.account_id == key.account_id,
            key_chain == key.chain,
            keys.c.revoked_at_ms.is_(None),
        )
        _change(connection, and_(*in_chain), common)
    if key.limit_nano_usd is not None and {"limit_nano_usd", "resets"} & set(changed):
        seed(connection, own_limit(key, key.limit_nano_usd, now_ms))


def _stored(value: object) -> object:
    match value:
        case tuple():
            return list(value)
        case RateLimits():
            return value.stored()
        case _:
            return value


def _change(connection: Connection, which: ColumnElement[bool], values: Mapping[str, object]) -> None:
    numbered = {**values, "change": count_up(connection, SUBJECT)}
    connection.execute(update(keys).where(which).values(numbered))
