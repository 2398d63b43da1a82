"""Runs migrations on the connection that the store hands over; one transaction for all of them."""

from __future__ import annotations

from alembic import context

from collector.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
