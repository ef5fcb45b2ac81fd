"""Queries and bodies: what is unknown or wrong is named, with what would be right."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from modelway.api.reading import Moment, Usd, epoch_ms, nano_usd, read_body, read_query
from modelway.conversation.errors import CallError


class Asked(Struct, frozen=True):
    """Of every kind of field one."""

    name: str
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    model: list[str] = []
    exact: bool = False
    limit_usd: Usd | None = None
    expires_at: Moment | None = None
    voucher: Annotated[str, Meta(max_length=3)] | None = None


def test_a_query_is_read_into_its_types() -> None:
    found = read_query(Asked, b"name=a%20b&limit=7&model=x&model=y&exact=true")

    assert found == Asked("a b", 7, ["x", "y"], True)


@pytest.mark.parametrize(
    ("query", "param", "said"),
    [
        (b"name=a&limt=7", "limt", "did you mean `limit`"),
        (b"name=a&zzz=7", "zzz", "there are `exact`"),
        (b"name=a&name=b", "name", "given twice"),
        (b"limit=7", "name", "`name` is missing"),
        (b"name=a&limit=0", "limit", "it is '0'"),
        (b"name=a&limit=many", "limit", "it is 'many'"),
        (b"name=%ff", None, "is no query"),
        (b"name=a%00", "name", r"U\+0000"),
        (b"name=a&model=x&model=%1b[2J", "model", r"U\+001B"),
        (b"&".join([b"model=x"] * 101), None, "at most 100 parameters"),
    ],
)
def test_a_wrong_query_is_a_400_that_names_the_parameter(query: bytes, param: str | None, said: str) -> None:
    with pytest.raises(CallError, match=said) as caught:
        read_query(Asked, query)
    assert caught.value.kind.name == "invalid"
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        (b'{"name": "a", "limits": 7}', "limits", "did you mean `limit`"),
        (b'{"name": 7}', "name", r"it is 7\): expected `str`"),
        (b'{"name": "a", "limit": "7"}', "limit", "expected `int`"),
        (b'{"name": "a", "expires_at": "2026-01-01T00:00:00"}', "expires_at", "timezone"),
        (b'{"name": "a", "model": [7]}', "model[0]", "expected `str`"),
        (b'{"name": "\\u0000"}', "name", r"U\+0000"),
        (b'{"name": "a", "model": ["x", "\\u007f"]}', "model", r"U\+007F"),
        (b'{"name": "a"', None, "is not JSON"),
        (b"[]", None, "JSON object"),
        (b'{"name": ' + b"[" * 500 + b"]" * 500 + b"}", None, "nests deeper"),
    ],
)
def test_a_wrong_body_is_a_400_that_names_the_field(body: bytes, param: str | None, said: str) -> None:
    with pytest.raises(CallError, match=said) as caught:
        read_body(Asked, body)
    assert caught.value.kind.name == "invalid"
    assert caught.value.param == param


def test_what_is_secret_is_not_shown() -> None:
    with pytest.raises(CallError) as caught:
        read_body(Asked, b'{"name": "a", "voucher": "mw-secret"}')

    assert "mw-secret" not in caught.value.message


def test_amounts_are_what_was_written() -> None:
    assert nano_usd("0.15", "usd") == nano_usd(0.15, "usd") == 150_000_000
    assert nano_usd(1e-9, "usd") == 1
    for wrong in ("1e3", 1e-10, 1e300, "-1"):
        with pytest.raises(CallError, match="is no amount in USD") as caught:
            nano_usd(wrong, "usd")
        assert caught.value.param == "usd"


def test_moments_are_milliseconds_since_1970() -> None:
    for written in (1_000, datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC)):
        assert epoch_ms(written, "expires_at") == 1_000_000


@pytest.mark.parametrize(
    "written", ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.9999Z", "1969-12-31T23:59:59Z"]
)
def test_a_moment_that_could_not_be_shown_is_a_400(written: str) -> None:
    body = read_body(Asked, b'{"name": "a", "expires_at": "%s"}' % written.encode())
    assert body.expires_at is not None
    with pytest.raises(CallError, match="1970 to 9999") as caught:
        epoch_ms(body.expires_at, "expires_at")
    assert caught.value.param == "expires_at"
