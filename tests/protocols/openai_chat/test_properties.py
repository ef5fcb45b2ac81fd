"""What holds for any conversation, any stream and any cut of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.conversation.errors import CallError
from modelway.conversation.events import Event, Failed, Finished, fold, unfold
from modelway.conversation.parts import Image, Inline, Part, Reasoning, Text, ToolCall, ToolResult, Turn, Url
from modelway.conversation.reply import Reply, Stop, Usage
from modelway.conversation.request import Conversation, FunctionTool, Sampling, ToolChoice
from modelway.protocols.openai_chat import CHAT
from tests.protocols.openai_chat.given import read, translation

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, JSON, min_size=1, max_size=3)
ARGUMENTS = OBJECTS.map(json.dumps)
IMAGES = st.sampled_from(
    [Image(source=Inline("image/png", "aGk=")), Image(source=Url("https://example.org/a"))]
)


TEXT_PARTS = TEXTS.map(lambda text: Text(text=text))
CHOICES_OF_TOOLS = st.sampled_from([None, ToolChoice("auto"), ToolChoice("required")])
SAMPLINGS = st.builds(Sampling, temperature=st.none() | st.floats(0, 2), seed=st.none() | st.integers(0, 9))


@st.composite
def exchanges(draw: st.DrawFn, number: int) -> list[Turn]:
    """A user's turn, an assistant's, and the results of its calls."""
    asked: list[Part] = draw(st.lists(TEXT_PARTS | IMAGES, min_size=1, max_size=3))
    said: list[Part] = [Reasoning(text=text) for text in draw(st.lists(TEXTS, max_size=1))]
    said.append(Text(text=draw(TEXTS)))
    calls = [
        ToolCall(id=f"call_{number}_{place}", name=draw(NAMES), arguments=draw(ARGUMENTS))
        for place in range(draw(st.integers(0, 3)))
    ]
    turns = [Turn(role="user", parts=tuple(asked)), Turn(role="assistant", parts=(*said, *calls))]
    for call in draw(st.permutations(calls)):
        result = ToolResult(call_id=call.id, parts=(Text(text=draw(TEXTS)),))
        turns.append(Turn(role="user", parts=(result,)))
    return turns


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    turns = [Turn(role="system", parts=(Text(text=text),)) for text in draw(st.lists(TEXTS, max_size=1))]
    for number in range(draw(st.integers(0, 3))):
        turns += draw(exchanges(number))
    turns.append(Turn(role="user", parts=(Text(text=draw(TEXTS)),)))
    tools = tuple(
        FunctionTool(name=name, schema={"type": "object"}, description=draw(st.none() | TEXTS))
        for name in draw(st.lists(NAMES, max_size=3, unique=True))
    )
    return Conversation(
        model="m",
        turns=tuple(turns),
        tools=tools,
        tool_choice=draw(CHOICES_OF_TOOLS) if tools else None,
        max_output_tokens=draw(st.none() | st.integers(1, 10**6)),
        stop=tuple(draw(st.lists(TEXTS, max_size=4, unique=True))),
        sampling=draw(SAMPLINGS),
        stream=draw(st.booleans()),
        include_usage=True,
    )


def bare(conversation: Conversation) -> list[tuple[Any, ...]]:
    """Turns without the places where they stood."""
    return [(turn.role, turn.parts) for turn in conversation.turns]


@given(conversations())
@settings(max_examples=150, deadline=None)
def test_T298_what_is_written_reads_as_it_was(conversation: Conversation) -> None:
    sent = json.loads(CHAT.write_request(conversation, translation(strict=True)))
    back = read(translation(strict=True), **sent)

    assert bare(back) == bare(conversation)
    for field in ("tools", "tool_choice", "max_output_tokens", "stop", "sampling", "stream"):
        assert getattr(back, field) == getattr(conversation, field)


@given(conversations(), NAMES)
@settings(max_examples=80, deadline=None)
def test_T290_passing_on_changes_only_the_models_name(conversation: Conversation, name: str) -> None:
    body = CHAT.write_request(conversation, translation())
    passed = json.loads(CHAT.parse(body, {}).passed(name, translation()))

    assert passed == {**json.loads(body), "model": name}


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    parts: list[Part] = [Reasoning(text=text) for text in draw(st.lists(TEXTS, max_size=1))]
    parts += [Text(text=text) for text in draw(st.lists(TEXTS.filter(str.strip), max_size=1))]
    calls = draw(st.lists(st.tuples(NAMES, ARGUMENTS), max_size=3))
    parts += [
        ToolCall(id=f"c_{place}", name=name, arguments=text) for place, (name, text) in enumerate(calls)
    ]
    stop = Stop("tool_use", raw="tool_calls") if calls else Stop("end", raw="stop")
    usage = Usage(input_tokens=draw(st.integers(0, 999)), cache_read_tokens=5, output_tokens=3)
    return Reply(id="chatcmpl-x", model="m", parts=tuple(parts), stop=stop, usage=usage)


@given(replies(), st.lists(st.integers(1, 200), max_size=30))
@settings(max_examples=100, deadline=None)
def test_T302_T303_a_stream_we_write_reads_as_the_whole_we_write(reply: Reply, sizes: list[int]) -> None:
    asked = read(stream=True, stream_options={"include_usage": True})
    writer = CHAT.writer(translation(asked=asked))
    data = b"".join(writer.write(event) for event in unfold(reply))
    reader = CHAT.reader(translation())
    seen: list[Event] = []
    for size in sizes:
        seen += reader.read(data[:size])
        data = data[size:]
    streamed = fold([*seen, *reader.read(data), *reader.end()])
    whole = CHAT.read_reply(CHAT.write_reply(reply, translation()), translation())

    assert streamed.parts == whole.parts == reply.parts
    assert streamed.stop == whole.stop == reply.stop
    assert streamed.usage == whole.usage


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[ToolCall], list[dict[str, Any]]]:
    """Calls, and their deltas shuffled among each other as a careless server might."""
    calls = [
        ToolCall(id=f"call_{place}", name=draw(NAMES), arguments=draw(ARGUMENTS))
        for place in range(draw(st.integers(1, 4)))
    ]
    queues = []
    for place, call in enumerate(calls):
        head = {"index": place, "id": call.id, "function": {"name": call.name, "arguments": ""}}
        cuts = sorted(draw(st.lists(st.integers(0, len(call.arguments)), max_size=4)))
        pieces = [call.arguments[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        repeated = {"id": call.id} if draw(st.booleans()) else {}
        queues.append([head, *({"index": place, **repeated, "function": {"arguments": p}} for p in pieces)])
    deltas = [queue[0] for queue in queues] if draw(st.booleans()) else []
    waiting = [queue[1:] if deltas else queue for queue in queues]
    while any(waiting):
        place = draw(st.sampled_from([n for n, queue in enumerate(waiting) if queue]))
        if not deltas or all(queue is waiting[place] or deltas for queue in waiting):
            deltas.append(waiting[place].pop(0))
    return calls, deltas


@given(interleavings())
@settings(max_examples=150, deadline=None)
def test_A07_A08_T192_no_fragment_ever_lands_in_another_call(case: tuple[list[ToolCall], list[Any]]) -> None:
    calls, deltas = case
    reader = CHAT.reader(translation())
    seen: list[Event] = []
    for delta in deltas:
        chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]}
        seen += reader.read(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    ends = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    seen += reader.read(b"data: " + json.dumps(ends).encode() + b"\n\n") + reader.end()
    parts = fold(seen).parts

    assert {part.id: part for part in parts if isinstance(part, ToolCall)} == {
        call.id: call for call in calls
    }


ENTRIES = st.dictionaries(st.sampled_from(["id", "index", "function", "type", "text"]), JSON | OBJECTS)
FIELDS = (
    "content",
    "refusal",
    "reasoning",
    "reasoning_details",
    "tool_calls",
    "function_call",
    "annotations",
)
DELTAS = st.dictionaries(st.sampled_from(FIELDS), JSON | st.lists(ENTRIES))


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


CHOICES = some(index=JSON, delta=DELTAS | JSON, finish_reason=JSON, logprobs=JSON, stop_reason=JSON)
CHUNKS = some(choices=st.lists(CHOICES, max_size=2) | JSON, usage=JSON | OBJECTS, error=JSON, id=JSON)


@given(st.lists(CHUNKS, max_size=6))
@settings(max_examples=200, deadline=None)
def test_whatever_a_server_sends_the_stream_ends_in_one_way(chunks: list[Any]) -> None:
    data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    reader = CHAT.reader(translation())
    seen = reader.read(data) + reader.end()

    assert isinstance(seen[-1], Finished | Failed)
    assert sum(isinstance(event, Finished | Failed) for event in seen) == 1
    watch = CHAT.watch(True, "a", "b", False)
    watch.feed(data)
    watch.end()
    assert watch.complete or watch.error is not None


KINDS = ("text", "image_url", "file", "image", "document", "tool_use", "tool_result", "thinking")
HELD = ("text", "image_url", "file", "source", "id", "name", "input", "content", "tool_use_id")
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS) | JSON}, optional=dict.fromkeys(HELD, JSON | OBJECTS)
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])},
    optional={
        "content": TEXTS | st.lists(PARTS, max_size=3) | JSON,
        "tool_calls": st.lists(OBJECTS | some(id=TEXTS, function=some(name=TEXTS, arguments=JSON))) | JSON,
        "tool_call_id": TEXTS,
        "function_call": JSON,
        "name": JSON,
        "reasoning_details": JSON | st.lists(OBJECTS),
        "cache_control": JSON,
    },
)
LOOSE = ("tool_choice", "stop", "thinking", "stream", "system", "prompt", "response_format", "x")
BODIES = st.fixed_dictionaries(
    {"model": st.just("m") | JSON},
    optional={
        "messages": st.lists(MESSAGES, min_size=1, max_size=4) | JSON,
        "tools": st.lists(OBJECTS | some(name=TEXTS, input_schema=OBJECTS, type=JSON)) | JSON,
        **dict.fromkeys(LOOSE, JSON | OBJECTS),
    },
)


@given(BODIES | st.binary())
@settings(max_examples=400, deadline=None)
def test_whatever_a_client_sends_it_is_read_or_refused_in_words(body: Any) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        request = CHAT.parse(data, {})
        request.passed("other", translation())
        CHAT.write_request(request.conversation(translation()), translation())
    except CallError as error:
        refusal = error
    else:
        assert request.prompt_tokens_estimate() > 0
        return
    assert refusal.kind.status == 400
    assert refusal.message
