"""Read and written again, a request says the same; whatever the conversation was."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.conversation.events import fold, unfold
from modelway.conversation.parts import Reasoning, Secret, Text, ToolCall
from modelway.conversation.reply import Reply, Stop, Usage
from modelway.protocols.openai_responses import RESPONSES
from modelway.protocols.openai_responses.wire import parse
from tests.protocols.openai_responses.given import Wire, events_of, translation

texts = st.text(max_size=12)
names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


def part(kind: str) -> st.SearchStrategy[Wire]:
    return st.builds(lambda text: {"type": kind, "text": text}, texts)


images = st.sampled_from(
    [
        {"type": "input_image", "image_url": "https://x.org/a.png", "detail": "auto"},
        {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "high"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
        {"type": "input_file", "file_url": "https://x.org/a.pdf"},
    ]
)
inputs = st.lists(part("input_text") | images, min_size=1, max_size=3)
users: st.SearchStrategy[list[Wire]] = st.builds(
    lambda role, content: [{"type": "message", "role": role, "content": content}],
    st.sampled_from(["user", "developer", "system"]),
    inputs,
)


@st.composite
def assistant_turns(draw: st.DrawFn) -> list[Wire]:
    """Reasoning, a message, calls and their outputs; each item may be missing."""
    serial = draw(st.integers(0, 10**9))
    items: list[Wire] = []
    calls = draw(st.integers(0, 2))
    if draw(st.booleans()):
        summary = [{"type": "summary_text", "text": text} for text in draw(st.lists(texts, max_size=2))]
        items.append(
            {"type": "reasoning", "id": f"rs_{serial}", "summary": summary, "encrypted_content": "gAAA"}
        )
    if draw(st.booleans()) or not calls:
        content = [
            {**each, "type": "output_text", "annotations": []}
            for each in draw(st.lists(part(""), min_size=1, max_size=2))
        ]
        items.append(
            {
                "type": "message",
                "id": f"msg_{serial}",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        )
    for call in range(calls):
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{serial}_{call}",
                "call_id": f"call_{serial}_{call}",
                "name": draw(names),
                "arguments": json.dumps(draw(st.dictionaries(names, st.integers(), max_size=2))),
                "status": "completed",
            }
        )
    for call in range(calls):
        output: Any = draw(texts.filter(lambda text: not text.startswith("[tool_error] ")))
        items.append({"type": "function_call_output", "call_id": f"call_{serial}_{call}", "output": output})
    return items


histories = st.lists(users | assistant_turns(), min_size=1, max_size=5).map(
    lambda groups: (
        [item for group in groups for item in group]
        + [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "?"}]}]
    )
)


@settings(max_examples=120, deadline=None)
@given(histories)
def test_T298_a_history_read_and_written_is_the_same_history(items: list[Wire]) -> None:
    ids = [item["call_id"] for item in items if item["type"] == "function_call"]
    if len(set(ids)) < len(ids):
        return
    body = {"model": "m", "instructions": "Be brief", "input": items}
    using = translation("responses", "responses", vendor="openai")

    read = parse(json.dumps(body).encode(), {}).conversation(using)
    written = json.loads(RESPONSES.write_request(read, using))

    assert written["input"] == items
    assert written["instructions"] == "Be brief"
    assert using.warnings == []


parts = st.lists(
    st.one_of(
        st.builds(lambda text: Text(text=text), st.text(min_size=1, max_size=12)),
        st.builds(lambda id, name: ToolCall(id=id, name=name, arguments='{"a":1}'), names, names),
        st.builds(
            lambda text: Reasoning(text=text, secret=Secret("anthropic", "signature", "sig")),
            st.text(min_size=1, max_size=12),
        ),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=120, deadline=None)
@given(parts, st.integers(0, 1000), st.lists(st.integers(1, 500), max_size=10))
def test_T303_a_reply_streamed_or_whole_is_read_as_the_same_reply(
    given_parts: list[Any], tokens: int, sizes: list[int]
) -> None:
    stop = Stop("tool_use" if any(isinstance(each, ToolCall) for each in given_parts) else "end")
    reply = Reply(
        id="u",
        model="u",
        parts=tuple(given_parts),
        stop=stop,
        usage=Usage(input_tokens=tokens, output_tokens=3),
    )
    using = translation("responses", "responses")
    stream = b"".join(map(RESPONSES.writer(using).write, unfold(reply)))
    whole = RESPONSES.write_reply(reply, using)

    streamed = fold(events_of(stream, sizes, translation("chat", "responses")))
    assert streamed == RESPONSES.read_reply(whole, translation("chat", "responses"))
    assert streamed.stop.reason == stop.reason
    assert [type(each) for each in streamed.parts] == [type(each) for each in given_parts]
