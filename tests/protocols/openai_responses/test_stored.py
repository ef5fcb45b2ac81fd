"""Going on from an earlier response: what is kept of it, and how it stands in front of the next."""

from __future__ import annotations

import json

import pytest
from openai.types.responses import Response

from modelway.conversation.errors import CallError
from modelway.conversation.events import unfold
from modelway.conversation.parts import Reasoning, Text, ToolCall
from modelway.conversation.reply import Reply, Stop
from modelway.protocols.openai_responses import (
    RESPONSES,
    expand,
    input_items,
    output_items,
    references,
    without,
)
from tests.protocols.openai_responses.given import Wire, frames_of, request, translation

REPLY = Reply(
    id="up",
    model="up",
    parts=(Reasoning(text="hm"), Text(text="Let me look."), ToolCall(id="c1", name="f", arguments="{}")),
    stop=Stop("tool_use"),
)


def test_A21_what_is_kept_has_the_ids_that_the_client_saw() -> None:
    using = translation()
    streamed = frames_of(b"".join(map(RESPONSES.writer(using).write, unfold(REPLY))))[-1]["response"]

    assert output_items(REPLY, using) == streamed["output"]
    assert json.loads(RESPONSES.write_reply(REPLY, using)) == streamed


def test_A22_the_earlier_turns_stand_in_front_of_the_new_ones() -> None:
    using = translation()
    first = request(input="Go")
    kept = [*input_items(first), *output_items(REPLY, using)]
    output = {"type": "function_call_output", "call_id": "c1", "output": "42"}

    second = expand(request(previous_response_id="resp_0001", input=[output]), kept)

    turns = second.conversation(translation()).turns
    assert [turn.role for turn in turns] == ["user", "assistant", "user"]
    assert turns[1].parts[0] == REPLY.parts[0]
    assert [type(part) for part in turns[1].parts] == [Reasoning, Text, ToolCall]


def test_a_third_turn_holds_the_first_two() -> None:
    kept: list[Wire] = []
    for number in range(3):
        using = translation()
        asked = expand(request(input=f"question {number}"), kept)
        answer = Reply(id="u", model="u", parts=(Text(text=f"answer {number}"),), stop=Stop("end"))
        kept = [*input_items(asked), *output_items(answer, using)]

    texts = [
        part.text
        for turn in expand(request(input="?"), kept).conversation(translation()).turns
        for part in turn.parts
        if isinstance(part, Text)
    ]
    assert texts == [text for n in range(3) for text in (f"question {n}", f"answer {n}")] + ["?"]


def test_the_expanded_body_may_be_passed_on_and_says_nothing_of_the_store() -> None:
    earlier = [{"role": "user", "content": "Go"}, {"role": "assistant", "content": "Gone"}]

    expanded = expand(request(previous_response_id="resp_7", temperature=0.5, x={"y": 1}), earlier)

    body = json.loads(expanded.passed("m2", translation()))
    assert body == {
        "model": "m2",
        "input": [*earlier, {"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "x": {"y": 1},
    }


def test_the_reply_still_names_the_response_it_follows() -> None:
    using = translation()
    using.asked = expand(request(previous_response_id="resp_7")).conversation(using)

    body = json.loads(RESPONSES.write_reply(REPLY, using))

    Response.model_validate(body)
    assert body["previous_response_id"] == "resp_7"


def test_T158_a_reference_is_replaced_by_what_it_refers_to() -> None:
    item = {"type": "message", "id": "msg_5", "role": "user", "content": "stored"}
    asked = request(input=[{"type": "item_reference", "id": "msg_5"}, {"id": "msg_5", "type": None}])

    assert references(asked) == ("msg_5", "msg_5")
    turns = expand(asked, referred={"msg_5": item}).conversation(translation()).turns
    assert [turn.parts for turn in turns] == [(Text(text="stored"),)] * 2


def test_a_reference_to_nothing_is_not_found() -> None:
    with pytest.raises(CallError, match="msg_5") as caught:
        expand(request(input=[{"type": "item_reference", "id": "msg_5"}]))

    assert (caught.value.kind.status, caught.value.param) == (404, "input.0")


def test_a_call_in_the_background_is_made_in_the_foreground() -> None:
    asked = without(request(background=True, stream=False), "background")

    assert json.loads(asked.body) == {"model": "m", "input": "Hi", "stream": False}
    assert not asked.conversation(translation()).state.background
    assert without(asked, "background") is asked
