"""The options of a start, read without typer: it would load pydantic for them, 65 ms and 8 MB of each worker.

Only what leaves no question is read here. Everything else (`--help`, `--port=9000`, a mistake) is typer's,
which then reads the same words by the same signature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_type_hints

# By a parameter's type: what a plain value looks like, and what it becomes.
VALUES: Mapping[object, tuple[str, Callable[[str], object]]] = {
    str | None: ("[^-].*", str),
    int | None: ("[0-9]{1,9}", int),
    Path | None: ("[^-].*", Path),
}
NOT_PLAIN = ("(?!)", str)


def plain_options(command: Callable[..., object], words: Sequence[str]) -> dict[str, Any] | None:
    """The arguments of `command` as words such as `--port 9000` give them; None: typer has to look."""
    types = {f"--{name.replace('_', '-')}": kind for name, kind in get_type_hints(command).items()}
    options = {}
    for option, word in zip_longest(words[::2], words[1::2], fillvalue=""):
        pattern, read = VALUES.get(types.get(option), NOT_PLAIN)
        if not re.fullmatch(pattern, word, re.DOTALL):
            return None
        options[option[2:].replace("-", "_")] = read(word)
    return options
