"""A Messages client's request: checked once at the edge, read into the neutral form only if it must be.

What any upstream would refuse is refused by `parse`; what depends on the way the call takes (broken
tool histories, a model's own rules) is found there and judged when the way is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec import structs

from modelway.conversation.errors import CallError
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages import faults, native
from modelway.protocols.anthropic_messages.read_requests import read_conversation
from modelway.protocols.anthropic_messages.validity import Findings, check, examine
from modelway.protocols.anthropic_messages.wire import VERSIONS, Body, decode_body, encode
from modelway.protocols.anthropic_messages.write_requests import write_request
from modelway.protocols.members import Span, replaced, spans

# 32 MB is what the vendor takes (413 above it).
BODY_BYTES_MAX = 32 * 1024 * 1024
# JSON text of prompts, code and schemas runs to about four bytes a token, CJK text included (3 bytes each).
BYTES_PER_TOKEN = 4


@dataclass(slots=True)
class MessagesRequest:
    """A parsed request; `body` is what came. See `interface.Request`."""

    model: str
    stream: bool
    max_output_tokens: int | None
    body: bytes
    passable: bool
    parsed: Body = field(repr=False)
    members: dict[str, Span] = field(repr=False)
    findings: Findings = field(repr=False)
    choices: int = 1
    include_usage: bool = True

    def conversation(self, translation: Translation) -> Conversation:
        """The neutral form. A broken tool history is repaired with a warning, or refused if strict."""
        if self.findings.history is not None and translation.strict:
            raise self.findings.history
        return read_conversation(self.body, self.members, translation)

    def passed(self, model: str, translation: Translation) -> bytes:
        """The body for a Messages upstream: the model's name replaced, and, unless strict, what this
        model is known to refuse brought into a form it takes.
        """
        self.findings.raise_native()
        if native.must_be_rewritten(self.parsed, translation):
            return write_request(structs.replace(self.conversation(translation), model=model), translation)
        changes = native.changes(self.parsed, translation)
        if not changes:
            return replaced(self.body, self.members["model"], encode(model))
        return native.rebuilt(self.body, self.members, changes | {"model": encode(model)})

    def prompt_tokens_estimate(self) -> int:
        """Bytes of text over four, and a flat price for each picture and document."""
        text_bytes = len(self.body) - self.findings.inline_bytes
        return max(1, text_bytes // BYTES_PER_TOKEN + self.findings.inline_tokens)


def parse(body: bytes, headers: Mapping[str, str]) -> MessagesRequest:
    """Check and type a request for an answer."""
    request = _parse(body, headers)
    if request.max_output_tokens is None:
        raise CallError.invalid(
            "`max_tokens` is missing; give the most tokens the answer may have, for example 1024",
            param="max_tokens",
            code="missing_required_parameter",
        )
    return request


def parse_count(body: bytes, headers: Mapping[str, str]) -> MessagesRequest:
    """Check and type a request to count tokens: the same without `max_tokens`."""
    return _parse(body, headers)


def _parse(body: bytes, headers: Mapping[str, str]) -> MessagesRequest:
    if len(body) > BODY_BYTES_MAX:
        raise CallError(
            "too_large", f"The body has {len(body)} bytes; /v1/messages takes at most {BODY_BYTES_MAX}"
        )
    version = headers.get("anthropic-version", "")
    if version not in VERSIONS:
        raise CallError.invalid(
            f"The header anthropic-version is {version!r}; known are 2023-06-01 and 2026-10-21",
            param="anthropic-version",
        )
    members = spans(body)
    try:
        parsed = decode_body(body)
    except msgspec.MsgspecError as reason:
        raise faults.explained(reason, body, members) from None
    check(parsed, VERSIONS[version])
    findings = examine(parsed, VERSIONS[version])
    return MessagesRequest(
        model=parsed.model,
        stream=bool(parsed.stream),
        max_output_tokens=parsed.max_tokens,
        body=body,
        passable=findings.passable and b'"mw1.' not in body,
        parsed=parsed,
        members=members,
        findings=findings,
    )
