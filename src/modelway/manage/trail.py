"""Every change is written down with it, in its own transaction: who, how, what it became."""

from __future__ import annotations

from modelway.manage.ids import Source
from modelway.store import trail
from modelway.store.database import Connection, Database
from modelway.store.trail import Deed

PAGE_ROWS = 1_000  # unless another number is asked for


def note(
    connection: Connection, source: Source, account_id: str, action: str, subject: str, /, **details: object
) -> None:
    """`details` say what the thing became, in values that JSON has; never a secret."""
    doer = source.doer
    trail.add(
        connection,
        Deed(
            id=source.new_id("deed"),
            account_id=account_id,
            at_ms=source.now_ms(),
            via=doer.via,
            action=action,
            subject=subject,
            details=details,
            key_id=doer.key_id,
            member_id=doer.member_id,
            request_id=doer.request_id,
        ),
    )


async def list_deeds(
    database: Database,
    account_id: str,
    before: str | None = None,
    limit: int = PAGE_ROWS,
    *,
    strangers: bool = True,
) -> list[Deed]:
    """A page of what was changed in an account (its id), newest first. Without `strangers`, keys and members
    of the installation's owner that did something in it are not named.
    """
    return await database.read(
        lambda connection: trail.list_deeds(connection, account_id, before, limit, strangers=strangers)
    )
