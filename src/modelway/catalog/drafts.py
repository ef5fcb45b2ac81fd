"""A card as a person writes it, YAML or JSON: its values, where each stands, and what is wrong with it.

Whoever writes one is told all that can be told at once, each with its line; nothing of a text can make the
gateway fetch, run or choke on anything.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import cache
from itertools import chain, islice
from typing import Any, get_type_hints

import msgspec
import yaml

from modelway.catalog.capabilities import Capabilities
from modelway.catalog.cards import Card, CardError, Prices, Raw, Source, Tier
from modelway.catalog.names import NAME_CHARACTERS_MAX

# The longest card that comes with us has 3 KB; one with a form of its own for each path may have ten.
TEXT_BYTES_MAX = 64 * 1024
DEPTH_MAX = 16  # a parameter's definition inside a card needs eight
# What JSON can hold without loss; a number beyond it would reach no client as it was written.
INTEGER_MAX = 2**53
# Longer than any number a card needs; Python cannot write thousands of digits, nor read them quickly.
NUMBER_CHARACTERS_MAX = 64
# Three times the largest form that comes with us. With 10,000 messages in a call this many values are asked
# of each in at most half a second; a hundred times more would stop every other call for a minute.
PARAMETER_VALUES_MAX = 1000
FAULTS_MAX = 50  # more than anyone mends in one go
SHOWN_CHARACTERS_MAX = 80
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
# On a card's capabilities they repeat what the card says itself.
REPEATED = frozenset(("max_output_tokens", "context_window_tokens", "vision", "documents", "audio", "video"))
ID = re.compile(
    rf"[A-Za-z0-9](?:[A-Za-z0-9._:@+-]|/(?!/)){{0,{NAME_CHARACTERS_MAX - 2}}}[A-Za-z0-9]|[A-Za-z0-9]"
)
# Addresses end in these, so an id that did could not be asked for.
RESERVED_ENDS = ("/form_schema",)

_UNKNOWN = re.compile(r"unknown field `([^`]+)`")

Steps = tuple[str | int, ...]


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a card. `place`: `capabilities.efforts[0]`, empty for the card as a whole; `line`
    counts from 1, None where the text does not say it (a family does, or it is missing)."""

    message: str
    place: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{f'`{self.place}`: ' if self.place else ''}{self.message}"


class DraftError(CardError):
    """A text that is no card; `faults` says what is wrong, `FAULTS_MAX` of it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


class Draft:
    """A card's values as written, and where they stand."""

    def __init__(self, raw: Raw, root: yaml.Node) -> None:
        self.raw = raw
        self._root = root
        # Of every mapping and list that was looked into: where each child begins, and the child.
        self._children: dict[int, dict[str | int, tuple[yaml.Node, yaml.Node]]] = {}

    def fault(self, message: str, steps: Steps = ()) -> Fault:
        """`message` said of the value at `steps`."""
        return Fault(message, _dotted(steps), self._line(steps))

    def fault_of(self, error: CardError) -> Fault:
        """A card's error as a fault of this text, in words for people."""
        unknown = _UNKNOWN.search(str(error))
        if unknown is None:
            says = str(error).partition(" - at `$")[0].removeprefix(f"card {self.raw.get('id')!r}: ")
            return self.fault(f"{says}{self._shown(error.steps)}", error.steps)
        return self.fault(_nearest_name(unknown.group(1), error.steps), (*error.steps, unknown.group(1)))

    def _shown(self, steps: Steps) -> str:
        value: Any = self.raw
        for step in steps:
            inside = isinstance(value, Mapping) and step in value
            inside = inside or (isinstance(value, list) and isinstance(step, int) and step < len(value))
            value = value[step] if inside else None
        short = isinstance(value, str | int | float) and len(str(value)) <= SHOWN_CHARACTERS_MAX
        return f" (it is {value!r})" if short else ""

    def _line(self, steps: Steps) -> int | None:
        """Where the value at `steps` begins; None if the text has nothing there."""
        line, node = None, self._root
        for step in steps:
            found = self._children_of(node).get(step)
            if found is None:
                return None if line is None or step == steps[0] else line
            line, node = found[0].start_mark.line + 1, found[1]
        return line

    def _children_of(self, node: yaml.Node) -> dict[str | int, tuple[yaml.Node, yaml.Node]]:
        children = self._children.get(id(node))
        if children is None:
            children = {}
            if isinstance(node, yaml.MappingNode):
                children = {str(key.value): (key, value) for key, value in node.value}
            elif isinstance(node, yaml.SequenceNode):
                children = {place: (value, value) for place, value in enumerate(node.value)}
            self._children[id(node)] = children
        return children


def read_draft(text: str) -> Draft:
    """The card in `text`. Raises DraftError with the faults that can be seen without other cards."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise DraftError((Fault("the text has half a character in it, which cannot be kept"),)) from None
    if size > TEXT_BYTES_MAX:
        raise DraftError((Fault(f"the card has {size} bytes; at most {TEXT_BYTES_MAX} are read"),))
    try:
        _scan(text)
        root = yaml.compose(text, yaml.CSafeLoader)
        _check_numbers(root)
        raw = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or error)
        raise DraftError((Fault(f"not YAML: {problem}", line=mark.line + 1 if mark else None),)) from None
    # A date such as 2026-13-45; a number beyond a float; brackets by the thousand.
    except (ValueError, OverflowError, RecursionError) as error:
        raise DraftError((Fault(f"not YAML: {error}"),)) from None
    if not isinstance(raw, dict) or root is None:
        held = "nothing" if raw is None else f"{type(raw).__name__}"
        raise DraftError((Fault(f"the text holds {held}; a card is `name: value` lines, its `id` first"),))
    draft = Draft(raw, root)
    found = chain(_doubles(root, ()), _values(draft, raw, ()), _own_rules(draft))
    if faults := tuple(islice(found, FAULTS_MAX)):
        raise DraftError(faults)
    return draft


def written(values: Raw) -> str:
    """A card's values as a text: what a program sent as JSON is kept as a person can change it."""
    text: str = yaml.dump(
        dict(values), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text


def text_of(card: Card) -> str:
    """A whole card as a text: what differs from a card that says nothing but its name."""
    able = {name: value for name, value in _told(card.capabilities).items() if name not in REPEATED}
    return written({**_told(card), "capabilities": able})


def _told(struct: msgspec.Struct) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(struct, builtin_types=(date,))
    silent = {field.name: field.default for field in msgspec.structs.fields(type(struct))}
    return {
        name: _plain(value)
        for name, value in built.items()
        if getattr(struct, name) != silent[name] and value not in (None, (), [], {}, "")
    }


def _plain(value: Any) -> Any:
    """Tuples as lists, and nothing that is not said."""
    if isinstance(value, Mapping):
        return {name: _plain(child) for name, child in value.items() if child not in (None, (), "")}
    return [_plain(child) for child in value] if isinstance(value, list | tuple) else value


def _scan(text: str) -> None:
    """Refuse what must not reach the parser: anchors, of which a few lines can stand for millions of values,
    tags, with which a text says that it is what it is not, and brackets by the thousand, each of which takes
    a piece of the C stack.
    """
    depth = 0
    for token in yaml.scan(text, yaml.CSafeLoader):
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            raise yaml.MarkedYAMLError(
                problem="`&` and `*` references are not read", problem_mark=token.start_mark
            )
        if isinstance(token, yaml.TagToken):
            raise yaml.MarkedYAMLError(problem="`!` tags are not read", problem_mark=token.start_mark)
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > DEPTH_MAX:
            raise yaml.MarkedYAMLError(
                problem=f"nests deeper than {DEPTH_MAX} levels", problem_mark=token.start_mark
            )


def _check_numbers(root: yaml.Node | None) -> None:
    """Before they are read: 60,000 characters of `1:1:1…` take half a second."""
    waiting = [] if root is None else [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            waiting += chain.from_iterable(node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif node.tag in _NUMBERS and len(node.value) > NUMBER_CHARACTERS_MAX:
            raise yaml.MarkedYAMLError(
                problem=f"a number of {len(node.value)} characters; at most {NUMBER_CHARACTERS_MAX} are read",
                problem_mark=node.start_mark,
            )


def _doubles(node: yaml.Node, steps: Steps) -> Iterator[Fault]:
    """YAML keeps the last of two equal names, which is nearly never what was meant."""
    if isinstance(node, yaml.SequenceNode):
        for place, child in enumerate(node.value):
            yield from _doubles(child, (*steps, place))
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line, name = key.start_mark.line + 1, str(key.value)
        if name in seen:
            yield Fault(f"given twice, first in line {seen[name]}", _dotted((*steps, name)), line)
        seen.setdefault(name, line)
        yield from _doubles(value, (*steps, name))


def _values(draft: Draft, value: Any, steps: Steps) -> Iterator[Fault]:
    """What JSON cannot hold, and what would make a form ask elsewhere."""
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                yield draft.fault(f"the name {key!r} is no text", steps)
                continue
            if steps[:1] == ("parameters",) and key.startswith(("$", "x-")):
                yield draft.fault("`$…` and `x-…` are not for a card's parameters", (*steps, key))
            yield from _values(draft, child, (*steps, key))
    elif isinstance(value, list):
        for place, child in enumerate(value):
            yield from _values(draft, child, (*steps, place))
    elif isinstance(value, float) and not math.isfinite(value):
        yield draft.fault(f"{value} is no number in JSON", steps)
    elif isinstance(value, int) and abs(value) > INTEGER_MAX:
        yield draft.fault(
            f"{value} is beyond {INTEGER_MAX}, the largest number that JSON holds exactly", steps
        )
    elif isinstance(value, datetime) or not isinstance(value, str | int | float | date | None):
        yield draft.fault(
            f"a {type(value).__name__}; text, numbers, true, false, dates, lists and names are right",
            steps,
        )


def _own_rules(draft: Draft) -> Iterator[Fault]:
    card_id = draft.raw.get("id")
    if not isinstance(card_id, str) or not ID.fullmatch(card_id) or card_id.endswith(RESERVED_ENDS):
        shown = "missing" if card_id is None else f"{str(card_id)[:SHOWN_CHARACTERS_MAX]!r}"
        yield draft.fault(
            f"{shown}; the id names the model, such as `vendor/model`: at most {NAME_CHARACTERS_MAX} "
            "letters, digits and `. _ : @ + - /`, a letter or digit first and last",
            ("id",),
        )
    parameters = draft.raw.get("parameters")
    if isinstance(parameters, Mapping):
        for path, definitions in parameters.items():
            if isinstance(definitions, Mapping):
                if (size := _size(definitions)) > PARAMETER_VALUES_MAX:
                    told = f"{size} values, which every call is held against; at most {PARAMETER_VALUES_MAX}"
                    yield draft.fault(told, ("parameters", path))
                yield from _flat_properties(draft, definitions, ("parameters", path))


def _flat_properties(draft: Draft, definitions: Raw, steps: Steps) -> Iterator[Fault]:
    """JSON Schema allows `true` for a definition; a form could not be drawn from it."""
    for name, definition in definitions.items():
        here = (*steps, name)
        if not isinstance(definition, Mapping):
            yield draft.fault("not a definition; write `{type: …, description: …}`", here)
        elif not isinstance(definition.get("properties", {}), Mapping):
            yield draft.fault("not `name: definition` lines", (*here, "properties"))
        elif "properties" in definition:
            yield from _flat_properties(draft, definition["properties"], (*here, "properties"))


def _size(value: Any) -> int:
    """How many values stand in `value`, itself included."""
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inside))


def _dotted(steps: Steps) -> str:
    text = ""
    for step in steps:
        name = f"[{step}]" if isinstance(step, int) else step[:SHOWN_CHARACTERS_MAX]
        text += f".{name}" if text and isinstance(step, str) else name
    return text


def _nearest_name(name: str, steps: Steps) -> str:
    known = _known_names(steps)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
    return f"there is no such name here; {hint}"


@cache
def _fields(struct: type[msgspec.Struct]) -> list[str]:
    return list(get_type_hints(struct))


def _known_names(steps: Steps) -> list[str]:
    names = [step for step in steps if isinstance(step, str)]
    if names[:1] == ["capabilities"]:
        return _fields(Capabilities)
    if names[:1] == ["sources"]:
        return _fields(Source)
    if names[:1] in (["prices"], ["later_prices"]):
        return _fields(Tier) if "tiers" in names else _fields(Prices)
    return ["family", *_fields(Card)]
