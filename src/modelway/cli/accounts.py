"""`modelway accounts …`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from modelway.accounts.money import format_usd, parse_usd
from modelway.accounts.rates import RateLimits
from modelway.cli.base import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    JsonOption,
    amount,
    print_json,
    with_database,
)
from modelway.cli.rates import ConcurrencyOption, InputTokensOption, OutputTokensOption, RequestsOption
from modelway.manage import money as manage_money
from modelway.manage import people as manage_people
from modelway.manage.money import Statement
from modelway.store.database import Database
from modelway.store.people import Account, Billing

UsdOption = Annotated[str, typer.Option(help="how much, such as 25 or 0.50")]
NoteOption = Annotated[str | None, typer.Option("--note", help="one line for the statement")]
PrepaidOption = Annotated[bool, typer.Option("--prepaid", help="it spends only what was put in")]
LimitOption = Annotated[
    str | None, typer.Option(help="what a postpaid account may owe; without it there is no limit")
]

app = typer.Typer(no_args_is_help=True, help="Accounts: who pays.")


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="its name, unique here")],
    prepaid: PrepaidOption = False,
    limit_usd: LimitOption = None,
    requests_per_minute: RequestsOption = None,
    input_tokens_per_minute: InputTokensOption = None,
    output_tokens_per_minute: OutputTokensOption = None,
    concurrency: ConcurrencyOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account."""
    rates = RateLimits(requests_per_minute, input_tokens_per_minute, output_tokens_per_minute, concurrency)
    limit = amount(limit_usd, "--limit-usd")
    billing: Billing = "prepaid" if prepaid else "postpaid"

    async def work(database: Database, _: bytes) -> Account:
        return await manage_people.create_account(
            database, name, billing=billing, limit_nano_usd=limit, rate_limits=rates
        )

    account = with_database(config, data_dir, work, makes=True)
    if as_json:
        print_json(account)
    else:
        print(account.id)


@app.command("list")
def list_all(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Every account."""

    async def work(database: Database, _: bytes) -> list[Account]:
        return await manage_people.list_accounts(database)

    rows = with_database(config, data_dir, work)
    if as_json:
        print_json(rows)
    else:
        for account in rows:
            print(f"{account.id}  {account.billing:8}  {account.name}")


@app.command("top-up")
def top_up(
    account: AccountOption,
    usd: UsdOption,
    note: NoteOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put money into an account; it is on the disk when this ends."""
    added = parse_usd(usd, "--usd")

    def change(database: Database, _: bytes) -> Awaitable[object]:
        return manage_money.top_up(database, account, added, note)

    change_and_show(account, change, config, data_dir, as_json)


@app.command("withdraw")
def withdraw(
    account: AccountOption,
    usd: UsdOption,
    note: NoteOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take money out of an account again: what is neither spent nor held."""
    taken = parse_usd(usd, "--usd")

    def change(database: Database, _: bytes) -> Awaitable[object]:
        return manage_money.withdraw(database, account, taken, note)

    change_and_show(account, change, config, data_dir, as_json)


@app.command("refund")
def refund(
    account: AccountOption,
    charge: Annotated[str, typer.Option(help="the charge's id, as the statement shows it")],
    usd: Annotated[str | None, typer.Option(help="a part of it; all that is left unless said")] = None,
    note: NoteOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give back a charge, or a part of it, as a new line of the statement."""
    part = amount(usd, "--usd")

    def change(database: Database, _: bytes) -> Awaitable[object]:
        return manage_money.refund(database, account, charge, part, note)

    change_and_show(account, change, config, data_dir, as_json)


@app.command("terms")
def terms(
    account: AccountOption,
    prepaid: PrepaidOption = False,
    limit_usd: LimitOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change how an account pays; every worker hears of it within a second."""
    billing: Billing = "prepaid" if prepaid else "postpaid"
    limit = amount(limit_usd, "--limit-usd")

    def change(database: Database, _: bytes) -> Awaitable[object]:
        return manage_money.change_terms(database, account, billing, limit)

    change_and_show(account, change, config, data_dir, as_json)


@app.command("rates")
def rates(
    account: AccountOption,
    requests_per_minute: RequestsOption = None,
    input_tokens_per_minute: InputTokensOption = None,
    output_tokens_per_minute: OutputTokensOption = None,
    concurrency: ConcurrencyOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how fast all of an account's keys together may go; what is left out is not limited."""
    limits = RateLimits(requests_per_minute, input_tokens_per_minute, output_tokens_per_minute, concurrency)

    def change(database: Database, _: bytes) -> Awaitable[object]:
        return manage_people.change_rate_limits(database, account, limits)

    change_and_show(account, change, config, data_dir, as_json)


@app.command("show")
def show_one(
    account: AccountOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What an account has, owes and holds."""

    async def work(database: Database, _: bytes) -> Statement:
        return await manage_money.show(database, account)

    _print_statement(with_database(config, data_dir, work), as_json)


def change_and_show(
    account: str,
    change: Callable[[Database, bytes], Awaitable[object]],
    config: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Make a change and print the account's statement after it."""

    async def work(database: Database, secret: bytes) -> Statement:
        await change(database, secret)
        return await manage_money.show(database, account)

    _print_statement(with_database(config, data_dir, work), as_json)


def _print_statement(statement: Statement, as_json: bool) -> None:
    account, money = statement.account, statement.money
    amounts = {
        "balance_usd": money.balance_nano_usd,
        "credit_usd": money.credit_nano_usd,
        "spent_usd": money.posted_nano_usd,
        "held_usd": money.held_nano_usd,
        "limit_usd": account.limit_nano_usd,
        "available_usd": money.available_nano_usd,
    }
    shown = {name: None if nano is None else format_usd(nano) for name, nano in amounts.items()}
    fields: dict[str, object] = {"id": account.id, "name": account.name, "billing": account.billing, **shown}
    fields["rate_limits"] = None if account.rate_limits is None else account.rate_limits.as_dict()
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        print(f"{name:14} {'no limit' if value is None else value}")
