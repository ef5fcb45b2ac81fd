"""Where the members of a JSON object stand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.conversation.errors import CallError
from modelway.protocols.members import DEPTH_MAX, depth_exceeds, replaced, spans

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(), VALUES, max_size=5), indent=st.sampled_from([-1, 0, 2]))
def test_every_member_is_found_where_it_stands(value: dict[str, Any], indent: int) -> None:
    body = msgspec.json.format(msgspec.json.encode(value), indent=indent)
    found = spans(body)

    assert list(found) == list(value)
    assert {name: msgspec.json.decode(body[begin:end]) for name, (begin, end) in found.items()} == value


@given(value=st.dictionaries(st.text(), VALUES, min_size=1, max_size=4), data=st.data())
def test_a_doubled_name_is_refused_wherever_it_stands(value: dict[str, Any], data: st.DataObject) -> None:
    members = [(name, msgspec.json.encode(inner)) for name, inner in value.items()]
    name = data.draw(st.sampled_from([name for name, _ in members]))
    members.insert(data.draw(st.integers(0, len(members))), (name, msgspec.json.encode(data.draw(VALUES))))
    body = b"{" + b",".join(msgspec.json.encode(name) + b":" + text for name, text in members) + b"}"

    with pytest.raises(CallError, match="twice"):
        spans(body)


@given(depth=st.integers(1, 130), kinds=st.lists(st.booleans(), min_size=130, max_size=130))
def test_depth_is_counted_through_lists_and_objects(depth: int, kinds: list[bool]) -> None:
    value: Any = '[[[{{{\\"[['
    for kind in kinds[:depth]:
        value = [value] if kind else {"[": value}

    assert depth_exceeds(msgspec.json.encode(value), DEPTH_MAX) is (depth > DEPTH_MAX)


def test_one_value_is_replaced_and_the_rest_stays() -> None:
    body = b'{"a": 1e400,  "b": [ 2 ]}'

    assert replaced(body, spans(body)["b"], b"3") == b'{"a": 1e400,  "b": 3}'


def test_text_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(CallError):
        spans(b'{"a":"\xff"}')
