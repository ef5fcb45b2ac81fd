"""`/v1/key` and `/v1/keys`: the key one holds, and the keys of an account."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from modelway.accounts.keys import Key, is_alive
from modelway.accounts.money import format_usd
from modelway.accounts.windows import as_text
from modelway.api.management import Asked, Managed, Page
from modelway.manage import keys as manage
from modelway.manage.access import check_key_read

PAGE_SIZE, PAGE_SIZE_MAX = 50, 1000
COLUMNS = (
    "id",
    "name",
    "masked",
    "kind",
    "status",
    "account_id",
    "member_id",
    "models",
    "endpoints",
    "addresses",
    "limit_usd",
    "resets",
    "created_at",
    "expires_at",
    "revoked_at",
    "last_used_at",
    "replaces_id",
)
Account = Annotated[
    str | None, Meta(description="Another account's name or id; only for the installation's owner.")
]


class KeysQuery(Struct, frozen=True):
    """Which keys."""

    cursor: Annotated[str, Meta(description="`next_cursor` of the page before.")] = ""
    limit: Annotated[
        int, Meta(ge=1, le=PAGE_SIZE_MAX, description=f"Keys per page; {PAGE_SIZE} unless said.")
    ] = PAGE_SIZE
    account: Account = None


async def read_own(asked: Asked) -> object:
    return key_object(asked.asker.key, asked.now_ms)


async def list_keys(asked: Asked) -> Page:
    query: KeysQuery = asked.query
    account = await asked.account_id(query.account)
    found = await manage.list_keys(asked.services.database, account, query.cursor)
    more = found[query.limit - 1].id if len(found) > query.limit else None
    return Page([key_object(key, asked.now_ms) for key in found[: query.limit]], COLUMNS, more)


async def read_key(asked: Asked) -> object:
    key = await manage.find_key(asked.services.database, asked.id)
    check_key_read(asked.asker, key)
    return key_object(key, asked.now_ms)


def key_object(key: Key, now_ms: int) -> dict[str, object]:
    """A key as the API shows it: never its text."""
    status = "active" if is_alive(key, now_ms) else "revoked" if key.revoked_at_ms is not None else "expired"
    return {
        "object": "key",
        "id": key.id,
        "name": key.name,
        "masked": key.masked,
        "kind": key.kind,
        "status": status,
        "account_id": key.account_id,
        "member_id": key.member_id,
        "models": key.models,
        "endpoints": key.endpoints,
        "addresses": key.addresses,
        "limit_usd": None if key.limit_nano_usd is None else format_usd(key.limit_nano_usd),
        "resets": key.resets,
        "created_at": as_text(key.created_at_ms),
        "expires_at": _text(key.expires_at_ms),
        "revoked_at": _text(key.revoked_at_ms),
        "last_used_at": _text(key.last_used_at_ms),
        "replaces_id": key.replaces_id,
    }


def _text(ms: int | None) -> str | None:
    return None if ms is None else as_text(ms)


ROWS = (
    Managed(
        "GET", "/v1/key", "key:read", read_own, "Keys", "Show the key that asks",
        "What it may do and spend, until when.", returns="Key",
    ),
    Managed(
        "GET", "/v1/keys", "keys:read", list_keys, "Keys", "List the keys",
        "API and management keys of the account, revoked ones too, oldest first.",
        query=KeysQuery, returns="Key", is_page=True,
    ),
    Managed("GET", "/v1/keys/{id}", "keys:read", read_key, "Keys", "Show a key", returns="Key"),
)  # fmt: skip
