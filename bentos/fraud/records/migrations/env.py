"""How alembic reaches the database: by the connection that :func:`bentos.fraud.records.database.upgrade` has made."""

from __future__ import annotations

from alembic import context

from bentos.fraud.records.metadata import METADATA

connection = context.config.attributes["connection"]
if connection.dialect.name == "sqlite":
    # All or nothing here too: alembic believes that SQLite cannot undo the making of a table.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
context.configure(
    connection=connection, target_metadata=METADATA, render_as_batch=True, transactional_ddl=True, compare_type=True
)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
