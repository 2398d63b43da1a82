"""Who was erased, so that nothing of them is kept again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply. Nobody was erased before."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table("erased_person", sa.Column("mark", text, primary_key=True))
