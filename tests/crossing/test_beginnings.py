"""What shows at a glance that an answer says something is among what shows it at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.calls.beginning import _MOSTLY, _TELLING


@pytest.mark.parametrize("protocol", sorted(_TELLING))
@given(data=st.data())
def test_what_most_answers_hold_is_content(protocol: str, data: st.DataObject) -> None:
    found = data.draw(st.from_regex(_MOSTLY[protocol]))

    assert _TELLING[protocol].search(found)
