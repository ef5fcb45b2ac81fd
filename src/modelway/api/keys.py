"""`/v1/key` and `/v1/keys`: the key one holds, and the keys of an account."""

from __future__ import annotations

from typing import Annotated, Any, cast

from msgspec import UNSET, Meta, Struct, UnsetType

from modelway.accounts.keys import Key, KeyKind, Resets, is_alive
from modelway.accounts.rates import RateLimits
from modelway.api.management import AnyAccount, Asked, Managed, Page, PageQuery, page_of
from modelway.api.rates import RatesBody, rates_object
from modelway.api.reading import Moment, Usd, epoch_ms, moment, nano_usd, usd
from modelway.manage import keys as manage
from modelway.manage.access import check_key_end, check_key_read, check_key_write

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
    "rate_limits",
    "rate_limits_granted",
)
Texts = list[str] | None
Models = Annotated[Texts, Meta(description="Ids, or patterns with *; null: every model.")]
Endpoints = Annotated[Texts, Meta(description="Paths, or patterns with *; null: every path.")]
Addresses = Annotated[Texts, Meta(description="Addresses or networks; null: from anywhere.")]
Limit = Annotated[Usd | None, Meta(description="What it may spend, in USD; null: no limit of its own.")]
Rates = Annotated[
    RatesBody | None,
    Meta(
        description="How fast it may go; null: the installation's defaults. A looser number than the default "
        "holds where somebody who may change accounts has set it; else the default does."
    ),
]
ResetsWhen = Annotated[
    Resets,
    Meta(
        description="When the limit starts anew: daily at 00:00 UTC, weekly on Monday, monthly on the first."
    ),
]


class KeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: Annotated[str, Meta(description="What it is for.")]
    kind: Annotated[KeyKind, Meta(description="api calls models, management changes things.")] = "api"
    models: Models = None
    endpoints: Endpoints = None
    addresses: Addresses = None
    limit_usd: Limit = None
    resets: ResetsWhen = "never"
    expires_at: Annotated[Moment | None, Meta(description="RFC 3339, or epoch seconds; null: never.")] = None
    rate_limits: Rates = None
    member_id: Annotated[
        str | UnsetType | None, Meta(description="Whose it is: whoever asks unless said; null: nobody's.")
    ] = UNSET
    account: AnyAccount = None


class KeyChangeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change about a key; what is left out stays."""

    name: str | UnsetType = UNSET
    models: Texts | UnsetType = UNSET
    endpoints: Texts | UnsetType = UNSET
    addresses: Texts | UnsetType = UNSET
    limit_usd: Usd | UnsetType | None = UNSET
    resets: Resets | UnsetType = UNSET
    expires_at: Moment | UnsetType | None = UNSET
    rate_limits: RatesBody | UnsetType | None = UNSET


class RotateBody(Struct, frozen=True, forbid_unknown_fields=True):
    """How a key is replaced."""

    overlap_s: Annotated[
        float, Meta(ge=0, le=manage.OVERLAP_S_MAX, description="How long the old one goes on; 0 unless said.")
    ] = 0.0


async def read_own(asked: Asked) -> object:
    return key_object(asked.asker.key, asked.now_ms)


async def list_keys(asked: Asked) -> Page:
    query: PageQuery = asked.query
    account = await asked.account_id(query.account)
    found = await manage.list_keys(asked.services.database, account, query.cursor, query.limit + 1)
    return page_of(found, query.limit, lambda key: key_object(key, asked.now_ms), COLUMNS)


async def read_key(asked: Asked) -> object:
    return key_object(await _key(asked), asked.now_ms)


async def create_key(asked: Asked) -> object:
    body: KeyBody = asked.body
    account = await asked.account_id(body.account)
    is_own_account = account == asked.asker.account_id
    member = body.member_id
    if isinstance(member, UnsetType):
        member = asked.asker.member_id if is_own_account else None
    check_key_write(asked.asker, body.kind, member)
    wishes = manage.KeyWishes(
        name=body.name,
        models=body.models,
        expires_at_ms=None if body.expires_at is None else epoch_ms(body.expires_at, "expires_at"),
        limit_nano_usd=None if body.limit_usd is None else nano_usd(body.limit_usd, "limit_usd"),
        resets=body.resets,
        member_id=member,
        kind=body.kind,
        endpoints=body.endpoints,
        addresses=body.addresses,
        rate_limits=None if body.rate_limits is None else _granted(asked, body.rate_limits),
    )
    made = await manage.create_key(asked.services.database, asked.secret, account, wishes, asked.source)
    return key_object(made.key, asked.now_ms) | {"key": made.text}


async def change_key(asked: Asked) -> object:
    body: KeyChangeBody = asked.body
    key = await _key(asked)
    check_key_write(asked.asker, key.kind, key.member_id)
    given: dict[str, Any] = {name: getattr(body, name) for name in body.__struct_fields__}
    changes = {name: value for name, value in given.items() if value is not UNSET}
    if "limit_usd" in changes:
        limit = changes.pop("limit_usd")
        changes["limit_nano_usd"] = None if limit is None else nano_usd(limit, "limit_usd")
    if "expires_at" in changes:
        ends = changes.pop("expires_at")
        changes["expires_at_ms"] = None if ends is None else epoch_ms(ends, "expires_at")
    if (rates := changes.get("rate_limits")) is not None:
        changes["rate_limits"] = _granted(asked, rates)
    changed = await manage.change_key(
        asked.services.database, key.id, cast("manage.KeyChanges", changes), asked.source
    )
    return key_object(changed, asked.now_ms)


def _granted(asked: Asked, rates: RatesBody) -> RateLimits:
    """Only who may change accounts lets a key go faster than the installation's defaults."""
    return rates.limits(is_granted=asked.may("accounts:write"))


async def rotate_key(asked: Asked) -> object:
    key = await _key(asked)
    check_key_end(asked.asker, key)
    made = await manage.rotate_key(
        asked.services.database, asked.secret, key.id, asked.body.overlap_s, asked.source
    )
    return key_object(made.key, asked.now_ms) | {"key": made.text}


async def revoke_key(asked: Asked) -> object:
    key = await _key(asked)
    check_key_end(asked.asker, key)
    revoked = await manage.revoke_key(asked.services.database, key.id, asked.source)
    return key_object(revoked, asked.now_ms)


async def _key(asked: Asked) -> Key:
    key = await manage.find_key(asked.services.database, asked.id)
    check_key_read(asked.asker, key)
    return key


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
        "limit_usd": usd(key.limit_nano_usd),
        "resets": key.resets,
        "created_at": moment(key.created_at_ms),
        "expires_at": moment(key.expires_at_ms),
        "revoked_at": moment(key.revoked_at_ms),
        "last_used_at": moment(key.last_used_at_ms),
        "replaces_id": key.replaces_id,
        "rate_limits": rates_object(key.rate_limits),
        "rate_limits_granted": key.rate_limits is not None and key.rate_limits.is_granted,
    }


ROWS = (
    Managed(
        "GET", "/v1/key", "key:read", read_own, "Keys", "Show the key that asks",
        "What it may do and spend, until when.", returns="Key",
    ),
    Managed(
        "GET", "/v1/keys", "keys:read", list_keys, "Keys", "List the keys",
        "API and management keys of the account, revoked ones too, oldest first.",
        query=PageQuery, returns="Key", is_page=True,
    ),
    Managed(
        "POST", "/v1/keys", "keys:write", create_key, "Keys", "Make a key",
        "The answer's `key` is its text, which is shown only now. Owners make management keys, owners and "
        "admins keys of other members.", body=KeyBody, returns="Key",
    ),
    Managed("GET", "/v1/keys/{id}", "keys:read", read_key, "Keys", "Show a key", returns="Key"),
    Managed(
        "PATCH", "/v1/keys/{id}", "keys:write", change_key, "Keys", "Change a key",
        "Every worker keeps to it within a second.", body=KeyChangeBody, returns="Key",
    ),
    Managed(
        "POST", "/v1/keys/{id}/rotate", "keys:write", rotate_key, "Keys", "Replace a key by a new one",
        "The new key has the same terms, and what the old one has spent counts. The answer's `key` is its "
        "text.", body=RotateBody, returns="Key",
    ),
    Managed(
        "DELETE", "/v1/keys/{id}", "keys:write", revoke_key, "Keys", "Revoke a key",
        "For good: within a second every worker refuses it, within five its live streams end.",
        returns="Key",
    ),
)  # fmt: skip
