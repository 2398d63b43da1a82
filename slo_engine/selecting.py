"""Which units an SLO on an indicator counts. Pure."""

from __future__ import annotations

from collector.store import Series
from slo_engine.indicator import Indicator
from slo_engine.observation import label_values
from slo_engine.organisation import Organisation, levels
from slo_engine.slo import IndicatorSli


def takes_in(sli: IndicatorSli, indicator: Indicator, series: Series, organisation: Organisation) -> bool:
    """Whether an SLI counts the units of a series of its indicator: by service, environment, team and labels."""
    if sli.service not in ("", series.service) or sli.environment not in ("", series.environment):
        return False
    if sli.team and sli.team not in levels(series.team or organisation.team(series.service)):
        return sli.team == "/" and not (series.service or series.team)  # what names nobody is about the whole
    named = dict(zip(indicator.labels, label_values(series.dimension, len(indicator.labels)), strict=False))
    return all(named.get(label) == value for label, value in sli.labels)
