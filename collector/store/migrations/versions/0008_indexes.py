"""Fewer indexes of events: what answered nothing goes, and what is found by its id needs no other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_NAMED = ("deployment", "self_service_attempt")
_SELDOM_SET = (("deployment", ("artifact",)), ("ticket", ("journey", "revision")))
_UNUSED = (
    ("deployment", ("artifact",)),
    ("deployment", ("native_id",)),
    ("deployment", ("revision",)),
    ("member", ("person", "revision")),
    ("milestone", ("person", "revision")),
    ("self_service_attempt", ("native_id",)),
    ("ticket", ("journey", "revision")),
)


def upgrade() -> None:
    """Apply. Indexes go last: others read until then."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "event_source", sa.Column("kind", text, primary_key=True), sa.Column("source", text, primary_key=True)
    )
    for kind in _NAMED:
        op.execute(f"INSERT INTO event_source SELECT DISTINCT '{kind}', source FROM event_{kind}")  # noqa: S608 - two names that stand here
    for kind, columns in _SELDOM_SET:
        there = sa.text(f"{columns[0]} IS NOT NULL")
        name = f"{_name(kind, columns)}_set"
        op.create_index(name, f"event_{kind}", list(columns), sqlite_where=there, postgresql_where=there)
    for kind, columns in _UNUSED:
        op.drop_index(_name(kind, columns), f"event_{kind}")


def _name(kind: str, columns: tuple[str, ...]) -> str:
    return f"ix_event_{kind}_{'_'.join(columns)}"
