"""How fast keys and accounts may go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for table in ("accounts", "keys"):
        op.add_column(table, sa.Column("rate_limits", sa.JSON(none_as_null=True)))
