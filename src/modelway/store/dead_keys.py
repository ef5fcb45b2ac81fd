"""Which of the keys that calls in flight hold have died meanwhile, or got another limit."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, and_, case, func, or_, select

from modelway.accounts.keys import Key, Resets
from modelway.accounts.windows import window_start_ms
from modelway.store.keys import SUBJECT, key_chain
from modelway.store.schema import cap_windows, keys

__all__ = ["SUBJECT", "Limit", "among", "limits_of"]

_ANEW: tuple[Resets, ...] = ("daily", "weekly", "monthly")


class Limit(NamedTuple):
    """What a key may spend now, and what of it is spent in its window."""

    limit_nano_usd: int
    resets: Resets
    posted_nano_usd: int

    def is_news_to(self, key: Key) -> bool:
        """Whether a call that was admitted with `key` as it was then was measured by something else."""
        return (key.limit_nano_usd, key.resets) != (self.limit_nano_usd, self.resets)


def among(connection: Connection, key_ids: set[str], now_ms: int) -> set[str]:
    """Those of `key_ids` that are revoked or have expired."""
    dead = or_(keys.c.revoked_at_ms <= now_ms, keys.c.expires_at_ms <= now_ms)
    return set(connection.execute(select(keys.c.id).where(keys.c.id.in_(key_ids), dead)).scalars())


def limits_of(connection: Connection, key_ids: set[str], now_ms: int) -> dict[str, Limit]:
    """The limits of those of `key_ids` that have one."""
    starts = [(keys.c.resets == resets, window_start_ms(resets, now_ms)) for resets in _ANEW]
    now = and_(cap_windows.c.cap_id == key_chain, cap_windows.c.window_start_ms == case(*starts, else_=0))
    posted = func.coalesce(cap_windows.c.posted_nano_usd, 0)
    statement = (
        select(keys.c.id, keys.c.limit_nano_usd, keys.c.resets, posted)
        .select_from(keys.outerjoin(cap_windows, now))
        .where(keys.c.id.in_(key_ids), keys.c.limit_nano_usd.is_not(None))
    )
    return {key_id: Limit(*limit) for key_id, *limit in connection.execute(statement)}
