"""`modelway usage`: what an account's calls used and cost."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from modelway.accounts.money import format_usd
from modelway.api.management import Page, csv_of
from modelway.api.usage import report_page
from modelway.cli.base import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    JsonOption,
    listed,
    print_json,
    with_database,
)
from modelway.manage import money
from modelway.manage import usage as manage
from modelway.manage.ids import SYSTEM
from modelway.manage.usage import Report
from modelway.store.database import Database
from modelway.store.reports import Calls, Sums

# Of the figures, a table for people shows these, which fit a line.
HIDDEN = {*Sums._fields} - {"requests", "failed_requests", "input_tokens", "output_tokens"}


def usage(
    account: AccountOption,
    period: Annotated[
        str | None, typer.Option(help="today, yesterday, 7d, 30d, month, last_month; 30d unless said")
    ] = None,
    start: Annotated[str | None, typer.Option(help="instead: 2026-11-01, or 2026-11-01T09:30:00Z")] = None,
    end: Annotated[str | None, typer.Option(help="the first moment after it; now unless said")] = None,
    tz: Annotated[str, typer.Option(help="where days begin, such as Europe/Berlin")] = "UTC",
    group_by: Annotated[
        str, typer.Option(help="one or several of day, model, key, member, provider")
    ] = "day",
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What an account's calls used and cost."""
    by = manage.groups_of(listed(group_by) or [])
    when = manage.period_of(period, start, end, SYSTEM.now_ms(), manage.zone_named(tz))

    async def work(database: Database, _: bytes) -> Report:
        found = await money.show(database, account)
        return await manage.report(database, Calls(found.account.id), when, by)

    report = with_database(config, data_dir, work)
    page = report_page(report)
    if as_json:
        print_json(page.whole)
    elif as_csv:
        sys.stdout.write(csv_of(page).decode())
    else:
        _print_table(page, report.total)


def _print_table(page: Page, total: Sums) -> None:
    columns = [name for name in page.columns if name not in HIDDEN]
    last = {columns[0]: "total", **total._asdict(), "cost_usd": format_usd(total.cost_nano_usd)}
    rows = [
        ["" if row.get(name) is None else str(row[name]) for name in columns] for row in (*page.rows, last)
    ]
    widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
    for row in (columns, *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
