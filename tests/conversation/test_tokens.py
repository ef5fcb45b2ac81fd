"""Our count of tokens against real tokenizers' (token_counts.json says whose), and what must hold for any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.conversation.parts import (
    Audio,
    Document,
    FileReference,
    HostedCall,
    Image,
    Inline,
    Nested,
    Opaque,
    Part,
    Plain,
    Reasoning,
    Refusal,
    SearchResult,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Url,
)
from modelway.conversation.request import Conversation, FreeformTool, FunctionTool, HostedTool, Tool
from modelway.conversation.tokens import (
    COUNTED_CHARACTERS_MAX,
    IMAGE_TOKENS,
    count_parts,
    count_tokens,
    text_tokens,
)

TABLE: list[dict[str, Any]] = json.loads((Path(__file__).parent / "token_counts.json").read_text("utf-8"))[
    "texts"
]
ENGLISH = [row for row in TABLE if row["kind"] != "language"]
LANGUAGES = [row for row in TABLE if row["kind"] == "language"]
LANGUAGE_ERROR_MAX = 0.15  # one short paragraph each


def name_of(row: dict[str, Any]) -> str:
    return f"{row['kind']}: {row['name']}"


@pytest.mark.parametrize("tokenizer", ["o200k_base", "cl100k_base"])
@pytest.mark.parametrize("row", ENGLISH, ids=name_of)
def test_english_code_and_json_are_counted_within_a_tenth(row: dict[str, Any], tokenizer: str) -> None:
    assert text_tokens(row["text"]) == pytest.approx(row[tokenizer], rel=0.1)


@pytest.mark.parametrize("row", LANGUAGES, ids=name_of)
def test_other_languages_are_counted_as_the_newest_tokenizer_does(row: dict[str, Any]) -> None:
    assert text_tokens(row["text"]) == pytest.approx(row["o200k_base"], rel=LANGUAGE_ERROR_MAX)


@pytest.mark.parametrize("row", ENGLISH, ids=name_of)
def test_a_long_text_is_counted_by_its_slices_just_as_well(row: dict[str, Any]) -> None:
    times = 3 * COUNTED_CHARACTERS_MAX // len(row["text"])

    assert text_tokens(row["text"] * times) == pytest.approx(row["o200k_base"] * times, rel=0.1)


def conversation(*parts: Part, tools: tuple[Tool, ...] = (), system: str = "") -> Conversation:
    leading = (Turn(role="system", parts=(Text(text=system),)),) if system else ()
    return Conversation(model="m", turns=(*leading, Turn(role="user", parts=parts)), tools=tools)


def count(*parts: Part) -> int:
    return count_tokens(conversation(*parts))


WEATHER = FunctionTool(name="get_weather", schema={"type": "object"}, description="The weather")
HI = Text(text="Hi")


@given(st.text())
def test_whatever_is_written_it_is_more_than_nothing(text: str) -> None:
    assert text_tokens(text) >= (1 if text else 0)
    assert count(Text(text=text)) >= 1


@given(st.text(max_size=200), st.text(min_size=1, max_size=200))
def test_a_second_message_always_counts(first: str, second: str) -> None:
    one = Turn(role="user", parts=(Text(text=first),))
    two = Turn(role="user", parts=(Text(text=second),))

    assert count_tokens(Conversation(model="m", turns=(one, two))) > count_tokens(
        Conversation(model="m", turns=(one,))
    )


@pytest.mark.parametrize(
    "tool",
    [
        WEATHER,
        FreeformTool(name="run", grammar={"type": "grammar", "syntax": "lark"}),
        HostedTool(kind="web_search", protocol="messages", raw={"type": "web_search_20250305"}),
    ],
    ids=lambda tool: type(tool).__name__,
)
def test_a_tool_and_a_system_text_each_add_to_the_count(tool: Tool) -> None:
    plain, tooled = count_tokens(conversation(HI)), count_tokens(conversation(HI, tools=(tool,)))
    both = count_tokens(conversation(HI, tools=(tool,), system="Be brief."))

    assert plain < tooled < both


@pytest.mark.parametrize(
    "part",
    [
        Text(text="and this"),
        Refusal(text="No."),
        Image(source=Url("https://example.org/cat.png")),
        Document(source=Plain("a report")),
        Document(source=FileReference("openai", "file_1")),
        Document(source=Nested((Text(text="a"), Text(text="b"))), title="Letters"),
        Document(source=Inline("text/plain", "aGVsbG8gd29ybGQ=")),
        Audio(data="A" * 50_000, format="mp3"),
        SearchResult(source="https://example.org", title="Cats", parts=(Text(text="all about cats"),)),
        ToolCall(id="call_1", name="get_weather", arguments='{"city":"Paris"}'),
        ToolResult(call_id="call_1", parts=(Text(text="18 degrees"),)),
        HostedCall(protocol="messages", id="srv_1", name="web_search", raw=({"type": "server_tool_use"},)),
        Opaque(protocol="messages", raw={"type": "novelty"}),
    ],
    ids=lambda part: type(part).__name__,
)
def test_every_kind_of_part_adds_to_the_count(part: Part) -> None:
    assert count(HI, part) > count(HI)


def test_earlier_thinking_is_not_read_again() -> None:
    assert count(HI, Reasoning(text="Let me think about this for a while.")) == count(HI)


def test_thinking_of_an_answer_is_written_and_counts() -> None:
    said: list[Part] = [Text(text="Yes.")]

    assert count_parts(said) < count_parts([Reasoning(text="Let me think about this."), *said])
    assert count_parts([]) == 1


def test_a_picture_has_one_price_and_its_base64_is_never_read() -> None:
    small, large = (Image(source=Inline("image/png", "A" * size)) for size in (100, 10_000_000))

    assert count(small) == count(large)
    assert IMAGE_TOKENS < count(small) < IMAGE_TOKENS + 20


def test_a_long_pdf_costs_more_than_a_short_one() -> None:
    short, long = (Document(source=Inline("application/pdf", "A" * size)) for size in (1_000, 1_000_000))

    assert count(short) < count(long) < 100_000
