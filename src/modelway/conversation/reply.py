"""What a model answered: parts, why it stopped, what it used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from modelway.conversation.parts import Ext, Part

StopReason = Literal[
    "end",
    "max_tokens",
    "context_window",
    "stop_sequence",
    "tool_use",
    "pause",
    "refusal",
    "unknown",
]


class Stop(Struct, frozen=True):
    """Why the model stopped. `sequence` is the stop sequence it hit; `detail` a refusal's explanation;
    `category` Anthropic's refusal category; `raw` the upstream's own word.
    """

    reason: StopReason
    sequence: str | None = None
    detail: str | None = None
    category: str | None = None
    raw: str = ""


# A thousand times the longest context there is: what is more is a fault, and none that anybody pays for.
COUNT_MAX = 1_000_000_000


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens, in buckets that do not overlap (`reasoning_tokens` is part of `output_tokens`).

    None in a cache bucket means the upstream did not say; `estimated` marks a local count.
    `ext` keeps what only one protocol reports (service tier, geography, iterations, …).
    """

    input_tokens: int = 0
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int = 0
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    web_searches: int | None = None
    estimated: bool = False
    ext: Ext = {}

    def plus(self, other: Usage) -> Usage:
        """Both together: an answer that took several rounds. What neither said stays unsaid."""
        sums: dict[str, Any] = {name: _sum(getattr(self, name), getattr(other, name)) for name in _COUNTS}
        return Usage(**sums, estimated=self.estimated or other.estimated, ext={**self.ext, **other.ext})

    @property
    def cache_write_tokens(self) -> int | None:
        """Both lives together; None when the upstream said nothing about either."""
        if self.cache_write_5m_tokens is None and self.cache_write_1h_tokens is None:
            return None
        return (self.cache_write_5m_tokens or 0) + (self.cache_write_1h_tokens or 0)

    @property
    def prompt_tokens(self) -> int:
        """Everything the model read: OpenAI's `prompt_tokens`."""
        return self.input_tokens + (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)


# Every bucket of a usage; `estimated` and `ext` are no counts.
_COUNTS = tuple(name for name in Usage.__struct_fields__ if name not in ("estimated", "ext"))


def count_of(value: object) -> int | None:
    """A provider's count of tokens or searches, however it is written; None for what is no count."""
    if type(value) is int or type(value) is float:  # which a bool is not
        return int(value) if 0 <= value <= COUNT_MAX else None
    return None


def are_counts(fields: Mapping[str, Any], *names: str) -> bool:
    """Whether these of a provider's fields are counts, or are not there. Where one of the two that a call
    is paid by is neither, its provider has counted nothing, and what it used is estimated.
    """
    for name in names:
        value = fields.get(name)
        if value is not None and count_of(value) is None:
            return False
    return True


def _sum(first: int | None, second: int | None) -> int | None:
    return second if first is None else first if second is None else first + second


class Reply(Struct, frozen=True, kw_only=True):
    """A whole answer. `id` and `model` are the upstream's; writers put the client's in their place.

    `logprobs` is Chat's list of token objects, where it was asked for.
    """

    id: str
    model: str
    parts: tuple[Part, ...]
    stop: Stop
    usage: Usage | None = None
    created_s: int | None = None
    service_tier: str | None = None
    logprobs: list[dict[str, Any]] | None = None
    ext: Ext = {}
