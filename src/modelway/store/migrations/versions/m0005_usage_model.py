"""The configured model behind the name a call asked for: names move from model to model, bills do not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("usage", sa.Column("model", sa.Text()))
