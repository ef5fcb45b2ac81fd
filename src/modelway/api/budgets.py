"""`/v1/budgets`: what an account, a member, a key or a model may spend, per window."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from modelway.accounts.keys import Resets
from modelway.api.management import AccountQuery, AnyAccount, Asked, Managed, Page
from modelway.api.reading import Usd, moment, nano_usd, usd
from modelway.manage import budgets as manage
from modelway.manage.budgets import BudgetState
from modelway.store.budgets import Scope

COLUMNS = (
    "id",
    "account_id",
    "scope",
    "subject",
    "resets",
    "limit_usd",
    "spent_usd",
    "held_usd",
    "began_at",
    "resets_at",
    "alerts",
    "created_at",
)


class BudgetBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A budget to be made."""

    limit_usd: Annotated[Usd, Meta(description="What may be spent in a window, in USD.")]
    scope: Annotated[Scope, Meta(description="Whose calls count.")] = "account"
    subject: Annotated[
        str | None, Meta(description="The member's or key's id, or the model's; none for the account.")
    ] = None
    resets: Annotated[Resets, Meta(description="When a new window begins, at 00:00 UTC.")] = "monthly"
    alerts: Annotated[
        tuple[int, ...], Meta(description="Percentages of the limit at which `alert_url` is told.")
    ] = ()
    account: AnyAccount = None


class BudgetChangeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Another limit."""

    limit_usd: Usd
    account: AnyAccount = None


async def list_budgets(asked: Asked) -> Page:
    account = await asked.account_id(asked.query.account)
    states = await manage.list_budgets(asked.services.database, account, asked.source)
    return Page([budget_object(state) for state in states], COLUMNS)


async def create_budget(asked: Asked) -> object:
    body: BudgetBody = asked.body
    account = await asked.account_id(body.account)
    made = await manage.create_budget(
        asked.services.database,
        account,
        body.scope,
        body.subject,
        body.resets,
        nano_usd(body.limit_usd, "limit_usd"),
        body.alerts,
        asked.source,
    )
    return await _shown(asked, account, made.id)


async def change_budget(asked: Asked) -> object:
    body: BudgetChangeBody = asked.body
    account = await asked.account_id(body.account)
    limit = nano_usd(body.limit_usd, "limit_usd")
    await manage.change_budget(asked.services.database, account, asked.id, limit, asked.source)
    return await _shown(asked, account, asked.id)


async def remove_budget(asked: Asked) -> object:
    account = await asked.account_id(asked.query.account)
    await manage.remove_budget(asked.services.database, account, asked.id, asked.source)
    return {"object": "budget", "id": asked.id, "deleted": True}


async def _shown(asked: Asked, account: str, budget_id: str) -> object:
    states = await manage.list_budgets(asked.services.database, account, asked.source)
    return next(budget_object(state) for state in states if state.budget.id == budget_id)


def budget_object(state: BudgetState) -> dict[str, object]:
    budget = state.budget
    return {
        "object": "budget",
        "id": budget.id,
        "account_id": budget.account_id,
        "scope": budget.scope,
        "subject": budget.subject,
        "resets": budget.resets,
        "limit_usd": usd(budget.limit_nano_usd),
        "spent_usd": usd(state.spent_nano_usd),
        "held_usd": usd(state.held_nano_usd),
        "began_at": moment(state.began_at_ms),
        "resets_at": moment(state.ends_at_ms),
        "alerts": budget.alerts,
        "created_at": moment(budget.created_at_ms),
    }


ROWS = (
    Managed(
        "GET", "/v1/budgets", "budgets:read", list_budgets, "Budgets", "List the budgets",
        "Those in force, and where each stands in its window.",
        query=AccountQuery, returns="Budget", is_page=True,
    ),
    Managed(
        "POST", "/v1/budgets", "budgets:write", create_budget, "Budgets", "Make a budget",
        "What was spent in its window before counts.", body=BudgetBody, returns="Budget",
    ),
    Managed(
        "PATCH", "/v1/budgets/{id}", "budgets:write", change_budget, "Budgets", "Change a budget's limit",
        body=BudgetChangeBody, returns="Budget",
    ),
    Managed(
        "DELETE", "/v1/budgets/{id}", "budgets:write", remove_budget, "Budgets", "Remove a budget",
        query=AccountQuery, returns="Deleted",
    ),
)  # fmt: skip
