"""Families are derived piece by piece: revisions of events, pieces of observations, restatements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KINDS = (
    *("change", "commit", "deployment", "doc_page", "incident", "member", "milestone", "pipeline_run", "probe"),
    *("review", "self_service_attempt", "survey_response", "ticket", "usage_event"),
)
_INDEXES = (
    ("change", ("repository", "revision")),
    ("change", ("url",)),
    ("commit", ("repository", "revision")),
    ("deployment", ("service", "finished_at")),
    ("deployment", ("service", "revision")),
    ("deployment", ("native_id",)),
    ("deployment", ("artifact",)),
    ("deployment", ("sha",)),
    ("deployment", ("url",)),
    ("incident", ("service", "revision")),
    ("pipeline_run", ("repository", "revision")),
    ("review", ("repository", "change_native_id")),
    ("review", ("repository", "revision")),
)


def upgrade() -> None:
    """Apply. Observations follow from the events: they are derived anew rather than moved."""
    for kind in _KINDS:
        op.add_column(f"event_{kind}", sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0"))
    for kind, columns in _INDEXES:
        op.create_index(f"ix_event_{kind}_{'_'.join(columns)}", f"event_{kind}", list(columns))
    op.execute("DELETE FROM observation")
    op.execute("DELETE FROM derivation")
    op.drop_table("series")
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("indicator", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, server_default=""),
        sa.UniqueConstraint("family", "scope", "indicator", "dimension", "service", "environment", "team", "source"),
    )
    op.create_table(
        "event_moved",
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("revision", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("left", sa.Text(), primary_key=True),
    )
    op.create_table(
        "piece",
        sa.Column("family", sa.Text(), primary_key=True),
        sa.Column("scope", sa.Text(), primary_key=True),
        sa.Column("definitions", sa.Text(), nullable=False),
        sa.Column("reads", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=True),
    )
    op.create_table(
        "restatement",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("restated_at", sa.BigInteger(), nullable=False),
        sa.Column("indicator", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("was", sa.Text(), nullable=False),
        sa.Column("now", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
    )
