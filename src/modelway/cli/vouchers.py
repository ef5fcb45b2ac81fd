"""`modelway vouchers …`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from typing import Annotated

import typer

from modelway.accounts.money import format_usd, parse_usd
from modelway.cli.accounts import change_and_show
from modelway.cli.base import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    JsonOption,
    moment,
    print_json,
    with_database,
)
from modelway.manage import money as manage
from modelway.manage.money import NewVoucher
from modelway.store.database import Database

app = typer.Typer(no_args_is_help=True, help="Credit to be handed out as text.")


@app.command("create")
def create(
    usd: Annotated[str, typer.Option(help="what it is worth")],
    expires: Annotated[str | None, typer.Option(help="2027-01-31T00:00:00Z, or 90d from now")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a voucher and print it; it is shown only now."""
    worth, ends_ms = parse_usd(usd, "--usd"), moment(expires, "--expires")

    async def work(database: Database, secret: bytes) -> NewVoucher:
        return await manage.create_voucher(database, secret, worth, ends_ms)

    made = with_database(config, data_dir, work)
    if as_json:
        print_json({"voucher": made.text, "masked": made.masked, "usd": format_usd(made.amount_nano_usd)})
    else:
        print(made.text)


@app.command("redeem")
def redeem(
    voucher: Annotated[str, typer.Argument(help="its text; - reads it from standard input")],
    account: AccountOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a voucher into credit of an account, once."""
    text = sys.stdin.readline() if voucher == "-" else voucher

    def change(database: Database, secret: bytes) -> Awaitable[object]:
        return manage.redeem_voucher(database, secret, account, text)

    change_and_show(account, change, config, data_dir, as_json)
