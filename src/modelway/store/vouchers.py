"""Vouchers: rows in, redeemed once."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, insert, or_, update

from modelway.store.schema import vouchers


class Voucher(NamedTuple):
    """`digest` is the HMAC of its text, which is kept nowhere."""

    digest: bytes
    masked: str
    amount_nano_usd: int
    created_at_ms: int
    expires_at_ms: int | None = None


def add(connection: Connection, voucher: Voucher) -> None:
    connection.execute(insert(vouchers).values(voucher._asdict()))


def redeem(connection: Connection, digest: bytes, account_id: str, now_ms: int) -> Voucher | None:
    """Mark it as redeemed; None if there is none such, it has expired, or somebody was faster."""
    columns = [vouchers.c[name] for name in Voucher._fields]
    taken = (
        update(vouchers)
        .where(
            vouchers.c.digest == digest,
            vouchers.c.redeemed_at_ms.is_(None),
            or_(vouchers.c.expires_at_ms.is_(None), vouchers.c.expires_at_ms > now_ms),
        )
        .values(redeemed_at_ms=now_ms, redeemed_by=account_id)
        .returning(*columns)
    )
    row = connection.execute(taken).first()
    return None if row is None else Voucher(*row)
