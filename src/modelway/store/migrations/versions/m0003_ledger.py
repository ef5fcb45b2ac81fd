"""The ledger: what accounts have and owe, calls in flight, spending limits, idempotency keys, alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _extend()
    _create_ledger()
    _create_limits()
    op.create_table(
        "idempotency",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("headers", sa.LargeBinary()),
        sa.Column("body", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("account_id", "endpoint", "key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_at_ms", "idempotency", ["created_at_ms"])
    op.create_index("ix_idempotency_request_id", "idempotency", ["request_id"])
    _keep_entries_as_they_are()


def _extend() -> None:
    """Columns with defaults: the release before this one goes on writing the tables without them."""
    with op.batch_alter_table("accounts") as table:
        table.add_column(sa.Column("billing", sa.Text(), nullable=False, server_default="postpaid"))
        table.add_column(sa.Column("limit_nano_usd", sa.BigInteger()))
        for name in ("credit_nano_usd", "posted_nano_usd", "held_nano_usd"):
            table.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("usage") as table:
        table.add_column(sa.Column("member_id", sa.Text()))
        table.add_column(sa.Column("price_version", sa.Text()))
        for name in ("audio_input_tokens", "audio_output_tokens", "web_searches"):
            table.add_column(sa.Column(name, sa.BigInteger()))
    with op.batch_alter_table("keys") as table:
        table.add_column(sa.Column("kind", sa.Text(), nullable=False, server_default="api"))
        table.add_column(sa.Column("endpoints", sa.JSON(none_as_null=True)))
        table.add_column(sa.Column("addresses", sa.JSON(none_as_null=True)))
        table.add_column(sa.Column("replaces_id", sa.Text()))


def _create_ledger() -> None:
    op.create_table(
        "entries",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempt_id", sa.Text()),
        sa.Column("reference", sa.Text()),
        sa.Column("key_id", sa.Text()),
        sa.Column("member_id", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("price_version", sa.Text()),
        sa.Column("note", sa.Text()),
        sa.PrimaryKeyConstraint("account_id", "id", name="pk_entries"),
        sa.UniqueConstraint("attempt_id", "kind", name="uq_entries_attempt_id_kind"),
        sa.CheckConstraint("amount_nano_usd >= 0", name="ck_entries_amount"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "holds",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Text()),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("amount_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("caps", sa.Text(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("price_version", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_holds"),
        sa.CheckConstraint("amount_nano_usd >= 0", name="ck_holds_amount"),
        sqlite_with_rowid=False,
    )
    _create_beside_the_ledger()


def _create_beside_the_ledger() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_table(
        "prices",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("first_used_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_prices"),
    )
    op.create_table(
        "vouchers",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("masked", sa.Text(), nullable=False),
        sa.Column("amount_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger()),
        sa.Column("redeemed_at_ms", sa.BigInteger()),
        sa.Column("redeemed_by", sa.Text()),
        sa.PrimaryKeyConstraint("digest", name="pk_vouchers"),
    )


def _create_limits() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("resets", sa.Text(), nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("alerts", sa.JSON(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("removed_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_budgets"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_budgets_account_id"),
    )
    op.create_index("ix_budgets_account_id", "budgets", ["account_id"])
    op.create_table(
        "cap_windows",
        sa.Column("cap_id", sa.Text(), nullable=False),
        sa.Column("window_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("posted_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("held_nano_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cap_id", "window_start_ms", name="pk_cap_windows"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("window_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("spent_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at_ms", sa.BigInteger()),
        sa.Column("delivered_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.UniqueConstraint(
            "budget_id", "window_start_ms", "percent", name="uq_alerts_budget_id_window_start_ms_percent"
        ),
    )
    op.create_index("ix_alerts_next_try_at_ms", "alerts", ["next_try_at_ms"])


def _keep_entries_as_they_are() -> None:
    """The database itself refuses to change a line of the ledger, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER entries_no_{verb.lower()} BEFORE {verb} ON entries "
                "BEGIN SELECT RAISE(ABORT, 'a line of the ledger is never changed'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION entries_are_kept() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'a line of the ledger is never changed'; END$$"
    )
    op.execute(
        "CREATE TRIGGER entries_no_change BEFORE UPDATE OR DELETE ON entries "
        "FOR EACH ROW EXECUTE FUNCTION entries_are_kept()"
    )
