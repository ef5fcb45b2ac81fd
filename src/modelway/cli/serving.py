"""`serve`, `check`, `migrate`, `version`."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from modelway import __version__
from modelway.app import Installation, database_url, run_worker
from modelway.cli.base import ConfigOption, DataDirOption, open_installation
from modelway.config import Config, ConfigError, environment, load, unknown_variables
from modelway.engine.weights import find_or_fetch
from modelway.manage import people as manage_people
from modelway.observe import COUNTS_SUFFIX
from modelway.providers.registry import Registry
from modelway.store.database import Database
from modelway.store.migrate import upgrade
from modelway.store.secret import check_secret
from modelway.supply import catalog_of, registry_of
from modelway.workers import leave_with_the_supervisor, supervise


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
    installation = open_installation(settings)
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
    # Without a limit so small a model rambles: 2 answers of 14 were not over after a minute.
    return (
        f'curl -s {address}/v1/chat/completions -H "Authorization: Bearer {key}" '
        "-H 'Content-Type: application/json' "
        """-d '{"model": "local/smollm2", "max_tokens": 100, """
        """"messages": [{"role": "user", "content": "Say hello."}]}'"""
    )


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


def migrate(config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Bring the database's tables up to this version."""
    settings = load(config, environment(), data_dir=str(data_dir) if data_dir else None)
    folder = Path(settings.data_dir).expanduser().absolute()
    changed = upgrade(database_url(settings, folder))
    print("The tables were brought up to date." if changed else "The tables are up to date.")


def version() -> None:
    """Print the version."""
    print(__version__)
