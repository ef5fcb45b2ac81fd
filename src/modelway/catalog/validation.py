"""Is this body right for this model? What is wrong, where, what would be right; what can be mended.

Repairs come first: what the translation rules clamp or drop with a warning is no violation, and the
schema is asked about the mended body. With `strict` every repair is a violation instead.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs
import msgspec

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.findings import Finding, Rule
from modelway.catalog.forms import FORMS_MAX, form_schema
from modelway.catalog.limits import Body
from modelway.catalog.rules import rules_for

# As much of a wrong value as an error message shows.
SHOWN_CHARACTERS_MAX = 80
# More broken places than anyone mends in one go; a body of thousands of bad parts stays cheap.
VIOLATIONS_MAX = 20
# The validator makes all errors before it gives the first, at 25 µs each; of a longer list only one is told.
ITEMS_MAX = 200
# Patterns are matched in time linear in the text, so without look-around and back references: the engine that
# has them takes up to 60 ms a string, and a call has thousands of strings. The size, in bytes once compiled,
# holds `\w{64}` and bounds the factor.
PATTERNS = jsonschema_rs.RegexOptions(size_limit=100_000)


class Violation(msgspec.Struct, frozen=True):
    """What is wrong: a JSON pointer, the value there (None: absent), what is allowed, the nearest right
    value (None: leave it out, or none is near) and the rule's name."""

    param: str
    received: Any
    allowed: str
    nearest: Any
    rule: str

    @property
    def message(self) -> str:
        if self.rule.endswith(".required"):
            return f"`{self.param}` is missing; {self.allowed}"
        return f"`{self.param}` is {_shown(self.received)}; allowed: {self.allowed}"


class Repair(msgspec.Struct, frozen=True):
    """What is changed so that the model takes it: the warning's code, a JSON pointer, before and after.

    `becomes` None: left out. A repair inside `messages` or `input` is the translator's to carry out.
    """

    code: str
    param: str
    received: Any
    becomes: Any
    rule: str


def validate(card: Card, path: Path, body: Body, *, strict: bool = False) -> list[Violation]:
    """Everything that makes the request unacceptable for this model on this path; empty if nothing does."""
    found = _findings(card, path, body)
    refused = [
        Violation(finding.param, finding.received, finding.allowed, finding.nearest, rule.name)
        for rule, finding in found
        if finding.code is None or strict
    ]
    mended = apply(body, _repairs(found)) if found else body
    return [*refused, *_schema_violations(card, path, mended, {violation.param for violation in refused})]


def repairs(card: Card, path: Path, body: Body) -> list[Repair]:
    """What is changed, with a warning each, when the client did not ask for strictness."""
    return _repairs(_findings(card, path, body))


def accepts(card: Card, path: Path, body: Body) -> bool:
    """Whether the model takes exactly this body: nothing refused, nothing changed."""
    return not _findings(card, path, body) and compiled(card, path).is_valid(_present(body))


def first_violation(card: Card, path: Path, body: Body) -> Violation | None:
    """The first reason why the model does not take exactly this body; None if it does."""
    found = _findings(card, path, body)
    if found:
        rule, finding = found[0]
        return Violation(finding.param, finding.received, finding.allowed, finding.nearest, rule.name)
    error = _first_error(compiled(card, path), _present(body))
    return None if error is None else _violation(error, form_schema(card, path))


def apply(body: Body, changes: Iterable[Repair]) -> dict[str, Any]:
    """A body with the repairs of its parameters made; `body` itself is left as it is."""
    result = dict(body)
    for repair in changes:
        first, *rest = repair.param.removeprefix("/").split("/")
        if not rest:
            _set(result, first, repair.becomes)
        elif first not in ("messages", "input") and len(rest) == 1:
            inner = result.get(first)
            result[first] = dict(inner) if isinstance(inner, Mapping) else {}
            _set(result[first], rest[0], repair.becomes)
            if not result[first]:
                del result[first]
    return result


def _set(holder: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        holder.pop(key, None)
    else:
        holder[key] = value


def _findings(card: Card, path: Path, body: Body) -> list[tuple[Rule, Finding]]:
    """What the rules find, at most one per place and `VIOLATIONS_MAX` in all."""
    found: dict[str, tuple[Rule, Finding]] = {}
    for rule in rules_for(card, path):
        for finding in rule.find(card, path, body):
            found.setdefault(finding.param, (rule, finding))
            if len(found) == VIOLATIONS_MAX:
                return list(found.values())
    return list(found.values())


def _repairs(found: Iterable[tuple[Rule, Finding]]) -> list[Repair]:
    return [
        Repair(finding.code, finding.param, finding.received, finding.nearest, rule.name)
        for rule, finding in found
        if finding.code is not None
    ]


@lru_cache(FORMS_MAX)
def compiled(card: Card, path: Path) -> jsonschema_rs.Draft202012Validator:
    """The form without the rules between fields: those are asked by name. Raises ValueError if it is none."""
    schema = {key: value for key, value in form_schema(card, path).items() if key not in ("allOf", "x-rules")}
    return jsonschema_rs.Draft202012Validator(schema, pattern_options=PATTERNS)


def _schema_violations(card: Card, path: Path, body: Body, known: set[str]) -> list[Violation]:
    """What the schema refuses, apart from the places already `known` to be wrong."""
    present, validator = _present(body), compiled(card, path)
    if validator.is_valid(present):
        return []
    violations: list[Violation] = []
    for error in _errors(validator, present):
        violation = _violation(error, form_schema(card, path))
        if violation.param not in known:
            known.add(violation.param)
            violations.append(violation)
        if len(violations) == VIOLATIONS_MAX:
            break
    return violations


def _present(body: Body) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _errors(
    validator: jsonschema_rs.Draft202012Validator, present: Mapping[str, Any]
) -> Iterable[jsonschema_rs.ValidationError]:
    """All errors at once, as the validator gives them; of a body where they may be many only the first."""
    if all(len(value) <= ITEMS_MAX for value in present.values() if isinstance(value, list | dict)):
        return validator.iter_errors(present)
    error = _first_error(validator, present)
    return [] if error is None else [error]


def _first_error(
    validator: jsonschema_rs.Draft202012Validator, present: Mapping[str, Any]
) -> jsonschema_rs.ValidationError | None:
    try:
        validator.validate(present)
    except jsonschema_rs.ValidationError as error:
        return error
    return None


def _violation(error: jsonschema_rs.ValidationError, schema: Mapping[str, Any]) -> Violation:
    keyword = str(error.schema_path[-1])
    place = [str(step).replace("~", "~0").replace("/", "~1") for step in error.instance_path]
    names = [step for step in place if not step.isdecimal()]
    expected = _at(schema, error.schema_path[:-1])
    if keyword == "required":
        missing = error.kind.as_dict()["property"]
        place, names = [*place, missing], [*names, missing]
        expected = expected.get("properties", {}).get(missing, {})
        return Violation(
            "/" + "/".join(place), None, _allowed(expected), expected.get("default"), _name(names, keyword)
        )
    return Violation(
        "/" + "/".join(place),
        error.instance,
        _allowed(expected),
        _nearest(error.instance, expected),
        _name(names, keyword),
    )


def _name(names: list[str], keyword: str) -> str:
    return ".".join([*names, keyword])


def _at(schema: Mapping[str, Any], steps: Iterable[str | int]) -> Mapping[str, Any]:
    found: Any = schema
    for step in steps:
        found = found[step]
    return found if isinstance(found, Mapping) else {}


def _allowed(expected: Mapping[str, Any]) -> str:
    """What a schema of one value allows, in words."""
    values = expected.get("enum", [expected["const"]] if "const" in expected else None)
    if values is not None:
        return "one of " + ", ".join("null" if value is None else str(value) for value in values)
    return ", ".join(_limits_in_words(expected)) or "a value"


def _limits_in_words(expected: Mapping[str, Any]) -> Iterator[str]:
    kinds = expected.get("type", "value")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    yield " or ".join(f"{'an' if kind[0] in 'aeio' else 'a'} {kind}" for kind in kinds)
    low, high = expected.get("minimum"), expected.get("maximum")
    if low is not None and high is not None:
        yield f"{low} to {high}"
    elif low is not None or high is not None:
        yield f"{low} or more" if low is not None else f"{high} or less"
    for keyword, words in _SIZES.items():
        if keyword in expected:
            yield words.format(expected[keyword])


_SIZES = {
    "minLength": "{} or more characters",
    "maxLength": "{} or fewer characters",
    "minItems": "{} or more items",
    "maxItems": "{} or fewer items",
    "maxProperties": "{} or fewer pairs",
    "pattern": "matching {}",
}


def _nearest(received: Any, expected: Mapping[str, Any]) -> Any:
    """The right value most like a wrong one, or None where none is near."""
    values = expected.get("enum")
    if values is not None:
        close = difflib.get_close_matches(str(received)[:SHOWN_CHARACTERS_MAX], [v for v in values if v], n=1)
        return close[0] if close else expected.get("default")
    if "const" in expected:
        return expected["const"]
    kind = expected.get("type")
    if kind not in ("integer", "number"):
        return expected.get("default")
    return _nearest_number(received, expected, whole=kind == "integer")


def _nearest_number(received: Any, expected: Mapping[str, Any], *, whole: bool) -> float | None:
    try:
        number = float(received)
        value = int(received if isinstance(received, int) else number) if whole else number
    except (TypeError, ValueError, OverflowError):
        return expected.get("default")
    low, high = expected.get("minimum"), expected.get("maximum")
    value = value if low is None else max(low, value)
    return value if high is None else min(high, value)


def _shown(value: Any) -> str:
    """Scalars as they came, cut; of anything larger only its kind, because it may hold anything."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "…"
