"""What every command shares: its options, its output, the installation it works on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args

import msgspec
import typer

from modelway.accounts.keys import Resets
from modelway.accounts.money import parse_usd
from modelway.api.reading import epoch_ms
from modelway.app import Installation, database_url
from modelway.config import Config, ConfigError, environment, load, unknown_variables
from modelway.manage.ids import SYSTEM
from modelway.store.database import Database
from modelway.store.migrate import upgrade
from modelway.store.secret import check_secret, secret_from_file, secret_from_text

T = TypeVar("T")
DAY_MS = 86_400_000
DAYS_DIGITS_MAX = 5  # 273 years

ConfigOption = Annotated[Path | None, typer.Option("--config", help="modelway.yaml to read")]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="folder of database and secret")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]
AccountOption = Annotated[str, typer.Option("--account", help="name or id")]
ResetsOption = Annotated[str, typer.Option(help="when it starts anew: never, daily, weekly, monthly")]


def listed(text: str | None) -> list[str] | None:
    """A comma list as it was typed; nothing is None."""
    return [part.strip() for part in text.split(",")] if text else None


def amount(text: str | None, option: str) -> int | None:
    """An amount in USD as it was typed, in nano-dollars."""
    return None if text is None else parse_usd(text, option)


def reset_word(text: str) -> Resets:
    """Raises ConfigError for a word that is none."""
    if text not in get_args(Resets):
        raise ConfigError(f"--resets is {text!r}; it must be never, daily, weekly or monthly")
    word: Resets = msgspec.convert(text, Resets)
    return word


def moment(text: str | None, option: str) -> int | None:
    """A time as it was typed, `2027-01-31T00:00:00Z` or a number of days from now as `90d`, in epoch ms."""
    if text is None:
        return None
    if text.endswith("d") and text[:-1].isdigit() and len(text) <= DAYS_DIGITS_MAX + 1:
        return SYSTEM.now_ms() + int(text[:-1]) * DAY_MS
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ConfigError(f"{option} is {text!r}; a time such as 2027-01-31T00:00:00Z, or 90d, is right")
    return epoch_ms(at, option)


def fail(message: str) -> NoReturn:
    print(f"modelway: {message}", file=sys.stderr)
    raise SystemExit(1)


def print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def open_installation(config: Config, *, makes: bool = True) -> Installation:
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


def with_database(
    config_path: Path | None,
    data_dir: Path | None,
    work: Callable[[Database, bytes], Coroutine[Any, Any, T]],
    *,
    makes: bool = False,
) -> T:
    """Run `work` on the installation's database, which is there already unless `makes`."""
    config = load(config_path, environment(), data_dir=str(data_dir) if data_dir else None)
    installation = open_installation(config, makes=makes)

    async def run() -> T:
        database = await Database.open(installation.database_url)
        try:
            await check_secret(database, installation.secret)
            return await work(database, installation.secret)
        finally:
            await database.close()

    return asyncio.run(run())
