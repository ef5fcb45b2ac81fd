"""A call's refunds are found from its charge, not by reading an account's whole statement."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    of_refunds = sa.text("kind = 'refund'")
    op.create_index(
        "ix_entries_refunds",
        "entries",
        ["reference"],
        sqlite_where=of_refunds,
        postgresql_where=of_refunds,
    )
