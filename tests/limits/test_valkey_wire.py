"""The protocol of Valkey: addresses, commands, answers in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.limits.valkey import (
    Address,
    AddressError,
    Away,
    Reply,
    _Partial,
    parse_address,
    read_reply,
    written,
)

ANSWERS: list[tuple[bytes, Reply]] = [
    (b":42\r\n", 42),
    (b":-1\r\n", -1),
    (b"+OK\r\n", b"OK"),
    (b"$5\r\nhe\r\no\r\n", b"he\r\no"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"*3\r\n:1\r\n$1\r\nx\r\n*1\r\n:2\r\n", [1, b"x", [2]]),
    (b"*0\r\n", []),
]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("valkey://localhost", Address("localhost")),
        ("redis://10.0.0.1:7000/3", Address("10.0.0.1", 7000, 3)),
        ("valkeys://us:p%40ss@v.example:6380/0", Address("v.example", 6380, 0, "us", "p@ss", tls=True)),
        ("valkey://:only@[::1]:1", Address("::1", 1, 0, None, "only")),
    ],
)
def test_an_address_says_where_and_how_to_enter(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "valkey://",
        "http://x",
        "valkey://x:port",
        "valkey://x/one",
        "valkey://x/70000",
        "valkey://x?tls=1",
        "x:1",
    ],
)
def test_what_is_no_address_is_refused_with_what_is_right_and_nothing_of_it(text: str) -> None:
    with pytest.raises(AddressError, match=r"valkey://127\.0\.0\.1:6379"):
        parse_address(text.replace("://x", "://:secret@x"))


def test_a_command_is_written_as_its_words() -> None:
    assert written((b"GET", b"a\r\nb")) == b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n"


@given(st.lists(st.sampled_from(ANSWERS), max_size=6), st.data())
def test_answers_are_read_however_their_bytes_are_cut(
    answers: list[tuple[bytes, Reply]], data: st.DataObject
) -> None:
    wire = b"".join(each for each, _ in answers)
    cut = data.draw(st.integers(0, len(wire)))
    found: list[Reply] = []
    kept, start = b"", 0
    for piece in (wire[:cut], wire[cut:]):
        kept, start = kept[start:] + piece, 0
        while start < len(kept):
            try:
                reply, start = read_reply(kept, start)
            except _Partial:
                break
            found.append(reply)

    assert found == [value for _, value in answers]


def test_an_error_is_an_answer_and_nonsense_is_none() -> None:
    reply, _ = read_reply(b"-ERR no\r\n", 0)
    assert str(reply) == "ERR no"
    with pytest.raises(Away, match=r"HTTP/1\.1"):
        read_reply(b"HTTP/1.1 400 Bad Request\r\n", 0)
