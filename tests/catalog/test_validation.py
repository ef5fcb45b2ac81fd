"""What the four seed documents and the protocol dossier ask of validation, sentence by sentence."""

from __future__ import annotations

from typing import Any

import pytest

from modelway.catalog import limits
from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.samples import request_example
from modelway.catalog.validation import (
    Repair,
    Violation,
    accepts,
    apply,
    first_violation,
    repairs,
    validate,
)
from tests.catalog.breaking import CATALOG, FORMS, form_id

Body = dict[str, Any]
USER = [{"role": "user", "content": "Hello"}]
WRONG_ROLE = {"role": "usr", "content": "x"}
JSON_FORMAT: Body = {"type": "json_schema"}
TOOLS = [{"name": "look", "description": "Look.", "input_schema": {"type": "object"}}]


def card(name: str) -> Card:
    found = CATALOG.find(name)
    assert found is not None
    return found


def chat(**fields: Any) -> Body:
    return {"model": "m", "messages": USER, **fields}


def messages(**fields: Any) -> Body:
    return {"model": "m", "messages": USER, "max_tokens": 4096, **fields}


def responses(**fields: Any) -> Body:
    return {"model": "m", "input": "Hello", **fields}


def only(violations: list[Violation]) -> Violation:
    (violation,) = violations
    return violation


def mended(name: str, path: Path, body: Body) -> tuple[Body, list[tuple[str, str]]]:
    """The body after its repairs, which must then be right, and (code, param) of each."""
    changes = repairs(card(name), path, body)
    assert validate(card(name), path, body) == []
    return apply(body, changes), [(change.code, change.param) for change in changes]


# --- what a violation says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("messages", messages(max_tokens="10"), ("/max_tokens", "10", "an integer, 0 to 128000", 10)),
        ("messages", messages(max_tokens=1.5), ("/max_tokens", 1.5, "an integer, 0 to 128000", 1)),
        ("messages", messages(max_tokens=-1), ("/max_tokens", -1, "an integer, 0 to 128000", 0)),
        ("messages", messages(max_tokens=128_001), ("/max_tokens", 128_001, None, 128_000)),
        ("messages", messages(service_tier="standrd"), ("/service_tier", "standrd", None, "standard_only")),
        ("messages", messages(metadata={"user_id": 7}), ("/metadata/user_id", 7, None, None)),
        ("messages", messages(messages=[WRONG_ROLE]), ("/messages/0/role", "usr", None, "user")),
        ("responses", responses(max_output_tokens=15), ("/max_output_tokens", 15, None, 16)),
        ("chat", chat(seed=None, user=10**40), ("/user", 10**40, "a string", None)),
        ("chat", chat(n=2), ("/n", 2, None, 1)),
    ],
)
def test_a_violation_says_where_what_what_is_allowed_and_what_is_nearest(
    path: Path, body: Body, expected: tuple[str, Any, str | None, Any]
) -> None:
    violation = only(validate(card("claude-opus-4-8"), path, body))

    param, received, allowed, nearest = expected
    assert (violation.param, violation.received, violation.nearest) == (param, received, nearest)
    assert violation.allowed == (allowed or violation.allowed)


def test_a_message_shows_a_wrong_value_cut_and_nothing_of_a_large_one() -> None:
    secret = {"authorization": "Bearer sk-secret"}

    shown = [
        violation.message
        for body in (messages(max_tokens="9" * 5000), messages(max_tokens=secret), messages(stream=[secret]))
        for violation in validate(card("claude-opus-4-8"), "messages", body)
    ]

    assert len(shown) == 3
    assert all(len(message) < 200 and "secret" not in message for message in shown)


def test_a_missing_field_is_named_as_missing() -> None:
    violation = only(validate(card("claude-opus-4-6"), "messages", {"model": "m", "messages": USER}))

    assert (violation.param, violation.rule) == ("/max_tokens", "max_tokens.required")
    assert violation.message == "`/max_tokens` is missing; an integer, 0 to 128000"


# --- Messages clients get the upstream's strictness ------------------------------------------------


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "/messages"),
        ({"messages": None}, "/messages"),
        ({"model": None}, "/model"),
        ({"temperature": 1.01}, "/temperature"),
        ({"temperature": -0.1}, "/temperature"),
        ({"top_p": 1.2}, "/top_p"),
        ({"top_k": -1}, "/top_k"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, "/thinking/budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "/thinking/budget_tokens"),
        ({"thinking": {"type": "enabled"}}, "/thinking/budget_tokens"),
        ({"output_format": JSON_FORMAT, "output_config": {"format": JSON_FORMAT}}, "/output_format"),
    ],
)
def test_a_messages_body_out_of_range_is_refused(change: Body, param: str) -> None:
    assert only(validate(card("claude-opus-4-5"), "messages", messages(**change))).param == param


def test_zero_max_tokens_fills_the_cache_at_anthropic_and_means_nothing_elsewhere() -> None:
    assert accepts(card("claude-opus-4-8"), "messages", messages(max_tokens=0))
    assert only(validate(card("gpt-4o"), "messages", messages(max_tokens=0))).rule == "max_tokens.minimum"


def test_prefill_is_refused_where_the_model_cannot_continue_it() -> None:
    body = messages(messages=[*USER, {"role": "assistant", "content": "The answer is"}])

    assert only(validate(card("claude-opus-4-6"), "messages", body)).rule == "prefill"
    assert accepts(card("claude-opus-4-5"), "messages", body)
    assert accepts(card("smollm2"), "messages", body)


def test_a_coding_agents_one_size_of_max_tokens_is_clamped_behind_another_vendor() -> None:
    body, warned = mended("gpt-4o", "messages", messages(max_tokens=32_000))

    assert (body["max_tokens"], warned) == (16_384, [("max_tokens", "/max_tokens")])


# --- what is mended instead ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["chat", "messages"])
def test_sampling_is_left_out_for_a_model_that_chooses_by_itself(path: Path) -> None:
    make = chat if path == "chat" else messages

    body, warned = mended("claude-opus-4-8", path, make(temperature=0.2, top_p=0.9, top_k=3))

    assert {"temperature", "top_p", "top_k"}.isdisjoint(body)
    assert warned == [("sampling", "/temperature"), ("sampling", "/top_p"), ("sampling", "/top_k")]


def test_sampling_at_its_default_is_no_matter() -> None:
    assert accepts(card("claude-opus-4-8"), "messages", messages(temperature=1))
    assert accepts(card("gpt-5"), "chat", chat(temperature=1.0, top_p=1))


def test_of_temperature_and_top_p_the_temperature_is_kept() -> None:
    body, _ = mended("claude-opus-4-5", "messages", messages(temperature=0.5, top_p=0.9))

    assert body["temperature"] == 0.5
    assert "top_p" not in body


def test_while_an_older_claude_thinks_its_sampling_is_fixed() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}

    body, _ = mended("claude-opus-4-5", "messages", messages(thinking=thinking, temperature=0.5, top_k=5))

    assert {"temperature", "top_k"}.isdisjoint(body)
    assert accepts(card("claude-opus-4-5"), "messages", messages(thinking=thinking, temperature=1))
    assert accepts(card("claude-opus-4-5"), "messages", messages(thinking=thinking, top_p=0.96))


def test_a_gpt_model_can_be_sampled_only_when_it_does_not_reason() -> None:
    body = responses(temperature=0.3)

    assert accepts(card("gpt-6-sol"), "responses", body | {"reasoning": {"effort": "none"}})
    assert [change.param for change in repairs(card("gpt-6-sol"), "responses", body)] == ["/temperature"]


@pytest.mark.parametrize(
    ("model", "asked", "becomes"),
    [
        ("claude-opus-4-8", {"type": "enabled", "budget_tokens": 2000}, {"type": "adaptive"}),
        ("claude-opus-4-5", {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 4095}),
        ("claude-sonnet-5-5", {"type": "disabled"}, {"type": "between_tools"}),
        ("claude-opus-4-8", {"type": "between_tools"}, {"type": "disabled"}),
        ("gpt-4o", {"type": "adaptive"}, None),
        ("gpt-6-sol", {"type": "enabled", "budget_tokens": 2000}, {"type": "adaptive"}),
    ],
)
def test_thinking_becomes_the_nearest_the_model_has(model: str, asked: Body, becomes: Body | None) -> None:
    body, warned = mended(model, "messages", messages(thinking=asked))

    assert body.get("thinking") == becomes
    assert warned == [("thinking", "/thinking")]


def test_a_model_that_cannot_stop_thinking_thinks_as_little_as_it_can() -> None:
    body, _ = mended("claude-opus-5-5", "messages", messages(thinking={"type": "disabled"}))

    assert body["thinking"] == {"type": "adaptive"}
    assert body["output_config"] == {"effort": "low"}


@pytest.mark.parametrize(
    ("max_tokens", "budget", "becomes"),
    [
        (4000, 500, {"type": "enabled", "budget_tokens": 1024}),
        (4000, 9000, {"type": "enabled", "budget_tokens": 3999}),
        (4000, None, {"type": "enabled", "budget_tokens": 3999}),
        (1000, 9000, {"type": "disabled"}),
    ],
)
def test_on_chat_a_thinking_budget_is_clamped(max_tokens: int, budget: int | None, becomes: Body) -> None:
    asked = chat(max_tokens=max_tokens, thinking={"type": "enabled", "budget_tokens": budget})

    body, warned = mended("claude-opus-4-5", "chat", asked)

    assert body["thinking"] == becomes
    assert [code for code, _ in warned] == ["thinking"]


@pytest.mark.parametrize(
    ("model", "asked", "becomes"),
    [
        ("claude-opus-4-6", "xhigh", "high"),
        ("claude-opus-4-8", "minimal", "low"),
        ("claude-opus-5-5", "none", "low"),
        ("gpt-5", "none", "minimal"),
        ("gpt-6.1-sol", "minimal", "low"),
        ("gpt-4o", "high", None),
    ],
)
def test_an_effort_becomes_the_next_lower_one_the_model_has(
    model: str, asked: str, becomes: str | None
) -> None:
    body, warned = mended(model, "chat", chat(reasoning_effort=asked))

    assert body.get("reasoning_effort") == becomes
    assert warned == [("effort", "/reasoning_effort")]


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_every_effort_stands_for_a_budget_where_a_claude_thinks_on_one(effort: str) -> None:
    assert accepts(card("claude-haiku-4-5"), "chat", chat(reasoning_effort=effort))


def test_the_highest_efforts_need_thinking() -> None:
    asked = messages(thinking={"type": "disabled"}, output_config={"effort": "max"})

    body, warned = mended("claude-opus-5", "messages", asked)

    assert (body["output_config"]["effort"], warned) == ("high", [("effort", "/output_config/effort")])


def test_a_forced_tool_wins_over_thinking_where_thinking_can_be_switched_off() -> None:
    forced = {"tools": TOOLS, "tool_choice": {"type": "any"}, "thinking": {"type": "adaptive"}}

    body, warned = mended("claude-opus-4-8", "messages", messages(**forced))

    assert (body["thinking"], body["tool_choice"]) == ({"type": "disabled"}, {"type": "any"})
    assert warned == [("thinking_dropped", "/thinking")]


def test_a_model_that_cannot_be_forced_decides_by_itself() -> None:
    forced = {"tools": TOOLS, "tool_choice": {"type": "tool", "name": "look"}}

    on_messages, warned = mended("claude-opus-5-5", "messages", messages(**forced))
    on_chat, _ = mended("claude-opus-5-5", "chat", chat(**forced))

    assert (on_messages["tool_choice"], on_chat["tool_choice"]) == ({"type": "auto"}, "auto")
    assert warned == [("tool_choice", "/tool_choice")]


def test_chat_and_responses_clients_get_the_models_own_limits() -> None:
    body, _ = mended("claude-opus-4-5", "chat", chat(max_tokens=10**6, temperature=1.8))
    assert (body["max_tokens"], body["temperature"]) == (64_000, 1)

    body, _ = mended("gpt-4o", "responses", {"model": "m", "input": "x", "max_output_tokens": 10**6})
    assert body["max_output_tokens"] == 16_384

    body, _ = mended("gpt-4o", "chat", chat(max_tokens=5, max_completion_tokens=6))
    assert (body.get("max_tokens"), body["max_completion_tokens"]) == (None, 6)


def test_what_a_model_never_had_is_left_out_with_a_warning() -> None:
    asked = chat(seed=1, logprobs=True, presence_penalty=1, verbosity="low")

    body, warned = mended("claude-opus-4-8", "chat", asked)

    assert set(body) == {"model", "messages"}
    assert {code for code, _ in warned} == {"seed", "logprobs", "penalties", "verbosity"}
    assert accepts(card("claude-opus-4-8"), "chat", chat(logprobs=False, presence_penalty=0))


def test_an_instruction_in_the_middle_is_a_matter_of_the_model() -> None:
    late = [*USER, {"role": "assistant", "content": "Hi"}, *USER, {"role": "system", "content": "Be brief."}]
    turns = [*late, {"role": "assistant", "content": "Ok"}, *USER]

    older = repairs(card("claude-opus-4-6"), "messages", messages(messages=turns))

    assert [(change.code, change.param) for change in older] == [("system_position", "/messages/3/role")]
    assert accepts(card("claude-opus-4-8"), "messages", messages(messages=turns))
    assert accepts(card("gpt-6-sol"), "chat", chat(messages=turns))


def test_a_chat_that_ends_with_the_assistant_is_continued_for_claude() -> None:
    ending = [*USER, {"role": "assistant", "content": "Hi"}]

    assert repairs(card("claude-opus-4-8"), "chat", chat(messages=ending)) == [
        Repair("trailing_assistant", "/messages/1", "assistant", "Continue.", "prefill")
    ]
    assert accepts(card("gpt-4o"), "chat", chat(messages=ending))


def test_strict_turns_every_repair_into_a_violation() -> None:
    body = chat(temperature=0.5, reasoning_effort="none", seed=4)

    strict = validate(card("claude-opus-5-5"), "chat", body, strict=True)

    assert {violation.param for violation in strict} == {"/temperature", "/reasoning_effort", "/seed"}
    assert validate(card("claude-opus-5-5"), "chat", body) == []


# --- fields that go together -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "m"}, "/messages"),
        ({"model": "m", "messages": []}, "/messages"),
        (chat(prompt="x"), "/prompt"),
        (chat(system="a", system_prompt="b"), "/system_prompt"),
        (chat(stop=["a"], stop_sequences=["b"]), "/stop_sequences"),
        (chat(stop=list("abcde")), "/stop"),
        (chat(temperature=2.1), "/temperature"),
        (chat(n=0), "/n"),
        (chat(n=129), "/n"),
        (chat(logprobs=True, top_logprobs=21), "/top_logprobs"),
        (chat(top_logprobs=2), "/top_logprobs"),
        (chat(tool_choice="auto"), "/tool_choice"),
        (chat(stream_options={"include_usage": True}), "/stream_options"),
        (
            chat(response_format={"type": "json_schema", "json_schema": {}}),
            "/response_format/json_schema/name",
        ),
    ],
)
def test_a_chat_body_at_odds_with_itself_is_refused(body: Body, param: str) -> None:
    assert only(validate(card("gpt-4o"), "chat", body)).param == param


def test_unknown_fields_are_no_violation() -> None:
    assert accepts(card("gpt-6-sol"), "responses", {"model": "m", "input": [], "client_metadata": {"a": 1}})
    assert accepts(card("claude-opus-4-8"), "messages", messages(context_management={"edits": []}))


# --- content ---------------------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
PDF = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}}
TEXT_FILE = {"type": "file", "file": {"file_data": "data:text/plain;base64,AA==", "filename": "a.txt"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}


@pytest.mark.parametrize(
    ("model", "part", "accepted"),
    [
        ("claude-opus-4-8", IMAGE, True),
        ("claude-opus-4-8", PDF, True),
        ("claude-opus-4-8", AUDIO, False),
        ("gemini-4-argon", AUDIO, True),
        ("smollm2", IMAGE, False),
        ("smollm2", PDF, False),
        ("smollm2", TEXT_FILE, True),
        ("deepseek-v4-pro", IMAGE, False),
    ],
)
def test_content_a_model_cannot_read_is_refused_where_it_stands(
    model: str, part: Body, accepted: bool
) -> None:
    body = chat(messages=[{"role": "user", "content": [{"type": "text", "text": "See:"}, part]}])

    found = validate(card(model), "chat", body)

    assert [violation.param for violation in found] == ([] if accepted else ["/messages/0/content/1/type"])


def test_an_image_inside_a_tool_result_is_found_too() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {}}]}
    body = messages(messages=[{"role": "user", "content": [result]}])

    violation = only(validate(card("smollm2"), "messages", body))

    assert (violation.param, violation.allowed) == ("/messages/0/content/0/content/0/type", "text only")


def test_a_body_of_ten_thousand_bad_parts_gets_a_short_answer() -> None:
    body = chat(messages=[{"role": "user", "content": [IMAGE] * 10_000}])

    assert len(validate(card("smollm2"), "chat", body)) == 20


# --- the seed documents ----------------------------------------------------------------------------


def test_the_first_documents_shorthand_is_accepted() -> None:
    body = {"model": "m", "prompt": "Hi", "system_prompt": "Be kind", "max_tokens": 100, "stream": False}

    assert accepts(card("claude-opus-4-8"), "chat", body)


def test_the_second_documents_anthropic_style_chat_passes_with_warnings() -> None:
    body = chat(
        system="Be kind",
        stop_sequences=["END"],
        tools=TOOLS,
        tool_choice="required",
        thinking={"type": "adaptive"},
        max_tokens=128_000,
    )

    assert validate(card("anthropic/claude-opus-4-8"), "chat", body) == []


def test_the_third_documents_request_is_accepted() -> None:
    body = messages(system=[{"type": "text", "text": "Be kind"}], temperature=0.7, stop_sequences=["END"])

    assert accepts(card("claude-opus-4-6"), "messages", body)


def test_the_fifth_documents_whole_body_passes_for_the_retired_model_it_names() -> None:
    body = messages(
        system="Be kind",
        temperature=0.7,
        top_p=0.9,
        top_k=5,
        stream=False,
        stop_sequences=["END"],
        tools=TOOLS,
        tool_choice={"type": "tool", "name": "look"},
        thinking={"type": "enabled", "budget_tokens": 1024},
        service_tier="auto",
        metadata={"user_id": "u"},
    )

    _, warned = mended("claude-3.5-sonnet", "messages", body)

    assert warned == [("thinking", "/thinking")]


@pytest.mark.parametrize("form", FORMS, ids=form_id)
def test_the_first_violation_is_the_first_of_all(form: tuple[Card, Path]) -> None:
    right = request_example(*form)
    field = limits.ANSWER_TOKENS_FIELDS[form[1]][0]

    assert first_violation(*form, right) is None
    for wrong in ({**right, field: -1}, {**right, field: "many"}, {**right, "stream": 5}, {}):
        assert first_violation(*form, wrong) == validate(*form, wrong, strict=True)[0]


def test_of_a_list_of_a_hundred_thousand_faults_one_is_told() -> None:
    opus = card("claude-opus-4-8")
    body = {"model": opus.id, "max_tokens": 5, "messages": [{"role": "bad"}] * 100_000}

    # All of them would be eleven seconds' work, in which no other call goes on.
    (violation,) = validate(opus, "messages", body)

    assert violation.param.startswith("/messages/0")
