"""Sources that ask APIs: what they cut off, delete and cost; webhooks that wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply.

    Commits that `git` read were known by their id alone, so that of two repositories that share them one lost them.
    They are read anew, and what rests on them is derived anew.
    """
    op.execute("DELETE FROM event_commit WHERE native_id = sha")
    for table in ("piece", "derivation"):
        op.execute(f"DELETE FROM {table}")  # noqa: S608 - two names that stand here
    for name in ("truncated_total", "removed_total", "requests_total"):
        op.add_column("source_run", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("source_run", sa.Column("truncations", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("source_run", sa.Column("failure", sa.Text(), nullable=True))
    op.add_column("source_run", sa.Column("quota", sa.Text(), nullable=False, server_default="{}"))
    op.create_table(
        "event_removed",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
    )
    op.create_table(
        "inbox",
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("delivery", sa.Text(), primary_key=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.LargeBinary(), nullable=True),
    )
    op.create_index("ix_inbox_waiting", "inbox", ["received_at"], sqlite_where=sa.text("events IS NOT NULL"))
