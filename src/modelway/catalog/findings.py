"""The shape of a rule between fields, and of what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.limits import Body


class Finding(NamedTuple):
    """One place where a rule is broken.

    `nearest` is what would be right (None: leave it out). With a `code` it is mended and a warning of
    that code given, unless the client asked for strictness; without one it is refused.
    """

    param: str
    received: Any
    allowed: str
    nearest: Any = None
    code: str | None = None


Find = Callable[[Card, Path, Body], Iterable[Finding]]
Holds = Callable[[Card, Path], bool]
Fragment = Callable[[Card, Path], dict[str, Any] | None]


def unsaid(card: Card, path: Path) -> dict[str, Any] | None:
    """For rules that JSON Schema cannot say."""
    return None


class Rule(NamedTuple):
    """`says` is one sentence for the docs, `holds` whether the rule can be broken for a card and path,
    `schema` the same as a JSON Schema fragment."""

    name: str
    says: str
    holds: Holds
    find: Find
    schema: Fragment = unsaid


def on(*paths: Path) -> Holds:
    return lambda card, path: path in paths


def not_both(first: str, second: str) -> Fragment:
    return lambda card, path: {"not": {"required": [first, second]}}
