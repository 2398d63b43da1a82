"""What a board shows does not depend on who scraped it: a replaced or a second Paceline has other labels."""

from __future__ import annotations

from typing import Any

import pytest
from boards import demo_boards

from dashboards.queries import annotation_queries, queries, result_labels

DOCUMENTS: list[dict[str, Any]] = [board.document for board in demo_boards()]


def scraped(_: str) -> frozenset[str]:
    """The labels of every metric: one that only a scrape adds."""
    return frozenset({"instance"})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d["uid"])
def test_a_series_is_shown_once_whoever_scraped_it(document: dict[str, Any]) -> None:
    """Every query says which labels it shows, so that a pod that is replaced begins no second line of a chart."""
    asked = (*queries(document), *annotation_queries(document))

    assert [(title, expr) for title, expr in asked if "instance" in (result_labels(expr, scraped) or ())] == []


def test_a_bare_metric_would_be_seen() -> None:
    """A query that shows whatever labels there are has those of a scrape."""
    assert result_labels('platform_x{slo="$slo"} > 0', scraped) == frozenset({"instance"})
