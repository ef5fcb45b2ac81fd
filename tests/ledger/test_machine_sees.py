"""The stateful test can fail: it finds each of these ways to break the ledger by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Connection, bindparam

from modelway.store import entries
from modelway.store.entries import Cap
from modelway.store.schema import accounts
from modelway.store.statements import Prepared
from tests.ledger import test_machine
from tests.ledger.test_broken_variants import _taken_without_deleting

UNGUARDED = Prepared(lambda _: entries._HELD_MORE.where(accounts.c.id == bindparam("account")))
hold_cap = entries._hold_cap


def _hold_any_cap(connection: Connection, cap: Cap, amount: int) -> bool:
    return hold_cap(connection, cap._replace(limit_nano_usd=2**62), amount)


VARIANTS: dict[str, tuple[object, str, Any]] = {
    "a balance that is not asked": (entries, "_HOLD_LIMITED", UNGUARDED),
    "a limit that is not asked": (entries, "_hold_cap", _hold_any_cap),
    "a hold that stays when its call is over": (entries, "_take_holds", _taken_without_deleting),
    "a charge beyond the hold": (entries, "_charged", lambda each, _: each.cost_nano_usd),
    "a recovery that does nothing": (test_machine, "recover", lambda *_: 0),
    "a checkpoint that is not written": (test_machine, "checkpoint", lambda *_: None),
}
SEARCH = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],  # that it is found is enough; how short it can be is not asked
)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_model_sees_what_is_broken(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*VARIANTS[variant])

    with pytest.raises(AssertionError):
        run_state_machine_as_test(test_machine.Books, settings=SEARCH)
