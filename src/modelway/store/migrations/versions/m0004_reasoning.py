"""Reasoning that Chat clients do not bring back, by the tool call it led to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "reasoning",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("layout", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "call_id", name="pk_reasoning"),
    )
    op.create_index("ix_reasoning_expires_at_ms", "reasoning", ["expires_at_ms"])
