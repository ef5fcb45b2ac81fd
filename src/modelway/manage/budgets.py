"""Making, changing and removing budgets: the rules, once, for everybody who asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

from modelway.accounts.keys import Key, Resets
from modelway.accounts.money import format_usd
from modelway.accounts.windows import window_end_ms, window_start_ms
from modelway.conversation.errors import CallError
from modelway.manage.ids import SYSTEM, Source
from modelway.manage.money import find_account
from modelway.manage.names import parse_reference
from modelway.manage.trail import note
from modelway.store import budgets, keys, people
from modelway.store.budgets import BUDGETS_MAX, Budget, Scope
from modelway.store.database import Connection, Database

SCOPES: tuple[Scope, ...] = get_args(Scope)
ALERTS_MAX = 10


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget and where it stands in the window it is in. `ends_at_ms` None: the window never ends."""

    budget: Budget
    spent_nano_usd: int
    held_nano_usd: int
    began_at_ms: int
    ends_at_ms: int | None


async def create_budget(
    database: Database,
    account: str,
    scope: Scope,
    subject: str | None,
    resets: Resets,
    limit_nano_usd: int,
    alerts: tuple[int, ...] = (),
    source: Source = SYSTEM,
) -> Budget:
    """A budget of an account, or of one of its members, keys or models.

    `subject` is the member's or key's id or the model's (its own id, not an alias); none for the account.
    `alerts` are percentages of the limit at which somebody is told. Raises CallError: invalid, not_found,
    conflict (an account has `BUDGETS_MAX` at most), unavailable.
    """
    _check(limit_nano_usd, alerts)

    def change(connection: Connection) -> Budget:
        found = find_account(connection, account)
        if len(budgets.list_budgets(connection, found.id)) >= BUDGETS_MAX:
            raise CallError("conflict", f"account {found.name!r} has {BUDGETS_MAX} budgets already")
        named = _subject(connection, found.id, scope, subject)
        key = keys.find(connection, named) if scope == "key" else None
        budget = Budget(
            id=source.new_id("bud"),
            account_id=found.id,
            scope=scope,
            subject=named,
            chain=None if key is None else key.chain,
            resets=resets,
            limit_nano_usd=limit_nano_usd,
            alerts=tuple(sorted(set(alerts))),
            created_at_ms=source.now_ms(),
        )
        budgets.add_budget(connection, budget)
        names = ("scope", "subject", "resets", "limit_nano_usd", "alerts")
        details = {each: getattr(budget, each) for each in names}
        note(connection, source, found.id, "budget.create", budget.id, **details)
        return budget

    return await database.write(change)


async def change_budget(
    database: Database, account: str, budget_id: str, limit_nano_usd: int, source: Source = SYSTEM
) -> None:
    """Another limit; every worker hears of it within a second."""
    _check(limit_nano_usd, ())

    def change(connection: Connection) -> None:
        found = find_account(connection, account)
        if not budgets.change_limit(connection, found.id, budget_id, limit_nano_usd):
            raise _no_budget(budget_id)
        note(connection, source, found.id, "budget.change", budget_id, limit_nano_usd=limit_nano_usd)

    await database.write(change)


async def remove_budget(database: Database, account: str, budget_id: str, source: Source = SYSTEM) -> None:
    """It limits nothing any more; what was counted stays."""

    def change(connection: Connection) -> None:
        found = find_account(connection, account)
        if not budgets.remove_budget(connection, found.id, budget_id, source.now_ms()):
            raise _no_budget(budget_id)
        note(connection, source, found.id, "budget.remove", budget_id)

    await database.write(change)


async def list_budgets(database: Database, account: str, source: Source = SYSTEM) -> list[BudgetState]:
    """Every budget in force, oldest first, and where it stands."""
    now_ms = source.now_ms()

    def query(connection: Connection) -> list[BudgetState]:
        found = find_account(connection, account)
        return [_state(connection, each, now_ms) for each in budgets.list_budgets(connection, found.id)]

    return await database.read(query)


async def own_limit(database: Database, key: Key, source: Source = SYSTEM) -> BudgetState | None:
    """The limit that a key has by itself, as if it were a budget of the key's id; None if it has none."""
    if key.limit_nano_usd is None:
        return None
    limit = budgets.own_limit(key, key.limit_nano_usd, key.created_at_ms)
    state = await database.read(lambda connection: _state(connection, limit, source.now_ms()))
    return replace(state, budget=replace(limit, id=key.id))


def _state(connection: Connection, budget: Budget, now_ms: int) -> BudgetState:
    start_ms = window_start_ms(budget.resets, now_ms)
    spent, held = budgets.spent_in(connection, budget.id, start_ms)
    return BudgetState(budget, spent, held, start_ms, window_end_ms(budget.resets, now_ms))


def _subject(connection: Connection, account_id: str, scope: Scope, subject: str | None) -> str:
    if scope == "account":
        return account_id
    named = parse_reference(subject or "", scope)
    known = {"member": _is_member, "key": _is_key}.get(scope)
    if known is not None and not known(connection, account_id, named):
        raise CallError("not_found", f"there is no {scope} {named!r} in this account", param=scope)
    return named


def _is_member(connection: Connection, account_id: str, member_id: str) -> bool:
    return any(member.id == member_id for member in people.list_members(connection, account_id))


def _is_key(connection: Connection, account_id: str, key_id: str) -> bool:
    key = keys.find(connection, key_id)
    return key is not None and key.account_id == account_id


def _check(limit_nano_usd: int, alerts: tuple[int, ...]) -> None:
    if limit_nano_usd < 0:
        raise CallError.invalid(
            f"{format_usd(limit_nano_usd)} USD is no limit; 0 or more is", param="limit_usd"
        )
    if len(alerts) > ALERTS_MAX or any(not 1 <= percent <= 100 for percent in alerts):
        raise CallError.invalid(
            f"alerts are {alerts!r}; at most {ALERTS_MAX} percentages from 1 to 100 are right", param="alerts"
        )


def _no_budget(budget_id: str) -> CallError:
    return CallError("not_found", f"there is no budget {budget_id!r} in this account", param="budget")
