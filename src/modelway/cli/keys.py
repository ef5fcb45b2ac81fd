"""`modelway keys …`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from modelway.accounts.keys import Key, Resets
from modelway.accounts.money import format_usd, parse_usd
from modelway.cli.base import ConfigOption, DataDirOption, JsonOption, print_json, with_database
from modelway.config import ConfigError
from modelway.manage import keys as manage_keys
from modelway.manage import people as manage_people
from modelway.manage.keys import KeyWishes
from modelway.store.database import Database

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="what the key is for")],
    account: Annotated[str, typer.Option(help="who pays")] = manage_people.OWNER_ACCOUNT,
    models: Annotated[str | None, typer.Option(help="comma list of model ids or patterns with *")] = None,
    limit_usd: Annotated[str | None, typer.Option(help="what it may spend")] = None,
    resets: Annotated[
        str, typer.Option(help="when the limit starts anew: never, daily, weekly, monthly")
    ] = "never",
    management: Annotated[
        bool, typer.Option("--management", help="a key for the management paths; it calls no model")
    ] = False,
    member: Annotated[
        str | None, typer.Option(help="whose it is; a management key's default is the account's owner")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it; it is shown only now."""
    if resets not in ("never", "daily", "weekly", "monthly"):
        raise ConfigError(f"--resets is {resets!r}; it must be never, daily, weekly or monthly")
    wishes = KeyWishes(
        name=name,
        models=[part.strip() for part in models.split(",")] if models else None,
        limit_nano_usd=parse_usd(limit_usd, "--limit-usd") if limit_usd else None,
        resets=msgspec.convert(resets, Resets),
        kind="management" if management else "api",
        member_id=member,
    )

    async def work(database: Database, secret: bytes) -> manage_keys.NewKey:
        # On a new installation this key is the owner's first, so that no other is made that nobody saw.
        if account == manage_people.OWNER_ACCOUNT:
            first = await manage_people.ensure_owner(database, secret, first_key=wishes)
            if first is not None:
                return first
        return await manage_keys.create_key(database, secret, account, wishes)

    made = with_database(config, data_dir, work, makes=True)
    if as_json:
        print_json({"id": made.key.id, "key": made.text, "name": made.key.name, "masked": made.key.masked})
    else:
        print(made.text)


@app.command("list")
def list_all(
    account: Annotated[str | None, typer.Option(help="only this account's")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every key, masked."""

    async def work(database: Database, _: bytes) -> list[Key]:
        found: list[Key] = []
        while page := await manage_keys.list_keys(database, account, found[-1].id if found else ""):
            found += page
        return found

    rows = with_database(config, data_dir, work)
    if as_json:
        print_json(rows)
        return
    for key in rows:
        state = "revoked" if key.revoked_at_ms else "active"
        limit = (
            f"{format_usd(key.limit_nano_usd)} USD/{key.resets}"
            if key.limit_nano_usd is not None
            else "no limit"
        )
        print(f"{key.id}  {key.masked}  {state:8}  {limit:16}  {key.name}")


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="the key's id, as `keys list` shows it")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Revoke a key for good; every worker refuses it within a second."""

    async def work(database: Database, _: bytes) -> Key:
        return await manage_keys.revoke_key(database, key_id)

    print(f"revoked {with_database(config, data_dir, work).masked}")
