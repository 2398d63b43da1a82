"""How a value is compared with a threshold. A leaf."""

from __future__ import annotations

from enum import StrEnum


class Operator(StrEnum):
    """How a value is compared with an objective's threshold to be good. OpenSLO `op`."""

    LTE = "lte"
    LT = "lt"
    GTE = "gte"
    GT = "gt"
