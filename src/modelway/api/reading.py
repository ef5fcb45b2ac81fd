"""Queries and bodies of the management paths, into typed values: what is unknown or wrong is named."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

from modelway.accounts.money import format_usd, parse_usd
from modelway.accounts.windows import as_text
from modelway.conversation.errors import CallError
from modelway.protocols.members import DEPTH_MAX, depth_exceeds

S = TypeVar("S", bound=Struct)

PARAMETERS_MAX = 100  # of a query; the filter with most values takes fifty
SHOWN_CHARACTERS_MAX = 80
# As text shows a moment: beyond the year 9999, in UTC, there is no writing it.
MOMENT_MS_MAX = 253_402_300_799_999
SECRET_FIELDS = frozenset({"voucher"})  # never shown, not even to whoever sent it

# A moment as RFC 3339 with its time zone, or as seconds since 1970.
Moment = Annotated[datetime, Meta(tz=True)] | Annotated[int, Meta(ge=0, le=253_402_300_799)]
# An amount as a decimal string, or as a number for those who have no finer one.
Usd = str | Annotated[float, Meta(ge=0)]

# PostgreSQL takes no NUL, a terminal no ESC; tabs and line ends stand in cards and in notes.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_AT = re.compile(r"(?s)(?P<says>.*?)(?: - at `\$\.?(?P<path>.*)`)?")
_MISSING = re.compile(r"missing required field `(\w+)`")
_UNKNOWN = re.compile(r"unknown field `(.+?)`")


class Nothing(Struct, frozen=True):
    """A query or body with nothing in it."""


def read_query(type_: type[S], query_string: bytes) -> S:
    """The query as `type_`; a field that is a list may be repeated, no other. Raises 400."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=PARAMETERS_MAX,
            errors="strict",
        )
    except ValueError:
        raise CallError.invalid(
            f"The query is no query: UTF-8 as %XX, and at most {PARAMETERS_MAX} parameters, are right"
        ) from None
    lists = _lists(type_)
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise CallError.invalid(f"`{name[:SHOWN_CHARACTERS_MAX]}` is given twice", param=_shown(name))
        else:
            given[name] = value
    return _converted(type_, given, strict=False)


def read_body(type_: type[S], body: bytes) -> S:
    """The body as `type_`. Raises 400."""
    try:
        given = msgspec.json.decode(body)
        deep = depth_exceeds(body, DEPTH_MAX)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CallError.invalid(f"The body is not JSON: {error}") from None
    if deep:
        raise CallError.invalid(f"The body nests deeper than {DEPTH_MAX} levels")
    if not isinstance(given, dict):
        raise CallError.invalid("The body must be a JSON object")
    return _converted(type_, given, strict=True)


def nano_usd(value: str | float, param: str) -> int:
    """An amount as it was written; a float's shortest spelling is what stood in the body."""
    return parse_usd(value if isinstance(value, str) else format(Decimal(str(value)), "f"), param)


def epoch_ms(moment: datetime | int, param: str) -> int:
    """Milliseconds since 1970. Raises 400 for what `moment` could not show."""
    ms = moment * 1000 if isinstance(moment, int) else round(moment.timestamp() * 1000)
    if not 0 <= ms <= MOMENT_MS_MAX:
        raise CallError.invalid(
            f"`{param}` is {moment}; a moment in the years 1970 to 9999 (in UTC) would be right", param=param
        )
    return ms


def usd(nano: int | None) -> str | None:
    """An amount as answers show it."""
    return None if nano is None else format_usd(nano)


def moment(ms: int | None) -> str | None:
    """A time as answers show it."""
    return None if ms is None else as_text(ms)


def _converted(type_: type[S], given: Mapping[str, Any], *, strict: bool) -> S:
    known = {field.encode_name for field in msgspec.structs.fields(type_)}
    for name in given:
        if name not in known:
            raise _unknown(name, known)
        _check_text(given[name], name)
    try:
        return msgspec.convert(given, type_, strict=strict)
    except msgspec.ValidationError as error:
        raise _explained(str(error), given) from None


def _check_text(value: object, param: str) -> None:
    """Return if no text in `value` has a control character in it, else raise."""
    match value:
        case str():
            if found := _CONTROL.search(value):
                character = f"U+{ord(found[0]):04X}"
                raise CallError.invalid(
                    f"`{param}` has the character {character} in it; text without it would be right",
                    param=param,
                )
        case list():
            for each in value:
                _check_text(each, param)
        case dict():
            for name, each in value.items():
                _check_text(name, param)
                _check_text(each, param)


def _unknown(name: str, known: set[str]) -> CallError:
    near = difflib.get_close_matches(name[:SHOWN_CHARACTERS_MAX], known, 1)
    there = f"there are {', '.join(f'`{each}`' for each in sorted(known))}" if known else "it takes none"
    hint = f"did you mean `{near[0]}`?" if near else there
    return CallError.invalid(
        f"there is no field `{_shown(name)}` here; {hint}", param=_shown(name), code="unknown_parameter"
    )


def _explained(text: str, given: Mapping[str, Any]) -> CallError:
    """msgspec's sentence with the value that was given, and where."""
    found = _AT.fullmatch(text)
    says, path = (found["says"], found["path"] or "") if found else (text, "")
    missing, unknown = _MISSING.search(says), _UNKNOWN.search(says)
    if missing:
        param = f"{path}.{missing[1]}".lstrip(".")
        return CallError.invalid(f"`{param}` is missing", param=param, code="missing_required_parameter")
    if unknown:
        param = f"{path}.{unknown[1]}".lstrip(".")
        return CallError.invalid(f"there is no field `{param}` here", param=param, code="unknown_parameter")
    value = given.get(path)
    shown = isinstance(value, str | int | float) and path not in SECRET_FIELDS
    received = f" (it is {_shown(repr(value))})" if shown else ""
    return CallError.invalid(
        f"`{path or 'body'}`{received}: {says[:1].lower()}{says[1:]}", param=path or None
    )


def _shown(text: str) -> str:
    return text[:SHOWN_CHARACTERS_MAX]


def _lists(type_: type[Struct]) -> set[str]:
    return {
        field.encode_name
        for field in msgspec.structs.fields(type_)
        if any(get_origin(each) in (tuple, list) for each in (field.type, *get_args(field.type)))
    }
