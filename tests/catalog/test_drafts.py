"""A card as a person writes it: every mistake is told with its line, and no text does harm."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.catalog.capabilities import PATHS
from modelway.catalog.cards import Card, CardError, Catalog
from modelway.catalog.checks import of_card
from modelway.catalog.drafts import (
    DEPTH_MAX,
    FAULTS_MAX,
    PARAMETER_VALUES_MAX,
    TEXT_BYTES_MAX,
    DraftError,
    read_draft,
    written,
)
from modelway.catalog.forms import flat
from modelway.catalog.listing import model_object
from tests.catalog.bodies import JSON

PARSES_MAX = 20  # three are usual; what grew with the square took hundreds
OWN = "id: lab/own-1\nvendor: lab\nname: Own 1\nprotocol: chat\n"


def faults(text: str) -> list[str]:
    with pytest.raises(DraftError) as caught:
        read_draft(text)
    return [str(fault) for fault in caught.value.faults]


def refused(text: str) -> str:
    """What the catalog says of a card whose text is right, told with its place in the text."""
    draft = read_draft(text)
    with pytest.raises(CardError) as caught:
        Catalog.shipped([draft.raw])
    return str(draft.fault_of(caught.value))


def test_yaml_and_json_say_the_same() -> None:
    json_text = '{"id": "lab/own-1", "vendor": "lab",\n\t"name": "Own 1", "protocol": "chat"}'

    assert read_draft(OWN).raw == read_draft(json_text).raw == read_draft(written(read_draft(OWN).raw)).raw


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the text holds nothing; a card is"),
        ("- id: a/b", "the text holds list; a card is"),
        ("id: a/b\nname: [", "line 3: not YAML: "),
        ("id: a/b\nname: x\nname: y", "line 3: `name`: given twice, first in line 2"),
        ("id: a/b\nx: &a 1\ny: *a", "line 2: not YAML: `&` and `*` references are not read"),
        ("[" * 20_000, f"line 1: not YAML: nests deeper than {DEPTH_MAX} levels"),
        ("id: a/b\nreleased: 2026-13-45", "not YAML: month must be in 1..12"),
        ("!!python/object/apply:os.getcwd []", "line 1: not YAML: `!` tags are not read"),
        ("id: a/b\ninput: .nan", "line 2: `input`: nan is no number in JSON"),
        ("id: a/b\nline: 99999999999999999999", "99 is beyond 9007199254740992"),
        ("id: a/b\nline: !!binary aGk=", "line 2: not YAML: `!` tags are not read"),
        ("id: a/b\nline: !!int ''", "line 2: not YAML: `!` tags are not read"),
        ("id: a/b\nline: !!timestamp x", "line 2: not YAML: `!` tags are not read"),
        ("id: a/b\nline: 2026-01-01 00:00:00", "line 2: `line`: a datetime; text, numbers"),
        ("id: a/b\nline: 0x" + "f" * 6_000, "line 2: not YAML: a number of 6002 characters; at most"),
        ("id: 0x" + "f" * 6_000, "line 1: not YAML: a number of 6002 characters; at most"),
        ("id: a/b\nline: [1" + ":1" * 20_000 + "]", "line 2: not YAML: a number of 40001 characters; at"),
        ("id: a/b\nline: 1" + ":1" * 6_000 + ".5", "line 2: not YAML: a number of 12003 characters; at"),
        ("id: a/b\nline: 9" + ":59" * 20, "line 2: `line`: 3"),
        ("name: x", "`id`: missing; the id names the model"),
        ("id: a b", "line 1: `id`: 'a b'; the id names the model"),
        ("id: a/b/form_schema", "line 1: `id`: 'a/b/form_schema'; the id names"),
        ("id: a/b\nparameters:\n  chat:\n    t: {$ref: 'http://x'}", "line 4: `parameters.chat.t.$ref`: "),
        ("id: a/b\nparameters:\n  chat:\n    t: true", "line 4: `parameters.chat.t`: not a definition"),
        ("id: a/b\x00", "not YAML: "),
        ("id: a/b # \ud800", "the text has half a character in it"),
        ("id: a/b # " + "x" * TEXT_BYTES_MAX, f"at most {TEXT_BYTES_MAX} are read"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_text_is_told_with_its_line(text: str, said: str) -> None:
    (fault,) = faults(text)

    assert said in fault


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert [fault.partition(":")[0] for fault in faults("id: a b\nline: .inf\nname: x\nname: y")] == [
        "line 4",
        "line 2",
        "line 1",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        "x: [" + ".inf, " * 10_000 + "]",
        "".join(f"k{place}: .inf\n" for place in range(5_000)),
        "parameters: {chat: {" + ", ".join(f"$k{place}: 1" for place in range(5_000)) + "}}",
        "".join("x: 1\n" for _ in range(10_000)),
    ],
)
def test_of_a_text_full_of_mistakes_the_first_are_told_at_once(lines: str) -> None:
    """Each took as long as there are values beside it: a minute of one processor for 60 KB."""
    begun_s = time.process_time()
    yaml.load(OWN + lines, yaml.CSafeLoader)
    parsed_s = time.process_time()

    assert len(faults(OWN + lines)) == FAULTS_MAX
    assert time.process_time() - parsed_s < PARSES_MAX * (parsed_s - begun_s)


def test_the_place_of_a_mistake_is_told_without_a_name_as_long_as_the_text() -> None:
    (fault,) = faults(OWN + "? " + "k" * 50_000 + "\n: .inf")

    assert len(fault) < 200


def test_parameters_that_every_call_would_be_held_against_for_long_are_refused() -> None:
    each = "{" + ", ".join(f"k{place}: {{type: string}}" for place in range(PARAMETER_VALUES_MAX // 2)) + "}"

    (fault,) = faults(f"{OWN}parameters:\n  chat: {each}")

    assert fault.startswith(f"line 6: `parameters.chat`: {PARAMETER_VALUES_MAX + 1} values, which every call")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("contxt_window_tokens: 5", "line 5: `contxt_window_tokens`: there is no such name here; did you"),
        ("contxt_window_tokens: 5", "did you mean `context_window_tokens`?"),
        ("capabilities:\n  vison: true", "line 6: `capabilities.vison`: there is no such name here; did"),
        ("capabilities:\n  vison: true", "did you mean `vision`?"),
        ("capabilities:\n  efforts: [low, big]", "line 6: `capabilities.efforts"),
        ("capabilities: [tools]", "line 5: `capabilities`: "),
        ("context_window_tokens: 0", "line 5: `context_window_tokens`: Expected `int` >= 1 (it is 0)"),
        ("prices: {input: -1, output: 2}", "line 5: `prices.input`: "),
        ("prices: {input: 1e30, output: 2}", "line 5: `prices.input`: "),
        ("prices: {input: '0.0000000001', output: 2}", "line 5: `prices.input`: "),
        ("family: klaude", "line 5: `family`: "),
        ("input: text", "line 5: `input`: "),
        ("released: soon", "line 5: `released`: "),
    ],
)  # fmt: skip
def test_a_value_that_is_none_for_a_card_is_told_with_its_line(lines: str, said: str) -> None:
    assert said in refused(OWN + lines)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("max_output_tokens: 9\ncontext_window_tokens: 5", "max_output_tokens: 9 is more than the context"),
        ("capabilities: {efforts: [low], default_effort: high}", "default_effort: high is not among"),
        ("parameters: {chat: {temperature: {minimum: x}}}", "temperature.minimum: chat: the form is no JSON"),
        ("parameters: {chat: {temperature: {default: 3}}}", "temperature: chat: the default of `temp"),
        ("parameters: {chat: {user: {pattern: '('}}}", "chat.user.pattern: chat: the form is no JSON Schema"),
        ("parameters: {chat: {user: {pattern: '(?=a)b'}}}", "user.pattern: chat: the form is no JSON Schema"),
        ("parameters: {chat: {user: {pattern: '(\\w{100}){100}'}}}", "pattern: chat: the form is no JSON"),
        ("parameters: {chat: {temperature: {maximum: 0.1}}}", "temperature: chat: the request example"),
    ],
)  # fmt: skip
def test_facts_that_contradict_each_other_are_told(lines: str, said: str) -> None:
    told = [f"{'.'.join(map(str, steps))}: {what}" for what, steps in of_card(read_card(OWN + lines))]

    assert any(said in each for each in told), told


def read_card(text: str) -> Card:
    draft = read_draft(text)
    card = Catalog.shipped([draft.raw]).card(draft.raw["id"])
    assert card is not None
    return card


@settings(max_examples=300)
@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_a_card_or_is_told_why_not(text: str) -> None:
    with suppress(DraftError):
        assert isinstance(read_draft(text).raw["id"], str)


FIELDS = st.sampled_from([*Card.__struct_fields__, "family", "capabilities", "parameters", "prices"])
DEFINITIONS = st.dictionaries(
    st.sampled_from(["type", "minimum", "enum", "default", "properties", "required", "description", "items"]),
    JSON,
    max_size=3,
)
PARAMETERS = st.dictionaries(
    st.sampled_from(PATHS), st.dictionaries(st.sampled_from(["temperature", "own"]), DEFINITIONS, max_size=2)
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(FIELDS, JSON, max_size=4), st.none() | PARAMETERS)
def test_any_values_make_a_card_that_can_be_shown_or_are_refused(
    values: dict[str, Any], parameters: dict[str, Any] | None
) -> None:
    stated = {"parameters": parameters} if parameters is not None else {}
    text = written({**read_draft(OWN).raw, **values, **stated, "id": "lab/own-1"})
    try:
        card = read_card(text)
    except CardError:
        return
    if not list(of_card(card)):
        for path in PATHS:
            assert model_object(card, path=path)["form_schema"] == flat(card, path)
