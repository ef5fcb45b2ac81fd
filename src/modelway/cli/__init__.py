"""The command line: start the gateway, check its configuration, manage keys, accounts and money.

Rules live in `manage`; this only reads options and prints. Results go to standard output, everything
else to standard error, so that `KEY=$(modelway keys create --name ci)` works.
"""

import gc


def main() -> None:
    """Entry point."""
    # What importing makes stays: looking through it every 700 objects takes a fifth of the importing.
    gc.disable()
    from modelway.cli.commands import run  # noqa: PLC0415  # after the line above, and run without it

    gc.freeze()
    gc.enable()
    run()
