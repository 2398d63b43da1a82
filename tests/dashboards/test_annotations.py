"""Marks on charts: deployments, open incidents and exclusions, from published series."""

from __future__ import annotations

import pytest

from dashboards.annotations import deployments, exclusions, incidents
from dashboards.making import Making
from slo_engine.indicators import delivery

NOBODY = Making(indicators=())
DELIVERY = Making(indicators=tuple(delivery.FAMILY.indicators))


def test_a_deployment_is_marked_at_the_one_step_in_which_it_finished() -> None:
    """What is marked is the growth of the counter since the step before, so that none is told twice."""
    (mark,) = deployments(DELIVERY, 'service="shop"')
    labels = "service, environment, outcome"
    assert mark["target"]["expr"] == (
        f'max by ({labels}) (platform_deployments_total{{service="shop"}})'
        f' - max by ({labels}) (platform_deployments_total{{service="shop"}} offset $__interval) > 0'
    )


def test_a_deployment_says_whose_it_is_and_how_it_ended() -> None:
    """Service, environment and outcome are in the words of a mark, and tags to filter by."""
    (mark,) = deployments(DELIVERY)
    assert mark["titleFormat"] == "Deployment of {{service}}"
    assert mark["textFormat"] == "{{outcome}} in {{environment}}"
    assert mark["tagKeys"] == "service,environment,outcome"


def test_marks_follow_the_services_and_environments_that_a_board_shows() -> None:
    """Levels of teams are left out: they pool services, and would mark each event again."""
    (deployed,), (broken,) = deployments(DELIVERY), incidents(DELIVERY)
    shown = 'service=~"$service",service!="",environment=~"$environment|"'
    assert shown in deployed["target"]["expr"]
    assert shown in broken["target"]["expr"]


def test_an_incident_is_marked_as_long_as_it_is_open() -> None:
    """An incident without an end waits in the indicator; the longest window alone, or each would be marked thrice."""
    (mark,) = incidents(DELIVERY, 'service="shop"')
    assert mark["target"]["expr"] == (
        'max by (service, environment) (platform_incident_restore_pending{service="shop",window="90d"}) > 0'
    )


def test_an_exclusion_is_marked_while_it_is_active() -> None:
    """What an exclusion leaves out is marked by the SLO that leaves it out."""
    (mark,) = exclusions('slo="checkout"')
    assert mark["target"]["expr"] == 'max by (slo) (platform_slo_exclusion_active{slo="checkout"}) == 1'
    assert mark["titleFormat"] == "Left out of {{slo}}"


@pytest.mark.parametrize("marks", [deployments(NOBODY), incidents(NOBODY)])
def test_there_are_no_marks_of_what_nobody_declared(marks: tuple[object, ...]) -> None:
    """Without the indicator whose series it reads a mark would be a query of nothing."""
    assert marks == ()


def test_marks_of_different_kinds_look_different() -> None:
    """Each kind has a colour of its own, beside its own words."""
    marks = (*deployments(DELIVERY), *incidents(DELIVERY), *exclusions())
    assert len({mark["iconColor"] for mark in marks}) == 3


def test_an_older_grafana_finds_its_query_as_well() -> None:
    """Grafana read the query beside the names before it had a target, and joins what is no more than a step apart."""
    (mark,) = exclusions()
    assert mark["expr"] == mark["target"]["expr"]
    assert mark["step"] == mark["target"]["interval"] == "5m"
