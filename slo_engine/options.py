"""What a person can set for a family of indicators. A leaf."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """The options of one family, in the settings under `indicators:` and the family's name.

    Every field has a default and a description: docs/settings.md is made of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
