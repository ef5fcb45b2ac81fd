"""Runs programs as they are printed: reads a JSON array of sources, writes a JSON array of what each printed.

A process of its own, because the programs read their key from the environment; one for all of them,
because importing the SDKs takes a second.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys


def printed(source: str) -> str:
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(source, "example", "exec"), {"__name__": "__main__"})  # noqa: S102  # our own examples
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"
    return out.getvalue()


if __name__ == "__main__":
    json.dump([printed(source) for source in json.load(sys.stdin)], sys.stdout)
