"""The rules by which runs deploy: what they take, what they leave, and what they say about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from collector.deploying import DeploymentRule, Deployments
from collector.events import Deployment, PipelineRun, Result, RunKind, RunState
from collector.findings import Findings

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def run(pipeline: str = "deploy", **fields: Any) -> PipelineRun:
    """A finished run of group/shop."""
    known: dict[str, Any] = {
        "source": "ci",
        "native_id": "run/7",
        "repository": "group/shop",
        "state": RunState.COMPLETED,
        "result": Result.SUCCESS,
        "finished_at": AT,
        "sha": "a" * 40,
    }
    return PipelineRun(pipeline=pipeline, **{**known, **fields})


def job(task: str, pipeline: str = "ci", **fields: Any) -> PipelineRun:
    """A finished job."""
    return run(pipeline, task=task, run_kind=RunKind.TASK, native_id=f"job/{task}", **fields)


def deployed(event: PipelineRun, *rules: dict[str, Any]) -> Deployment | None:
    """What some rules make of a run."""
    return Deployments("ci", [DeploymentRule(**r) for r in rules], Findings()).of(event)


def test_a_run_that_a_rule_fits_is_a_deployment_of_its_repository_to_production() -> None:
    """The service is the last part of the repository's name, the time the run's end, the commit the run's."""
    found = deployed(run(), {"pipeline": "deploy"})

    assert found is not None
    assert (found.service, found.environment, found.finished_at, found.sha) == ("shop", "production", AT, "a" * 40)
    assert found.pipeline_run_native_id == "run/7"


def test_without_a_rule_nothing_is_a_deployment() -> None:
    """A lint run is no release."""
    assert deployed(run()) is None


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (run("deploy-eu"), {"pipeline": "deploy-*"}),
        (run("deploy-eu", ref="main"), {"pipeline": "deploy-*", "ref": ["main", "release/*"]}),
        (job("ship it"), {"job": "/ship.*/"}),
        (job("x", environment="prod"), {"environment": "prod"}),
        (run(environment="prod"), {"environment": "prod"}),
        (run(), {"pipeline": "deploy", "repository": "group/*"}),
    ],
)
def test_all_that_a_rule_asks_for_must_fit(event: PipelineRun, rule: dict[str, Any]) -> None:
    """Names, globs and expressions, of pipeline, job, environment, ref and repository."""
    assert deployed(event, rule) is not None


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (run("deploy", ref="feature"), {"pipeline": "deploy", "ref": "main"}),
        (run("deploy", ref=None), {"pipeline": "deploy", "ref": "main"}),
        (run("deployer"), {"pipeline": "deploy"}),
        (job("build", "deploy"), {"pipeline": "deploy"}),
        (run("deploy"), {"pipeline": "deploy", "job": "ship"}),
        (run(repository="other/shop"), {"pipeline": "deploy", "repository": "group/*"}),
    ],
)
def test_what_one_rule_does_not_fit_is_left(event: PipelineRun, rule: dict[str, Any]) -> None:
    """A rule without `job` means whole runs; what a run does not name fits no rule that asks for it."""
    assert deployed(event, rule) is None


def test_one_run_deploys_several_services_by_its_jobs() -> None:
    """One pipeline deploys three services → three deployments, each with an id of its own."""
    rule = {"job": "/deploy (?P<what>.+)/", "service": "{what}", "to": "prod-eu"}
    found = [deployed(job(f"deploy {name}"), rule) for name in ("cart", "shop", "mail")]

    assert [(d.service, d.environment) for d in found if d] == [
        ("cart", "prod-eu"),
        ("shop", "prod-eu"),
        ("mail", "prod-eu"),
    ]
    assert len({d.native_id for d in found if d}) == 3


def test_the_first_rule_that_fits_decides() -> None:
    """Rules are tried in the order of the settings."""
    found = deployed(run("deploy-eu"), {"pipeline": "deploy-eu", "to": "eu"}, {"pipeline": "deploy-*", "to": "all"})

    assert found is not None
    assert found.environment == "eu"


@pytest.mark.parametrize("result", [Result.CANCELLATION, Result.SKIP])
def test_cancelled_and_skipped_runs_deploy_nothing(result: Result) -> None:
    """Cancelled, skipped, abandoned, aborted → neither success nor failure; a skipped job deploys nothing."""
    assert deployed(run(result=result), {"pipeline": "deploy"}) is None


@pytest.mark.parametrize("result", [Result.FAILURE, Result.ERROR, Result.TIMEOUT])
def test_failed_runs_are_failed_deployments(result: Result) -> None:
    """A roll-out that broke is a deployment that failed."""
    found = deployed(run(result=result), {"pipeline": "deploy"})

    assert found is not None
    assert found.result is result


@pytest.mark.parametrize("fields", [{"state": RunState.EXECUTING, "result": None}, {"finished_at": None}])
def test_what_has_not_ended_is_no_deployment_yet(fields: dict[str, Any]) -> None:
    """Running, blocked, created, still building → no deployment yet."""
    assert deployed(run(**fields), {"pipeline": "deploy"}) is None


def test_a_job_that_may_fail_and_failed_deploys_nothing() -> None:
    """Pipeline is green, its production job failed with `allow_failure` → no deployment."""
    rule = {"job": "ship"}

    assert deployed(job("ship", allow_failure=True, result=Result.FAILURE), rule) is None
    assert deployed(job("ship", allow_failure=True), rule) is not None


def test_what_the_system_calls_a_deployment_keeps_its_environment_unless_a_rule_says() -> None:
    """The system's own deployments need no rule; one may say which service and environment is meant."""
    rules = [DeploymentRule(environment=["/prod-(?P<region>.+)/"], service="{repository}-x", to="production-{region}")]
    deploying = Deployments("ci", rules, Findings())

    assert deploying.place("group/shop", "staging") == ("shop", "staging")
    assert deploying.place("group/shop", "prod-eu") == ("group/shop-x", "production-eu")


def test_findings_tell_what_rules_took_and_what_sounds_like_a_deployment() -> None:
    """Per rule what matched; and what looks like a deployment and was not matched."""
    findings = Findings()
    deploying = Deployments("ci", [DeploymentRule(pipeline=["ship"])], findings)
    for event in (
        run("ship"),
        run("ship"),
        run("release-docs"),
        run("lint"),
        job("unit", "ci"),
        job("x", environment="qa"),
    ):
        deploying.of(event)

    assert findings.matched == {0: {"ship": 2}}
    assert findings.lookalikes == {"group/shop: release-docs": 1, "group/shop: ci / x (qa)": 1}
    assert findings.runs == 6


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "takes every run"),
        ({"ref": "main"}, "takes every run"),
        ({"pipeline": "/(/"}, "between the slashes"),
        ({"pipeline": ""}, "empty rule"),
        ({"pipeline": "deploy", "service": "{name}"}, "no expression has a group named 'name'"),
        ({"pipelines": "deploy"}, "pipelines"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: dict[str, Any], said: str) -> None:
    """Bad expressions, groups that nothing fills, and rules that take every run."""
    with pytest.raises(ValidationError, match=said):
        DeploymentRule(**rule)
