"""What every command shares: its options, its output, the installation it works on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from modelway.app import Installation, database_url
from modelway.config import Config, ConfigError, environment, load, unknown_variables
from modelway.store.database import Database
from modelway.store.migrate import upgrade
from modelway.store.secret import check_secret, secret_from_file, secret_from_text

T = TypeVar("T")

ConfigOption = Annotated[Path | None, typer.Option("--config", help="modelway.yaml to read")]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="folder of database and secret")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


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
