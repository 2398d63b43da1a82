"""In PostgreSQL the indexes of events are made with the first event of a kind. Those that are there stay."""

from __future__ import annotations

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply. Nothing changes: an older Paceline would not make what new stores lack until then, and refuses them."""
