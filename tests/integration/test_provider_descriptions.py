"""What sources ask, sent to servers of the providers' own descriptions: nothing of it may be wrong there."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from openapi import described
from prism import Prism, serving
from replay import Request, Sample

from collector.http import Wire
from collector.people import People
from collector.source import SourceContext

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "openapi"
NODE = ROOT / "tests" / "npm" / "node_modules"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """A system, one of its descriptions, and the requests that another one or none describes."""

    system: str
    document: Path
    base: str = ""
    elsewhere: str = r"(?!)"
    """Paths that are not in this description: those of another case, or documented in prose alone."""
    flaws: Sequence[str] = ()
    """Parts of complaints that are the description's own mistakes."""

    def asked(self, requests: Sequence[Request]) -> list[Request]:
        """Those of some requests that this description should know."""
        return [one for one in requests if not re.search(self.elsewhere, one.path)]


CASES = {
    "github": Case(
        "github",
        NODE / "@octokit" / "openapi" / "generated" / "api.github.com.json",
        elsewhere=r"^graphql$",  # has a schema of its own
        # A range in the syntax of searches, by the parameter's own text; its type says that it is one time.
        flaws=("query.created: ",),
    ),
    "circleci": Case("circleci", SHARED / "circleci.json"),
    "azuredevops-git": Case("azuredevops", SHARED / "azuredevops-git.json", "/org", r"_apis/(?!git/)"),
    # The id of a timeline may be left out, by its own text; a template has no way to say so.
    "azuredevops-build": Case("azuredevops", SHARED / "azuredevops-build.json", "/org", r"_apis/(?!build/)|/timeline$"),
    "azuredevops-release": Case("azuredevops", SHARED / "azuredevops-release.json", "/org", r"_apis/(?!release/)"),
    "argocd": Case("argocd", SHARED / "argocd.json"),
    "gitea": Case("gitea", SHARED / "forgejo.json"),
    # The description is from 2019: it knows neither folders nor what plug-ins add.
    "jenkins": Case("jenkins", SHARED / "jenkins.json", elsewhere=r"job/.+/job/|wfapi"),
}


@pytest.fixture(scope="session")
def requests_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Request]]:
    """Every request that the first run of a system's sample makes."""
    known: dict[str, list[Request]] = {}

    def ask(system: str) -> list[Request]:
        if system not in known:
            folder = tmp_path_factory.mktemp(system)
            (folder / "data").mkdir()
            sample: Sample = importlib.import_module(f"providers.{system}").sample(folder)
            assert sample.provider is not None
            wire = Wire(adapter=sample.provider, sleep=lambda _: None, chance=lambda: 0.0)
            context = SourceContext(
                data_dir=folder / "data", base_dir=folder, people=People(b"k" * 32), clock=lambda: NOW, wire=wire
            )
            assert [e for page in sample.config.build(context).pull(None) for e in page.events]
            known[system] = list(sample.provider.asked)
        return known[system]

    return ask


@pytest.fixture(scope="module")
def server_of(
    requires_tool: Callable[[str], str],
    requests_of: Callable[[str], list[Request]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Prism]]:
    """A server of a case's description, started once; skips where the program or the description is not here."""
    running: dict[str, Prism] = {}
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Prism:
            case, program = CASES[name], requires_tool(str(NODE / ".bin" / "prism"))
            if not case.document.is_file():
                pytest.skip(f"{case.document.name} is not here")
            if name not in running:
                asked = case.asked(requests_of(case.system))
                folder = tmp_path_factory.mktemp(name)
                opened = serving(program, described(case.document), asked, folder, case.base)
                running[name] = stack.enter_context(opened)
            return running[name]

        yield start


@pytest.mark.parametrize("name", CASES)
def test_nothing_that_is_asked_is_wrong(
    name: str, requests_of: Callable[[str], list[Request]], server_of: Callable[[str], Prism]
) -> None:
    """A server of the provider's own description takes every request: path, parameters, credentials and bodies."""
    server, case = server_of(name), CASES[name]
    asked = case.asked(requests_of(case.system))

    complaints = {said for one in asked for said in server.complaints(one)}

    assert asked
    assert {said for said in complaints if not any(flaw in said for flaw in case.flaws)} == set()


@pytest.mark.skipif(not any(case.document.is_file() for case in CASES.values()), reason="no description is here")
def test_no_request_is_left_out_everywhere(requests_of: Callable[[str], list[Request]]) -> None:
    """What no description of a system knows is known by name here, so that a new path is not left out unseen."""
    documented_elsewhere = re.compile(r"^graphql$|_apis/distributedtask/|/timeline$|job/.+/job/|wfapi")
    present = [case for case in CASES.values() if case.document.is_file()]
    taken = {one.url for case in present for one in case.asked(requests_of(case.system))}
    asked = {one.url: one.path for system in {c.system for c in present} for one in requests_of(system)}

    assert [path for url, path in asked.items() if url not in taken and not documented_elsewhere.search(path)] == []


@pytest.fixture
def github(server_of: Callable[[str], Prism]) -> Prism:
    """A server of GitHub's description."""
    return server_of("github")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("state=merged", "query.state"),
        ("per_page=many", "query.per_page"),
        ("sort=newest", "query.sort"),
    ],
)
def test_a_wrong_parameter_is_found(
    github: Prism, requests_of: Callable[[str], list[Request]], query: str, said: str
) -> None:
    """A value that the provider does not know, planted into a request of ours, is refused and named."""
    right = next(one for one in requests_of("github") if one.path.endswith("/pulls"))
    wrong = right._replace(url=f"{right.url.partition('?')[0]}?{query}")

    assert github.complaints(right) == []
    assert [said in one for one in github.complaints(wrong)] == [True]


def test_a_path_that_is_not_there_is_found(github: Prism, requests_of: Callable[[str], list[Request]]) -> None:
    """A path that the provider does not have is named."""
    wrong = requests_of("github")[0]._replace(path="repos/acme/shop/pull-requests")

    assert github.complaints(wrong) == ["GET /repos/acme/shop/pull-requests: there is no such path"]
