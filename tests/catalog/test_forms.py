"""One schema per model and path: it is a schema, the flat list says the same, and validation follows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card, Catalog
from modelway.catalog.findings import unsaid
from modelway.catalog.forms import flat, form_schema
from modelway.catalog.rules import rules_for
from modelway.catalog.samples import request_example
from modelway.catalog.validation import accepts, validate
from tests.catalog.bodies import JSON, right_bodies
from tests.catalog.breaking import CATALOG, FORMS, Body, form_id, right_body

Schema = dict[str, Any]
Form = tuple[Card, Path]
EACH_FORM = pytest.mark.parametrize("form", FORMS, ids=form_id)

DROPPED = ("sampling_while_thinking",)
# What is mended rather than refused where the path or the model's thinking says so, and the rules that do.
MENDED_BY: dict[str, tuple[str, ...]] = {
    "max_tokens.maximum": ("max_tokens_clamped",),
    "max_completion_tokens.maximum": ("max_tokens_clamped",),
    "max_output_tokens.maximum": ("max_tokens_clamped",),
    "thinking.budget_tokens.minimum": ("thinking_budget_below_max_tokens",),
    "temperature.type": DROPPED,
    "temperature.minimum": DROPPED,
    "temperature.maximum": (*DROPPED, "temperature_clamped"),
    "top_p.minimum": DROPPED,
    "top_p.maximum": DROPPED,
    "top_k.type": DROPPED,
    "top_k.minimum": DROPPED,
}
COMPANIONS: dict[str, Body] = {
    "tool_choice": {"tools": [{}]},
    "parallel_tool_calls": {"tools": [{}]},
    "stream_options": {"stream": True},
    "top_logprobs": {"logprobs": True},
    "thinking": {"max_tokens": 4000},
}


def nodes(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Every parameter of a schema: dotted name, definition, whether it must be there."""
    for name, definition in schema.get("properties", {}).items():
        yield prefix + name, definition, name in schema.get("required", ())
        yield from nodes(definition, f"{prefix}{name}.")


# --- the schema and the list -----------------------------------------------------------------------


@EACH_FORM
def test_a_form_is_json_schema_2020_12(form: Form) -> None:
    schema = form_schema(*form)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(schema)


@EACH_FORM
def test_the_flat_list_and_the_schema_name_the_same_parameters_with_the_same_facts(form: Form) -> None:
    rows = {row["name"]: row for row in flat(*form)}
    said = {name: (definition, required) for name, definition, required in nodes(form_schema(*form))}

    assert list(rows) == list(said)
    for name, (definition, required) in said.items():
        row = rows[name]
        assert row["required"] == required
        assert row["type"]
        for fact in ("default", "minimum", "maximum", "enum"):
            assert (fact in row) == (fact in definition)
            assert row.get(fact) == definition.get(fact)
        assert row["description"] == definition.get("description", "")


@EACH_FORM
def test_every_parameter_at_the_top_is_described(form: Form) -> None:
    assert [row["name"] for row in flat(*form) if "." not in row["name"] and not row["description"]] == []


@EACH_FORM
def test_every_default_is_right_for_its_own_parameter(form: Form) -> None:
    for name, definition, _ in nodes(form_schema(*form)):
        if "default" in definition:
            assert jsonschema_rs.is_valid(definition, definition["default"]), name


@EACH_FORM
def test_the_request_example_is_accepted_as_it_stands(form: Form) -> None:
    example = request_example(*form)

    assert validate(*form, example, strict=True) == []
    assert jsonschema_rs.is_valid(form_schema(*form), example)


@EACH_FORM
def test_every_rule_between_fields_is_in_the_form_in_words(form: Form) -> None:
    assert [rule["name"] for rule in form_schema(*form)["x-rules"]] == [
        rule.name for rule in rules_for(*form)
    ]


def test_a_card_states_only_what_is_its_own() -> None:
    change = {"id": "local/smollm2", "parameters": {"chat": {"temperature": {"default": 0.2}}}}
    own, other = Catalog.shipped([change]).find("smollm2"), CATALOG.find("smollm2")
    assert own is not None
    assert other is not None

    assert form_schema(own, "chat")["properties"]["temperature"]["default"] == 0.2
    assert form_schema(own, "chat")["properties"]["temperature"]["maximum"] == 2
    assert form_schema(other, "chat")["properties"]["temperature"]["default"] == 1


def test_the_form_follows_the_model() -> None:
    def names(model: str, path: Path) -> set[str]:
        card = CATALOG.find(model)
        assert card is not None
        return {row["name"] for row in flat(card, path)}

    assert {"temperature", "top_p", "top_k"}.isdisjoint(names("claude-opus-4-8", "messages"))
    assert {"temperature", "thinking.budget_tokens"} <= names("claude-opus-4-5", "messages")
    assert "thinking.budget_tokens" not in names("claude-opus-4-8", "messages")
    assert {"prompt", "system_prompt", "max_tokens", "stream"} <= names("claude-opus-4-8", "chat")
    assert "reasoning_effort" not in names("gpt-4o", "chat")
    assert "reasoning.effort" in names("gpt-6-sol", "responses")


def test_without_a_limit_claude_gets_its_own_and_others_none() -> None:
    def default(model: str) -> object:
        card = CATALOG.find(model)
        assert card is not None
        return form_schema(card, "chat")["properties"]["max_tokens"].get("default")

    assert (default("claude-opus-4-8"), default("gpt-4o")) == (128_000, None)


# --- one keyword broken at a time ------------------------------------------------------------------

WRONG_TYPE: dict[str, Any] = {
    "string": 5,
    "integer": "many",
    "number": "hot",
    "boolean": "yes",
    "array": 7,
    "object": 7,
}


def wrong_values(definition: Schema) -> Iterator[tuple[str, Any]]:
    """For each keyword of a parameter, a value that breaks that keyword and no other."""
    kinds = definition.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and "enum" not in definition:
        yield (
            "type",
            next(WRONG_TYPE[kind] for kind in kinds if kind != "null") if "object" not in kinds else 7,
        )
    if "enum" in definition:
        yield "enum", "no such value"
    if "const" in definition:
        yield "const", "no such value"
    if "minimum" in definition:
        yield "minimum", definition["minimum"] - 1
    if "maximum" in definition:
        yield "maximum", definition["maximum"] + 1
    if "minLength" in definition:
        yield "minLength", ""
    if "maxLength" in definition:
        yield "maxLength", "x" * (definition["maxLength"] + 1)
    if "pattern" in definition:
        yield "pattern", "not a name!"
    if "minItems" in definition:
        yield "minItems", []
    if "maxItems" in definition and definition["maxItems"] < 1000:
        yield "maxItems", ["x"] * (definition["maxItems"] + 1)
    if "maxProperties" in definition:
        yield "maxProperties", {str(number): "x" for number in range(definition["maxProperties"] + 1)}


def placed(body: Body, name: str, value: Any, schema: Schema) -> Body:
    """`body` with `value` at a dotted name, and beside it what the objects on the way require."""
    first, _, rest = name.partition(".")
    if not rest:
        return {**body, first: value}
    inner = schema["properties"][first]
    required = {
        key: inner["properties"][key].get("enum", [inner["properties"][key].get("const", "x")])[0]
        for key in inner.get("required", ())
    }
    if first == "thinking" and "enabled" in inner["properties"]["type"]["enum"]:
        required |= {"type": "enabled", "budget_tokens": 1024}
    return {**body, first: placed(required, rest, value, inner)}


@EACH_FORM
def test_a_value_that_breaks_one_keyword_fails_naming_that_keyword_and_place(form: Form) -> None:
    card, path = form
    schema = form_schema(card, path)

    for name, definition, _ in nodes(schema):
        for keyword, value in wrong_values(definition):
            top = name.partition(".")[0]
            body = placed(right_body(card, path) | COMPANIONS.get(top, {}), name, value, schema)
            if path == "chat" and top == "prompt":
                del body["messages"]
            rules = {(violation.rule, violation.param) for violation in validate(card, path, body)}
            rule = f"{name}.{keyword}"
            if not rules:
                # It can be mended, so only a strict client is refused, by the rule that mends it.
                (violation,) = validate(card, path, body, strict=True)
                assert violation.rule in MENDED_BY.get(rule, ()), f"{rule}: {value!r}"
            else:
                assert rules == {(rule, "/" + name.replace(".", "/"))}, f"{rule}: {value!r}"


@EACH_FORM
def test_a_parameter_that_must_be_there_is_missed_by_name(form: Form) -> None:
    card, path = form
    body = right_body(card, path)

    for name in form_schema(card, path)["required"]:
        without = {key: value for key, value in body.items() if key != name}
        (violation,) = validate(card, path, without)
        assert (violation.rule, violation.param) == (f"{name}.required", f"/{name}")
        assert name in violation.message


# --- generated bodies ------------------------------------------------------------------------------


@EACH_FORM
@settings(deadline=None, max_examples=3)
@given(st.data())
def test_a_generated_right_body_is_accepted(form: Form, data: st.DataObject) -> None:
    card, path, body = data.draw(right_bodies([form]))

    assert validate(card, path, body, strict=True) == []
    assert accepts(card, path, body)


@settings(deadline=None)
@given(right_bodies())
def test_null_is_the_same_as_absent(made: tuple[Card, Path, Body]) -> None:
    card, path, body = made
    nulls = {name: None for name in form_schema(card, path)["properties"] if name not in body}

    assert accepts(card, path, body | nulls)


@settings(deadline=None)
@given(right_bodies(), st.data())
def test_the_published_schema_and_validation_agree(
    made: tuple[Card, Path, Body], data: st.DataObject
) -> None:
    card, path, body = made
    name = data.draw(st.sampled_from(sorted(form_schema(card, path)["properties"])))
    changed = {key: value for key, value in (body | {name: data.draw(JSON)}).items() if value is not None}

    published = jsonschema_rs.is_valid(form_schema(card, path), changed)

    if accepts(card, path, changed):
        assert published
    if published:
        unsayable = {rule.name for rule in rules_for(card, path) if rule.schema is unsaid}
        assert {violation.rule for violation in validate(card, path, changed, strict=True)} <= unsayable


@settings(deadline=None)
@given(st.sampled_from(FORMS), st.dictionaries(st.text(max_size=8), JSON, max_size=5), st.data())
def test_no_body_whatever_makes_validation_stumble(form: Form, junk: Body, data: st.DataObject) -> None:
    known = sorted(form_schema(*form)["properties"])
    body = junk | data.draw(st.dictionaries(st.sampled_from(known), JSON, max_size=8))

    for violation in validate(*form, body):
        assert violation.message
        assert violation.rule
