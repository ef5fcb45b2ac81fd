"""Who asks, and in which account: what the table of `accounts.roles` needs to know, once for everybody."""

from __future__ import annotations

from modelway.accounts.keys import Key
from modelway.accounts.roles import Asker, check, may
from modelway.conversation.errors import CallError
from modelway.manage.keys import no_key
from modelway.manage.names import parse_reference
from modelway.store import people, settings
from modelway.store.database import Connection, Database


async def asker_of(database: Database, key: Key) -> Asker:
    """Whoever holds `key`. Read anew each time: a role that was taken away is gone at once."""

    def query(connection: Connection) -> Asker:
        member = people.find_member(connection, key.account_id, key.member_id)
        owner = settings.get(connection, settings.OWNER_ACCOUNT_ID)
        return Asker(key, None if member is None else member.role, owner == key.account_id)

    return await database.read(query)


async def account_of(database: Database, asker: Asker, wanted: str | None) -> str:
    """The id of the account that is meant by a name or id, the asker's own by None.

    Raises 404 for another's: whoever may not act there is not told whether it exists.
    """
    if wanted is None or wanted == asker.account_id:
        return asker.account_id
    name = parse_reference(wanted, "account")
    found = await database.read(lambda connection: people.find_account(connection, name))
    if found is not None and (found.id == asker.account_id or may(asker, "accounts:act")):
        return found.id
    raise CallError("not_found", f"there is no account {wanted!r}", param="account")


def check_key_write(asker: Asker, kind: str, member_id: str | None) -> None:
    """Return if `asker` may make or change keys of this kind that belong to this member, else raise 403.

    Whoever could rotate an owner's management key would hold an owner's key, so those are the owners'; and
    a management key with limits of its own makes none without them.
    """
    if kind != "management":
        is_own = member_id is not None and member_id == asker.member_id
        check(asker, "keys:write" if is_own else "keys:write_any")
        return
    check(asker, "keys:write_management")
    own = asker.key
    if own.endpoints is not None or own.addresses is not None or own.expires_at_ms is not None:
        raise CallError(
            "forbidden",
            f"the management key {own.masked} is limited itself (paths, addresses or time); one without such "
            "limits may make and change management keys",
        )


def check_key_end(asker: Asker, key: Key) -> None:
    """As `check_key_write`, for an end or a successor: any management key may give itself up, too."""
    if asker.key.id != key.id:
        check_key_write(asker, key.kind, key.member_id)


def check_key_read(asker: Asker, key: Key) -> None:
    """Return if `asker` may know of `key`, else raise the 404 that an id which nobody has gets."""
    if key.account_id != asker.account_id and not may(asker, "accounts:act"):
        raise no_key(key.id)
