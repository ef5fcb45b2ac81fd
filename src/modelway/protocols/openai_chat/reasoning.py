"""Reasoning on Chat messages, in the spellings servers and clients use, and back out in one.

`reasoning_content` (DeepSeek, vLLM) and `reasoning` (OpenRouter, newer vLLM) are plain text;
`reasoning_details` (OpenRouter) and `thinking_blocks` (LiteLLM) carry signatures as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from modelway.conversation.envelope import is_envelope, open_envelope, seal
from modelway.conversation.parts import Reasoning, Secret, Vendor
from modelway.conversation.translation import Translation

ANTHROPIC_FORMAT, OPENAI_FORMAT, OWN_FORMAT = "anthropic-claude-v1", "openai-responses-v1", "mw1"
TEXT_FIELDS = ("reasoning_content", "reasoning")


def reasoning_text(message: Mapping[str, Any]) -> str:
    """The plain reasoning of a message or a delta."""
    for name in TEXT_FIELDS:
        value = message.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def read_reasoning(
    message: Mapping[str, Any], translation: Translation, in_reply: bool = False
) -> list[Reasoning]:
    """The reasoning of a message: its details where it has any, else its text.

    In a reply, what cannot be opened is left out in silence: it is too late to warn or to refuse.
    """
    details = message.get("reasoning_details")
    blocks = message.get("thinking_blocks")
    text = reasoning_text(message)
    parts: list[Reasoning] = []
    if isinstance(details, list) and details:
        parts = [part for entry in details if (part := read_detail(entry, translation, in_reply))]
    elif isinstance(blocks, list) and blocks:
        parts = [part for entry in blocks if (part := _read_block(entry, translation, in_reply))]
    if not parts:
        return [Reasoning(text=text)] if text else []
    if text and not any(part.text or part.summaries for part in parts):
        return _with_text(parts, text)
    return parts


def _with_text(parts: list[Reasoning], text: str) -> list[Reasoning]:
    """Details that hold only a signature belong to the text beside them."""
    first = parts[0]
    if first.redacted or first.secret is None:
        return [Reasoning(text=text), *parts]
    return [Reasoning(text=text, secret=first.secret, redacted=False), *parts[1:]]


def read_detail(entry: Any, translation: Translation, in_reply: bool = False) -> Reasoning | None:
    """One entry of `reasoning_details`."""
    if not isinstance(entry, dict):
        return None
    secret_value = entry.get("signature") or entry.get("data")
    if isinstance(secret_value, str) and is_envelope(secret_value):
        return _opened(secret_value, translation, in_reply)
    text, summary = entry.get("text"), entry.get("summary")
    vendor = _vendor(entry.get("format"))
    redacted = entry.get("type") == "reasoning.encrypted" and vendor == "anthropic"
    return _part(
        text if isinstance(text, str) else "",
        (summary,) if isinstance(summary, str) and summary else (),
        _secret(entry, vendor, redacted),
        redacted,
    )


def _read_block(entry: Any, translation: Translation, in_reply: bool) -> Reasoning | None:
    """One of Anthropic's thinking blocks, as LiteLLM hangs them on Chat messages."""
    if not isinstance(entry, dict):
        return None
    return read_thinking_block(entry, translation, in_reply)


def read_thinking_block(
    block: Mapping[str, Any], translation: Translation, in_reply: bool = False
) -> Reasoning | None:
    """A `thinking` or `redacted_thinking` block of Anthropic's."""
    redacted = block.get("type") == "redacted_thinking"
    value = block.get("data" if redacted else "signature")
    if isinstance(value, str) and is_envelope(value):
        return _opened(value, translation, in_reply)
    secret = None
    if isinstance(value, str) and value:
        secret = Secret(vendor="anthropic", kind="redacted" if redacted else "signature", value=value)
    text = block.get("thinking")
    return _part(text if isinstance(text, str) else "", (), secret, redacted)


def _opened(value: str, translation: Translation, in_reply: bool) -> Reasoning | None:
    opened = open_envelope(value, translation.envelope_secret)
    if opened is None and not in_reply:
        translation.warn(
            "reasoning_dropped",
            "messages",
            "A reasoning envelope was not sealed by this gateway, or was changed; it was left out",
        )
    return opened


def _part(text: str, summaries: tuple[str, ...], secret: Secret | None, redacted: bool) -> Reasoning | None:
    if not text and not summaries and secret is None:
        return None
    return Reasoning(text=text, summaries=summaries, secret=secret, redacted=redacted)


def _vendor(format_name: Any) -> Vendor:
    name = format_name if isinstance(format_name, str) else ""
    if name.startswith("anthropic"):
        return "anthropic"
    return "openai" if name.startswith("openai") else "other"


def _secret(entry: Mapping[str, Any], vendor: Vendor, redacted: bool) -> Secret | None:
    for name, kind in (("signature", "signature"), ("data", "encrypted")):
        value = entry.get(name)
        if isinstance(value, str) and value:
            item_id = entry.get("id")
            return Secret(
                vendor=vendor,
                kind=_kind("redacted" if redacted else kind),
                value=value,
                id=item_id if isinstance(item_id, str) else "",
            )
    return None


def _kind(name: str) -> Literal["signature", "encrypted", "redacted"]:
    return "redacted" if name == "redacted" else "signature" if name == "signature" else "encrypted"


def display_text(part: Reasoning) -> str:
    """What a person may read of it: the thinking, or its summaries."""
    return part.text or "\n\n".join(part.summaries)


def write_reasoning(parts: Sequence[Reasoning], translation: Translation, sealing: bool) -> dict[str, Any]:
    """Message fields for `parts`; `sealing` towards a client, whose upstream may speak any dialect.

    Text alone needs no details; a signature does, and then every part is listed, so that order holds.
    """
    text = "".join(display_text(part) for part in parts)
    fields: dict[str, Any] = {"reasoning_content": text} if text else {}
    if any(part.secret for part in parts):
        fields["reasoning_details"] = [
            write_detail(part, index, translation, sealing) for index, part in enumerate(parts)
        ]
    return fields


def write_detail(part: Reasoning, index: int, translation: Translation, sealing: bool) -> dict[str, Any]:
    """One entry of `reasoning_details`. Anthropic's and no vendor's go in clear, others in our envelope."""
    secret = part.secret
    if secret is not None and secret.vendor != "anthropic" and sealing:
        data = seal(part, translation.envelope_secret)
        return {"index": index, "type": "reasoning.encrypted", "data": data, "format": OWN_FORMAT}
    entry: dict[str, Any] = {"index": index, "type": "reasoning.text"}
    if part.text:
        entry["text"] = part.text
    elif part.summaries:
        entry |= {"type": "reasoning.summary", "summary": "\n\n".join(part.summaries)}
    if secret is None:
        return entry
    entry["format"] = ANTHROPIC_FORMAT if secret.vendor == "anthropic" else OPENAI_FORMAT
    if secret.id:
        entry["id"] = secret.id
    if secret.kind == "signature":
        return entry | {"signature": secret.value}
    return entry | {"type": "reasoning.encrypted", "data": secret.value}
