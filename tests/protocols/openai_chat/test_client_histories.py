"""Earlier turns of a Chat client: reasoning that comes back, and histories that lost a half."""

from __future__ import annotations

from typing import Any

import pytest

from modelway.conversation.envelope import seal
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Reasoning,
    Secret,
    Text,
    ToolCall,
    ToolResult,
)
from tests.protocols.openai_chat.given import codes, read, translation

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWERS = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
HI = {"role": "user", "content": "Hi"}


# ---- reasoning ----


def history(**fields: Any) -> tuple[Any, ...]:
    message = {"role": "assistant", "content": "Hello", **fields}
    return read(messages=[HI, message, HI]).turns[1].parts


def test_plain_reasoning_comes_before_the_text() -> None:
    assert history(reasoning_content="hm") == (Reasoning(text="hm"), Text(text="Hello"))
    assert history(reasoning="hm") == (Reasoning(text="hm"), Text(text="Hello"))


def test_T134_a_signed_detail_is_restored_with_its_signature() -> None:
    detail = {"type": "reasoning.text", "text": "hm", "signature": "c2ln", "format": "anthropic-claude-v1"}

    assert history(reasoning_content="hm", reasoning_details=[detail])[0] == Reasoning(
        text="hm", secret=Secret(vendor="anthropic", kind="signature", value="c2ln")
    )


def test_thinking_blocks_are_read_as_reasoning() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ"},
    ]

    assert history(thinking_blocks=blocks)[:2] == (
        Reasoning(text="hm", secret=Secret(vendor="anthropic", kind="signature", value="c2ln")),
        Reasoning(secret=Secret(vendor="anthropic", kind="redacted", value="ZGF0YQ"), redacted=True),
    )


def test_T135_our_own_envelope_is_opened_and_a_forged_one_left_out() -> None:
    shared = translation()
    secret = Secret(vendor="openai", kind="encrypted", value="gAAAA", id="rs_1")
    thought = Reasoning(summaries=("It greets.",), secret=secret)
    sealed = {"type": "reasoning.encrypted", "data": seal(thought, shared.envelope_secret), "format": "mw1"}
    forged = {**sealed, "data": seal(thought, b"someone else")}

    assert history(reasoning_details=[sealed])[0] == thought
    message = {"role": "assistant", "content": "Hello", "reasoning_details": [forged]}
    turns = read(shared, messages=[HI, message, HI]).turns
    assert turns[1].parts == (Text(text="Hello"),)
    assert codes(shared) == ["reasoning_dropped"]


# ---- broken histories ----

BROKEN = {
    "T054 a call followed by a user": ([HI, ASKS, HI], "messages.2.role"),
    "T055 a result without a call": ([HI, ANSWERS], "messages.1.tool_call_id"),
    "T056 a result behind a user": ([HI, ASKS, HI, ANSWERS], "messages.2.role"),
    "a call at the end": ([HI, ASKS], "messages.role"),
    "the same result twice": ([HI, ASKS, ANSWERS, ANSWERS], "messages.3.tool_call_id"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_T054_T055_T056_a_broken_history_is_mended_or_refused_when_strict(case: str) -> None:
    messages, param = BROKEN[case]
    lenient = translation()
    turns = read(lenient, messages=messages, tools=[WEATHER]).turns

    open_calls: set[str] = set()
    for turn in turns:
        results = {part.call_id for part in turn.parts if isinstance(part, ToolResult)}
        assert results <= open_calls
        open_calls -= results
        assert not (open_calls and turn.role == "assistant")
        open_calls |= {part.id for part in turn.parts if isinstance(part, ToolCall)}
    assert not open_calls
    assert set(codes(lenient)) == {"repaired"}

    with pytest.raises(CallError) as caught:
        read(translation(strict=True), messages=messages, tools=[WEATHER])
    assert caught.value.param == param
    assert "call_1" in caught.value.message


def test_a_clean_history_is_untouched() -> None:
    shared = translation(strict=True)
    turns = read(shared, messages=[HI, ASKS, ANSWERS, HI], tools=[WEATHER]).turns

    assert [turn.role for turn in turns] == ["user", "assistant", "user", "user"]
    assert shared.warnings == []
