"""The many spellings of a model's name, brought to one; and the nearest names to a wrong one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# SequenceMatcher is quadratic; no card's name is half as long as this.
NAME_CHARACTERS_MAX = 128
# Below this likeness a suggestion is noise ("gtp-6-sol" against "gpt-6-sol" scores 0.89).
LIKENESS_MIN = 0.6

_DATE = re.compile(r"-(?:20\d{6}|20\d{2}-\d{2}-\d{2})$")


def normalised(name: str) -> str:
    """One spelling per name: case, `.` against `-` in versions, and Google's `models/` do not matter."""
    lower = name.strip().lower().replace(".", "-").replace("@", "-")
    return lower.removeprefix("models/")


def without_date(name: str) -> str | None:
    """`claude-opus-4-8-20260528` is `claude-opus-4-8`; None if the name carries no date."""
    bare = _DATE.sub("", name)
    return None if bare == name else bare


def spellings(card_id: str, aliases: Iterable[str]) -> set[str]:
    """Every normalised name that means this card: each alias with and without the vendor's prefix."""
    vendor, _, bare = card_id.rpartition("/")
    names = {card_id, bare, *aliases}
    if vendor:
        names |= {f"{vendor}/{alias}" for alias in aliases if "/" not in alias}
    return {normalised(name) for name in names}


def nearest(name: str, candidates: Iterable[str], n: int) -> list[str]:
    """The `n` candidates most like `name`, best first; the vendor's prefix counts only if `name` has one."""
    asked = normalised(name[:NAME_CHARACTERS_MAX])
    by_spelling: dict[str, str] = {}
    for candidate in candidates:
        spelling = normalised(candidate)
        by_spelling[spelling if "/" in asked else spelling.rpartition("/")[2]] = candidate
    found = difflib.get_close_matches(asked, by_spelling, n=n, cutoff=LIKENESS_MIN)
    return [by_spelling[spelling] for spelling in found]
