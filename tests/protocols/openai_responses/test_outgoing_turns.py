"""Turns towards an upstream that speaks Responses."""

from __future__ import annotations

from typing import Any

import pytest

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Audio,
    Document,
    FileReference,
    Image,
    Inline,
    Nested,
    Part,
    Plain,
    Reasoning,
    Refusal,
    SearchResult,
    Secret,
    Text,
    ToolCall,
    ToolResult,
    Url,
)
from modelway.conversation.request import (
    ReasoningSpec,
)
from tests.protocols.openai_responses.given import (
    Wire,
    asking,
    codes,
    history,
    sent,
    translation,
)


def test_an_assistants_parts_become_items_in_their_order() -> None:
    body = sent(
        history(
            Text(text="one"),
            Text(text="two"),
            ToolCall(id="c1", name="f", arguments='{"a":1}'),
            Text(text="three"),
            Refusal(text="no"),
        )
    )

    items = body["input"][1:-1]
    assert [item["type"] for item in items] == ["message", "function_call", "message"]
    assert [part["text"] for part in items[0]["content"]] == ["one", "two"]
    assert [part["type"] for part in items[2]["content"]] == ["output_text", "refusal"]
    assert len({item["id"] for item in items if "id" in item}) == 2


def test_results_stand_as_items_before_the_rest_of_the_turn() -> None:
    body = sent(
        asking(
            ToolResult(call_id="c1", parts=(Text(text="42"),)),
            ToolResult(call_id="c2", parts=(Text(text="a"), Image(source=Url("https://x.org/i.png")))),
            ToolResult(call_id="c3"),
            Text(text="Now?"),
        )
    )

    assert body["input"] == [
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "https://x.org/i.png", "detail": "auto"},
            ],
        },
        {"type": "function_call_output", "call_id": "c3", "output": ""},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Now?"}]},
    ]


@pytest.mark.parametrize(
    ("parts", "output"),
    [
        ((Text(text="x"),), "[tool_error] x"),
        ((), "[tool_error] "),
        (
            (Image(source=Url("u")),),
            [
                {"type": "input_text", "text": "[tool_error] "},
                {"type": "input_image", "image_url": "u", "detail": "auto"},
            ],
        ),
    ],
)
def test_a_failed_tools_text_is_marked(parts: tuple[Part, ...], output: object) -> None:
    using = translation("messages", "responses")

    body = sent(asking(ToolResult(call_id="c1", parts=parts, is_error=True)), using)

    assert body["input"][0]["output"] == output
    assert codes(using) == ["is_error"]


def test_images_and_documents() -> None:
    body = sent(
        asking(
            Image(source=Inline("image/png", "aGk="), detail="high"),
            Document(source=Inline("application/pdf", "aGk=")),
            Document(source=Url("https://x.org/a.pdf")),
        )
    )

    assert body["input"][0]["content"] == [
        {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "high"},
        {
            "type": "input_file",
            "filename": "document.pdf",
            "file_data": "data:application/pdf;base64,aGk=",
        },
        {"type": "input_file", "file_url": "https://x.org/a.pdf"},
    ]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (
            Document(source=Plain("body"), title="T", context="C"),
            '<document title="T" context="C">\nbody\n</document>',
        ),
        (Document(source=Nested((Text(text="a"), Text(text="b")))), "<document>\na\nb\n</document>"),
        (
            SearchResult(source="https://x", title="T", parts=(Text(text="a"),)),
            '<document title="T" context="https://x">\na\n</document>',
        ),
    ],
)
def test_text_documents_are_flattened_with_a_warning(part: Part, text: str) -> None:
    using = translation("messages", "responses")

    body = sent(asking(part), using)

    assert body["input"][0]["content"] == [{"type": "input_text", "text": text}]
    assert codes(using) == ["document_flattened"]


@pytest.mark.parametrize(
    "part",
    [
        Audio(data="aGk=", format="wav"),
        Image(source=FileReference("anthropic", "f")),
        Document(source=FileReference("anthropic", "f")),
    ],
)
def test_what_cannot_be_carried_is_refused(part: Part) -> None:
    with pytest.raises(CallError) as caught:
        sent(asking(part))

    assert caught.value.code == "unsupported_content"
    assert (caught.value.param or "").startswith("messages.0.0")


def test_a_file_goes_to_the_vendor_that_keeps_it() -> None:
    using = translation("chat", "responses", vendor="openai")

    body = sent(asking(Image(source=FileReference("openai", "file-1"))), using)

    assert body["input"][0]["content"][0]["file_id"] == "file-1"


OURS = Reasoning(summaries=("hm",), secret=Secret("openai", "encrypted", "gAAA", id="rs_1"))
THEIRS = Reasoning(text="hm", secret=Secret("anthropic", "signature", "sig=="))


def reasoning_sent(part: Reasoning, vendor: str) -> tuple[list[Wire], list[str]]:
    using = translation("messages", "responses", vendor=vendor)
    items = sent(history(part, Text(text="42")), using)["input"]
    return [item for item in items if item["type"] == "reasoning"], codes(using)


def test_T175_sealed_reasoning_goes_back_to_its_maker() -> None:
    items, warned = reasoning_sent(OURS, "openai")

    summary = [{"type": "summary_text", "text": "hm"}]
    assert items == [{"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "gAAA"}]
    assert warned == []


@pytest.mark.parametrize("part", [THEIRS, Reasoning(text="open"), Reasoning(redacted=True)])
def test_foreign_reasoning_never_goes_to_openai(part: Reasoning) -> None:
    assert reasoning_sent(part, "openai") == ([], ["reasoning_dropped"])


def test_open_reasoning_goes_to_an_open_model() -> None:
    items, warned = reasoning_sent(Reasoning(text="open"), "other")

    assert items[0]["content"] == [{"type": "reasoning_text", "text": "open"}]
    assert warned == []


@pytest.mark.parametrize(
    ("spec", "wire", "warned"),
    [
        (ReasoningSpec(), None, []),
        (ReasoningSpec(effort="high"), {"effort": "high"}, []),
        (ReasoningSpec(mode="off"), {"effort": "none"}, []),
        (ReasoningSpec(mode="between_tools"), {"effort": "none"}, []),
        (ReasoningSpec(mode="adaptive"), {"summary": "auto"}, []),
        (ReasoningSpec(mode="adaptive", summary="none"), None, []),
        (ReasoningSpec(mode="adaptive", effort="max", summary="none"), {"effort": "max"}, []),
        *(
            (
                ReasoningSpec(mode="budget", budget_tokens=budget, summary="none"),
                {"effort": effort},
                ["reasoning_budget"],
            )
            for budget, effort in (
                (1024, "minimal"),
                (2048, "low"),
                (8192, "medium"),
                (16384, "high"),
                (32768, "xhigh"),
                (63999, "max"),
            )
        ),
    ],
)
def test_thinking_becomes_an_effort(spec: ReasoningSpec, wire: Wire | None, warned: list[str]) -> None:
    using = translation("messages", "responses")

    assert sent(asking(reasoning=spec), using).get("reasoning") == wire
    assert codes(using) == warned


@pytest.mark.parametrize(
    ("wanted", "given"), [("none", "low"), ("minimal", "low"), ("max", "high"), ("medium", "low")]
)
def test_an_effort_the_model_has_not_becomes_the_next_lower(wanted: Any, given: str) -> None:
    using = translation("chat", "responses", capabilities=Capabilities(efforts=("low", "high")))

    assert sent(asking(reasoning=ReasoningSpec(effort=wanted)), using)["reasoning"]["effort"] == given
    assert codes(using) == ["effort"]
