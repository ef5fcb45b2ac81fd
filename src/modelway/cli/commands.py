"""All commands put together."""

from __future__ import annotations

import os
import sys

import typer

from modelway.catalog.cards import CardError
from modelway.cli import accounts, budgets, keys, models, people, serving, usage, vouchers
from modelway.cli.base import fail
from modelway.cli.plain import plain_options
from modelway.config import ConfigError
from modelway.conversation.errors import CallError
from modelway.engine.weights import WeightsError
from modelway.store.urls import StoreError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One API key and one base URL for every model.",
)
for command in (serving.serve, serving.check, serving.migrate, serving.version, usage.usage):
    app.command()(command)
for name, commands in (
    ("keys", keys.app),
    ("accounts", accounts.app),
    ("members", people.members),
    ("budgets", budgets.app),
    ("vouchers", vouchers.app),
    ("audit", people.audit),
    ("models", models.app),
):
    app.add_typer(commands, name=name)


def run() -> None:
    """Do what the command line says. An error that we foresee is one line and exit code 1."""
    try:
        _do(sys.argv[1:])
    except (ConfigError, StoreError, CardError, WeightsError) as error:
        fail(str(error))
    except CallError as error:
        fail(error.message)
    except KeyboardInterrupt:
        fail("interrupted")
    except BrokenPipeError:  # who read what it prints has left; the flush at the end must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _do(words: list[str]) -> None:
    options = plain_options(serving.serve, words[1:]) if words[:1] == [serving.serve.__name__] else None
    if options is None:
        app(standalone_mode=True)
    else:
        serving.serve(**options)
