"""Any order of holding, settling, dying and paying leaves books that agree, and with a small model."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from modelway.store.audit import audit
from modelway.store.entries import (
    CASH,
    Cap,
    Entry,
    Hold,
    Settlement,
    caps_text,
    checkpoint,
    move_credit,
    open_guarded,
    settle,
)
from modelway.store.leases import recover
from modelway.store.people import Account, add_account, money_of
from modelway.store.schema import metadata
from modelway.store.usage_rows import add
from tests.store.rows import usage_row

ACCOUNT = "acct_1"
CAP_NANO_USD = 600
amounts = st.integers(0, 300)


@dataclass
class Model:
    """The same money in a few numbers."""

    credit: int = 0
    posted: int = 0
    capped: int = 0
    open: dict[str, int] = field(default_factory=dict)  # attempt id → amount
    seen: dict[str, int] = field(default_factory=dict)  # attempt id → cost at its last checkpoint

    @property
    def held(self) -> int:
        return sum(self.open.values())

    def end(self, attempt_id: str, cost: int) -> None:
        charge = min(cost, self.open.pop(attempt_id))
        self.posted += charge
        self.capped += charge


class Books(RuleBasedStateMachine):
    calls = Bundle("calls")
    over = Bundle("over")

    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        self.connection = self.engine.connect()
        metadata.create_all(self.connection)
        add_account(self.connection, Account(ACCOUNT, "us", 0, "prepaid", 0))
        self.model = Model()
        self.number = 0
        self.worker = 0

    def teardown(self) -> None:
        self.connection.close()
        self.engine.dispose()

    def next_id(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}_{self.number:06d}"

    def ended(self, attempt_id: str, cost: int) -> None:
        line = Settlement(
            f"ent_{attempt_id.removeprefix('req_')}",
            attempt_id,
            ACCOUNT,
            "key_1",
            None,
            "charge",
            cost,
            1,
            "small",
            "v1",
        )
        settle(self.connection, [line])
        row = usage_row(0, request_id=attempt_id, account_id=ACCOUNT, cost_nano_usd=cost)
        add(self.connection, [row])

    @rule(amount=st.integers(1, 500))
    def top_up(self, amount: int) -> None:
        entry = Entry(ACCOUNT, self.next_id("ent_t"), "top_up", CASH, ACCOUNT, amount, 1)
        assert move_credit(self.connection, entry)
        self.model.credit += amount

    @rule(amount=st.integers(1, 500))
    def withdraw(self, amount: int) -> None:
        entry = Entry(ACCOUNT, self.next_id("ent_w"), "withdrawal", ACCOUNT, CASH, amount, 1)
        possible = self.model.credit - self.model.posted - self.model.held >= amount
        assert move_credit(self.connection, entry) is possible
        self.model.credit -= amount if possible else 0

    @rule(target=calls, amount=amounts)
    def begin(self, amount: int) -> object:
        cap = Cap("key_1", 0, CAP_NANO_USD)
        attempt = self.next_id("req")
        opened = Hold(
            attempt,
            ACCOUNT,
            "key_1",
            None,
            f"wrk_{self.worker}",
            amount,
            caps_text([cap]),
            0,
            "chat",
            "small",
            True,
            "v1",
        )
        model = self.model
        if model.credit - model.posted - model.held < amount:
            expected: str | None = ACCOUNT
        else:
            expected = "key_1" if model.capped + model.held + amount > CAP_NANO_USD else None
        assert open_guarded(self.connection, opened, [cap]) == expected
        if expected is not None:
            return multiple()
        model.open[attempt] = amount
        return attempt

    @rule(attempt=calls, cost=amounts)
    def note_progress(self, attempt: str, cost: int) -> None:
        checkpoint(self.connection, [(1, 1, cost, attempt)])
        if attempt in self.model.open:
            self.model.seen[attempt] = cost

    @rule(target=over, attempt=consumes(calls), cost=amounts)
    def end(self, attempt: str, cost: int) -> object:
        if attempt not in self.model.open:
            return multiple()
        self.ended(attempt, cost)
        self.model.end(attempt, cost)
        return multiple((attempt, cost))

    @rule(ended=over)
    def end_again(self, ended: tuple[str, int]) -> None:
        self.ended(*ended)

    @rule()
    def die(self) -> None:
        """Another worker starts and resolves what this one held."""
        self.worker += 1
        recover(self.connection, f"wrk_{self.worker}", 5)
        for attempt in list(self.model.open):
            self.model.end(attempt, self.model.seen.get(attempt, 0))

    @invariant()
    def the_books_agree(self) -> None:
        assert audit(self.connection) == []

    @invariant()
    def the_model_agrees(self) -> None:
        money, model = money_of(self.connection, ACCOUNT), self.model
        assert (money.credit_nano_usd, money.posted_nano_usd, money.held_nano_usd) == (
            model.credit,
            model.posted,
            model.held,
        )


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBooks = Books.TestCase
