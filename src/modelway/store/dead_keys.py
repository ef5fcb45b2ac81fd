"""Which of the keys that calls in flight hold have died meanwhile."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select

from modelway.store.keys import SUBJECT
from modelway.store.schema import keys

__all__ = ["SUBJECT", "among"]


def among(connection: Connection, key_ids: set[str], now_ms: int) -> set[str]:
    """Those of `key_ids` that are revoked or have expired."""
    dead = or_(keys.c.revoked_at_ms <= now_ms, keys.c.expires_at_ms <= now_ms)
    return set(connection.execute(select(keys.c.id).where(keys.c.id.in_(key_ids), dead)).scalars())
