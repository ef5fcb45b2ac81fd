"""Accounts and members: rows in and out."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, insert, select

from modelway.accounts.roles import Role
from modelway.store.schema import accounts, members
from modelway.store.statements import insert_new


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays."""

    id: str
    name: str
    created_at_ms: int


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
        connection, accounts, id=account.id, name=account.name, created_at_ms=account.created_at_ms
    )


def find_account(connection: Connection, name_or_id: str) -> Account | None:
    """An id is looked for first: a name may look like anything, an id is unlike any sensible name."""
    for wanted in (accounts.c.id, accounts.c.name):
        row = connection.execute(select(accounts).where(wanted == name_or_id)).mappings().first()
        if row is not None:
            return _account(row)
    return None


def list_accounts(connection: Connection) -> list[Account]:
    rows = connection.execute(select(accounts).order_by(accounts.c.id)).mappings()
    return [_account(row) for row in rows]


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


def list_members(connection: Connection, account_id: str) -> list[Member]:
    statement = select(members).where(members.c.account_id == account_id).order_by(members.c.id)
    return [_member(row) for row in connection.execute(statement).mappings()]


def _account(row: RowMapping) -> Account:
    return Account(id=row["id"], name=row["name"], created_at_ms=row["created_at_ms"])


def _member(row: RowMapping) -> Member:
    return Member(
        id=row["id"],
        account_id=row["account_id"],
        name=row["name"],
        role=row["role"],
        created_at_ms=row["created_at_ms"],
    )
