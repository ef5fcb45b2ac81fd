"""Money in and out of accounts: `/v1/billing/top-ups`, withdrawals, refunds, vouchers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from msgspec import Meta, Struct

from modelway.api.management import AnyAccount, Asked, Managed
from modelway.api.reading import Moment, Usd, epoch_ms, moment, nano_usd, usd
from modelway.manage import money as manage
from modelway.manage.ids import Source
from modelway.store.database import Database
from modelway.store.entries import Entry

# Database, account, nano-dollars, note, who asks, and the name that makes it move once.
Move = Callable[[Database, str, int, str | None, Source, str | None], Awaitable[Entry]]
Amount = Annotated[Usd, Meta(description="How much, in USD.")]
Note = Annotated[str | None, Meta(description="One line for the statement.")]
ONCE = "With an `Idempotency-Key` header, repeating it moves nothing twice."


class MoveBody(Struct, frozen=True, forbid_unknown_fields=True):
    """An amount for, or from, an account."""

    account: Annotated[str, Meta(description="Its name or id.")]
    usd: Amount
    note: Note = None


class RefundBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A charge to give back."""

    account: Annotated[str, Meta(description="Its name or id.")]
    transaction_id: Annotated[str, Meta(description="The charge.")]
    usd: Annotated[Usd | None, Meta(description="A part of it; null: what is left of it.")] = None
    note: Note = None


class VoucherBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A voucher to be made."""

    usd: Amount
    expires_at: Moment | None = None


class RedeemBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A voucher to be turned into credit."""

    voucher: Annotated[str, Meta(description="Its text.")]
    account: AnyAccount = None


async def top_up(asked: Asked) -> object:
    return await _moved(asked, manage.top_up)


async def withdraw(asked: Asked) -> object:
    return await _moved(asked, manage.withdraw)


async def _moved(asked: Asked, move: Move) -> object:
    body: MoveBody = asked.body
    entry = await move(
        asked.services.database,
        await asked.account_id(body.account),
        nano_usd(body.usd, "usd"),
        body.note,
        asked.source,
        asked.idempotency_key,
    )
    return entry_object(entry)


async def refund(asked: Asked) -> object:
    body: RefundBody = asked.body
    entry = await manage.refund(
        asked.services.database,
        await asked.account_id(body.account),
        body.transaction_id,
        None if body.usd is None else nano_usd(body.usd, "usd"),
        body.note,
        asked.source,
        asked.idempotency_key,
    )
    return entry_object(entry)


async def create_voucher(asked: Asked) -> object:
    body: VoucherBody = asked.body
    made = await manage.create_voucher(
        asked.services.database,
        asked.secret,
        nano_usd(body.usd, "usd"),
        None if body.expires_at is None else epoch_ms(body.expires_at, "expires_at"),
        asked.source,
    )
    return {
        "object": "voucher",
        "voucher": made.text,
        "masked": made.masked,
        "usd": usd(made.amount_nano_usd),
        "expires_at": moment(made.expires_at_ms),
    }


async def redeem_voucher(asked: Asked) -> object:
    body: RedeemBody = asked.body
    account = await asked.account_id(body.account)
    entry = await manage.redeem_voucher(
        asked.services.database, asked.secret, account, body.voucher, asked.source
    )
    return entry_object(entry)


def entry_object(entry: Entry) -> dict[str, object]:
    """A line of the statement, as it was just made."""
    return {
        "object": "transaction",
        "id": entry.id,
        "account_id": entry.account_id,
        "type": entry.kind,
        "direction": "in" if entry.credit == entry.account_id else "out",
        "amount_usd": usd(entry.amount_nano_usd),
        "reference_id": entry.reference,
        "note": entry.note,
        "created_at": moment(entry.created_at_ms),
    }


ROWS = (
    Managed(
        "POST", "/v1/billing/top-ups", "money:write", top_up, "Money", "Put money into an account",
        f"It is on the disk when this answers. {ONCE}", body=MoveBody, returns="Movement",
    ),
    Managed(
        "POST", "/v1/billing/withdrawals", "money:write", withdraw, "Money", "Take money out of an account",
        f"Only what is neither spent nor held. {ONCE}", body=MoveBody, returns="Movement",
    ),
    Managed(
        "POST", "/v1/billing/refunds", "money:write", refund, "Money", "Give back a charge",
        f"All of it or a part, as a new line. {ONCE}", body=RefundBody, returns="Movement",
    ),
    Managed(
        "POST", "/v1/billing/vouchers", "money:write", create_voucher, "Money", "Make a voucher",
        "The answer's `voucher` is its text, which is shown only now: worth its amount to whoever redeems it "
        "first.", body=VoucherBody, returns="Voucher",
    ),
    Managed(
        "POST", "/v1/billing/vouchers/redeem", "billing:write", redeem_voucher, "Money", "Redeem a voucher",
        "Once. Unknown, expired and redeemed vouchers all get the same answer.",
        body=RedeemBody, returns="Movement",
    ),
)  # fmt: skip
