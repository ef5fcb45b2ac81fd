"""`modelway keys …`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from modelway.accounts.keys import Key
from modelway.accounts.money import format_usd
from modelway.accounts.rates import RateLimits
from modelway.cli.base import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    ResetsOption,
    amount,
    listed,
    moment,
    print_json,
    reset_word,
    with_database,
)
from modelway.cli.rates import ConcurrencyOption, InputTokensOption, OutputTokensOption, RequestsOption
from modelway.manage import keys as manage_keys
from modelway.manage import people as manage_people
from modelway.manage.keys import KeyChanges, KeyWishes
from modelway.store.database import Database

KeyArgument = Annotated[str, typer.Argument(help="the key's id, as `keys list` shows it")]

# Whoever may use the command line may grant a key more than the configuration's defaults.
_granted = partial(RateLimits, is_granted=True)

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="what the key is for")],
    account: Annotated[str, typer.Option(help="who pays")] = manage_people.OWNER_ACCOUNT,
    models: Annotated[str | None, typer.Option(help="comma list of model ids or patterns with *")] = None,
    endpoints: Annotated[str | None, typer.Option(help="comma list of paths or patterns with *")] = None,
    addresses: Annotated[str | None, typer.Option(help="comma list of networks it may come from")] = None,
    expires: Annotated[str | None, typer.Option(help="2027-01-31T00:00:00Z, or 90d from now")] = None,
    limit_usd: Annotated[str | None, typer.Option(help="what it may spend")] = None,
    resets: ResetsOption = "never",
    management: Annotated[
        bool, typer.Option("--management", help="a key for the management paths; it calls no model")
    ] = False,
    member: Annotated[
        str | None, typer.Option(help="whose it is; a management key's default is the account's owner")
    ] = None,
    requests_per_minute: RequestsOption = None,
    input_tokens_per_minute: InputTokensOption = None,
    output_tokens_per_minute: OutputTokensOption = None,
    concurrency: ConcurrencyOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it; it is shown only now."""
    wishes = KeyWishes(
        name=name,
        models=listed(models),
        endpoints=listed(endpoints),
        addresses=listed(addresses),
        expires_at_ms=moment(expires, "--expires"),
        limit_nano_usd=amount(limit_usd, "--limit-usd"),
        resets=reset_word(resets),
        kind="management" if management else "api",
        member_id=member,
        rate_limits=_granted(
            requests_per_minute, input_tokens_per_minute, output_tokens_per_minute, concurrency
        ),
    )

    async def work(database: Database, secret: bytes) -> manage_keys.NewKey:
        # On a new installation this key is the owner's first, so that no other is made that nobody saw.
        if account == manage_people.OWNER_ACCOUNT:
            first = await manage_people.ensure_owner(database, secret, first_key=wishes)
            if first is not None:
                return first
        return await manage_keys.create_key(database, secret, account, wishes)

    _print_new(with_database(config, data_dir, work, makes=True), as_json)


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
    _print_keys(rows, as_json)


@app.command("rotate")
def rotate(
    key_id: KeyArgument,
    overlap_s: Annotated[float, typer.Option(help="how many seconds the old one goes on")] = 0.0,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key with the same terms that takes over from another, and print it."""

    async def work(database: Database, secret: bytes) -> manage_keys.NewKey:
        return await manage_keys.rotate_key(database, secret, key_id, overlap_s)

    _print_new(with_database(config, data_dir, work), as_json)


@app.command("limit")
def limit(
    key_id: KeyArgument,
    limit_usd: Annotated[
        str | None, typer.Option(help="what it may spend; without it there is no limit")
    ] = None,
    resets: ResetsOption = "never",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key another spending limit; every worker keeps to it within a second."""
    changes: KeyChanges = {
        "limit_nano_usd": amount(limit_usd, "--limit-usd"),
        "resets": reset_word(resets),
    }
    _change(key_id, changes, config, data_dir, as_json)


@app.command("rates")
def rates(
    key_id: KeyArgument,
    requests_per_minute: RequestsOption = None,
    input_tokens_per_minute: InputTokensOption = None,
    output_tokens_per_minute: OutputTokensOption = None,
    concurrency: ConcurrencyOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key other rate limits; what is left out has the configuration's default."""
    limits = _granted(requests_per_minute, input_tokens_per_minute, output_tokens_per_minute, concurrency)
    _change(key_id, {"rate_limits": limits}, config, data_dir, as_json)


@app.command("revoke")
def revoke(
    key_id: KeyArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Revoke a key for good; every worker refuses it within a second."""

    async def work(database: Database, _: bytes) -> Key:
        return await manage_keys.revoke_key(database, key_id)

    print(f"revoked {with_database(config, data_dir, work).masked}")


def _change(
    key_id: str, changes: KeyChanges, config: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    async def work(database: Database, _: bytes) -> Key:
        return await manage_keys.change_key(database, key_id, changes)

    _print_keys([with_database(config, data_dir, work)], as_json)


def _print_new(made: manage_keys.NewKey, as_json: bool) -> None:
    """The key alone, for a script to read."""
    if as_json:
        print_json({"id": made.key.id, "key": made.text, "name": made.key.name, "masked": made.key.masked})
    else:
        print(made.text)


def _print_keys(rows: list[Key], as_json: bool) -> None:
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
        print(f"{key.id}  {key.masked}  {state:8}  {limit:16}  {key.kind:10}  {key.name}")
