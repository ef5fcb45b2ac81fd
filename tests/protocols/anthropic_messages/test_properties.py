"""Requests made at random: read, written and read again they say the same."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from modelway.conversation.capabilities import Capabilities
from modelway.protocols.anthropic_messages import MESSAGES
from tests.protocols.anthropic_messages.support import Json, to_chat, translation

WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=12)
MARKS = st.sampled_from([{}, {}, {"cache_control": {"type": "ephemeral"}}])
TEXTS = st.builds(lambda text, mark: {"type": "text", "text": text, **mark}, WORDS, MARKS)
IMAGES = st.sampled_from(
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]
)
DOCUMENTS = st.builds(
    lambda text, title: {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": text},
        "title": title,
    },
    WORDS,
    WORDS,
)
THINKING = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "sig=="}, WORDS)
REDACTED = st.just({"type": "redacted_thinking", "data": "blob"})
INPUTS = st.dictionaries(WORDS, st.integers(-(2**70), 2**70) | WORDS | st.none(), max_size=3)


@st.composite
def rounds(draw: st.DrawFn) -> list[Json]:
    """A question, an answer that may call tools, and their results."""
    number = draw(st.uuids()).hex  # an id used twice would be made different
    said = draw(st.lists(TEXTS | THINKING | REDACTED, min_size=1, max_size=3))
    calls = [
        {"type": "tool_use", "id": f"toolu_{number}_{index}", "name": "f", "input": draw(INPUTS)}
        for index in range(draw(st.integers(0, 2)))
    ]
    results = [
        {
            "type": "tool_result",
            "tool_use_id": call["id"],
            "content": draw(st.lists(TEXTS | IMAGES, max_size=2)),
        }
        for call in calls
    ]
    question = draw(st.lists(TEXTS | IMAGES | DOCUMENTS, min_size=1, max_size=3))
    after = draw(st.lists(TEXTS, min_size=0 if results else 1, max_size=2))
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": said + calls},
        {"role": "user", "content": results + after},
    ]


BODIES = st.fixed_dictionaries(
    {
        "model": WORDS,
        "max_tokens": st.integers(1, 30_000),
        "messages": st.lists(rounds(), min_size=1, max_size=3).map(
            lambda found: [m for r in found for m in r]
        ),
    },
    optional={
        "system": WORDS | st.lists(TEXTS, min_size=1, max_size=2),
        "temperature": st.floats(0, 1),
        "stop_sequences": st.lists(WORDS, min_size=1, max_size=3),
        "stream": st.just(True),
        "metadata": st.just({"user_id": "u"}),
        "a_field_to_come": st.just({"x": [1]}),
        "tools": st.just([{"name": "f", "input_schema": {"type": "object"}, "eager_input_streaming": True}]),
    },
)
ABLE = Capabilities(mid_system=True)


def said(body: Json) -> Json:
    """The body with all that may be written in two ways written in one: blocks in lists, runs joined,
    only the last four cache marks.
    """
    messages: list[Json] = []
    for message in body["messages"]:
        content = _listed(message["content"])
        if messages and messages[-1]["role"] == message["role"]:
            content = messages.pop()["content"] + content
            content = sorted(content, key=lambda block: block["type"] != "tool_result")
        messages.append({"role": message["role"], "content": content})
    normal = {**body, "messages": messages}
    if "system" in body:
        normal["system"] = _listed(body["system"])
    unmarked: Json = _without_marks(normal)
    return unmarked


def _listed(content: Any) -> list[Json]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [
        {**block, "content": _listed(block["content"])} if block.get("content") else _bare(block)
        for block in blocks
    ]


def _bare(block: Json) -> Json:
    return {name: value for name, value in block.items() if name != "content"}


def _without_marks(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_marks(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _without_marks(inner) for name, inner in value.items() if name != "cache_control"}
    return value


@given(body=BODIES)
def test_T298_a_request_read_and_written_says_the_same(body: Json) -> None:
    place = translation(capabilities=ABLE)
    conversation = MESSAGES.parse(msgspec.json.encode(body), {}).conversation(place)
    again = msgspec.json.decode(MESSAGES.write_request(conversation, place))

    assert said(again) == said(body)
    assert place.warnings == []


@given(body=BODIES)
def test_a_written_request_can_be_passed_on(body: Json) -> None:
    place = translation(capabilities=ABLE)
    conversation = MESSAGES.parse(msgspec.json.encode(body), {}).conversation(place)
    written = MESSAGES.parse(MESSAGES.write_request(conversation, place), {})

    assert written.passable
    assert written.passed(body["model"], place) == written.body


@given(body=BODIES)
def test_reading_for_another_protocol_loses_nothing_it_could_carry(body: Json) -> None:
    request = MESSAGES.parse(msgspec.json.encode(body), {})
    there, elsewhere = request.conversation(translation()), request.conversation(to_chat())

    assert there.turns == elsewhere.turns
    assert there.tools == elsewhere.tools
