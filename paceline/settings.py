"""Settings: one YAML file, checked by typed models, overlaid by a few environment variables.

Every mistake is reported at once with file, line, path and what was expected; nothing is written before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, SkipValidation

from collector.document import Document, nearest, read_documents, validate
from collector.durations import Duration
from collector.errors import ConfigError, Mistake
from collector.name_rules import NameRules
from collector.patterns import Pattern, any_matches, patterns
from collector.reach import Reach
from collector.registry import SourceTypes
from collector.secrets import Secret, is_in_file
from collector.source import SourceConfig
from collector.store import Place
from paceline.access.mistakes import faults, open_door
from paceline.access.settings import AccessSettings, OwnAddress, TlsSettings
from paceline.calendar_settings import CalendarSettings, zone
from paceline.carriers import Carrier
from paceline.catalogue import TeamRules, Texts, services
from paceline.delivery_places import DIRECTORY, AnyDeliveries, Delivery, FileDelivery
from paceline.identity_files import Reviewed, read_identities
from paceline.named_files import collected
from paceline.notify import NotifySettings
from paceline.push_settings import OtlpSettings, RemoteWriteSettings
from paceline.retention import KeptFor, retention_mistakes
from paceline.slo_files import packaged_policy, read_slo_files
from slo_engine.exclusions import Exclusion
from slo_engine.gate import Override, Policy
from slo_engine.identities import Identities
from slo_engine.indicator import Family
from slo_engine.options import Options
from slo_engine.organisation import DeliveryRules, Organisation, Service, levels
from slo_engine.slo import Slo
from slo_engine.weekly import Week

_LONGEST_EVALUATION = timedelta(minutes=5)
_BENCHMARK_YEARS = range(2021, 2026)
_DELIVERY = DeliveryRules()
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _store(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not is_in_file(text) and not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("this is no address of a PostgreSQL database; expected postgresql://user:password@host/name")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        raise ValueError(f"{value[:60]!r} is no network; expected for example 10.1.0.0/16 or 10.1.2.3") from None


def _soon(value: timedelta) -> timedelta:
    # The alert on old numbers fires after 15 minutes: a longer interval would be an alert by itself.
    if value > _LONGEST_EVALUATION:
        raise ValueError("it is too long, numbers would be old; expected at most 5m")
    return value


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _year(value: int) -> int:
    if value not in _BENCHMARK_YEARS:
        raise ValueError(f"there is no benchmark of {value}; expected one of {', '.join(map(str, _BENCHMARK_YEARS))}")
    return value


def _texts(rules: tuple[Pattern, ...]) -> list[str]:
    return [rule.text for rule in rules]


def _fits(rules: list[str], text: str) -> bool:
    """Whether a rule fits a text in lower case; names and globs whatever their case."""
    return any_matches((r if r.rank > 1 else Pattern(r.text.casefold()) for r in patterns(rules)), text)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(_Section):
    """Where the service listens."""

    host: str = Field(default="127.0.0.1", description="The address to listen on; loopback unless told.")
    port: int = Field(default=8080, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    url: OwnAddress = Field(
        default="", description="The address under which people reach it, such as https://paceline.example."
    )
    connections: int = Field(
        default=500, ge=10, le=100_000, description="How many connections at once; beyond it 503 is answered."
    )
    tls: TlsSettings = Field(default_factory=TlsSettings, description="The certificate with which it answers.")


class NetworkSettings(_Section):
    """Where connections may lead that Paceline makes itself."""

    private: bool = Field(
        default=True,
        description="Whether addresses in these settings may lead into private networks and to this machine. What "
        "other systems name never does.",
    )
    allow: list[Annotated[str, AfterValidator(_network)]] = Field(
        default_factory=list,
        description="Networks that may be reached in any case, such as 10.1.0.0/16; see docs/security.md.",
    )

    @property
    def reach(self) -> Reach:
        """The same as clients take it."""
        return Reach(private=self.private, allow=tuple(map(ip_network, self.allow)))


class LogSettings(_Section):
    """How the service logs."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least level written.")
    format: Literal["json", "text"] = Field(default="text", description="JSON for machines, text for people.")


class TelemetrySettings(_Section):
    """Where Paceline's own traces go, and metrics where they are not only scraped."""

    otlp_endpoint: str | None = Field(
        default=None,
        description="Base URL of an OTLP/HTTP receiver for traces, such as http://localhost:4318; none unless given.",
    )
    otlp_metrics: OtlpSettings | None = Field(
        default=None, description="Where the metrics are sent over OTLP; see docs/telemetry.md."
    )
    remote_write: RemoteWriteSettings | None = Field(
        default=None, description="Where the metrics are sent by Prometheus remote write; see docs/telemetry.md."
    )


class ReportSettings(_Section):
    """The weekly summary."""

    directory: Path | None = Field(
        default=None, description="Folder for `weekly-<ISO week>.md`; not written unless given."
    )
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = Field(
        default="monday", description="Local day from which the last week is delivered."
    )
    hour: int = Field(default=7, ge=0, le=23, description="Local hour from which it is.")
    deliveries: AnyDeliveries = Field(default_factory=list, description="Where the summary goes; see docs/weekly.md.")

    def due_at(self, week: Week) -> datetime:
        """When a week is delivered, in UTC: of a local hour that comes twice the first, for one left out the next."""
        day = week.monday + timedelta(days=7 + _WEEKDAYS.index(self.weekday))
        return datetime(day.year, day.month, day.day, self.hour, tzinfo=week.zone).astimezone(UTC)


class EnvironmentSettings(_Section):
    """What environments are."""

    production: NameRules = Field(
        default_factory=lambda: _texts(Organisation().production),
        description="Which environments are production: names, globs, `/expressions/`. An empty list: none is.",
    )
    judged: NameRules = Field(
        default_factory=list,
        description="Which other environments are judged like production; of the rest only deployments are counted.",
    )


class HotfixSettings(_Section):
    """What marks a hotfix."""

    branches: NameRules = Field(
        default_factory=lambda: _texts(_DELIVERY.hotfix_branches), description="Source branches of hotfixes."
    )
    labels: NameRules = Field(
        default_factory=lambda: _texts(_DELIVERY.hotfix_labels), description="Whole labels of hotfixes."
    )
    tags: NameRules = Field(
        default_factory=lambda: _texts(_DELIVERY.hotfix_tags), description="Tags or versions of hotfix releases."
    )


class DeliverySettings(_Section):
    """The options by which delivery is judged; see docs/definitions.md."""

    attribution_lag: Duration = Field(
        default=_DELIVERY.attribution_lag,
        description="How old a deployment must be before it is judged; younger ones are pending.",
    )
    incident_window: Duration = Field(
        default=_DELIVERY.incident_window,
        description="How long after a deployment an incident of its service may start and still be its failure.",
    )
    hotfix: HotfixSettings = Field(default_factory=HotfixSettings, description="What marks a hotfix.")
    failed_rollouts: bool = Field(
        default=_DELIVERY.failed_rollouts,
        description="Whether roll-outs that never served count in the change fail rate.",
    )
    bots: bool = Field(default=_DELIVERY.bots, description="Whether changes written by bots count.")

    def rules(self) -> DeliveryRules:
        """The options as the engine takes them."""
        return DeliveryRules(
            attribution_lag=self.attribution_lag,
            incident_window=self.incident_window,
            hotfix_branches=patterns(self.hotfix.branches),
            hotfix_labels=patterns(self.hotfix.labels),
            hotfix_tags=patterns(self.hotfix.tags),
            failed_rollouts=self.failed_rollouts,
            bots=self.bots,
        )


class BenchmarkSettings(_Section):
    """What numbers are compared with."""

    year: Annotated[int, AfterValidator(_year)] = Field(
        default=_BENCHMARK_YEARS[-1],
        description=f"The year of the benchmark table, {_BENCHMARK_YEARS[0]} to {_BENCHMARK_YEARS[-1]}.",
    )


class BotSettings(_Section):
    """Who is no person, beside those that every forge knows."""

    patterns: NameRules = Field(
        default_factory=list,
        description=(
            "Accounts that are bots: rules for the login, or for an address up to its `@`, whatever the case. They "
            "count for what is collected from then on."
        ),
    )

    def named(self, account: str) -> bool:
        """Whether a rule fits an account, given in its normal form: an expression sees it in lower case."""
        return _fits(self.patterns, account)


class PrivacySettings(_Section):
    """What keeps people out of numbers."""

    smallest_group: int = Field(
        default=Organisation().smallest_group,
        ge=3,
        description="Of how many people numbers about people must be at least; those of fewer are withheld.",
    )
    public: NameRules = Field(
        default_factory=list,
        description="Words and addresses that are nobody's, such as the mailbox of a team: rules, whatever the case.",
    )

    def is_public(self, text: str) -> bool:
        """Whether a rule says that a word or an address is nobody's."""
        return _fits(self.public, text.casefold())


class MetricsSettings(_Section):
    """What `/metrics` may hold."""

    series_limit: int = Field(default=250_000, ge=1, description="Series of one metric, above which it is cut.")


class ReplicaSettings(_Section):
    """What several processes on one PostgreSQL share."""

    collect: Literal["here", "workers"] = Field(
        default="here",
        description="Who collects: the process that serves, or `paceline worker`s; these need a `store`. See "
        "docs/operations.md.",
    )
    jobs: int = Field(default=4, ge=1, le=64, description="How many sources one worker collects at the same time.")


class Settings(_Section):
    """Everything a person can set."""

    data_dir: Path = Field(default=Path(".paceline"), description="Folder of the database, the people key and clones.")
    store: Annotated[Secret, AfterValidator(_store)] | None = Field(
        default=None,
        description="Address of a PostgreSQL database instead of the one in `data_dir`: give it as ${NAME} or as "
        "file:/path; see docs/operations.md.",
    )
    notice: str = Field(default="", description="A sentence that stands on every page, table, report and board.")
    as_of: Annotated[AwareDatetime, AfterValidator(_utc)] | None = Field(
        default=None,
        description="The time at which everything is told, for an example or an archive; the present unless given.",
    )
    timezone: Annotated[str, AfterValidator(zone)] = Field(
        default="UTC", description="IANA zone of calendar weeks and of the weekly summary."
    )
    evaluate_every: Annotated[Duration, AfterValidator(_soon)] = Field(
        default=timedelta(minutes=1), description="How often numbers are computed anew; at most 5m."
    )
    processes: int = Field(
        default=2,
        ge=1,
        le=64,
        description="How many processes share a first derivation of many services; each needs half a gigabyte. "
        "From 2 on one stays where new events touch many pieces, derives a part of them and evaluates durations.",
    )
    sources: SkipValidation[list[Any]] = Field(
        default_factory=list, description="The systems to collect from; see docs/sources.md."
    )
    slos: list[str] = Field(default_factory=list, description="OpenSLO files: paths or globs beside this file.")
    exclusions: list[str] = Field(
        default_factory=list,
        description="Files of times that count for no SLO: paths or globs beside this file; see docs/exclusions.md.",
    )
    policy: Path | None = Field(
        default=None,
        description="The error-budget policy of the gate, a file; the one that comes with Paceline unless given.",
    )
    overrides: list[str] = Field(
        default_factory=list,
        description="Files of overrides of the gate: paths or globs beside this file; see docs/gate.md.",
    )
    services: SkipValidation[list[Any]] = Field(
        default_factory=list, description="The catalogue of services; see docs/catalogue.md."
    )
    catalogue: Texts = Field(
        default_factory=list, description="Files that hold more `services`: paths or globs beside this file."
    )
    platform_teams: TeamRules = Field(
        default_factory=list,
        description="The teams that build the platform: paths such as `/platform`, with all below.",
    )
    identities: list[str] = Field(
        default_factory=list,
        description="Files that say whose accounts are whose: paths or globs beside this file; see docs/privacy.md.",
    )
    bots: BotSettings = Field(default_factory=BotSettings, description="Who is no person.")
    privacy: PrivacySettings = Field(default_factory=PrivacySettings, description="What keeps people out of numbers.")
    calendars: dict[str, CalendarSettings] = Field(
        default_factory=dict,
        description="When sites and queues work, by name; `default` is what counts elsewhere; see docs/calendars.md.",
    )
    indicators: SkipValidation[dict[str, Any]] = Field(
        default_factory=dict, description="The options of families of indicators, by name; listed below."
    )
    environments: EnvironmentSettings = Field(
        default_factory=EnvironmentSettings, description="Which environments are production."
    )
    delivery: DeliverySettings = Field(
        default_factory=DeliverySettings, description="The options by which delivery is judged."
    )
    benchmark: BenchmarkSettings = Field(
        default_factory=BenchmarkSettings, description="What numbers are compared with."
    )
    notify: NotifySettings = Field(default_factory=NotifySettings, description="The enricher; see docs/enricher.md.")
    network: NetworkSettings = Field(
        default_factory=NetworkSettings, description="Where connections may lead that Paceline makes."
    )
    metrics: MetricsSettings = Field(default_factory=MetricsSettings, description="What `/metrics` may hold.")
    server: ServerSettings = Field(default_factory=ServerSettings, description="Where the service listens.")
    access: AccessSettings = Field(default_factory=AccessSettings, description="Who may look; see docs/security.md.")
    logs: LogSettings = Field(default_factory=LogSettings, description="How the service logs.")
    telemetry: TelemetrySettings = Field(
        default_factory=TelemetrySettings, description="Where Paceline's own traces go, and its metrics."
    )
    report: ReportSettings = Field(default_factory=ReportSettings, description="The weekly summary.")
    retention: dict[str, KeptFor] = Field(
        default_factory=dict,
        description="How long events are kept, by kind: `probe`, `usage_event` and `collection`, such as `400d` or "
        "`always`. Unless told `collection` is kept for 400d, and all others always; see docs/operations.md.",
    )
    replicas: ReplicaSettings = Field(
        default_factory=ReplicaSettings, description="What several processes on one PostgreSQL share."
    )


ENVIRONMENT: Mapping[str, tuple[str, ...]] = {
    "PACELINE_DATA_DIR": ("data_dir",),
    "PACELINE_STORE": ("store",),
    "PACELINE_TIMEZONE": ("timezone",),
    "PACELINE_HOST": ("server", "host"),
    "PACELINE_PORT": ("server", "port"),
    "PACELINE_URL": ("server", "url"),
    "PACELINE_LOG_LEVEL": ("logs", "level"),
    "PACELINE_LOG_FORMAT": ("logs", "format"),
    "PACELINE_REPORT_DIRECTORY": ("report", "directory"),
    "PACELINE_COLLECT": ("replicas", "collect"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("telemetry", "otlp_endpoint"),
}
"""Variables that override a setting of the file."""

OTHER_VARIABLES = (
    "PACELINE_CONFIG",
    "PACELINE_REPO",
    "PACELINE_PEOPLE_KEY",
    "PACELINE_PROMETHEUS_TOKEN",
    "PACELINE_GRAFANA_TOKEN",
)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Checked settings with the sources, SLO files and services they name. Relative paths start at `base_dir`."""

    settings: Settings
    base_dir: Path
    sources: tuple[SourceConfig, ...]
    slos: tuple[Slo, ...]
    exclusions: tuple[Exclusion, ...] = ()
    policy: Policy = field(default_factory=packaged_policy)
    overrides: tuple[Override, ...] = ()
    services: tuple[Service, ...] = ()
    options: tuple[Options, ...] = ()
    reviewed: Reviewed = field(default_factory=Reviewed)
    """What the files of identities say, in clear; nothing but `identities` is made of it."""
    identities: Identities = field(default_factory=Identities)
    notes: tuple[str, ...] = ()
    document: Document | None = None
    away: tuple[Mistake, ...] = ()
    """What sources look for and is not there now. It may come back, so nothing but a check stops for it."""

    @property
    def data_dir(self) -> Path:
        """Absolute path of the data directory."""
        return (self.base_dir / self.settings.data_dir.expanduser()).resolve()

    @property
    def place(self) -> Place:
        """Where the store is: the data directory, or the address of a PostgreSQL database."""
        return self.data_dir if self.settings.store is None else self.settings.store

    @property
    def report_dir(self) -> Path | None:
        """Absolute path of the folder of weekly summaries, where one is given."""
        directory = self.settings.report.directory
        return None if directory is None else (self.base_dir / directory.expanduser()).resolve()

    @cached_property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Where the weekly summary goes, with absolute paths; `report.directory` is the first of them."""
        reach = self.settings.network.reach
        here = (one.beside(self.base_dir) for one in self.settings.report.deliveries)
        told = tuple(one.within(reach) if isinstance(one, Carrier) else one for one in here)
        if self.report_dir is None:
            return told
        return (FileDelivery(type="file", name=DIRECTORY, path=self.report_dir), *told)

    @cached_property
    def teams(self) -> tuple[str, ...]:
        """The paths of the teams that have services or SLOs, and those above them, sorted."""
        named = [service.team for service in self.services] + [slo.team for slo in self.slos]
        return tuple(sorted({level for team in named for level in levels(team)}))

    @cached_property
    def organisation(self) -> Organisation:
        """Zone, catalogue, environments and rules: what judging depends on."""
        settings, zone = self.settings, ZoneInfo(self.settings.timezone)
        return Organisation(
            zone=zone,
            services=self.services,
            production=patterns(settings.environments.production),
            judged=patterns(settings.environments.judged),
            delivery=settings.delivery.rules(),
            calendars={name: told.calendar(zone) for name, told in settings.calendars.items()},
            platform_teams=patterns(settings.platform_teams),
            identities=self.identities,
            options=self.options,
            smallest_group=settings.privacy.smallest_group,
        )

    @property
    def benchmark_year(self) -> int:
        """The year of the table that numbers are compared with."""
        return self.settings.benchmark.year

    @property
    def series_limit(self) -> int:
        """How many series of one metric are published before it is cut."""
        return self.settings.metrics.series_limit


def load(path: Path, environ: Mapping[str, str], types: SourceTypes, families: Sequence[Family]) -> Configuration:
    """The configuration of a file. Raises ConfigError with every mistake in it and in the files it names."""
    documents = read_documents(path, environ=environ)
    mistakes = environment_mistakes(environ)
    if len(documents) > 1:
        mistakes.append(documents[1].mistake((), "a second document", "one YAML document"))
    document, base_dir = documents[0], path.resolve().parent
    if not isinstance(document.value, dict):
        raise ConfigError(document.mistake((), "no mapping", "settings as `key: value`"), *mistakes)
    indicators = {i.name: i for f in families for i in f.indicators}
    valid = not mistakes
    collected(mistakes, validate, document, Settings)
    settings = collected(mistakes, overlaid, document.value, environ) if valid and not mistakes else None
    sources = collected(mistakes, _sources, document, types)
    named = collected(mistakes, read_slo_files, document, base_dir, indicators)
    catalogue = collected(mistakes, services, document, base_dir)
    options = collected(mistakes, _options, document, families)
    reviewed = collected(mistakes, read_identities, document, base_dir)
    if mistakes or settings is None or named is None:
        raise ConfigError(*dict.fromkeys(mistakes))
    found = Configuration(
        settings=settings,
        base_dir=base_dir,
        sources=tuple(sources or ()),
        slos=named.slos,
        exclusions=named.exclusions,
        policy=named.policy,
        overrides=named.overrides,
        services=catalogue or (),
        options=options or (),
        reviewed=reviewed or Reviewed(),
        document=document,
    )
    mistakes.extend(_delivery_mistakes(found, document))
    mistakes.extend(_access_mistakes(found.settings, document))
    mistakes.extend(_replica_mistakes(found, document))
    told = found.settings.retention
    mistakes.extend(retention_mistakes(told, families, found.organisation, found.slos, document))
    if mistakes:
        raise ConfigError(*mistakes)
    return found


def _delivery_mistakes(found: Configuration, document: Document) -> Iterator[Mistake]:
    """Deliveries of teams that nobody knows, and those that would overwrite each other's files."""
    written = [found.deliveries[0].files] if found.report_dir else []
    for index, one in enumerate(found.deliveries[len(written) :]):
        place = ("report", "deliveries", index)
        if one.team and one.team not in found.teams:
            near = nearest(one.team, found.teams) or "the path of a team that has services or SLOs"
            yield document.mistake((*place, "team"), f"there is no team {one.team[:60]!r}", near)
        if one.files and one.files in written:
            expected = "a folder or a format of its own"
            yield document.mistake((*place, "path"), f"{one.name} writes the files of another delivery", expected)
        written.append(one.files)


def _access_mistakes(settings: Settings, document: Document) -> Iterator[Mistake]:
    """A door that stands open, and what does not fit together."""
    server = settings.server
    if (fault := open_door(server.host, settings.access)) is not None:
        yield document.mistake(*fault)
    for fault in faults(settings.access, server.tls, server.url):
        yield document.mistake(*fault)


def _replica_mistakes(found: Configuration, document: Document) -> Iterator[Mistake]:
    """Workers that share no database."""
    if found.settings.replicas.collect == "workers" and found.settings.store is None:
        expected = "`store`, the address of a PostgreSQL database, or `collect: here`"
        yield document.mistake(("replicas", "collect"), "workers share no file", expected)


def overlaid(values: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Valid settings with the environment's overrides. Raises ConfigError naming the variables at fault."""
    mistakes = environment_mistakes(environ)
    if mistakes:
        raise ConfigError(*mistakes)
    merged: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    for variable, place in ENVIRONMENT.items():
        if value := environ.get(variable):
            section = merged.setdefault(place[0], {}) if len(place) > 1 else merged
            section[place[-1]] = value
    return Settings.model_validate(merged)


def environment_mistakes(environ: Mapping[str, str]) -> list[Mistake]:
    """What is wrong with the variables that override settings: bad values, and names that mean nothing."""
    mistakes = list(_unknown_variables(environ))
    for variable, place in ENVIRONMENT.items():
        value = environ.get(variable)
        if not value:
            continue
        probe: dict[str, Any] = {place[-1]: value} if len(place) == 1 else {place[0]: {place[1]: value}}
        try:
            validate(Document(file="environment", value=probe, lines={}), Settings)
        except ConfigError as error:
            mistakes += [
                Mistake(file="environment", line=0, path=variable, problem=m.problem, expected=m.expected)
                for m in error.mistakes
            ]
    return mistakes


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[Mistake]:
    known = (*ENVIRONMENT, *OTHER_VARIABLES)
    for variable in sorted(environ):
        if variable.startswith("PACELINE_") and variable not in known and not variable.startswith("PACELINE_TEST_"):
            near = nearest(variable, known)
            hint = f"{near}, or " if near else ""
            yield Mistake(
                file="environment",
                line=0,
                path=variable,
                problem="no such setting",
                expected=f"{hint}one of {', '.join(known)}",
            )


def _sources(document: Document, types: SourceTypes) -> list[SourceConfig]:
    found: list[SourceConfig] = []
    mistakes: list[Mistake] = []
    listed = document.value.get("sources")
    if listed is None:
        return found
    if not isinstance(listed, list):
        raise ConfigError(document.mistake(("sources",), "no list", "a list of sources, each with `type` and `name`"))
    for index, item in enumerate(listed):
        place = ("sources", index)
        key = item.get("type") if isinstance(item, dict) else None
        model = types.by_key.get(key) if isinstance(key, str) else None
        if model is None:
            near = nearest(str(key), types.by_key) if key else ""
            expected = (f"{near!r}, or " if near else "") + "one of " + ", ".join(sorted(types.by_key))
            problem = f"{key!r} is no source type" if key else "the source has no type"
            mistakes.append(document.mistake((*place, "type") if key else place, problem, expected))
            continue
        try:
            config = validate(document, model, at=place)
        except ConfigError as error:
            mistakes.extend(error.mistakes)
            continue
        if any(config.name == other.name for other in found):
            problem = f"two sources are named {config.name!r}"
            mistakes.append(document.mistake((*place, "name"), problem, "a name of its own for each source"))
        found.append(config)
    if mistakes:
        raise ConfigError(*mistakes)
    return found


def _options(document: Document, families: Sequence[Family]) -> tuple[Options, ...]:
    """What is set of the families' options. Raises ConfigError with every mistake."""
    models = {f.name: f.options for f in families if f.options is not None}
    listed = document.value.get("indicators")
    if not isinstance(listed, dict | None):
        raise ConfigError(document.mistake(("indicators",), "no mapping", "options by the name of a family"))
    found: list[Options] = []
    mistakes: list[Mistake] = []
    for name in listed or {}:
        model, place = models.get(name), ("indicators", name)
        if model is None:
            near = nearest(name, models)
            expected = (f"{near}, or " if near else "") + (f"one of {', '.join(sorted(models))}" if models else "none")
            mistakes.append(document.mistake(place, "no family of indicators with options", expected))
        elif (told := collected(mistakes, validate, document, model, at=place)) is not None:
            found.append(told)
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(found)
