"""From when on the events of a kind are kept, and how many were forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Apply. Everything was kept before."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "forgotten",
        sa.Column("kind", text, primary_key=True),
        sa.Column("before", sa.BigInteger, nullable=False),
        sa.Column("pruned", sa.BigInteger, nullable=False),
        sa.Column("ignored", sa.BigInteger, nullable=False),
    )
