"""One count for a key and those that took over from it, one after the other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("keys", sa.Column("first_id", sa.Text()))
    _name_the_first()
    _move_what_was_spent()


def _name_the_first() -> None:
    connection = op.get_bind()
    rotated = connection.execute(
        sa.text("SELECT id, replaces_id FROM keys WHERE replaces_id IS NOT NULL ORDER BY id")
    ).all()
    firsts: dict[str, str] = {}
    for key_id, replaces_id in rotated:  # ids sort by age, so what was taken over from came before
        firsts[key_id] = firsts.get(replaces_id, replaces_id)
    for key_id, first_id in firsts.items():
        named = {"first": first_id, "key": key_id}
        connection.execute(sa.text("UPDATE keys SET first_id = :first WHERE id = :key"), named)


def _move_what_was_spent() -> None:
    """Each key began its window with what the one before had spent in it: the most is the nearest."""
    op.execute(
        "INSERT INTO cap_windows (cap_id, window_start_ms, posted_nano_usd, held_nano_usd) "
        "SELECT keys.first_id, old.window_start_ms, max(old.posted_nano_usd), 0 "
        "FROM cap_windows AS old JOIN keys ON keys.id = old.cap_id "
        "WHERE keys.first_id IS NOT NULL GROUP BY keys.first_id, old.window_start_ms "
        "ON CONFLICT (cap_id, window_start_ms) DO UPDATE SET posted_nano_usd = CASE "
        "WHEN excluded.posted_nano_usd > cap_windows.posted_nano_usd "
        "THEN excluded.posted_nano_usd ELSE cap_windows.posted_nano_usd END"
    )
