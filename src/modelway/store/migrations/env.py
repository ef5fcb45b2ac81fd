"""What Alembic runs: the migrations, in the transaction that `store/migrate.py` opened."""

from __future__ import annotations

from alembic import context

from modelway.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most of a table; Alembic then copies it.
    render_as_batch=True,
    # All of them in one transaction that is not Alembic's: half of an update is worse than none.
    transactional_ddl=False,
)
context.run_migrations()
