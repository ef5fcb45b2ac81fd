"""The ledger's SQL: money set aside before a call, posted after it, put in and given back.

Every function is one transaction's work and keeps the invariants: an account's `credit`, `posted` and
`held` are the sums of its entries and holds, an attempt has one terminal entry, entries never change.
Whoever calls holds no money lock but those that are taken here, in one order: accounts by id, then caps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ClauseElement

from modelway.store.batches import LENGTHS, cut, insert_rows
from modelway.store.schema import accounts, cap_windows, entries, holds
from modelway.store.statements import Prepared, insert_for

CASH = "cash"  # what was paid in from outside
REVENUE = "revenue"  # what calls were charged
OVERRUN = "overrun"  # what a call cost beyond its hold: the operator's loss, never the customer's
# Notes on entries: written in a dead worker's stead, and what that worker had to say when it lived after all.
RECOVERED = "recovered"
LATE = "late"
# In the place of a hold's caps: nothing limits this call, so it is charged what it cost, hold or no hold.
UNLIMITED = "-"


class Cap(NamedTuple):
    """A limit that a call counts against: a key's own or a budget, in the window it is in now."""

    id: str
    window_start_ms: int
    limit_nano_usd: int


class Hold(NamedTuple):
    """Money set aside for one attempt; the fields are the columns of `schema.holds`, in order."""

    attempt_id: str
    account_id: str
    key_id: str
    member_id: str | None
    worker_id: str
    amount_nano_usd: int
    caps: str
    started_at_ms: int
    protocol: str
    model: str
    stream: bool
    price_version: str | None
    state: str = "sent"
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int = 0


class Entry(NamedTuple):
    """A line; the fields are the columns of `schema.entries`, in order."""

    account_id: str
    id: str
    kind: str
    debit: str
    credit: str
    amount_nano_usd: int
    created_at_ms: int
    attempt_id: str | None = None
    reference: str | None = None
    key_id: str | None = None
    member_id: str | None = None
    model: str | None = None
    price_version: str | None = None
    note: str | None = None


class Tried(NamedTuple):
    """A target that failed before another answered: an attempt of its own. The customer pays nothing for it;
    what its provider will ask is the operator's loss.
    """

    target: str
    cost_nano_usd: int = 0


class Settlement(NamedTuple):
    """How an attempt ended. `kind` is charge, estimate or void; `entry_id` a new sortable id."""

    entry_id: str
    attempt_id: str
    account_id: str
    key_id: str
    member_id: str | None
    kind: str
    cost_nano_usd: int
    ended_at_ms: int
    model: str
    price_version: str | None
    note: str | None = None
    tried: tuple[Tried, ...] = ()


def caps_text(caps: Iterable[Cap]) -> str:
    return " ".join(f"{cap.id}@{cap.window_start_ms}" for cap in caps)


def read_caps(text: str) -> list[tuple[str, int]]:
    if text == UNLIMITED:
        return []
    pairs = (each.rpartition("@") for each in text.split())
    return [(cap_id, int(start)) for cap_id, _, start in pairs]


# --- before a call ------------------------------------------------------------------------------


def open_unlimited(connection: Connection, opened: Sequence[Hold]) -> list[Hold]:
    """Open holds of accounts without a limit, many at once; the holds whose account has one after all."""
    sums: dict[str, int] = defaultdict(int)
    for hold in opened:
        sums[hold.account_id] += hold.amount_nano_usd
    limited = {
        account
        for account, amount in sorted(sums.items())
        if _HOLD_UNLIMITED.run(connection, {"account": account, "amount": amount}).rowcount != 1
    }
    insert_rows(connection, holds, [hold for hold in opened if hold.account_id not in limited])
    return [hold for hold in opened if hold.account_id in limited]


def open_guarded(connection: Connection, hold: Hold, caps: Sequence[Cap]) -> str | None:
    """Open one hold if account and caps can bear it; None, or the id of what cannot.

    Each step is one guarded statement: what it asks and what it changes are the same moment.
    """
    amount = hold.amount_nano_usd
    if _HOLD_LIMITED.run(connection, {"account": hold.account_id, "amount": amount}).rowcount != 1:
        return hold.account_id
    ordered = sorted(caps)
    for number, cap in enumerate(ordered):
        if not _hold_cap(connection, cap, amount):
            _give_back(connection, hold.account_id, ordered[:number], amount)
            return cap.id
    insert_rows(connection, holds, [hold])
    return None


_AVAILABLE = accounts.c.credit_nano_usd - accounts.c.posted_nano_usd - accounts.c.held_nano_usd
_HELD_MORE = update(accounts).values(held_nano_usd=accounts.c.held_nano_usd + bindparam("amount"))
_HOLD_UNLIMITED = Prepared(
    lambda _: _HELD_MORE.where(accounts.c.id == bindparam("account"), accounts.c.limit_nano_usd.is_(None))
)
_HOLD_LIMITED = Prepared(
    lambda _: _HELD_MORE.where(
        accounts.c.id == bindparam("account"),
        or_(
            accounts.c.limit_nano_usd.is_(None),
            _AVAILABLE + accounts.c.limit_nano_usd >= bindparam("amount"),
        ),
    )
)


def _hold_cap(connection: Connection, cap: Cap, amount: int) -> bool:
    if amount > cap.limit_nano_usd:
        return False
    values = {"cap": cap.id, "start": cap.window_start_ms, "amount": amount, "most": cap.limit_nano_usd}
    return bool(_HOLD_CAP.run(connection, values).rowcount == 1)


def _cap_held_more(dialect: str) -> ClauseElement:
    amount = bindparam("amount", type_=BigInteger)
    statement = insert_for(dialect, cap_windows).values(
        cap_id=bindparam("cap"),
        window_start_ms=bindparam("start"),
        posted_nano_usd=0,
        held_nano_usd=amount,
    )
    return statement.on_conflict_do_update(
        index_elements=[cap_windows.c.cap_id, cap_windows.c.window_start_ms],
        set_={"held_nano_usd": cap_windows.c.held_nano_usd + amount},
        where=cap_windows.c.posted_nano_usd + cap_windows.c.held_nano_usd + amount
        <= bindparam("most", type_=BigInteger),
    )


_HOLD_CAP = Prepared(_cap_held_more)


def _give_back(connection: Connection, account_id: str, caps: Sequence[Cap], amount: int) -> None:
    connection.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(held_nano_usd=accounts.c.held_nano_usd - amount)
    )
    for cap in caps:
        connection.execute(
            update(cap_windows)
            .where(cap_windows.c.cap_id == cap.id, cap_windows.c.window_start_ms == cap.window_start_ms)
            .values(held_nano_usd=cap_windows.c.held_nano_usd - amount)
        )


def checkpoint(connection: Connection, seen: Sequence[tuple[int, int, int, str]]) -> None:
    """Note what streams have cost so far: (input tokens, output tokens, cost, attempt id)."""
    statement = (
        update(holds)
        .where(holds.c.attempt_id == bindparam("attempt"))
        .values(
            state="streaming",
            input_tokens=bindparam("seen_input"),
            output_tokens=bindparam("seen_output"),
            cost_nano_usd=bindparam("seen_cost"),
        )
    )
    names = ("seen_input", "seen_output", "seen_cost", "attempt")
    connection.execute(statement, [dict(zip(names, row, strict=True)) for row in sorted(seen, key=_last)])


def _last(row: tuple[int, int, int, str]) -> str:
    return row[-1]


# --- after a call -------------------------------------------------------------------------------


def settle(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Resolve holds and write the entries; what was settled before is left alone, so twice is once.
    The caller has locked their accounts (`lock_accounts`).

    A settlement whose hold is gone was resolved by recovery (this worker was taken for dead) or never had
    one (it was refused while the request was on its way): see `_without_hold`.
    """
    held = _take_holds(connection, [each.attempt_id for each in settlements])
    resolved: list[Taken] = []
    missing: list[Settlement] = []
    lines: list[Entry] = []
    posted: dict[str, int] = defaultdict(int)
    capped: dict[tuple[str, int], int] = defaultdict(int)
    for each in settlements:
        hold = held.pop(each.attempt_id, None)
        if hold is None:
            missing.append(each)
            continue
        resolved.append(hold)
        charge = _charged(each, hold)
        posted[each.account_id] += charge
        for cap in read_caps(hold.caps):
            capped[cap] += charge
        lines += _lines(each, charge)
    insert_rows(connection, entries, lines)
    if missing:
        insert_rows(connection, entries, _without_hold(connection, missing, posted))
    _post(connection, resolved, posted, capped)


def _charged(each: Settlement, hold: Taken) -> int:
    """I5: where anything limits, no more is posted than was reserved."""
    return each.cost_nano_usd if hold.caps == UNLIMITED else min(each.cost_nano_usd, hold.amount_nano_usd)


def lock_accounts(connection: Connection, account_ids: set[str]) -> None:
    """One order for everybody: two workers that post to the same accounts never wait for each other."""
    if connection.dialect.name == "postgresql":
        statement = select(accounts.c.id).where(accounts.c.id.in_(account_ids)).order_by(accounts.c.id)
        connection.execute(statement.with_for_update()).all()


class Taken(NamedTuple):
    """What is left to know of a hold once it is resolved."""

    attempt_id: str
    account_id: str
    amount_nano_usd: int
    caps: str


def _taking(length: int) -> Prepared:
    attempts = [bindparam(f"attempt_{number}", type_=Text) for number in range(length)]
    statement = delete(holds).where(holds.c.attempt_id.in_(attempts))
    return Prepared(lambda _: statement.returning(*(holds.c[name] for name in Taken._fields)))


_TAKE = {length: _taking(length) for length in LENGTHS}


def _take_holds(connection: Connection, attempt_ids: Sequence[str]) -> dict[str, Taken]:
    taken: dict[str, Taken] = {}
    for some in cut(attempt_ids):
        values = {f"attempt_{number}": attempt for number, attempt in enumerate(some)}
        for row in _TAKE[len(some)].run(connection, values).fetchall():
            taken[row[0]] = Taken._make(row)
    return taken


def _lines(each: Settlement, charge: int) -> list[Entry]:
    line = Entry(
        each.account_id,
        each.entry_id,
        each.kind,
        each.account_id,
        REVENUE,
        charge,
        each.ended_at_ms,
        each.attempt_id,
        each.attempt_id,
        each.key_id,
        each.member_id,
        each.model,
        each.price_version,
        each.note,
    )
    lines = [line]
    surplus = each.cost_nano_usd - charge
    if surplus:
        lines.append(_overrun(line, surplus))
    for number, (target, cost) in enumerate(each.tried, start=1):
        attempt = f"{each.attempt_id}.{number}"
        void = line._replace(
            id=f"{line.id}.{number}", kind="void", amount_nano_usd=0, attempt_id=attempt, note=target
        )
        lines.append(void)
        if cost:
            lines.append(_overrun(void, cost))
    return lines


def _overrun(line: Entry, surplus: int) -> Entry:
    return line._replace(id=f"{line.id}o", kind="overrun", debit=OVERRUN, amount_nano_usd=surplus)


def _without_hold(
    connection: Connection, missing: Sequence[Settlement], posted: dict[str, int]
) -> list[Entry]:
    """What recovery estimated is corrected by the difference; what has no entry yet gets one.

    Nothing was held for the latter, so nothing is the customer's to pay: it is all overrun.
    """
    statement = select(entries.c.attempt_id, entries.c.kind, entries.c.amount_nano_usd).where(
        entries.c.attempt_id.in_([each.attempt_id for each in missing])
    )
    known: dict[str, dict[str, int]] = defaultdict(dict)
    for attempt_id, kind, amount in connection.execute(statement):
        known[attempt_id][kind] = amount
    lines: list[Entry] = []
    for each in missing:
        before = known.get(each.attempt_id)
        if before is None:
            lines += _lines(each, 0)
        elif each.note != RECOVERED and not before.keys() & {"charge", "overrun", "return"}:
            lines += _corrected(connection, each, sum(before.values()), posted)
    return lines


def _corrected(
    connection: Connection, each: Settlement, estimated: int, posted: dict[str, int]
) -> list[Entry]:
    """Less than recovery estimated goes back to the customer, as far as people have not given it back
    already; more is the operator's loss.
    """
    line = _lines(each._replace(tried=()), each.cost_nano_usd)[0]._replace(note=LATE)
    if each.cost_nano_usd > estimated:
        surplus = each.cost_nano_usd - estimated
        return [line._replace(kind="overrun", debit=OVERRUN, amount_nano_usd=surplus)]
    if each.cost_nano_usd < estimated:
        of_this_call = entries.c.attempt_id == each.attempt_id, entries.c.kind == "estimate"
        charged = Entry(*connection.execute(select(entries).where(*of_this_call)).one())
        over = estimated - max(each.cost_nano_usd, refunded(connection, charged))
        if not over:
            return []
        posted[each.account_id] -= over
        return [line._replace(kind="return", debit=REVENUE, credit=each.account_id, amount_nano_usd=over)]
    return []


def _post(
    connection: Connection,
    resolved: Iterable[Taken],
    posted: dict[str, int],
    capped: dict[tuple[str, int], int],
) -> None:
    released: dict[str, int] = defaultdict(int)
    cap_released: dict[tuple[str, int], int] = defaultdict(int)
    for hold in resolved:
        released[hold.account_id] += hold.amount_nano_usd
        for cap in read_caps(hold.caps):
            cap_released[cap] += hold.amount_nano_usd
    account_rows = [
        {"account": account, "released": released[account], "posted": posted[account]}
        for account in sorted({*released, *posted})
    ]
    if account_rows:
        _POST_ACCOUNT.run_many(connection, account_rows)
    cap_rows = [
        {"cap": cap, "start": start, "released": amount, "posted": capped[cap, start]}
        for (cap, start), amount in sorted(cap_released.items())
    ]
    if cap_rows:
        _POST_CAP.run_many(connection, cap_rows)


_POST_ACCOUNT = Prepared(
    lambda _: (
        update(accounts)
        .where(accounts.c.id == bindparam("account"))
        .values(
            held_nano_usd=accounts.c.held_nano_usd - bindparam("released"),
            posted_nano_usd=accounts.c.posted_nano_usd + bindparam("posted"),
        )
    )
)
_POST_CAP = Prepared(
    lambda _: (
        update(cap_windows)
        .where(cap_windows.c.cap_id == bindparam("cap"), cap_windows.c.window_start_ms == bindparam("start"))
        .values(
            held_nano_usd=cap_windows.c.held_nano_usd - bindparam("released"),
            posted_nano_usd=cap_windows.c.posted_nano_usd + bindparam("posted"),
        )
    )
)


# --- money in and out ---------------------------------------------------------------------------


def move_credit(connection: Connection, entry: Entry) -> bool:
    """Put money in (`credit` is the account) or take it out (`debit` is); False if there is too little.

    A withdrawal is guarded like a call: what is held or spent cannot be taken out.
    """
    comes_in = entry.credit == entry.account_id
    change = entry.amount_nano_usd if comes_in else -entry.amount_nano_usd
    enough: ColumnElement[bool] = _AVAILABLE + change >= 0
    statement = update(accounts).where(accounts.c.id == entry.account_id)
    if not comes_in:
        statement = statement.where(enough)
    moved = connection.execute(statement.values(credit_nano_usd=accounts.c.credit_nano_usd + change))
    if moved.rowcount != 1:
        return False
    connection.execute(insert(entries).values(entry._asdict()))
    return True


def lock_account(connection: Connection, account_id: str) -> None:
    """Until the transaction ends nobody else moves this account's money (SQLite has one writer anyway)."""
    lock_accounts(connection, {account_id})


def find_repeat(connection: Connection, account_id: str, attempt_id: str) -> Entry | None:
    """The line of an account that was made under this `attempt_id`; who asks holds `lock_account`."""
    statement = select(entries).where(entries.c.attempt_id == attempt_id, entries.c.account_id == account_id)
    row = connection.execute(statement).first()
    return None if row is None else Entry(*row)


def refunded(connection: Connection, charged: Entry) -> int:
    """How much of a charge was given back already, by people or by a worker that had been taken for dead."""
    given_back = or_(
        (entries.c.kind == "refund") & (entries.c.reference == charged.id),
        (entries.c.kind == "return") & (entries.c.attempt_id == charged.attempt_id),
    )
    statement = select(func.coalesce(func.sum(entries.c.amount_nano_usd), 0)).where(
        entries.c.account_id == charged.account_id, given_back
    )
    return int(connection.execute(statement).scalar_one())


def find_entry(connection: Connection, account_id: str, entry_id: str) -> Entry | None:
    statement = select(entries).where(entries.c.account_id == account_id, entries.c.id == entry_id)
    row = connection.execute(statement).first()
    return None if row is None else Entry(*row)
