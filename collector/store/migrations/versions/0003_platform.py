"""The platform's own indicators: runs of sources are events, and more kinds are derived piece by piece."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_INDEXES = (
    ("collection", ("collector", "finished_at")),
    ("collection", ("collector", "revision")),
    ("deployment", ("repository",)),
    ("deployment", ("revision",)),
    ("doc_page", ("repository", "revision")),
    ("doc_page", ("revision",)),
    ("member", ("person", "revision")),
    ("member", ("revision",)),
    ("milestone", ("person", "revision")),
    ("milestone", ("revision",)),
    ("probe", ("service", "at")),
    ("probe", ("service", "revision")),
    ("self_service_attempt", ("journey", "revision")),
    ("self_service_attempt", ("native_id",)),
    ("self_service_attempt", ("url",)),
    ("ticket", ("queue", "revision")),
    ("ticket", ("journey", "revision")),
    ("ticket", ("revision",)),
    ("usage_event", ("capability", "at")),
    ("usage_event", ("capability", "revision")),
)


def upgrade() -> None:
    """Apply. What ran before left no event: only the last run of each source is known."""
    op.create_table(
        "event_collection",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("native_id", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("collector", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("stale_after_seconds", sa.Double(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0"),
    )
    for kind, columns in _INDEXES:
        op.create_index(f"ix_event_{kind}_{'_'.join(columns)}", f"event_{kind}", list(columns))
