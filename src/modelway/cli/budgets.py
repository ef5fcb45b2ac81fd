"""`modelway budgets …`."""

from __future__ import annotations

from typing import Annotated, get_args

import msgspec
import typer

from modelway.accounts.money import format_usd, parse_usd
from modelway.cli.base import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    JsonOption,
    ResetsOption,
    listed,
    print_json,
    reset_word,
    with_database,
)
from modelway.config import ConfigError
from modelway.manage import budgets as manage
from modelway.manage.budgets import BudgetState
from modelway.store.budgets import Budget, Scope
from modelway.store.database import Database

app = typer.Typer(no_args_is_help=True, help="What an account, a member, a key or a model may spend.")


@app.command("create")
def create(
    account: AccountOption,
    limit_usd: Annotated[str, typer.Option(help="what may be spent in a window")],
    scope: Annotated[str, typer.Option(help="account, member, key or model")] = "account",
    subject: Annotated[str | None, typer.Option(help="the member's or key's id, or the model's")] = None,
    resets: ResetsOption = "monthly",
    alerts: Annotated[str | None, typer.Option(help="percentages to be told at, such as 80,100")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a budget and print its id."""
    if scope not in get_args(Scope):
        raise ConfigError(f"--scope is {scope!r}; it must be account, member, key or model")
    percents = _percents(alerts)
    limit = parse_usd(limit_usd, "--limit-usd")

    async def work(database: Database, _: bytes) -> Budget:
        return await manage.create_budget(
            database, account, msgspec.convert(scope, Scope), subject, reset_word(resets), limit, percents
        )

    made = with_database(config, data_dir, work)
    if as_json:
        print_json(made)
    else:
        print(made.id)


@app.command("list")
def list_all(
    account: AccountOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """The budgets in force, and where each stands."""

    async def work(database: Database, _: bytes) -> list[BudgetState]:
        return await manage.list_budgets(database, account)

    rows = with_database(config, data_dir, work)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        budget = row.budget
        spent, limit = format_usd(row.spent_nano_usd), format_usd(budget.limit_nano_usd)
        print(f"{budget.id}  {budget.scope:7}  {budget.subject}  {spent} of {limit} USD/{budget.resets}")


@app.command("remove")
def remove(
    budget_id: Annotated[str, typer.Argument(help="the budget's id, as `budgets list` shows it")],
    account: AccountOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """It limits nothing any more."""

    async def work(database: Database, _: bytes) -> None:
        await manage.remove_budget(database, account, budget_id)

    with_database(config, data_dir, work)
    print(f"removed {budget_id}")


def _percents(text: str | None) -> tuple[int, ...]:
    words = listed(text) or []
    if not all(word.isascii() and word.isdigit() for word in words):
        raise ConfigError(f"--alerts is {text!r}; percentages with commas between, such as 80,100, are right")
    return tuple(int(word[:9]) for word in words)
