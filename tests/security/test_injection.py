"""Names that would be read as something else: by a log, a terminal, a database, Prometheus, a file system."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import promql_parser
import pytest
from small_site import opened_site

from collector.events import DocPage, Event, Ticket, TicketState, UsageEvent
from collector.tabular import matching
from paceline.commands.output import table
from paceline.logs import configure
from slo_engine.alert_windows import load_tiers
from slo_engine.annotations import Links
from slo_engine.event_lines import line_of, web_link
from slo_engine.openslo_values import url
from slo_engine.rule_files import render_rules
from slo_engine.slo import IndicatorSli, Slo
from slo_engine.windows import parse_window

TIERS = load_tiers(Path(__file__).parents[2] / "config" / "alert-windows" / "sre-workbook.yaml")
FORGED = "shop\n2026-01-01T00:00:00Z [error] forged by a name\r\x1b[2J\x1b]0;title\x07\u2028\x9b31m"


UNHARMED = ("/api/v1/slos", "/api/v1/explain/change_fail_rate")
"""What must say the same after all attacks as before."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Asks the service of a small organisation whose names are full of markup."""
    with opened_site(tmp_path_factory.mktemp("site")) as found, httpx2.Client(base_url=found.url, timeout=60) as client:
        before = [client.get(path).json() for path in UNHARMED]
        yield client
        assert [client.get(path).json() for path in UNHARMED] == before


def controls(text: str) -> list[str]:
    """What of a text would move a cursor or begin a line."""
    return [c for c in text if not c.isprintable() and c != "\n"]


def logged(form: Any, **values: Any) -> str:
    """What a log says of something."""
    said = io.StringIO()
    with redirect_stderr(said):
        configure("info", form).warning("collected with a warning", **values)
    return said.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_name_writes_no_line_of_its_own_in_the_log(form: str) -> None:
    """One event is one line, in both forms, whatever stands in its values."""
    said = logged(form, source=FORGED, names=[FORGED])

    assert said.count("\n") == 1
    assert [c for c in controls(said) if c not in "\u2028\x9b"] == []


def test_a_name_breaks_no_json_in_the_log() -> None:
    """Quotes and braces stay within their value."""
    name = 'x", "level": "critical", "y": {"'

    assert json.loads(logged("json", source=name))["source"] == name
    assert json.loads(logged("json", source=name))["level"] == "warning"


def test_a_name_moves_no_cursor_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Tables of commands show a name, and nothing on the screen is cleared, coloured or titled by it."""
    table("SLOs", ["name"], [[FORGED], ["[bold red]x[/]"]])
    said = capsys.readouterr().out

    assert "forged by a name" in said
    assert "[bold red]x[/]" in said
    assert controls(said) == []


def planted_log(**values: Any) -> str:
    """A planted weakness: a line made by putting values together."""
    return f"warning {values['source']}\n"


def planted_table(capsys: pytest.CaptureFixture[str]) -> str:
    """A planted weakness: a cell printed as it came."""
    print(FORGED)  # noqa: T201 - this is it
    return capsys.readouterr().out


def test_what_writes_values_as_they_are_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """The checks above fail for a log and a table that escape nothing."""
    assert planted_log(source=FORGED).count("\n") > 1
    assert controls(planted_table(capsys)) != []


EVIL = 'x"} or vector(1) #\\ {{ query "up" | first }}{{ $externalURL }}\nalert: forged'


def an_slo(**fields: Any) -> Slo:
    """An SLO with something in its texts."""
    return replace(
        Slo(
            name="checkout",
            title="Checkout",
            description="",
            owner_service="shop",
            sli=IndicatorSli(indicator="wait"),
            target=Decimal("0.99"),
            window=parse_window("28d"),
            team="payments",
            tier="1",
        ),
        **fields,
    )


def expressions(text: str) -> list[str]:
    """The queries of rules, each of which must be PromQL."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - a second reader, on purpose

    groups = YAML(typ="safe", pure=True).load(text)["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


@pytest.mark.parametrize(
    "text", ["https://example.com/{{ query `up` }}", "https://example.com/x'\"", "javascript:alert(1)"]
)
def test_an_address_that_would_be_a_template_is_refused(text: str) -> None:
    """Annotations of alerts hold addresses of runbooks, and Prometheus runs what stands in braces."""
    with pytest.raises(ValueError, match="is no address"):
        url(text)


@pytest.mark.parametrize("field", ["service", "environment", "dimension"])
def test_what_an_slo_is_about_is_encoded_in_links(field: str) -> None:
    """The address of an explanation holds names, in which braces are no template and quotes end nothing."""
    about: dict[str, Any] = {field: EVIL}
    of_it = an_slo(sli=IndicatorSli(indicator="wait", **about))
    text = render_rules([of_it], TIERS, Links(paceline="https://p.example"))

    assert "explain_url" in text
    assert "externalURL }}" not in text
    assert "\nalert: forged" not in text


@pytest.mark.parametrize("field", ["title", "description", "team", "owner_service"])
def test_texts_of_an_slo_become_neither_promql_nor_a_template(field: str) -> None:
    """What people write about an SLO stands in no rule: no query and no annotation that Prometheus would run."""
    plain, evil = render_rules([an_slo()], TIERS), render_rules([an_slo(**{field: EVIL})], TIERS)

    assert "forged" not in evil
    assert "externalURL" not in evil
    assert expressions(evil) == expressions(plain)
    for expression in expressions(evil):
        promql_parser.parse(expression)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/slos?team={}",
        "/slos?team={}",
        "/slos/{}",
        "/api/v1/slos/{}",
        "/explain/{}",
        "/explain/change_fail_rate?service={}",
        "/explain/change_fail_rate?window={}",
        "/explain/change_fail_rate?limit={}",
        "/api/v1/explain/change_fail_rate?service={}&environment={}",
        "/api/v1/gate?service={}",
        "/api/v1/annotations?service={}",
        "/weekly/{}",
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "'; DROP TABLE observation; --",
        '" OR 1=1 --',
        "%' UNION SELECT name FROM sqlite_master --",
        "_%",
        "1;1",
        '["a", "b"]',
        "\x00",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "x\r\nX-Forged: 1",
    ],
)
def test_a_name_is_a_value_to_the_database(site: httpx2.Client, path: str, name: str) -> None:
    """Nothing that a request names is run or found by a wildcard; no answer is an error of ours, or echoes markup."""
    answer = site.get(path.format(*[quote(name, safe="")] * 2))

    assert answer.status_code < 500
    assert "<script>alert(1)" not in answer.text or "json" in answer.headers["content-type"]
    assert "OperationalError" not in answer.text
    assert "observation (" not in answer.text
    assert "x-forged" not in answer.headers


SQL_NAMES = ("' OR '1'='1", "' OR 1=1 --", "%", "_hop", "x' UNION SELECT 'shop", "shop' --")


def found_by(count: Callable[[str], int]) -> list[str]:
    """The names, each nobody's, under which a count finds something."""
    return [name for name in SQL_NAMES if count(name)]


def test_a_name_that_is_sql_finds_nothing(site: httpx2.Client) -> None:
    """The service is there under its own name, and under no condition or wildcard that would be true of it."""

    def count(name: str) -> int:
        return int(site.get("/api/v1/explain/change_fail_rate", params={"service": name}).json()["total"])

    assert count("shop") > 0
    assert found_by(count) == []


def test_sql_that_is_put_together_is_found() -> None:
    """The check above fails for a query with a name written into it, and for one that looks for what is like it."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE observation (service TEXT)")
        database.execute("INSERT INTO observation VALUES ('shop')")

        def written(name: str) -> int:
            return len(database.execute(f"SELECT 1 FROM observation WHERE service = '{name}'").fetchall())  # noqa: S608 - this is it

        def like(name: str) -> int:
            return len(database.execute("SELECT 1 FROM observation WHERE service LIKE ?", [name]).fetchall())

        assert set(found_by(written)) == set(SQL_NAMES) - {"%", "_hop"}
        assert set(found_by(like)) == {"%", "_hop"}


def unescaped(answer: str) -> bool:
    """Whether a page runs what is planted in names."""
    return re.search(r"<(script|img)[^>]*>?\s*(alert|window\.pwned)|<img[^>]*onerror", answer) is not None


def test_a_page_that_escapes_nothing_is_found() -> None:
    """The check of pages fails for a template with a value as it came."""
    assert unescaped(f"<td>{'<img src=x onerror=alert(1)>'}</td>")
    assert not unescaped("<td>&lt;img src=x onerror=alert(1)&gt;</td>")


def test_names_of_a_hostile_organisation_run_on_no_page(site: httpx2.Client) -> None:
    """Every page of services, versions and incidents full of markup; a browser looks at them in test_pages.py."""
    pages = [site.get(path) for path in ("/", "/slos", "/sources", "/weekly", "/definitions")]

    assert [page.status_code for page in pages] == [200] * 5
    assert [page.url.path for page in pages if unescaped(page.text)] == []


NO_LINKS = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "//evil.example/x",
    "https://user:password@evil.example/",
    "https://evil.example/\u202egpj.exe",
    "https://evil.example/\r\nX: y",
]


@pytest.mark.parametrize("address", NO_LINKS)
def test_what_is_no_web_address_is_no_link(address: str) -> None:
    """Pages, mails and chat link `http` and `https` alone, without credentials and without what is not printed."""
    assert web_link(address) is None


AT = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "event",
    [
        DocPage(source="told", native_id="1", repository="shop", path="docs/a.md", changed_at=AT),
        Ticket(source="told", native_id="1", queue="help", state=TicketState.OPEN, created_at=AT),
        UsageEvent(source="told", native_id="1", capability="builds", at=AT),
    ],
    ids=["documentation", "ticket", "use"],
)
def test_no_event_brings_a_link_that_runs(event: Event) -> None:
    """Whatever a source reports, a page of documentation too: its address is a link only where it is one of the web."""
    links = [line_of(msgspec.structs.replace(event, url=url)).url for url in (*NO_LINKS, "https://docs.example/a")]

    assert links == [*[None] * len(NO_LINKS), "https://docs.example/a"]


@pytest.mark.parametrize("path", ["/", "/slos", "/slos/hold", "/weekly", "/weekly/2026-W10", "/api/v1/slos"])
def test_who_asks_does_not_say_where_links_lead(site: httpx2.Client, path: str) -> None:
    """A `Host` that a cache may keep stands in no answer, nor does what a proxy would say of it."""
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}

    assert "evil.example" not in site.get(path, headers=forged).text


@pytest.mark.parametrize("path", ["/", "/slos", "/weekly/2026-W10", "/api/v1/slos", "/metrics"])
def test_no_answer_is_shown_within_another_page(site: httpx2.Client, path: str) -> None:
    """What one would click on unseen is in no frame."""
    assert "frame-ancestors 'none'" in site.get(path).headers["content-security-policy"]


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """A folder of exports beside a file that is none of them."""
    (tmp_path / "exports").mkdir()
    (tmp_path / "secret.jsonl").write_text("{}\n", encoding="utf-8")
    (tmp_path / "exports" / "good.jsonl").write_text("{}\n", encoding="utf-8")
    return tmp_path


def test_a_link_leads_no_pattern_out_of_its_folder(exports: Path) -> None:
    """Who may write into a folder of exports makes no other file one, by a link to it or to its folder."""
    (exports / "exports" / "out.jsonl").symlink_to(exports / "secret.jsonl")
    (exports / "exports" / "deep").symlink_to(exports)
    (exports / "exports" / "in.jsonl").symlink_to("good.jsonl")

    assert matching(exports, "exports/**/*.jsonl") == ["exports/good.jsonl", "exports/in.jsonl"]


def test_what_a_person_names_is_read_wherever_it_leads(exports: Path) -> None:
    """A path without a pattern is somebody's choice, link or not; a pattern may be of another folder."""
    (exports / "current.jsonl").symlink_to(exports / "exports" / "good.jsonl")

    assert matching(exports, "current.jsonl") == ["current.jsonl"]
    assert "../secret.jsonl" in matching(exports / "exports", "../*.jsonl")
