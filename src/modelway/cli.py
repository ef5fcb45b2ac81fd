"""The command line: start the gateway, check its configuration, manage keys and accounts.

Rules live in `manage`; this only reads options and prints. Results go to standard output, everything
else to standard error, so that `KEY=$(modelway keys create --name ci)` works.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from modelway import __version__
from modelway.accounts.keys import Key, Resets
from modelway.accounts.money import format_usd, parse_usd
from modelway.app import Installation, database_url, run_worker
from modelway.catalog.cards import CardError
from modelway.catalog.checks import problems
from modelway.config import Config, ConfigError, environment, load, unknown_variables
from modelway.conversation.errors import CallError
from modelway.engine.weights import WeightsError, find_or_fetch
from modelway.manage import keys as manage_keys
from modelway.manage import money as manage_money
from modelway.manage import people as manage_people
from modelway.manage.keys import KeyWishes
from modelway.manage.money import Statement
from modelway.observe import COUNTS_SUFFIX
from modelway.providers.registry import Registry
from modelway.store.database import Database
from modelway.store.migrate import upgrade
from modelway.store.people import Account, Billing
from modelway.store.secret import check_secret, secret_from_file, secret_from_text
from modelway.store.urls import StoreError
from modelway.supply import catalog_of, registry_of
from modelway.workers import leave_with_the_supervisor, supervise

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One API key and one base URL for every model.",
)
keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
accounts_app = typer.Typer(no_args_is_help=True, help="Accounts: who pays.")
models_app = typer.Typer(no_args_is_help=True, help="What models there are.")
app.add_typer(keys_app, name="keys")
app.add_typer(accounts_app, name="accounts")
app.add_typer(models_app, name="models")

ConfigOption = Annotated[Path | None, typer.Option("--config", help="modelway.yaml to read")]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="folder of database and secret")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


def main() -> None:
    """Entry point. An error that we foresee is one line and exit code 1."""
    try:
        app(standalone_mode=True)
    except (ConfigError, StoreError, CardError, WeightsError) as error:
        _fail(str(error))
    except CallError as error:
        _fail(error.message)


def _fail(message: str) -> NoReturn:
    print(f"modelway: {message}", file=sys.stderr)
    raise SystemExit(1)


def _print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


# --- the installation ---------------------------------------------------------------------------


def _installation(config: Config, *, makes: bool = True) -> Installation:
    """Folder, secret and database; made if this is the first time, and if the command may (`makes`)."""
    data_dir = Path(config.data_dir).expanduser().absolute()
    if not makes and config.database == "sqlite" and not (data_dir / "modelway.db").exists():
        raise ConfigError(f"there is no installation in {data_dir}; `modelway serve` makes one")
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"data_dir {data_dir} cannot be made: {error.strerror}; choose another with --data-dir"
        ) from None
    for line in unknown_variables(environment()):
        print(f"modelway: {line}", file=sys.stderr)
    secret = secret_from_text(config.secret) if config.secret else secret_from_file(data_dir)
    url = database_url(config, data_dir)
    upgrade(url)
    return Installation(config, data_dir, url, secret)


def _with_database(
    config_path: Path | None,
    data_dir: Path | None,
    work: Callable[[Database, bytes], Coroutine[Any, Any, T]],
    *,
    makes: bool = False,
) -> T:
    """Run `work` on the installation's database, which is there already unless `makes`."""
    config = load(config_path, environment(), data_dir=str(data_dir) if data_dir else None)
    installation = _installation(config, makes=makes)

    async def run() -> T:
        database = await Database.open(installation.database_url)
        try:
            await check_secret(database, installation.secret)
            return await work(database, installation.secret)
        finally:
            await database.close()

    return asyncio.run(run())


# --- serve --------------------------------------------------------------------------------------


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port")] = None,
    workers: Annotated[int | None, typer.Option(help="processes; more than one needs PostgreSQL")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    worker: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start the gateway. The first start makes an account and prints its API key, once."""
    overrides = {
        "host": host,
        "port": port,
        "workers": workers,
        "data_dir": str(data_dir) if data_dir else None,
    }
    settings = load(config, environment(), **overrides)
    installation = _installation(settings)
    if worker is not None:
        leave_with_the_supervisor()
        beside = replace(installation, metrics_file=worker.with_suffix(COUNTS_SUFFIX))
        run_worker(beside, environment(), ready=lambda: None)
        return
    _check_port(settings.host, settings.port)
    _look_ahead(settings, installation.data_dir)
    new_key = asyncio.run(_first_key(installation))
    if settings.workers == 1:
        run_worker(installation, environment(), ready=lambda: _banner(settings, new_key))
    else:
        _banner(settings, new_key)
        raise SystemExit(supervise(sys.argv[1:], settings.workers, installation.data_dir, "--worker"))


def _look_ahead(config: Config, data_dir: Path) -> Registry:
    """What would fail only at the first call: cards, models, a model file of one's own."""
    registry = registry_of(config, catalog_of(config), environment())
    if config.engine.model_path and config.engine.start != "never":
        find_or_fetch(data_dir, Path(config.engine.model_path).expanduser())
    return registry


async def _first_key(installation: Installation) -> str | None:
    """The owner's key when this start made it, None on every later start."""
    database = await Database.open(installation.database_url)
    try:
        await check_secret(database, installation.secret)
        made = await manage_people.ensure_owner(database, installation.secret)
        return made.text if made else None
    finally:
        await database.close()


def _check_port(host: str, port: int) -> None:
    """Workers share the port, so the kernel would let a second gateway in unnoticed: look first."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
            ) from None


def _banner(config: Config, new_key: str | None) -> None:
    here = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    address = f"http://{f'[{here}]' if ':' in here else here}:{config.port}"
    shown = new_key or "$MODELWAY_API_KEY"
    lines = [f"Modelway {__version__} on {address}"]
    if new_key:
        lines.append(f"API key (shown only this once): {new_key}")
    if config.engine.start != "never":
        lines.append("Try it:")
        lines.append(_curl(address, shown))
    print("\n".join(lines), flush=True)


def _curl(address: str, key: str) -> str:
    """A line to paste: double quotes, so that a variable in the key's place is filled in by the shell."""
    return (
        f'curl -s {address}/v1/chat/completions -H "Authorization: Bearer {key}" '
        "-H 'Content-Type: application/json' "
        """-d '{"model": "local/smollm2", "messages": [{"role": "user", "content": "Say hello."}]}'"""
    )


# --- check, migrate -----------------------------------------------------------------------------


@app.command()
def check(config: ConfigOption = None) -> None:
    """Read the configuration and say what is wrong with it, with the line; exit code 1 if anything is."""
    settings = load(config, environment())
    registry = _look_ahead(settings, Path(settings.data_dir).expanduser().absolute())
    for line in unknown_variables(environment()):
        print(f"modelway: {line}", file=sys.stderr)
    for row in settings.providers:
        if row.api_key and row.api_key.startswith("env:") and not os.environ.get(row.api_key[4:]):
            print(
                f"modelway: provider {row.name}: {row.api_key[4:]} is not set; calls go without a key",
                file=sys.stderr,
            )
    print(f"The configuration is good. Providers: {len(registry.providers)}, models: {len(registry.models)}.")


@app.command()
def migrate(config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Bring the database's tables up to this version."""
    settings = load(config, environment(), data_dir=str(data_dir) if data_dir else None)
    folder = Path(settings.data_dir).expanduser().absolute()
    changed = upgrade(database_url(settings, folder))
    print("The tables were brought up to date." if changed else "The tables are up to date.")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


# --- keys ---------------------------------------------------------------------------------------


@keys_app.command("create")
def keys_create(
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

    made = _with_database(config, data_dir, work, makes=True)
    if as_json:
        _print_json({"id": made.key.id, "key": made.text, "name": made.key.name, "masked": made.key.masked})
    else:
        print(made.text)


@keys_app.command("list")
def keys_list(
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

    rows = _with_database(config, data_dir, work)
    if as_json:
        _print_json(rows)
        return
    for key in rows:
        state = "revoked" if key.revoked_at_ms else "active"
        limit = (
            f"{format_usd(key.limit_nano_usd)} USD/{key.resets}"
            if key.limit_nano_usd is not None
            else "no limit"
        )
        print(f"{key.id}  {key.masked}  {state:8}  {limit:16}  {key.name}")


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(help="the key's id, as `keys list` shows it")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Revoke a key for good; every worker refuses it within a second."""

    async def work(database: Database, _: bytes) -> Key:
        return await manage_keys.revoke_key(database, key_id)

    print(f"revoked {_with_database(config, data_dir, work).masked}")


# --- accounts -----------------------------------------------------------------------------------


@accounts_app.command("create")
def accounts_create(
    name: Annotated[str, typer.Option(help="its name, unique here")],
    prepaid: Annotated[bool, typer.Option("--prepaid", help="it spends only what was put in")] = False,
    limit_usd: Annotated[
        str | None, typer.Option(help="what a postpaid account may owe; without it there is no limit")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account."""
    limit = parse_usd(limit_usd, "--limit-usd") if limit_usd is not None else None
    billing: Billing = "prepaid" if prepaid else "postpaid"

    async def work(database: Database, _: bytes) -> Account:
        return await manage_people.create_account(database, name, billing=billing, limit_nano_usd=limit)

    account = _with_database(config, data_dir, work, makes=True)
    if as_json:
        _print_json(account)
    else:
        print(account.id)


@accounts_app.command("list")
def accounts_list(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Every account."""

    async def work(database: Database, _: bytes) -> list[Account]:
        return await manage_people.list_accounts(database)

    rows = _with_database(config, data_dir, work)
    if as_json:
        _print_json(rows)
    else:
        for account in rows:
            print(f"{account.id}  {account.billing:8}  {account.name}")


@accounts_app.command("top-up")
def accounts_top_up(
    account: Annotated[str, typer.Option(help="name or id")],
    usd: Annotated[str, typer.Option(help="how much, such as 25 or 0.50")],
    note: Annotated[str | None, typer.Option(help="for the statement")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put money into an account; it is on the disk when this ends."""
    amount = parse_usd(usd, "--usd")

    async def work(database: Database, _: bytes) -> Statement:
        await manage_money.top_up(database, account, amount, note)
        return await manage_money.show(database, account)

    _print_statement(_with_database(config, data_dir, work), as_json)


@accounts_app.command("show")
def accounts_show(
    account: Annotated[str, typer.Option(help="name or id")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What an account has, owes and holds."""

    async def work(database: Database, _: bytes) -> Statement:
        return await manage_money.show(database, account)

    _print_statement(_with_database(config, data_dir, work), as_json)


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
    fields = {"id": account.id, "name": account.name, "billing": account.billing, **shown}
    if as_json:
        _print_json(fields)
        return
    for name, value in fields.items():
        print(f"{name:14} {'no limit' if value is None else value}")


# --- models -------------------------------------------------------------------------------------


@models_app.command("list")
def models_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The models this configuration serves, with where they go."""
    settings = load(config, environment())
    registry = registry_of(settings, catalog_of(settings), environment())
    rows = [
        {
            "id": model.id,
            "aliases": model.aliases,
            "targets": [f"{t.provider.name}: {t.model}" for t in model.targets],
        }
        for model in registry.models
    ]
    if as_json:
        _print_json(rows)
    else:
        for model in registry.models:
            print(f"{model.id}  ->  {', '.join(f'{t.provider.name}: {t.model}' for t in model.targets)}")


@models_app.command("show")
def models_show(model_id: str, config: ConfigOption = None) -> None:
    """A model's card."""
    catalog = catalog_of(load(config, environment()))
    card = catalog.find(model_id)
    if card is None:
        nearest = ", ".join(catalog.nearest(model_id))
        hint = f"the nearest are {nearest}" if nearest else "`modelway models validate` counts them all"
        raise CallError("unknown_model", f"there is no card {model_id!r}; {hint}")
    _print_json(card)


@models_app.command("validate")
def models_validate(config: ConfigOption = None) -> None:
    """Load every card and check it."""
    catalog = catalog_of(load(config, environment()))
    if faults := problems(catalog):
        raise CardError("\n".join(faults))
    print(f"All {len(catalog.all())} cards are good.")


if __name__ == "__main__":
    main()
