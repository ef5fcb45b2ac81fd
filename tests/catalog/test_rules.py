"""Each rule between fields is broken, alone, on every card and path where it can be."""

from __future__ import annotations

import pytest

from modelway.catalog.capabilities import PATHS, Capabilities, Path
from modelway.catalog.cards import Card
from modelway.catalog.rules import RULES, rules_for
from modelway.catalog.validation import accepts, apply, repairs, validate
from tests.catalog.breaking import BREAKERS, CATALOG, FORMS, form_id, right_body

# No shipped model is without tools; the rule is for installations' own cards.
TOOLLESS = Card(
    id="lab/base", vendor="lab", name="Base", protocol="chat", capabilities=Capabilities(tools=False)
)


def test_every_rule_has_a_name_of_its_own_and_a_way_to_break_it() -> None:
    names = [rule.name for rule in RULES]

    assert len(names) == len(set(names))
    assert set(names) == set(BREAKERS)


def test_every_rule_can_be_broken_on_some_card() -> None:
    cards = [*CATALOG.all(), TOOLLESS]
    breakable = {
        rule.name
        for card in cards
        for path in PATHS
        for rule in rules_for(card, path)
        if BREAKERS[rule.name](card, path)
    }

    assert breakable == set(BREAKERS)


@pytest.mark.parametrize("form", [*FORMS, (TOOLLESS, "chat")], ids=form_id)
def test_a_body_that_breaks_one_rule_fails_naming_that_rule(form: tuple[Card, Path]) -> None:
    card, path = form
    right = right_body(card, path)
    assert accepts(card, path, right)

    for rule in rules_for(card, path):
        change = BREAKERS[rule.name](card, path)
        if change:
            broken = {violation.rule for violation in validate(card, path, right | change, strict=True)}
            assert broken == {rule.name}, f"{rule.name}: {change}"


@pytest.mark.parametrize("form", FORMS, ids=form_id)
def test_what_is_mended_is_right_afterwards(form: tuple[Card, Path]) -> None:
    card, path = form
    right = right_body(card, path)

    for rule in rules_for(card, path):
        broken = right | BREAKERS[rule.name](card, path)
        changes = repairs(card, path, broken)
        inside = any(change.param.startswith(("/messages/", "/input/")) for change in changes)
        if changes and not inside and not validate(card, path, broken):
            mended = apply(broken, changes)
            assert validate(card, path, mended) == []
            left = {change.rule for change in repairs(card, path, mended)}
            assert left <= {"structured_output"}, f"{rule.name}: {mended}"


def test_the_body_handed_in_is_never_changed() -> None:
    card = CATALOG.find("claude-opus-4-8")
    assert card is not None
    body = {"output_config": {"effort": "minimal"}, "temperature": 0.3, "thinking": {"type": "enabled"}}
    before = repr(body)

    apply(body, repairs(card, "messages", body))

    assert repr(body) == before
