"""Money in and out of accounts, and limits on what is spent: the rules, once, for everybody who asks."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace

from modelway.accounts.keys import RANDOM_BYTES, mint_voucher
from modelway.accounts.money import format_usd
from modelway.conversation.errors import CallError
from modelway.manage.ids import SYSTEM, Source
from modelway.manage.names import parse_reference
from modelway.manage.trail import note as write_down
from modelway.store import entries, people, settings, vouchers
from modelway.store.database import Connection, Database
from modelway.store.entries import CASH, REVENUE, Entry
from modelway.store.people import Account, Billing, Money

AMOUNT_NANO_USD_MAX = 10**16  # ten million dollars: more at once is a slip of the finger
NOTE_CHARACTERS_MAX = 500
ONCE_CHARACTERS_MAX = 255  # as Stripe takes; a UUID is 36


@dataclass(frozen=True, slots=True)
class Statement:
    """An account and what it has."""

    account: Account
    money: Money


@dataclass(frozen=True, slots=True)
class NewVoucher:
    """A voucher that was just made: `text` is shown to whoever asked, once, and is kept nowhere."""

    text: str
    masked: str
    amount_nano_usd: int
    expires_at_ms: int | None

    def __repr__(self) -> str:
        return f"NewVoucher({self.masked!r}, {self.amount_nano_usd})"  # never the text: reprs end up in logs


async def show(database: Database, account: str) -> Statement:
    """The account of that name or id. Raises CallError: not_found, unavailable."""

    def query(connection: Connection) -> Statement:
        found = find_account(connection, account)
        return Statement(found, people.money_of(connection, found.id))

    return await database.read(query)


async def top_up(
    database: Database,
    account: str,
    amount_nano_usd: int,
    note: str | None = None,
    source: Source = SYSTEM,
    once: str | None = None,
) -> Entry:
    """Put money in; on the disk when this returns. Raises CallError: invalid, not_found, unavailable.

    `once` is whatever the caller names this payment by: asked again under the same name, the same line is
    the answer and nothing moves. So for `withdraw` and `refund`.
    """
    _check_amount(amount_nano_usd)

    def change(connection: Connection) -> Entry:
        found = find_account(connection, account)
        entry = _incoming(source, found.id, "top_up", amount_nano_usd, note=_note(note), once=once)
        if (repeated := _repeated(connection, entry)) is not None:
            return repeated
        entries.move_credit(connection, entry)
        _write_down(connection, source, entry)
        return entry

    return await database.write(change)


async def withdraw(
    database: Database,
    account: str,
    amount_nano_usd: int,
    note: str | None = None,
    source: Source = SYSTEM,
    once: str | None = None,
) -> Entry:
    """Take money out again: only what is neither spent nor held."""
    _check_amount(amount_nano_usd)

    def change(connection: Connection) -> Entry:
        found = find_account(connection, account)
        entry = replace_sides(
            _incoming(source, found.id, "withdrawal", amount_nano_usd, note=_note(note), once=once)
        )
        if (repeated := _repeated(connection, entry)) is not None:
            return repeated
        if not entries.move_credit(connection, entry):
            raise CallError(
                "conflict",
                f"account {found.name!r} has less than {format_usd(amount_nano_usd)} USD that are neither "
                "spent nor held",
                param="usd",
            )
        _write_down(connection, source, entry)
        return entry

    return await database.write(change)


async def refund(
    database: Database,
    account: str,
    entry_id: str,
    amount_nano_usd: int | None = None,
    note: str | None = None,
    source: Source = SYSTEM,
    once: str | None = None,
) -> Entry:
    """Give back a charge, or a part of it, as a new entry; the charge itself stays as it is.

    Raises CallError: not_found, conflict (more than was charged, all refunds together), invalid.
    """
    parse_reference(entry_id, "entry")
    if amount_nano_usd is not None:
        _check_amount(amount_nano_usd)

    def change(connection: Connection) -> Entry:
        charged = entries.find_entry(connection, find_account(connection, account).id, entry_id)
        if charged is None or charged.kind not in ("charge", "estimate"):
            raise CallError("not_found", f"there is no charge {entry_id!r}", param="entry")
        entries.lock_account(connection, charged.account_id)
        left = charged.amount_nano_usd - entries.refunded(connection, charged)
        amount = left if amount_nano_usd is None else amount_nano_usd
        entry = _incoming(
            source,
            charged.account_id,
            "refund",
            amount,
            debit=REVENUE,
            reference=entry_id,
            note=_note(note),
            once=once,
        )
        if (repeated := _repeated(connection, entry, any_amount=amount_nano_usd is None)) is not None:
            return repeated
        if not 0 < amount <= left:
            raise CallError(
                "conflict", f"of charge {entry_id!r}, {format_usd(left)} USD can be refunded", param="usd"
            )
        entries.move_credit(connection, entry)
        _write_down(connection, source, entry)
        return entry

    return await database.write(change)


async def create_voucher(
    database: Database,
    secret: bytes,
    amount_nano_usd: int,
    expires_at_ms: int | None = None,
    source: Source = SYSTEM,
) -> NewVoucher:
    """A text that is worth money to whoever redeems it first."""
    _check_amount(amount_nano_usd)
    now_ms = source.now_ms()
    if expires_at_ms is not None and expires_at_ms <= now_ms:
        raise CallError.invalid("the voucher would have expired before it is made", param="expires_at")
    text = mint_voucher(source.random_bytes(RANDOM_BYTES))
    voucher = NewVoucher(text, f"{text[:8]}…{text[-4:]}", amount_nano_usd, expires_at_ms)

    def change(connection: Connection) -> NewVoucher:
        row = vouchers.Voucher(
            _voucher_digest(secret, text), voucher.masked, amount_nano_usd, now_ms, expires_at_ms
        )
        vouchers.add(connection, row)
        owner = settings.get(connection, settings.OWNER_ACCOUNT_ID) or ""
        details = {"usd": format_usd(amount_nano_usd), "expires_at_ms": expires_at_ms}
        write_down(connection, source, owner, "voucher.create", voucher.masked, **details)
        return voucher

    return await database.write(change)


async def redeem_voucher(
    database: Database, secret: bytes, account: str, text: str, source: Source = SYSTEM
) -> Entry:
    """Turn a voucher into credit, once. Unknown, expired and redeemed vouchers all get the same answer."""
    digest = _voucher_digest(secret, text.strip())

    def change(connection: Connection) -> Entry:
        found = find_account(connection, account)
        voucher = vouchers.redeem(connection, digest, found.id, source.now_ms())
        if voucher is None:
            raise CallError("not_found", "this voucher is not valid here", param="voucher")
        entry = _incoming(source, found.id, "voucher", voucher.amount_nano_usd, reference=voucher.masked)
        entries.move_credit(connection, entry)
        _write_down(connection, source, entry)
        return entry

    return await database.write(change)


async def change_terms(
    database: Database, account: str, billing: Billing, limit_nano_usd: int | None, source: Source = SYSTEM
) -> Account:
    """Make an account prepaid (no limit is given then) or postpaid with this limit (None: none)."""
    billing, limit = checked_terms(billing, limit_nano_usd)

    def change(connection: Connection) -> Account:
        found = find_account(connection, account)
        people.change_terms(connection, found.id, billing, limit)
        details = {"billing": billing, "limit_nano_usd": limit}
        write_down(connection, source, found.id, "account.terms", found.id, **details)
        return replace(found, billing=billing, limit_nano_usd=limit)

    return await database.write(change)


def checked_terms(billing: Billing, limit_nano_usd: int | None) -> tuple[Billing, int | None]:
    """A prepaid account owes nothing: its limit is 0, and another is a contradiction."""
    if billing == "prepaid":
        if limit_nano_usd:
            raise CallError.invalid(
                "a prepaid account spends what was put in; a limit is for a postpaid one", param="limit_usd"
            )
        return billing, 0
    if limit_nano_usd is not None and limit_nano_usd < 0:
        raise CallError.invalid("an account's limit is 0 USD or more", param="limit_usd")
    return billing, limit_nano_usd


def find_account(connection: Connection, name_or_id: str) -> Account:
    """Raises CallError("not_found")."""
    account = people.find_account(connection, parse_reference(name_or_id, "account"))
    if account is None:
        raise CallError("not_found", f"there is no account {name_or_id!r}", param="account")
    return account


def _incoming(
    source: Source,
    account_id: str,
    kind: str,
    amount: int,
    *,
    debit: str = CASH,
    reference: str | None = None,
    note: str | None = None,
    once: str | None = None,
) -> Entry:
    if once is not None and (not 0 < len(once) <= ONCE_CHARACTERS_MAX or not once.isprintable()):
        raise CallError.invalid(
            f"{once[:40]!r} names no payment; 1 to {ONCE_CHARACTERS_MAX} printable characters do",
            param="idempotency-key",
        )
    return Entry(
        id=source.new_id("ent"),
        account_id=account_id,
        kind=kind,
        debit=debit,
        credit=account_id,
        amount_nano_usd=amount,
        created_at_ms=source.now_ms(),
        attempt_id=None if once is None else f"{account_id}/{once}",
        reference=reference,
        note=note,
    )


def _repeated(connection: Connection, entry: Entry, *, any_amount: bool = False) -> Entry | None:
    """The line that was made when this was asked first, if it was; 422 if that was something else."""
    if entry.attempt_id is None:
        return None
    entries.lock_account(connection, entry.account_id)
    made = entries.find_repeat(connection, entry.account_id, entry.attempt_id)
    if made is None:
        return None
    same = (made.kind, made.reference) == (entry.kind, entry.reference)
    if same and (any_amount or made.amount_nano_usd == entry.amount_nano_usd):
        return made
    raise CallError(
        "idempotency_mismatch",
        f"this Idempotency-Key was used for {format_usd(made.amount_nano_usd)} USD ({made.kind}); "
        "use another for another payment",
        param="idempotency-key",
    )


def replace_sides(entry: Entry) -> Entry:
    """The same amount the other way."""
    return entry._replace(debit=entry.credit, credit=entry.debit)


def _write_down(connection: Connection, source: Source, entry: Entry) -> None:
    details = {"usd": format_usd(entry.amount_nano_usd), "reference": entry.reference, "note": entry.note}
    write_down(connection, source, entry.account_id, f"money.{entry.kind}", entry.id, **details)


def _check_amount(amount_nano_usd: int) -> None:
    if not 0 < amount_nano_usd <= AMOUNT_NANO_USD_MAX:
        raise CallError.invalid(
            f"{format_usd(amount_nano_usd)} USD is no amount to move; more than 0 and at most "
            f"{format_usd(AMOUNT_NANO_USD_MAX)} USD is",
            param="usd",
        )


def _note(text: str | None) -> str | None:
    if text is None:
        return None
    if len(text) > NOTE_CHARACTERS_MAX or not text.isprintable():
        raise CallError.invalid(
            f"a note is one line of at most {NOTE_CHARACTERS_MAX} characters", param="note"
        )
    return text


def _voucher_digest(secret: bytes, text: str) -> bytes:
    # Its own prefix: a voucher and a key that read alike have nothing in common.
    return hmac.digest(secret, b"voucher\0" + text.encode("utf-8", "surrogatepass"), "sha256")
