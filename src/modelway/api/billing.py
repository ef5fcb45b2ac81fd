"""`/v1/billing/balance` and `/v1/billing/transactions`: what an account has, and every movement of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from modelway.api.budgets import budget_object
from modelway.api.management import PAGE_SIZE, AccountQuery, Asked, Managed, Page
from modelway.api.money import entry_object
from modelway.api.people import statement_object
from modelway.api.reading import usd
from modelway.api.usage import Cursor, Keys, Limit, PeriodQuery, bad_cursor, keys_of, named, parts_of
from modelway.conversation.errors import CallError
from modelway.manage import budgets, money
from modelway.manage import usage as manage
from modelway.manage.budgets import BudgetState
from modelway.manage.usage import EntryPage
from modelway.store.entries import Entry
from modelway.store.entry_lists import KINDS, Entries, moved

BALANCE_COLUMNS = (
    "object",
    "id",
    "name",
    "billing",
    "scope",
    "subject",
    "resets",
    "limit_usd",
    "credit_usd",
    "spent_usd",
    "held_usd",
    "balance_usd",
    "available_usd",
    "began_at",
    "resets_at",
)
COLUMNS = (
    "id",
    "created_at",
    "type",
    "direction",
    "amount_usd",
    "change_usd",
    "change_nano_usd",
    "reference_id",
    "key_id",
    "key_name",
    "member_id",
    "member_name",
    "model",
    "price_version",
    "note",
)
_ENTRY_ID = re.compile(r"ent_[\w.]{1,60}", re.ASCII)


class TransactionsQuery(PeriodQuery, frozen=True):
    """Which lines of the statement."""

    type: Annotated[tuple[str, ...], Meta(description=f"Only of these types: {', '.join(KINDS)}.")] = ()
    key: Keys = ()
    reference_id: Annotated[
        str | None,
        Meta(description="A request's id: what that call was charged and given back, whenever it was."),
    ] = None
    cursor: Cursor = ""
    limit: Limit = PAGE_SIZE


async def read_balance(asked: Asked) -> Page:
    query: AccountQuery = asked.query
    database = asked.services.database
    account_id = await asked.account_id(query.account)
    found = statement_object(await money.show(database, account_id)) | {"object": "balance"}
    states = [budget_object(state) for state in await _budgets(asked, account_id)]
    return Page([found, *states], BALANCE_COLUMNS, whole={**found, "budgets": states})


async def list_transactions(asked: Asked) -> Page:
    query: TransactionsQuery = asked.query
    database = asked.services.database
    wanted = Entries(
        await asked.account_id(query.account), kinds=_kinds(query.type), keys=keys_of(asked, query.key)
    )
    if query.reference_id is not None:
        page = await manage.entries_of_call(database, wanted, query.reference_id)
    else:
        if query.cursor and not _ENTRY_ID.fullmatch(query.cursor):
            raise bad_cursor(query.cursor)
        period = query.when(asked.now_ms)
        page = await manage.list_entries(database, wanted, period, query.cursor or None, query.limit)
    return Page([_transaction_object(page, entry) for entry in page.entries], COLUMNS, page.then)


async def _budgets(asked: Asked, account_id: str) -> list[BudgetState]:
    """All of the account's; for whoever may not read them, those that limit the key they hold."""
    database, key = asked.services.database, asked.asker.key
    states = await budgets.list_budgets(database, account_id, asked.source)
    if asked.may("budgets:read"):
        return states
    own = await budgets.own_limit(database, key, asked.source)
    covering = [each for each in states if each.budget.scope == "model" or each.budget.covers(key, "")]
    return covering if own is None else [own, *covering]


def _kinds(wanted: Sequence[str]) -> tuple[str, ...]:
    kinds = parts_of(wanted, "type")
    for kind in kinds:
        if kind not in KINDS:
            raise CallError.invalid(
                f"`type` is {kind[:40]!r}; one of {', '.join(KINDS)} would be right", param="type"
            )
    return kinds


def _transaction_object(page: EntryPage, entry: Entry) -> dict[str, object]:
    change = moved(entry)
    return entry_object(entry) | {
        "direction": "in" if change > 0 else "out" if entry.debit == entry.account_id else "none",
        "change_usd": usd(change),
        "change_nano_usd": change,
        "key_id": entry.key_id,
        "key_name": named(page.names, entry.key_id),
        "member_id": entry.member_id,
        "member_name": named(page.names, entry.member_id),
        "model": entry.model,
        "price_version": entry.price_version,
    }


ROWS = (
    Managed(
        "GET", "/v1/billing/balance", "billing:read", read_balance, "Billing", "Show the balance",
        "What was put in, spent and is held, what is left, and where budgets stand. An API key sees the "
        "budgets that limit it, its own limit first.",
        query=AccountQuery, returns="Balance", has_csv=True,
    ),
    Managed(
        "GET", "/v1/billing/transactions", "billing:read", list_transactions, "Billing",
        "List transactions",
        "The account's statement, newest first; what a call cost stands where the call began. An API key "
        "reads what it was charged itself.",
        query=TransactionsQuery, returns="Transaction", is_page=True,
    ),
)  # fmt: skip
