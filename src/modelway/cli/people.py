"""`modelway members …` and `modelway audit …`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from modelway.accounts.windows import as_text
from modelway.cli.base import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    JsonOption,
    print_json,
    with_database,
)
from modelway.manage import people as manage
from modelway.manage.trail import list_deeds
from modelway.store.database import Database
from modelway.store.people import Member
from modelway.store.trail import Deed

RoleOption = Annotated[str, typer.Option(help="owner, admin, developer or viewer")]

members = typer.Typer(no_args_is_help=True, help="The people in an account, and what they may.")
audit = typer.Typer(no_args_is_help=True, help="Who changed what.")


@members.command("add")
def add(
    account: AccountOption,
    name: Annotated[str, typer.Option(help="what they are called")],
    role: RoleOption = "developer",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add somebody and print their id."""

    async def work(database: Database, _: bytes) -> Member:
        return await manage.add_member(database, account, name, role)

    added = with_database(config, data_dir, work)
    if as_json:
        print_json(added)
    else:
        print(added.id)


@members.command("list")
def list_all(
    account: AccountOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Those who have not left."""

    async def work(database: Database, _: bytes) -> list[Member]:
        return await manage.list_members(database, account)

    _print_members(with_database(config, data_dir, work), as_json)


@members.command("role")
def role(
    member_id: Annotated[str, typer.Argument(help="the member's id, as `members list` shows it")],
    account: AccountOption,
    role: RoleOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what somebody may; it holds from their next request on."""

    async def work(database: Database, _: bytes) -> Member:
        return await manage.change_role(database, account, member_id, role)

    _print_members([with_database(config, data_dir, work)], as_json)


@members.command("remove")
def remove(
    member_id: Annotated[str, typer.Argument(help="the member's id, as `members list` shows it")],
    account: AccountOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Somebody leaves; every key of theirs is revoked."""

    async def work(database: Database, _: bytes) -> Member:
        return await manage.remove_member(database, account, member_id)

    print(f"removed {with_database(config, data_dir, work).name}")


@audit.command("list")
def list_trail(
    account: AccountOption = manage.OWNER_ACCOUNT,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="how many of the newest")] = 50,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What was changed in an account, newest first."""

    async def work(database: Database, _: bytes) -> list[Deed]:
        return await list_deeds(database, await manage.account_id(database, account), limit=limit)

    rows = with_database(config, data_dir, work)
    if as_json:
        print_json(rows)
        return
    for deed in rows:
        who = deed.member_id or deed.via
        details = msgspec.json.encode(deed.details).decode()
        print(f"{as_text(deed.at_ms)}  {who}  {deed.action}  {deed.subject}  {details}")


def _print_members(rows: list[Member], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    for member in rows:
        print(f"{member.id}  {member.role:9}  {member.name}")
