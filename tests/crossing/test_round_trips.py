"""There and back: what one protocol says survives another, except what the loss tables name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.features import FEATURES
from modelway.conversation.parts import Image, Inline, Part, Text, ToolCall, ToolResult, Turn, Url
from modelway.conversation.request import Conversation, FunctionTool, Sampling, ToolChoice
from modelway.conversation.translation import Fate
from modelway.protocols.anthropic_messages.losses import LOSSES as MESSAGES_LOSSES
from modelway.protocols.openai_chat.losses import LOSSES as CHAT_LOSSES
from modelway.protocols.openai_responses.losses import LOSSES as RESPONSES_LOSSES
from tests.crossing import answers
from tests.crossing.given import CROSSINGS, PROTOCOLS, Json, codes, translation

LOSSES = {"chat": CHAT_LOSSES, "messages": MESSAGES_LOSSES, "responses": RESPONSES_LOSSES}
ABLE = Capabilities(mid_system=True, parallel_tools=True, stop_max=None, max_output_tokens=100_000)

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=12)
NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,12}", fullmatch=True)
INPUTS = st.dictionaries(NAMES, st.integers(-(2**53), 2**53) | WORDS | st.none() | st.booleans(), max_size=3)
OPAQUE = st.from_regex(r"[A-Za-z0-9+/]{4,20}==", fullmatch=True)


# --- what a vendor signed, through another client's dialect and back (turns as the vendor made them)


@st.composite
def signed_blocks(draw: st.DrawFn) -> list[Json]:
    """Anthropic's content of a turn that thinks and calls: any order, thinking between the calls."""
    thinking = st.builds(answers.thinking, WORDS, OPAQUE)
    redacted = st.builds(lambda data: {"type": "redacted_thinking", "data": data}, OPAQUE)
    found: list[Json] = draw(st.lists(thinking | redacted | WORDS.map(answers.text), min_size=1, max_size=5))
    calls = [
        answers.tool_use(f"toolu_{number}", draw(NAMES), **given_input)
        for number, given_input in enumerate(draw(st.lists(INPUTS, min_size=1, max_size=3)))
    ]
    for made in calls:
        found.insert(draw(st.integers(0, len(found))), made)
    return found


def chats_order(blocks: list[Json]) -> list[Json]:
    """As Chat has it: thinking first, one text, then the calls."""
    said = "".join(block["text"] for block in blocks if block["type"] == "text")
    thoughts = [block for block in blocks if "thinking" in block["type"]]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    return [*thoughts, *([answers.text(said)] if said else []), *calls]


def through(client: str, upstream: str, answer: Json) -> Json:
    """An answer as the client heard it, brought back by the client: the provider's next request."""
    there = translation(client, upstream, capabilities=ABLE)
    reply = PROTOCOLS[upstream].read_reply(json.dumps(answer).encode(), there)
    heard = json.loads(PROTOCOLS[client].write_reply(reply, there))
    back = translation(client, upstream, capabilities=ABLE, strict=True, **_next_turn(client, heard))
    assert back.asked is not None
    sent: Json = json.loads(PROTOCOLS[upstream].write_request(back.asked, back))
    return sent


def _next_turn(client: str, heard: Json) -> Json:
    user: Json = {"role": "user", "content": "Go on."}
    if client == "chat":
        said = heard["choices"][0]["message"]
        results = [
            {"role": "tool", "tool_call_id": made["id"], "content": "42"} for made in said["tool_calls"]
        ]
        return {"messages": [user, said, *results]}
    if client == "responses":
        outputs = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "42"}
            for item in heard["output"]
            if item["type"] == "function_call"
        ]
        return {"input": [user, *heard["output"], *outputs]}
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "42"}
        for block in heard["content"]
        if block["type"] == "tool_use"
    ]
    said = {"role": "assistant", "content": heard["content"]}
    return {"messages": [user, said, {"role": "user", "content": results}]}


@given(signed_blocks())
@settings(max_examples=120, deadline=None)
def test_T300_T173_T174_A15_A16_A20_signed_turns_survive_a_responses_client_in_their_order(
    blocks: list[Json],
) -> None:
    sent = through("responses", "messages", answers.message(blocks, "tool_use"))

    assert merged(sent["messages"][1]["content"]) == merged(blocks)


@given(signed_blocks())
@settings(max_examples=120, deadline=None)
def test_T299_T134_A15_signed_turns_survive_a_chat_client_in_chats_order(blocks: list[Json]) -> None:
    sent = through("chat", "messages", answers.message(blocks, "tool_use"))

    assert sent["messages"][1]["content"] == chats_order(blocks)


def merged(blocks: list[Json]) -> list[Json]:
    """Texts that stand side by side are one: Responses keeps parts, and nobody can tell the difference."""
    whole: list[Json] = []
    for block in blocks:
        if whole and block["type"] == whole[-1]["type"] == "text":
            whole[-1] = answers.text(whole[-1]["text"] + block["text"])
        else:
            whole.append(block)
    return whole


@st.composite
def sealed_items(draw: st.DrawFn) -> list[Json]:
    """OpenAI's output of a turn that reasons and calls."""
    items: list[Json] = []
    for number in range(draw(st.integers(1, 3))):
        summary = [{"type": "summary_text", "text": text} for text in draw(st.lists(WORDS, max_size=2))]
        items.append(
            {
                "type": "reasoning",
                "id": f"rs_{number}",
                "summary": summary,
                "encrypted_content": draw(OPAQUE),
            }
        )
        if draw(st.booleans()):
            part = {"type": "output_text", "text": draw(WORDS), "annotations": []}
            said = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
            items.append({**said, "content": [part]})
        called = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}"}
        items.append(
            {**called, "name": draw(NAMES), "arguments": json.dumps(draw(INPUTS)), "status": "completed"}
        )
    return items


def essence(items: list[Json]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for item in items:
        match item.get("type", "message"):
            case "reasoning":
                found.append(("reasoning", item["id"], item["summary"], item["encrypted_content"]))
            case "message":
                found.append(("text", "".join(part["text"] for part in item["content"])))
            case "function_call":
                found.append(("call", item["call_id"], item["name"], json.loads(item["arguments"])))
    return found


@given(sealed_items())
@settings(max_examples=120, deadline=None)
def test_T301_T175_A20_sealed_turns_survive_a_messages_client_in_their_order(items: list[Json]) -> None:
    answer = {"id": "resp_1", "object": "response", "status": "completed", "model": "far", "output": items}

    sent = through("messages", "responses", answer)

    kinds = ("reasoning", "function_call")
    said = [i for i in sent["input"] if i.get("type") in kinds or i.get("role") == "assistant"]
    assert essence(said) == essence(items)


# --- whole conversations, from one protocol into another and back


@st.composite
def exchanges(draw: st.DrawFn, number: int) -> list[Turn]:
    images = st.sampled_from(
        [Image(source=Inline("image/png", "aGk=")), Image(source=Url("https://example.org/a.png"))]
    )
    texts = WORDS.map(lambda text: Text(text=text))
    asked: list[Part] = draw(st.lists(texts | images, min_size=1, max_size=3))
    calls = [
        ToolCall(id=f"call_{number}_{place}", name=draw(NAMES), arguments=json.dumps(given_input))
        for place, given_input in enumerate(draw(st.lists(INPUTS, max_size=3)))
    ]
    turns = [
        Turn(role="user", parts=tuple(asked)),
        Turn(role="assistant", parts=(Text(text=draw(WORDS)), *calls)),
    ]
    results = [ToolResult(call_id=made.id, parts=(Text(text=draw(WORDS)),)) for made in calls]
    return [*turns, *(Turn(role="user", parts=(result,)) for result in results)]


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    turns = [Turn(role="system", parts=(Text(text=text),)) for text in draw(st.lists(WORDS, max_size=1))]
    for number in range(draw(st.integers(0, 3))):
        turns += draw(exchanges(number))
    turns.append(Turn(role="user", parts=(Text(text=draw(WORDS)),)))
    closed = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    tools = tuple(
        FunctionTool(name=name, schema=closed, description=draw(st.none() | WORDS))
        for name in draw(st.lists(NAMES, max_size=3, unique=True))
    )
    return Conversation(
        model="m",
        turns=tuple(turns),
        tools=tools,
        tool_choice=draw(st.sampled_from([None, ToolChoice("auto"), ToolChoice("none")])) if tools else None,
        max_output_tokens=draw(st.integers(16, 10_000)),
        sampling=draw(st.builds(Sampling, temperature=st.none() | st.floats(0, 1))),
    )


def heart(conversation: Conversation) -> Json:
    """What may not change: who said, called and showed what, in which order, and what was asked for."""
    said: list[tuple[str, str, Any]] = []
    for turn in conversation.turns:
        role = str(turn.role).replace("developer", "system")
        said += [(role, *_value(part)) for part in turn.parts]
    joined: list[tuple[str, str, Any]] = []
    for role, kind, value in said:
        if joined and kind == "text" and joined[-1][:2] == (role, "text"):
            joined[-1] = (role, kind, joined[-1][2] + value)
        else:
            joined.append((role, kind, value))
    return {
        "said": joined,
        "tools": [
            (tool.name, tool.description or "")
            for tool in conversation.tools
            if isinstance(tool, FunctionTool)
        ],
        "max_output_tokens": conversation.max_output_tokens,
        "temperature": conversation.sampling.temperature,
        "choice": conversation.tool_choice or (ToolChoice("auto") if conversation.tools else None),
    }


def _value(part: Part) -> tuple[str, Any]:
    match part:
        case Text(text=text):
            return "text", text
        case ToolCall(id=identity, name=name, arguments=arguments):
            return "call", (identity, name, json.loads(arguments))
        case ToolResult(call_id=identity, parts=parts):
            return "result", (identity, [_value(inner) for inner in parts])
        case Image(source=source):
            return "image", source
    raise AssertionError(part)


@pytest.mark.parametrize(("there", "home"), CROSSINGS)
@given(conversation=conversations())
@settings(max_examples=60, deadline=None)
def test_T298_T299_T300_T301_a_conversation_survives_any_two_protocols(
    there: str, home: str, conversation: Conversation
) -> None:
    """Home's body, read, written for `there`, read there, written for home, read: the heart is the same."""

    def crossed(conversation: Conversation, client: str, upstream: str) -> Conversation:
        shared = translation(client, upstream, capabilities=ABLE, strict=True)
        body = PROTOCOLS[upstream].write_request(conversation, shared)
        assert codes(shared) == []
        return PROTOCOLS[upstream].parse(body, {}).conversation(translation(upstream, client))

    outward = crossed(conversation, home, there)
    back = crossed(outward, there, home)

    assert heart(outward) == heart(conversation)
    assert heart(back) == heart(conversation)


# --- the loss tables themselves


@pytest.mark.parametrize("feature", FEATURES)
def test_every_protocol_says_what_becomes_of_every_feature(feature: str) -> None:
    lacking = [name for name, rows in LOSSES.items() if feature not in {row.field for row in rows}]

    assert not lacking, f"{feature}: no row in {', '.join(lacking)}"


def test_every_row_that_changes_or_refuses_has_a_code_and_a_reason() -> None:
    speaking = [row for rows in LOSSES.values() for row in rows if row.fate in (Fate.CHANGED, Fate.REFUSED)]

    assert speaking
    assert not [row.field for row in speaking if not row.code or not row.why]
