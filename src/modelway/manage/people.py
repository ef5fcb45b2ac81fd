"""Accounts and members: the rules, and the first account of an installation."""

from __future__ import annotations

from dataclasses import replace

from modelway.accounts.rates import RateLimits, checked
from modelway.accounts.roles import ROLES, Asker, Role, check
from modelway.conversation.errors import CallError
from modelway.manage.ids import SYSTEM, Source
from modelway.manage.keys import KeyWishes, NewKey, add_key
from modelway.manage.money import checked_terms, find_account
from modelway.manage.names import parse_name, parse_reference
from modelway.manage.trail import note
from modelway.store import keys, people, settings
from modelway.store.database import Connection, Database
from modelway.store.people import Account, Billing, Member

OWNER_ACCOUNT = "owner"
MEMBERS_MAX = 1_000  # of one account; a larger company is several accounts


FIRST_KEY = KeyWishes(name="first key")


async def ensure_owner(
    database: Database, secret: bytes, source: Source = SYSTEM, first_key: KeyWishes = FIRST_KEY
) -> NewKey | None:
    """Make the owner's account, member and first key if nobody has; None if they were made before.

    Of many replicas that start at once exactly one gets the key.
    """
    known = await database.read(lambda connection: settings.get(connection, settings.OWNER_ACCOUNT_ID))
    if known is not None:
        return None
    return await database.write(lambda connection: _make_owner(connection, secret, source, first_key))


async def create_account(
    database: Database,
    name: str,
    source: Source = SYSTEM,
    *,
    billing: Billing = "postpaid",
    limit_nano_usd: int | None = None,
    rate_limits: RateLimits | None = None,
) -> Account:
    """Raises CallError: invalid, conflict (the name is taken), unavailable."""
    billing, limit = checked_terms(billing, limit_nano_usd)
    rates = checked(rate_limits)
    account = Account(source.new_id("acct"), parse_name(name), source.now_ms(), billing, limit, rates)

    def change(connection: Connection) -> Account:
        if not people.add_account(connection, account):
            raise CallError("conflict", f"there is an account {account.name!r} already", param="name")
        details = {"name": account.name, "billing": billing, "limit_nano_usd": limit}
        note(connection, source, account.id, "account.create", account.id, **details, **_shown(rates))
        return account

    return await database.write(change)


async def change_rate_limits(
    database: Database, account: str, rate_limits: RateLimits | None, source: Source = SYSTEM
) -> Account:
    """How fast all of an account's keys together may go, None for no limit; kept within a second."""
    rates = checked(rate_limits)

    def change(connection: Connection) -> Account:
        found = find_account(connection, account)
        people.change_rate_limits(connection, found.id, rates)
        note(connection, source, found.id, "account.rate_limits", found.id, **_shown(rates))
        return replace(found, rate_limits=rates)

    return await database.write(change)


def _shown(rates: RateLimits | None) -> dict[str, object]:
    return {"rate_limits": None if rates is None else rates.as_dict()}


async def list_accounts(database: Database, after: str = "", limit: int | None = None) -> list[Account]:
    """Accounts, oldest first; `after` is the last id seen."""
    return await database.read(lambda connection: people.list_accounts(connection, after, limit))


async def account_id(database: Database, account: str) -> str:
    """The id behind a name or id. Raises CallError("not_found")."""
    return await database.read(lambda connection: find_account(connection, account).id)


async def add_member(
    database: Database, account: str, name: str, role: str, source: Source = SYSTEM
) -> Member:
    """Somebody new in the account of that name or id. Raises CallError: invalid, not_found, conflict."""
    known = parse_role(role)

    def change(connection: Connection) -> Member:
        found = find_account(connection, account)
        if len(people.list_members(connection, found.id)) >= MEMBERS_MAX:
            raise CallError("conflict", f"account {found.name!r} has {MEMBERS_MAX} members already")
        member = Member(source.new_id("mem"), found.id, parse_name(name), known, source.now_ms())
        people.add_member(connection, member)
        note(connection, source, found.id, "member.add", member.id, name=member.name, role=known)
        return member

    return await database.write(change)


async def list_members(database: Database, account: str) -> list[Member]:
    """Those who have not left, oldest first."""
    return await database.read(
        lambda connection: people.list_members(connection, find_account(connection, account).id)
    )


async def change_role(
    database: Database,
    account: str,
    member_id: str,
    role: str,
    source: Source = SYSTEM,
    asker: Asker | None = None,
) -> Member:
    """What their management keys may do from the next request on. An account with an owner keeps one.

    `asker` has to be one who may, if the member is an owner or becomes one; None is the operator. Raises
    CallError: invalid, not_found, forbidden, conflict.
    """
    known = parse_role(role)

    def change(connection: Connection) -> Member:
        member = _member(connection, account, member_id)
        _check_owners(asker, member.role, known)
        if known != "owner":
            _check_other_owner(connection, member)
        people.change_role(connection, member.id, known)
        note(connection, source, member.account_id, "member.role", member.id, role=known)
        return replace(member, role=known)

    return await database.write(change)


async def remove_member(
    database: Database, account: str, member_id: str, source: Source = SYSTEM, asker: Asker | None = None
) -> Member:
    """They leave, and every key of theirs is revoked with it; `asker` as in `change_role`."""

    def change(connection: Connection) -> Member:
        member = _member(connection, account, member_id)
        _check_owners(asker, member.role)
        _check_other_owner(connection, member)
        now_ms = source.now_ms()
        people.remove_member(connection, member.id, now_ms)
        revoked = [
            each for each in keys.of_member(connection, member.id) if keys.revoke(connection, each, now_ms)
        ]
        note(connection, source, member.account_id, "member.remove", member.id, revoked_key_ids=revoked)
        return member

    return await database.write(change)


def parse_role(text: str) -> Role:
    """Raises CallError("invalid")."""
    for role in ROLES:
        if role == text:
            return role
    raise CallError.invalid(f"{text[:20]!r} is no role; {', '.join(ROLES)} are", param="role")


def _member(connection: Connection, account: str, member_id: str) -> Member:
    """The member, and until the transaction ends nobody else changes what anybody in the account is."""
    account_id = find_account(connection, account).id
    people.lock_members(connection, account_id)
    found = people.find_member(connection, account_id, parse_reference(member_id, "member"))
    if found is None:
        raise CallError("not_found", f"there is no member {member_id!r}", param="member")
    return found


def _check_owners(asker: Asker | None, *roles: Role) -> None:
    if asker is not None and "owner" in roles:
        check(asker, "members:write_owner")


def _check_other_owner(connection: Connection, leaving: Member) -> None:
    """Nobody else could ever make somebody an owner again."""
    if leaving.role != "owner":
        return
    members = people.list_members(connection, leaving.account_id)
    if not any(each.role == "owner" and each.id != leaving.id for each in members):
        raise CallError("conflict", f"{leaving.name!r} is the only owner; make somebody else one first")


def _make_owner(connection: Connection, secret: bytes, source: Source, first_key: KeyWishes) -> NewKey | None:
    account = Account(source.new_id("acct"), OWNER_ACCOUNT, source.now_ms())
    # The row that only one can insert comes first: the others wait here, and then have nothing to do.
    if not settings.set_once(connection, settings.OWNER_ACCOUNT_ID, account.id):
        return None
    if not people.add_account(connection, account):
        raise CallError("conflict", f"an account {OWNER_ACCOUNT!r} exists that is not the owner's")
    member = Member(source.new_id("mem"), account.id, "owner", "owner", source.now_ms())
    people.add_member(connection, member)
    note(connection, source, account.id, "account.create", account.id, name=account.name, owner_id=member.id)
    return add_key(connection, secret, account.id, replace(first_key, member_id=member.id), source)
