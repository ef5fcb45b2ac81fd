"""Accounts and members: the rules, and the first account of an installation."""

from __future__ import annotations

from dataclasses import replace

from modelway.conversation.errors import CallError
from modelway.manage.ids import SYSTEM, Source
from modelway.manage.keys import KeyWishes, NewKey, add_key
from modelway.manage.money import checked_terms
from modelway.manage.names import parse_name
from modelway.store import people, settings
from modelway.store.database import Connection, Database
from modelway.store.people import Account, Billing, Member

OWNER_ACCOUNT = "owner"
OWNER_SETTING = "owner_account_id"


FIRST_KEY = KeyWishes(name="first key")


async def ensure_owner(
    database: Database, secret: bytes, source: Source = SYSTEM, first_key: KeyWishes = FIRST_KEY
) -> NewKey | None:
    """Make the owner's account, member and first key if nobody has; None if they were made before.

    Of many replicas that start at once exactly one gets the key.
    """
    known = await database.read(lambda connection: settings.get(connection, OWNER_SETTING))
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
) -> Account:
    """Raises CallError: invalid, conflict (the name is taken), unavailable."""
    billing, limit = checked_terms(billing, limit_nano_usd)
    account = Account(source.new_id("acct"), parse_name(name), source.now_ms(), billing, limit)
    if not await database.write(lambda connection: people.add_account(connection, account)):
        raise CallError("conflict", f"there is an account {account.name!r} already", param="name")
    return account


async def list_accounts(database: Database) -> list[Account]:
    """Every account, oldest first."""
    return await database.read(people.list_accounts)


def _make_owner(connection: Connection, secret: bytes, source: Source, first_key: KeyWishes) -> NewKey | None:
    account = Account(source.new_id("acct"), OWNER_ACCOUNT, source.now_ms())
    # The row that only one can insert comes first: the others wait here, and then have nothing to do.
    if not settings.set_once(connection, OWNER_SETTING, account.id):
        return None
    if not people.add_account(connection, account):
        raise CallError("conflict", f"an account {OWNER_ACCOUNT!r} exists that is not the owner's")
    member = Member(source.new_id("mem"), account.id, "owner", "owner", source.now_ms())
    people.add_member(connection, member)
    return add_key(connection, secret, account.id, replace(first_key, member_id=member.id), source)
