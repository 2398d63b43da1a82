"""The documentation says what the code does: references are generated, examples run, links resolve."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import click
import pytest
from api_page import api_page, paths
from chart_files import CHART, written
from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel, SecretStr
from replay import Provider, Reply, Request, page_of

from collector.document import read_documents, validate
from collector.http import Wire
from collector.people import People
from collector.registry import source_types
from collector.source import About, SourceContext
from paceline.access.door import Place, build_access
from paceline.access.settings import AccessSettings, TokenSettings
from paceline.calendar_settings import CalendarSettings
from paceline.catalogue import ServiceSettings
from paceline.cli import cli
from paceline.delivery_places import EmailDelivery, FileDelivery, GitDelivery, SlackDelivery, WebhookDelivery
from paceline.enricher import build_enricher
from paceline.exits import EXITS
from paceline.notify import EmailTarget, SlackTarget, WebhookTarget
from paceline.settings import ENVIRONMENT, OTHER_VARIABLES, Settings
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.wiring import build, configuration
from slo_engine.catalog import FIXED, Metric, metrics_of
from slo_engine.indicator import Family, families, indicators
from slo_engine.organisation import Organisation

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", CHART / "README.md", *sorted(DOCS.rglob("*.md"))]
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_NOTE = "<!-- Generated from the code by tests/test_docs.py: UPDATE_GOLDEN=1 writes it anew. -->\n"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Golden = Callable[[Path, str], None]


# --- generated references --------------------------------------------------------------------------------


def _type(annotation: Any) -> str:
    """A type in words that people write settings with."""
    origin, inner = get_origin(annotation), [a for a in get_args(annotation) if a is not type(None)]
    if origin is Annotated or (len(inner) == 1 and type(None) in get_args(annotation)):
        return _type(inner[0])
    if origin in {list, tuple}:
        one = _type(inner[0])
        return f"list, each {one}" if get_origin(inner[0]) is Literal else f"list of {one}s"
    if origin is dict:
        return f"{_type(inner[1])} by name"
    if origin is Literal:
        return " or ".join(f"`{a}`" for a in inner)
    return _WORDS.get(annotation, "mapping")


_WORDS: Mapping[Any, str] = {
    timedelta: "duration",
    AwareDatetime: "time with its zone",
    Path: "path",
    str: "text",
    SecretStr: "text",
    int: "number",
    float: "number",
    bool: "`true` or `false`",
}
"""Types that are no mapping of others, in words."""


def _duration(minutes: int) -> str:
    if minutes % 60:
        return f"{minutes}m"
    days, hours = divmod(minutes // 60, 24)
    return f"{days}d" if days > 1 and not hours else f"{minutes // 60}h"


def _default(info: Any) -> str:
    if info.is_required():
        return "must be given"
    value = info.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{value}`".lower()
    if isinstance(value, list | tuple | dict):
        items = [f"{k}: {v}" for k, v in value.items()] if isinstance(value, dict) else value
        return ", ".join(f"`{v}`" for v in items) or "empty"
    if hasattr(value, "total_seconds"):
        return f"`{_duration(int(value.total_seconds() // 60))}`"
    return f"`{value}`" if str(value) else "empty"


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    variables = {".".join(place): name for name, place in ENVIRONMENT.items()}
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _rows(annotation, f"{prefix}{name}.")
            continue
        variable = variables.get(f"{prefix}{name}", "")
        shown = f"`{variable}`" if variable else ""
        yield f"| `{prefix}{name}` | {_type(annotation)} | {_default(info)} | {shown} | {info.description} |"


def _option_rows(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The options of a family; below a list of mappings what each of these may hold."""
    for name, info in model.model_fields.items():
        yield f"| `{prefix}{name}` | {_type(info.annotation)} | {_default(info)} | {info.description} |"
        for one in get_args(info.annotation):
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from _option_rows(one, f"{prefix}{name}[].")


def _source_rows(model: type[BaseModel]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        if name != "type":
            default = "the release pattern" if name == "pattern" else _default(info)
            yield f"| `{name}` | {_type(info.annotation)} | {default} | {info.description} |"


def _sections(models: Mapping[str, type[BaseModel]]) -> list[str]:
    """The settings of each type, under its name."""
    lines: list[str] = []
    for key, model in sorted(models.items()):
        lines += ["", f"### `type: {key}`", "", "| Setting | Type | Default | Meaning |", "|---|---|---|---|"]
        lines += _source_rows(model)
    return lines


def _option_sections() -> Iterator[str]:
    """The options of each family of indicators, under its name."""
    for family in families():
        if family.options is not None:
            yield from ("", f"### `{family.name}`", "", "| Option | Type | Default | Meaning |", "|---|---|---|---|")
            yield from _option_rows(family.options)


_INDICATORS_EXAMPLE = """\
```yaml
platform_teams: [/platform]
indicators:
  onboarding: {first_deployed_change_days: 15}
  self_service:
    queues: platform-*
    journeys:
      - {name: provision-db, target: 30m, types: database request, undone_by: [delete-db]}
      - {name: new-service, target: 2h}
  support:
    queues:
      - {name: platform-urgent, calendar: on-call, first_response: 30m}
  reliability:
    services: [{service: dns, pass_share: 0.9}]
calendars:
  on-call:
    hours: {monday-sunday: "00:00-24:00"}
```""".splitlines()


_DELIVERIES: Mapping[str, type[BaseModel]] = {
    "email": EmailDelivery,
    "file": FileDelivery,
    "git": GitDelivery,
    "slack": SlackDelivery,
    "webhook": WebhookDelivery,
}
"""Where the weekly summary goes, by `type`."""


def _settings_page() -> str:
    lines = [
        "# Settings",
        "",
        _NOTE,
        "Settings are one YAML file: the one named by `--config`, else by `PACELINE_CONFIG`, else `paceline.yaml`",
        "in the working directory. Without any, Paceline reads the repository in `PACELINE_REPO`, or the one you",
        "stand in. Relative paths start at the file. `paceline check` writes nothing, and reports every mistake with",
        "file, line and key.",
        "",
        "A duration is a number and one of `s m h d w`: `5m` is five minutes. `M` (a month) is refused.",
        "A value may hold `${NAME}` or `${NAME:-default}` from the environment; such values are never echoed.",
        "",
        "| Setting | Type | Default | Variable that overrides it | Meaning |",
        "|---|---|---|---|---|",
        *_rows(Settings),
        "",
        f"Other variables: {', '.join(f'`{v}`' for v in OTHER_VARIABLES)}. The people key makes the hashes of people;",
        "without one it is generated in the data directory. A `PACELINE_` variable that means nothing is refused.",
        "",
        "## Services",
        "",
        "[The catalogue](catalogue.md) shows how to use them. Each of `services` has these settings:",
        "",
        "| Setting | Type | Default | Meaning |",
        "|---|---|---|---|",
        *_source_rows(ServiceSettings),
        "",
        "## Tokens",
        "",
        "[Security](security.md#tokens) shows how to use them. Each of `access.tokens` has these settings:",
        "",
        "| Setting | Type | Default | Meaning |",
        "|---|---|---|---|",
        *_source_rows(TokenSettings),
        "",
        "## Calendars",
        "",
        "[Calendars](calendars.md) shows how to use them. Each of `calendars` has a name and these settings:",
        "",
        "| Setting | Type | Default | Meaning |",
        "|---|---|---|---|",
        *_source_rows(CalendarSettings),
        "",
        "## Indicators",
        "",
        "[Definitions](definitions.md) says what they mean. Under `indicators` stand the options of families, by name;",
        "`queues[].name` is the `name` of each entry under `queues`.",
        "",
        *_INDICATORS_EXAMPLE,
        *_option_sections(),
        "",
        "## Targets of alerts",
        "",
        "[The enricher](enricher.md) shows how to use them. Each of `notify.targets` has `type` and these settings:",
        *_sections({"slack": SlackTarget, "email": EmailTarget, "webhook": WebhookTarget}),
        "",
        "## Deliveries of the weekly summary",
        "",
        "[The weekly summary](weekly.md#delivered) shows how to use them. Each of `report.deliveries` has `type` and",
        "these settings:",
        *_sections(_DELIVERIES),
        "",
        "## Sources",
        "",
        "[Sources](sources.md) shows how to use them. Each has `type` and the settings of its page:",
        "",
        ", ".join(f"[`{key}`](sources/{key}.md)" for key in sorted(source_types().by_key)) + ".",
    ]
    return "\n".join(lines) + "\n"


def _abouts() -> dict[str, About]:
    """What each source type says of itself, by its key."""
    found = {key: model.about for key, model in sorted(source_types().by_key.items())}
    return {key: about for key, about in found.items() if about is not None}


def _source_page(key: str, about: About) -> str:
    """The page of a source type: its example, settings, scopes, costs and limits."""
    model = source_types().by_key[key]
    lines = [
        f"# {about.system}",
        "",
        _NOTE,
        f"`type: {key}` gives {_listed(about.gives)}. Tested against: {about.tested}.",
        "",
        "```yaml",
        *_settings_of(about.example),
        "```",
        "",
        *_table(("Setting", "Type", "Default", "Meaning"), _source_rows(model)),
        *_lists_of_mappings(model),
    ]
    if about.scopes:
        rows = (f"| {scope} | {what} |" for scope, what in about.scopes)
        lines += ["", "## What a token must be allowed", "", *_table(("Scope", "For"), rows)]
    if about.costs:
        rows = (f"| {what} | {requests} |" for what, requests in about.costs)
        lines += ["", "## What it costs", "", *_table(("What is read", "Requests for 1 000"), rows)]
    if about.limits:
        lines += ["", "## Limits", "", *(f"- {limit}" for limit in about.limits)]
    if about.more:
        lines += ["", about.more.strip()]
    return "\n".join(lines) + "\n"


def _settings_of(example: str) -> list[str]:
    """An example as it stands in the settings, whether it is written with `sources:` or as an entry of it."""
    lines = example.strip("\n").splitlines()
    return lines if lines[0].startswith("sources:") else ["sources:", *(f"  {line}" for line in lines)]


def _lists_of_mappings(model: type[BaseModel]) -> Iterator[str]:
    """Below the settings of a source, what the mappings among them may hold."""
    for name, info in model.model_fields.items():
        for one in (info.annotation, *get_args(info.annotation)):
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from ("", f"Under `{name}`:", "")
                yield from _table(("Setting", "Type", "Default", "Meaning"), _source_rows(one))


def _table(head: Sequence[str], rows: Iterable[str]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows]


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in kinds)


@pytest.mark.parametrize("key", sorted(_abouts()))
def test_the_page_of_a_source_is_what_its_code_says(key: str, golden: Golden) -> None:
    """Each source type has its page: example, settings, scopes, requests for 1 000 items, limits."""
    golden(DOCS / "sources" / f"{key}.md", _source_page(key, _abouts()[key]))


def test_every_source_type_says_what_it_is() -> None:
    """A type without a page could not be used; a page without its type would lie."""
    assert sorted(_abouts()) == sorted(source_types().by_key)
    assert sorted(p.stem for p in (DOCS / "sources").glob("*.md")) == sorted(_abouts())


@pytest.mark.parametrize("page", ["README.md", "docs/sources.md"])
def test_the_table_of_sources_is_complete(page: str, golden: Golden) -> None:
    """System, what it gives, how it is tested: a row for each source type."""
    path = ROOT / page
    begin, end = "<!-- sources -->\n", "<!-- /sources -->\n"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    folder = "sources" if page.startswith("docs") else "docs/sources"
    rows = (
        f"| [{about.system}]({folder}/{key}.md) | `{key}` | {_listed(about.gives)} | {about.tested} |"
        for key, about in _abouts().items()
    )
    table = "\n".join(_table(("System", "`type`", "Gives", "Tested against"), rows)) + "\n"

    golden(path, f"{before}{begin}{table}{end}{rest.partition(end)[2]}")


def _metric_rows(metrics: tuple[Metric, ...]) -> Iterator[str]:
    for metric in metrics:
        labels = " ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |"


def _metrics_page() -> str:
    head = ["", "| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
    lines = [
        "# Metrics",
        "",
        _NOTE,
        "`/metrics` gives these, as Prometheus text or OpenMetrics. Ratios are 0 to 1, times are seconds. What has no",
        "value is absent, never 0. `window` is a rolling window that ends when the numbers were computed, or `now`;",
        "`stat` is a quantile (`p50 p75 p90 p95`), the `value` of a share, score or count, or `low` and `high` of its",
        "95 % interval. An empty label stands for all its values together. Numbers of a stale source are absent, and",
        "so are those about too few people. Counters never fall.",
    ]
    for indicator in indicators().values():
        lines += ["", f"## `{indicator.name}`, definition {indicator.version}", "", indicator.definition]
        lines += [*head, *_metric_rows(metrics_of(indicator).all())]
    lines += ["", "## SLOs, sources, Paceline itself", *head, *_metric_rows(FIXED)]
    return "\n".join(lines) + "\n"


def _commands_page() -> str:
    lines = [
        "# Commands",
        "",
        _NOTE,
        *("| Exit code | Says |", "|---|---|"),
        *(f"| {code} | {meaning} |" for code, meaning in EXITS.items()),
        *("", "A command with others says so."),
    ]
    for name, (command, parent) in _commands().items():
        context = click.Context(command, parent, info_name=name.rpartition(" ")[2], terminal_width=100)
        lines += ["", f"## `paceline {name}`", "", "```text", command.get_help(context), "```"]
    return "\n".join(lines) + "\n"


def _commands() -> dict[str, tuple[click.Command, click.Context]]:
    """Every command by its name, those of a group as `group command`, with the context it is called in."""
    top = click.Context(cli, info_name="paceline", **cli.context_settings)
    found: dict[str, tuple[click.Command, click.Context]] = {}
    for name in cli.list_commands(top):
        command = cli.get_command(top, name)
        assert command is not None
        found[name] = command, top
        if isinstance(command, click.Group):
            inner = click.Context(command, top, info_name=name)
            found |= {f"{name} {one}": (sub, inner) for one, sub in sorted(command.commands.items())}
    return found


@pytest.mark.parametrize(
    ("page", "text"), [("settings.md", _settings_page), ("metrics.md", _metrics_page), ("commands.md", _commands_page)]
)
def test_a_reference_is_what_the_code_says(page: str, text: Callable[[], str], golden: Golden) -> None:
    """Every setting, variable, metric and command appears with the code's own words."""
    golden(DOCS / page, text())


def test_the_chart_holds_what_the_code_says(golden: Golden) -> None:
    """Rules, boards, the starter's SLOs and the table of values in the Helm chart are those of this version."""
    texts = written()

    for path, text in texts.items():
        golden(path, text)
    there = {p for p in (CHART / "files").rglob("*") if p.is_file()}
    assert there - set(texts) == set()


@pytest.mark.parametrize("family", [f for f in families() if f.options is not None], ids=lambda f: f.name)
def test_every_option_is_in_the_settings_reference(family: Family) -> None:
    """Each option of each family stands in the reference under the family's name, with default and meaning."""
    assert family.options is not None
    rows = [f"### `{family.name}`", *_option_rows(family.options)]
    text = (DOCS / "settings.md").read_text(encoding="utf-8")

    assert [row for row in rows if row not in text] == []
    assert [n for n, i in family.options.model_fields.items() if i.is_required() or not i.description] == []


def test_the_definitions_page_lists_what_runs(golden: Golden) -> None:
    """The top of the definitions names exactly the indicators of this version, with version and text from the code."""
    path = DOCS / "definitions.md"
    begin, end = "<!-- indicators -->\n", "<!-- /indicators -->\n"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    rows = [f"| `{i.name}` | {i.version} | {i.definition} |" for i in indicators().values()]
    table = "\n".join(["| Indicator | Version | Definition |", "|---|---|---|", *rows]) + "\n"

    golden(path, f"{before}{begin}{table}{end}{after}")


# --- the HTTP API ----------------------------------------------------------------------------------------


_ALL_DOORS = """\
logs: {level: error}
notify:
  secret: a-secret-that-opens-nothing
  targets: [{type: webhook, name: ours, url: "https://example.com/alerts"}]
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """The app with every door that it can have."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "paceline.yaml").write_text(_ALL_DOORS, encoding="utf-8")
    running = build(configuration(folder / "paceline.yaml", {}, folder), environ={})
    service, log = running.service, running.log
    settings = service.configuration.settings.notify
    enricher = build_enricher(service, settings, tiers=service.tiers, log=log, clock=lambda: NOW)
    webhooks = Webhooks(service, log, lambda: NOW)
    access = build_access(
        AccessSettings.model_validate({"oidc": {"issuer": "https://login.example", "client_id": "paceline"}}),
        Place(url="https://paceline.example", base_dir=folder, data_dir=folder),
        b"a key for a page",
        clock=lambda: NOW,
        log=log,
    )
    yield create_app(service, enricher, webhooks, None, access)
    webhooks.close()
    enricher.close()
    running.close()


def test_the_api_page_is_what_the_app_says_of_itself(app: FastAPI, golden: Golden) -> None:
    """Every path with its parameters, answers and errors, and every shape."""
    golden(DOCS / "api.md", api_page(app, _NOTE))


def test_every_route_is_on_the_api_page(app: FastAPI) -> None:
    """No route is left out, the pages for people included."""
    text = (DOCS / "api.md").read_text(encoding="utf-8")

    assert {path for path in paths(app) if f"{path}`" not in text} == set()


# --- links and commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_relative_link_resolves(page: Path) -> None:
    """No page links to a file that is not there."""
    prose = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", prose)

    assert [link for link in links if not (page.parent / link).exists()] == []


def _blocks(language: str) -> list[Any]:
    found = [(p, m) for p in PAGES for m in _BLOCK.finditer(p.read_text(encoding="utf-8")) if m[1] == language]
    return [pytest.param(m[2], id=f"{p.name}-{i}") for i, (p, m) in enumerate(found)]


def test_every_command_is_in_the_readme() -> None:
    """The README's table of commands is complete."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    named = {name for name, (command, _) in _commands().items() if not isinstance(command, click.Group)}
    assert {name for name in named if f"`paceline {name}" not in text} == set()


# --- the code in the architecture page -------------------------------------------------------------------


def _python(word: str) -> dict[str, Any]:
    (code,) = [b.values[0] for b in _blocks("python") if word in b.values[0]]
    space: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "docs/architecture.md", "exec", dont_inherit=True), space)  # noqa: S102 - the example is ours
    return space


def test_the_source_example_works(tmp_path: Path) -> None:
    """The source of the page is configured by its YAML, and pulls events."""
    (tmp_path / "settings.yaml").write_text("type: beacon\nname: ours\nservice: api\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    model = _python("BeaconConfig")["BeaconConfig"]
    context = SourceContext(data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: NOW)
    (document,) = read_documents(tmp_path / "settings.yaml")

    pages = list(validate(document, model).build(context).pull(None))

    assert [(e.kind, e.source) for p in pages for e in p.events] == [("usage_event", "ours")]


def test_the_api_source_example_works(tmp_path: Path) -> None:
    """The source of an API of the page reads every page of a list, and goes on from there."""
    base = "https://house.example.com"
    provider = Provider(base)

    @provider.route("lamps")
    def lamps(asked: Request) -> Reply:
        since = asked.time("since")
        lit = [{"id": n, "room": "attic", "lit_at": f"2026-03-0{n}T09:00:00Z", "watts": 7} for n in (1, 2)]
        found = [lamp for lamp in lit if since is None or datetime.fromisoformat(str(lamp["lit_at"])) >= since]
        page, link = page_of(asked, found, most=1)
        return Reply(page, headers={"Link": link} if link else {})

    space = _python("LampsConfig")
    context = SourceContext(
        data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: NOW, wire=Wire(adapter=provider)
    )
    source = space["LampsConfig"](type="lamps", name="home", url=base).build(context)
    first = list(source.pull(None))
    again = list(source.pull(first[-1].cursor))

    assert [e.native_id for p in first for e in p.events] == ["1", "2"]
    assert [e.native_id for p in again for e in p.events] == ["2"]


def test_the_indicator_example_works() -> None:
    """The family of the page derives one observation from each event it reads."""
    space = _python("Family(")
    family = space["FAMILY"]
    assert isinstance(family, Family)

    class OneUse:
        """Events that are one use of a capability."""

        def columns(self, _kind: object, *_names: str) -> list[tuple[Any, ...]]:
            """Its columns."""
            return [("id", "ours", "api", 0)]

    (observation,) = family.observe(OneUse(), Organisation())  # type: ignore[arg-type] # it asks for columns only

    assert (observation.indicator, observation.subject.service) == ("platform_use", "api")
    assert metrics_of(family.indicators[0]).value.name == "platform_use_per_day"
