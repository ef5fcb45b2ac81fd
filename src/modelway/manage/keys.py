"""Making, listing and revoking keys: the rules, once, for pages, management API and command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from modelway.accounts.keys import (
    Key,
    KeyKind,
    Resets,
    digest,
    is_alive,
    mask,
    parse_addresses,
    parse_endpoints,
    parse_models,
)
from modelway.accounts.rates import RateLimits, checked
from modelway.conversation.errors import CallError
from modelway.manage.ids import SYSTEM, Source
from modelway.manage.names import parse_name, parse_reference
from modelway.manage.trail import note
from modelway.store import key_changes, keys, people
from modelway.store.database import Connection, Database

# Alive, per account: one for everybody in a large company. All of them in use are half of what a worker's
# counter of rate limits remembers (`limits/buckets.py`).
KEYS_MAX = 5_000
OVERLAP_S_MAX = 90 * 24 * 3600.0  # a quarter: a key that nobody replaced by then is not being replaced


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: `text` is shown to whoever asked, once, and is kept nowhere."""

    key: Key
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.key!r})"  # never the text: reprs end up in logs


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWishes:
    """What a key is to be; None is no restriction."""

    name: str
    models: list[str] | None = None
    expires_at_ms: int | None = None
    limit_nano_usd: int | None = None
    resets: Resets = "never"
    member_id: str | None = None
    kind: KeyKind = "api"
    endpoints: list[str] | None = None
    addresses: list[str] | None = None
    rate_limits: RateLimits | None = None


class KeyChanges(TypedDict, total=False):
    """What a key is to become: as in `KeyWishes`, and only what is there is changed."""

    name: str
    models: list[str] | None
    expires_at_ms: int | None
    limit_nano_usd: int | None
    resets: Resets
    endpoints: list[str] | None
    addresses: list[str] | None
    rate_limits: RateLimits | None


async def create_key(
    database: Database, secret: bytes, account: str, wishes: KeyWishes, source: Source = SYSTEM
) -> NewKey:
    """A new key for the account of that name or id. Raises CallError: invalid, not_found, unavailable."""

    def change(connection: Connection) -> NewKey:
        account_id = _account_id(connection, account)
        made = add_key(connection, secret, account_id, wishes, source)
        _check_number(connection, account_id, made.key.created_at_ms)
        return made

    return await database.write(change)


def add_key(
    connection: Connection, secret: bytes, account_id: str, wishes: KeyWishes, source: Source
) -> NewKey:
    """`create_key` inside a transaction that does more: the first of an account, so nobody counts them."""
    now_ms = source.now_ms()
    if wishes.expires_at_ms is not None and wishes.expires_at_ms <= now_ms:
        raise CallError.invalid("the key would have expired before it is made", param="expires_at")
    _check_limit(wishes.limit_nano_usd)
    if wishes.kind == "management" and (wishes.models or wishes.limit_nano_usd is not None):
        raise _calls_no_model()
    text = source.new_key_text()
    key = Key(
        id=source.new_id("key"),
        account_id=account_id,
        member_id=_member_id(connection, account_id, wishes),
        name=parse_name(wishes.name),
        masked=mask(text),
        created_at_ms=now_ms,
        models=parse_models(wishes.models),
        expires_at_ms=wishes.expires_at_ms,
        limit_nano_usd=wishes.limit_nano_usd,
        resets=wishes.resets,
        kind=wishes.kind,
        endpoints=parse_endpoints(wishes.endpoints),
        addresses=parse_addresses(wishes.addresses),
        rate_limits=checked(wishes.rate_limits),
    )
    keys.add(connection, key, digest(secret, text))
    key_changes.restrict(connection, key)
    note(connection, source, account_id, "key.create", key.id, **_shown(key))
    return NewKey(key, text)


def _check_number(connection: Connection, account_id: str, now_ms: int) -> None:
    """After a key was added: adding holds the counter of changes, so nobody adds another meanwhile."""
    if keys.count_alive(connection, account_id, now_ms) > KEYS_MAX:
        raise CallError(
            "conflict",
            f"this account has {KEYS_MAX} keys that are neither revoked nor expired, the most that it may "
            "have; revoke one that is not needed, or rotate it without an overlap",
            param="account",
        )


_NOTED = ("name", "masked", "kind", "member_id", *KeyChanges.__annotations__)


def _shown(key: Key) -> dict[str, Any]:
    """What the trail says of a key: enough to know it by, and what it may do."""
    return _plain({name: getattr(key, name) for name in _NOTED})


def _plain(terms: dict[str, Any]) -> dict[str, Any]:
    """The same in values that JSON has."""
    return {name: term.as_dict() if isinstance(term, RateLimits) else term for name, term in terms.items()}


def _check_limit(limit_nano_usd: int | None) -> None:
    if limit_nano_usd is not None and limit_nano_usd < 0:
        raise CallError.invalid("a key's limit is 0 USD or more", param="limit_usd")


def _member_id(connection: Connection, account_id: str, wishes: KeyWishes) -> str | None:
    """Whose key it will be. A management key may do what its member may, so it needs one; an owner's unless
    it is said whose.
    """
    if wishes.member_id is not None:
        if people.find_member(connection, account_id, wishes.member_id) is None:
            raise CallError("not_found", f"there is no member {wishes.member_id[:100]!r}", param="member")
        return wishes.member_id
    if wishes.kind == "api":
        return None
    members = people.list_members(connection, account_id)
    owner = next((member for member in members if member.role == "owner"), None)
    if owner is None:
        raise CallError.invalid(
            "this account has no owner to whom a management key could belong; add one, or say which member",
            param="member",
        )
    return owner.id


async def rotate_key(
    database: Database, secret: bytes, key_id: str, overlap_s: float, source: Source = SYSTEM
) -> NewKey:
    """A key with the same terms that takes over from `key_id`, which goes on for `overlap_s` and then ends.

    Both count against the same limits and budgets, as one key. Raises CallError: not_found, conflict (it is
    revoked), invalid.
    """
    if not 0 <= overlap_s <= OVERLAP_S_MAX:
        raise CallError.invalid(
            f"the overlap is {overlap_s:g} s; 0 to {OVERLAP_S_MAX:g} s is right", param="overlap_s"
        )

    def change(connection: Connection) -> NewKey:
        key_changes.begin(connection)
        old, now_ms = _find(connection, key_id), source.now_ms()
        if not is_alive(old, now_ms):
            raise CallError("conflict", f"the key {old.masked} is revoked or has expired", param="key")
        text = source.new_key_text()
        key = replace(
            old,
            id=source.new_id("key"),
            masked=mask(text),
            created_at_ms=now_ms,
            last_used_at_ms=None,
            replaces_id=old.id,
            first_id=old.chain,
        )
        keys.add(connection, key, digest(secret, text))
        key_changes.restrict(connection, key)
        key_changes.expire(connection, old, now_ms + round(overlap_s * 1000))
        _check_number(connection, key.account_id, now_ms)
        note(
            connection,
            source,
            key.account_id,
            "key.rotate",
            old.id,
            new_key_id=key.id,
            masked=key.masked,
            overlap_s=overlap_s,
        )
        return NewKey(key, text)

    return await database.write(change)


async def change_key(database: Database, key_id: str, changes: KeyChanges, source: Source = SYSTEM) -> Key:
    """Other terms for a key; every worker keeps them within a second. What was spent before counts against
    another limit too. Limits hold for the key that it took over from as well, while that one lives on. Raises
    CallError: not_found, conflict (it is revoked or replaced), invalid.
    """
    wanted: dict[str, Any] = dict(changes)
    for name, parse in _PARSED.items():
        if name in wanted:
            wanted[name] = parse(wanted[name])
    _check_limit(wanted.get("limit_nano_usd"))

    def change(connection: Connection) -> Key:
        key_changes.begin(connection)
        now_ms, old = source.now_ms(), _find(connection, key_id)
        _check_changeable(connection, old)
        ends_ms = wanted.get("expires_at_ms")
        if ends_ms is not None and ends_ms <= now_ms:
            raise CallError.invalid("this is in the past; to end the key now, revoke it", param="expires_at")
        changed = replace(old, **wanted)
        if changed.kind == "management" and (changed.models or changed.limit_nano_usd is not None):
            raise _calls_no_model()
        key_changes.change(connection, changed, wanted, now_ms)
        note(connection, source, changed.account_id, "key.change", key_id, **_plain(wanted))
        return changed

    return await database.write(change)


def _check_changeable(connection: Connection, key: Key) -> None:
    if key.revoked_at_ms is not None:
        raise CallError("conflict", f"the key {key.masked} is revoked", param="key")
    successor = key_changes.successor(connection, key)
    if successor is not None:
        message = f"{successor} has taken over from the key {key.masked}; change that one, or revoke this one"
        raise CallError("conflict", message, param="key")


_PARSED: dict[str, Callable[[Any], object]] = {
    "name": parse_name,
    "models": parse_models,
    "endpoints": parse_endpoints,
    "addresses": parse_addresses,
    "rate_limits": checked,
}


def _calls_no_model() -> CallError:
    return CallError.invalid("a management key calls no model: leave models and limit out", param="kind")


async def list_keys(
    database: Database, account: str | None = None, after: str = "", limit: int = keys.PAGE_ROWS
) -> list[Key]:
    """The oldest `limit` keys of one account (name or id) or of all; `after` is the last id seen."""

    def query(connection: Connection) -> list[Key]:
        account_id = None if account is None else _account_id(connection, account)
        return keys.list_keys(connection, account_id, after, limit)

    return await database.read(query)


async def find_key(database: Database, key_id: str) -> Key:
    """The key of that id. Raises CallError: not_found, unavailable."""
    return await database.read(lambda connection: _find(connection, key_id))


async def revoke_key(database: Database, key_id: str, source: Source = SYSTEM) -> Key:
    """Revoke for good; every worker refuses the key within a second. Revoking twice is once."""
    parse_reference(key_id, "key")

    def change(connection: Connection) -> Key:
        is_revoked = keys.revoke(connection, key_id, source.now_ms())
        key = _find(connection, key_id)
        if is_revoked:
            note(connection, source, key.account_id, "key.revoke", key_id, masked=key.masked)
        return key

    return await database.write(change)


def _find(connection: Connection, key_id: str) -> Key:
    key = keys.find(connection, parse_reference(key_id, "key"))
    if key is None:
        raise no_key(key_id)
    return key


def no_key(key_id: str) -> CallError:
    """What is said of a key that there is not, and of one that whoever asks may not know of."""
    return CallError("not_found", f"there is no key {key_id!r}", param="key")


def _account_id(connection: Connection, name_or_id: str) -> str:
    account = people.find_account(connection, parse_reference(name_or_id, "account"))
    if account is None:
        raise CallError("not_found", f"there is no account {name_or_id!r}", param="account")
    return account.id
