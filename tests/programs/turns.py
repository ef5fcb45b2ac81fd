"""What a model says in one answer, before any protocol writes it down."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

CREATED_S = 1_790_000_000
INPUT_TOKENS, OUTPUT_TOKENS = 120, 30
PIECE_CHARACTERS = 7  # small enough that every text and every argument arrives in several deltas

Wire = dict[str, Any]


@dataclass(frozen=True)
class Use:
    """A tool call: the id the upstream gave it, the tool, its arguments (an object, or free text)."""

    id: str
    name: str
    arguments: Wire | str
    namespace: str | None = None


@dataclass(frozen=True)
class Turn:
    """One answer of the model: thinking with its signature, then text, then calls.

    `schema` is the form the text was asked to have, which Responses repeats in its answer.
    """

    text: str = ""
    uses: tuple[Use, ...] = ()
    thinking: str = ""
    signature: str = ""
    schema: Wire | None = None

    @property
    def number(self) -> int:
        """Part of every id in this answer: programs take two answers with one id for the same."""
        return zlib.crc32(repr(self).encode())


def pieces(text: str) -> list[str]:
    return [text[start : start + PIECE_CHARACTERS] for start in range(0, len(text), PIECE_CHARACTERS)]


def data(event: Wire | str, name: str | None = None) -> bytes:
    """One frame of an event stream."""
    text = event if isinstance(event, str) else json.dumps(event)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def arguments(use: Use) -> str:
    return use.arguments if isinstance(use.arguments, str) else json.dumps(use.arguments)
