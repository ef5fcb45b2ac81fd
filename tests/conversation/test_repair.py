"""Broken tool histories made whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.conversation.errors import CallError
from modelway.conversation.parts import Part, Text, ToolCall, ToolResult, Turn
from modelway.conversation.repair import NO_RESULT, repaired
from modelway.conversation.translation import Translation

HI = Text(text="hi")


def place(**changes: Any) -> Translation:
    values: dict[str, Any] = {"client": "chat", "upstream": "messages", "model_asked": "m", "now_s": 0}
    return Translation(mint=lambda prefix: prefix, **(values | changes))


def user(*parts: Part) -> Turn:
    return Turn(role="user", parts=parts)


def assistant(*identities: str) -> Turn:
    return Turn(role="assistant", parts=tuple(ToolCall(id=identity, name="f") for identity in identities))


def result(identity: str) -> ToolResult:
    return ToolResult(call_id=identity, parts=(Text(text="ok"),))


@pytest.mark.parametrize(
    "turns",
    [
        [user(HI)],
        [user(HI), assistant("a", "b"), user(result("b")), user(result("a"), HI)],
        [assistant("a"), user(result("a")), assistant("a"), user(result("a"))],
        [assistant("a"), assistant("b"), user(result("a"), result("b"))],
    ],
    ids=["no tools", "two turns of results", "an id used again", "two turns of calls"],
)
def test_a_sound_history_is_given_back_as_it_is(turns: list[Turn]) -> None:
    translation = place()

    assert repaired(turns, translation) == tuple(turns)
    assert translation.warnings == []


def test_a_call_without_result_gets_one_right_behind_it() -> None:
    translation = place()
    turns = repaired([user(HI), assistant("a", "b"), user(result("a"), HI), assistant()], translation)

    missing = ToolResult(call_id="b", parts=(Text(text=NO_RESULT),), is_error=True)
    assert turns[2] == user(missing)
    assert turns[3] == user(result("a"), HI)
    assert [warning.code for warning in translation.warnings] == ["repaired"]


@pytest.mark.parametrize(
    "turns",
    [[user(result("a"))], [assistant("a"), user(result("a"), result("a"))]],
    ids=["no call", "a second result"],
)
def test_a_result_without_call_stays_as_text(turns: list[Turn]) -> None:
    last = repaired(turns, place())[-1]

    assert last.parts[-2:] == (Text(text="[result of tool call a]"), Text(text="ok"))


def test_a_broken_history_is_refused_when_strict() -> None:
    with pytest.raises(CallError) as caught:
        repaired([assistant("a")], place(strict=True))
    assert caught.value.code == "repaired"


TURNS = st.lists(
    st.builds(assistant, st.sampled_from("abc"))
    | st.lists(st.sampled_from("abc").map(result) | st.just(HI), max_size=3).map(lambda parts: user(*parts)),
    max_size=8,
)


@given(turns=TURNS)
def test_whatever_was_broken_is_sound_afterwards(turns: list[Turn]) -> None:
    mended = repaired(turns, place())
    again = place()

    assert repaired(mended, again) == mended
    assert again.warnings == []
