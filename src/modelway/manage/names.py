"""What people may call things."""

from __future__ import annotations

from modelway.conversation.errors import CallError

NAME_CHARACTERS_MAX = 100  # fits a column of a table on a screen


def parse_name(text: str) -> str:
    """The name without space around it; one printable line. Raises CallError("invalid")."""
    name = text.strip()
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise CallError.invalid(
            f"{text[:NAME_CHARACTERS_MAX]!r} is no name; 1 to {NAME_CHARACTERS_MAX} printable characters are",
            param="name",
        )
    return name


def parse_reference(text: str, what: str) -> str:
    """A name or id to look something up by. Raises CallError("not_found") for what nothing can be called."""
    if not text or len(text) > NAME_CHARACTERS_MAX or not text.isprintable():
        raise CallError("not_found", f"there is no {what} {text[:NAME_CHARACTERS_MAX]!r}", param=what)
    return text
