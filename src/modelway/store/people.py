"""Accounts and members: rows in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, RowMapping, insert, select, update

from modelway.accounts.rates import RateLimits, parse_rates
from modelway.accounts.roles import Role
from modelway.store.changes import MONEY, count_up
from modelway.store.schema import accounts, members
from modelway.store.statements import insert_new

Billing = Literal["prepaid", "postpaid"]


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays. A prepaid account spends what was put in; a postpaid one may owe up to its limit (None: no
    limit).
    """

    id: str
    name: str
    created_at_ms: int
    billing: Billing = "postpaid"
    limit_nano_usd: int | None = None
    rate_limits: RateLimits | None = None


@dataclass(frozen=True, slots=True)
class Money:
    """What an account has. `available_nano_usd` None: as much as it likes."""

    credit_nano_usd: int
    posted_nano_usd: int
    held_nano_usd: int
    available_nano_usd: int | None

    @property
    def balance_nano_usd(self) -> int:
        """What was put in less what was charged: below 0, what a postpaid account owes."""
        return self.credit_nano_usd - self.posted_nano_usd


@dataclass(frozen=True, slots=True)
class Member:
    """A person in an account."""

    id: str
    account_id: str
    name: str
    role: Role
    created_at_ms: int


def add_account(connection: Connection, account: Account) -> bool:
    """True if it was added, False if the name is taken."""
    return insert_new(
        connection,
        accounts,
        id=account.id,
        name=account.name,
        created_at_ms=account.created_at_ms,
        billing=account.billing,
        limit_nano_usd=account.limit_nano_usd,
        rate_limits=None if account.rate_limits is None else account.rate_limits.as_dict(),
    )


def find_account(connection: Connection, name_or_id: str) -> Account | None:
    """An id is looked for first: a name may look like anything, an id is unlike any sensible name."""
    for wanted in (accounts.c.id, accounts.c.name):
        row = connection.execute(select(accounts).where(wanted == name_or_id)).mappings().first()
        if row is not None:
            return _account(row)
    return None


def list_accounts(connection: Connection, after: str = "", limit: int | None = None) -> list[Account]:
    """Oldest first, those with an id above `after`."""
    statement = select(accounts).where(accounts.c.id > after).order_by(accounts.c.id).limit(limit)
    return [_account(row) for row in connection.execute(statement).mappings()]


def money_of(connection: Connection, account_id: str) -> Money:
    """The account's sums, of one moment."""
    row = connection.execute(select(accounts).where(accounts.c.id == account_id)).one()
    credit, posted, held = row.credit_nano_usd, row.posted_nano_usd, row.held_nano_usd
    limit = row.limit_nano_usd
    return Money(credit, posted, held, None if limit is None else credit + limit - posted - held)


def change_terms(
    connection: Connection, account_id: str, billing: Billing, limit_nano_usd: int | None
) -> None:
    """Every worker hears of it within a second."""
    values = {"billing": billing, "limit_nano_usd": limit_nano_usd}
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(values))
    count_up(connection, MONEY)


def change_rate_limits(connection: Connection, account_id: str, rate_limits: RateLimits | None) -> None:
    """Every worker hears of it within a second."""
    values = {"rate_limits": None if rate_limits is None else rate_limits.as_dict()}
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(values))
    count_up(connection, MONEY)


def add_member(connection: Connection, member: Member) -> None:
    connection.execute(
        insert(members).values(
            id=member.id,
            account_id=member.account_id,
            name=member.name,
            role=member.role,
            created_at_ms=member.created_at_ms,
        )
    )


def find_member(connection: Connection, account_id: str, member_id: str | None) -> Member | None:
    """The member of that id in that account; None for none, another account's and one who has left."""
    if member_id is None:
        return None
    statement = select(members).where(
        members.c.id == member_id, members.c.account_id == account_id, members.c.removed_at_ms.is_(None)
    )
    row = connection.execute(statement).mappings().first()
    return None if row is None else _member(row)


def list_members(connection: Connection, account_id: str) -> list[Member]:
    """Those who have not left, oldest first."""
    statement = select(members).where(members.c.account_id == account_id, members.c.removed_at_ms.is_(None))
    return [_member(row) for row in connection.execute(statement.order_by(members.c.id)).mappings()]


def lock_members(connection: Connection, account_id: str) -> None:
    """Until the transaction ends nobody else changes an account's members (SQLite has one writer anyway)."""
    if connection.dialect.name == "postgresql":
        statement = select(members.c.id).where(members.c.account_id == account_id).order_by(members.c.id)
        connection.execute(statement.with_for_update(key_share=True)).all()  # keys may name them meanwhile


def change_role(connection: Connection, member_id: str, role: Role) -> None:
    connection.execute(update(members).where(members.c.id == member_id).values(role=role))


def remove_member(connection: Connection, member_id: str, now_ms: int) -> None:
    """They may do nothing any more; what they did still names them."""
    connection.execute(update(members).where(members.c.id == member_id).values(removed_at_ms=now_ms))


def _account(row: RowMapping) -> Account:
    return Account(
        id=row["id"],
        name=row["name"],
        created_at_ms=row["created_at_ms"],
        billing=row["billing"],
        limit_nano_usd=row["limit_nano_usd"],
        rate_limits=parse_rates(row["rate_limits"]),
    )


def _member(row: RowMapping) -> Member:
    return Member(
        id=row["id"],
        account_id=row["account_id"],
        name=row["name"],
        role=row["role"],
        created_at_ms=row["created_at_ms"],
    )
