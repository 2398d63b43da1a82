"""Settings: each mistake has a file and its exact sentence; the environment overrides; nothing is written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import Field

from collector.durations import Duration
from collector.errors import ConfigError
from collector.patterns import any_matches, patterns
from collector.registry import source_types
from collector.store import DerivationStore
from paceline.cli import main
from paceline.settings import ENVIRONMENT, Configuration, load
from paceline.wiring import build, configuration
from slo_engine.calendars import WorkCalendar
from slo_engine.indicator import Family, families
from slo_engine.options import Options
from slo_engine.organisation import DeliveryRules, Organisation, Service, levels

HERE = Path(__file__).parent
BAD = sorted((HERE / "bad").glob("*.bad.yaml"))
GOOD = sorted((HERE / "good").glob("*.good.yaml"))
SECRET = "hunter2"  # noqa: S105 - planted, to be looked for

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests reaches the settings; one planted secret does."""
    for variable in ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PACELINE_TEST_SECRET", SECRET)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a settings file."""

    def write_text(text: str) -> Path:
        path = tmp_path / "paceline.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


def loaded(path: Path, **environ: str) -> Configuration:
    """The configuration of a file in an environment."""
    return load(path, environ, source_types(), families())


def said(path: Path, **environ: str) -> list[str]:
    """What is wrong with a file in an environment, without the file's folder."""
    with pytest.raises(ConfigError) as caught:
        loaded(path, **environ)
    return [str(m).replace(f"{path.parent}/", "") for m in caught.value.mistakes]


@pytest.mark.parametrize("bad", BAD, ids=lambda p: p.name.removesuffix(".bad.yaml"))
def test_a_mistake_is_answered_in_its_sentence(bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, line, key, what is wrong, what was expected; exit code 2, nothing on standard output, nothing written."""
    folder = tmp_path / "config"
    shutil.copytree(HERE / "bad", folder)
    before = sorted(folder.rglob("*"))

    with pytest.raises(SystemExit) as stopped:
        main(["check", "--config", str(folder / bad.name)])

    out, err = capsys.readouterr()
    assert err.replace(f"{folder}/", "").splitlines() == re.findall(r"^# expect: (.*)$", bad.read_text(), re.MULTILINE)
    assert (stopped.value.code, out) == (2, "")
    assert sorted(folder.rglob("*")) == before
    assert SECRET not in err


@pytest.mark.parametrize(
    "command",
    [
        *("collect", "evaluate", "report", "rules", "serve", "dashboards build"),
        *("slo list", "slo verify", "slo export", "plan", "gate --service shop"),
    ],
)
def test_no_command_writes_before_the_settings_are_right(
    command: str, tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the command, a mistake in the settings stops it before a data directory exists."""
    path = write("timezon: UTC")

    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--config", str(path)])

    assert stopped.value.code == 2
    assert "unknown key; expected timezone" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("good", GOOD, ids=lambda p: p.name.removesuffix(".good.yaml"))
def test_a_good_file_is_accepted(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the documentation allows is accepted, and checking it writes nothing."""
    folder = tmp_path / "config"
    shutil.copytree(HERE / "good", folder)
    before = sorted(folder.rglob("*"))

    main(["check", "--config", str(folder / good.name)])

    assert "well defined" in capsys.readouterr().out
    assert sorted(folder.rglob("*")) == before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is said to be, by name."""
    assert said(tmp_path / "gone.yaml") == [
        "gone.yaml: cannot be read (No such file or directory); expected a readable YAML file"
    ]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file in another encoding than UTF-8 is not guessed at."""
    (tmp_path / "latin.yaml").write_bytes(b"timezone: \xff")

    assert said(tmp_path / "latin.yaml") == ["latin.yaml: is not UTF-8; expected a YAML file in UTF-8"]


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("PACELINE_DATA_DIR", "/else", lambda c: str(c.data_dir)),
        ("PACELINE_TIMEZONE", "Asia/Tokyo", lambda c: c.settings.timezone),
        ("PACELINE_HOST", "::1", lambda c: c.settings.server.host),
        ("PACELINE_PORT", "9", lambda c: str(c.settings.server.port)),
        ("PACELINE_LOG_LEVEL", "error", lambda c: c.settings.logs.level),
        ("PACELINE_LOG_FORMAT", "json", lambda c: c.settings.logs.format),
        ("PACELINE_REPORT_DIRECTORY", "/reports", lambda c: str(c.report_dir)),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318", lambda c: c.settings.telemetry.otlp_endpoint),
    ],
)
def test_a_variable_overrides_the_file(
    write: Write, variable: str, value: str, read: Callable[[Configuration], str | None]
) -> None:
    """Each variable wins over the file, and leaves its section's other settings alone."""
    path = write(
        "timezone: UTC\nserver: {host: localhost, port: 1}\nlogs: {level: debug, format: text}\nreport: {hour: 3}\n"
    )

    found = loaded(path, **{variable: value})

    assert read(found) == value
    assert found.settings.report.hour == 3
    assert set(ENVIRONMENT) >= {variable}


def test_an_empty_variable_is_none(write: Write) -> None:
    """An empty variable overrides nothing."""
    assert loaded(write("timezone: Asia/Tokyo"), PACELINE_TIMEZONE="").settings.timezone == "Asia/Tokyo"


def test_a_bad_variable_is_named(write: Write) -> None:
    """Mistakes in variables name the variable, and come together with those of the file."""
    sentences = said(write("timezon: UTC"), PACELINE_PORT="70000", PACELINE_TIMEZONE="Europe/Belrin")

    assert [s.partition(";")[0] for s in sentences] == [
        "paceline.yaml:1: timezon: unknown key",
        "environment: PACELINE_PORT: '70000' is not valid",
        "environment: PACELINE_TIMEZONE: 'Europe/Belrin' is no time zone",
    ]


def test_a_variable_that_means_nothing_is_refused(write: Write) -> None:
    """A misspelt PACELINE_ variable would silently do nothing: it is refused with the nearest one."""
    (sentence,) = said(write("timezone: UTC"), PACELINE_PROT="9")

    assert sentence.startswith("environment: PACELINE_PROT: no such setting; expected PACELINE_PORT, or one of ")


def test_a_misspelt_variable_is_refused_without_a_file_too(tmp_path: Path) -> None:
    """The quickstart looks at its variables as strictly as a configured service."""
    with pytest.raises(ConfigError, match="PACELINE_PROT: no such setting"):
        configuration(None, {"PACELINE_REPO": str(HERE), "PACELINE_PROT": "9"}, tmp_path)


def test_a_repository_with_credentials_is_not_echoed(write: Write) -> None:
    """A mistake beside a URL with a password does not show the password."""
    path = write(
        "sources:\n  - type: git\n    name: https://u:hunter2@example.com/a.git\n"
        "    repository: https://u:hunter2@example.com/a.git\n    evry: 5m\n"
    )

    assert SECRET not in " ".join(said(path))


def test_a_variable_in_the_file_is_replaced(write: Write) -> None:
    """`${NAME}` takes the variable, `${NAME:-default}` the default where it is not set."""
    found = loaded(write("data_dir: ${PACELINE_TEST_HOME}/${PACELINE_TEST_UNSET:-d}"), PACELINE_TEST_HOME="/h")

    assert found.data_dir == Path("/h/d")


def test_paths_start_at_the_file(write: Write, tmp_path: Path) -> None:
    """Relative folders are beside the settings file, not in the working directory; `~` is the home folder."""
    found = loaded(write("report: {directory: out}"))

    assert (found.data_dir, found.report_dir) == (tmp_path / ".paceline", tmp_path / "out")
    assert loaded(write("data_dir: ~/paceline")).data_dir == (Path.home() / "paceline").resolve()


def test_durations_are_durations(write: Write) -> None:
    """A minute is `m`, and the default interval of an evaluation is one minute."""
    assert loaded(write("evaluate_every: 2m")).settings.evaluate_every == timedelta(minutes=2)
    assert loaded(write("timezone: UTC")).settings.evaluate_every == timedelta(minutes=1)


# --- the organisation -------------------------------------------------------------------------------------------


def test_without_a_word_the_organisation_is_the_engines_own(write: Write) -> None:
    """What nobody sets is what the definitions say, and there is no catalogue."""
    assert loaded(write("data_dir: d")).organisation == Organisation()


def test_the_organisation_is_what_the_settings_say() -> None:
    """Zone, services, environments and rules reach the engine; one rule may be written without a list."""
    found = loaded(HERE / "good" / "everything.good.yaml").organisation

    assert (found.zone, found.production) == (ZoneInfo("CET"), patterns(("production", "prod-*")))
    assert found.delivery == DeliveryRules(
        attribution_lag=timedelta(hours=48),
        incident_window=timedelta(hours=12),
        hotfix_branches=patterns(("hotfix/*",)),
        hotfix_labels=patterns(("hotfix", "urgent")),
        hotfix_tags=patterns(("*-hotfix*",)),
        failed_rollouts=True,
        bots=False,
    )
    assert found.services[0] == Service(
        name="shop",
        team="/commerce/checkout",
        tier="1",
        owner="checkout@teams.example.com",
        deployed_as=patterns(("storefront", "shop-*", "/shop(-v2)?/")),
        repositories=patterns(("team/mono",)),
        paths=patterns(("services/shop/*", "lib/*", "go.mod")),
        production=patterns(("live-eu", "live-us")),
        pipelines=patterns(("deploy-shop",)),
        components=patterns(("Shop", "Till")),
        cadence=2,
    )


def test_calendars_are_what_the_settings_say() -> None:
    """Zone, hours, public holidays and days of their own reach the engine; a weekday wins over its range."""
    found = loaded(HERE / "good" / "everything.good.yaml").organisation.calendars
    morning = (time(9), time(13))

    assert found["default"] == WorkCalendar(zone=ZoneInfo("CET"))
    assert found["berlin"] == WorkCalendar(
        zone=ZoneInfo("Europe/Berlin"),
        hours=(*((day, (time(9), time(18))) for day in range(4)), (4, morning)),
        country="DE",
        subdivision="BE",
        special=((date(2026, 12, 24), morning), (date(2026, 12, 28), None), (date(2026, 12, 31), None)),
    )
    assert found["riyadh"].hours == tuple((day, (time(8), time(16, 30))) for day in (0, 1, 2, 3, 6))
    assert found["always"].hours == tuple((day, (time(), time())) for day in range(7))


def test_what_is_said_of_people_reaches_the_engine() -> None:
    """The platform's teams, with all below them, and the smallest group are those of the settings."""
    found = loaded(HERE / "good" / "everything.good.yaml").organisation

    assert [found.is_platform(t) for t in ("/platform", "/platform/db", "/infra/net", "/infra", "/platforms")] == [
        *(True, True, True),
        *(False, False),
    ]
    assert found.smallest_group == 8


# --- the options of families -------------------------------------------------------------------------------------


class WeatherOptions(Options):
    """The options of a family that is only here."""

    after: Duration = Field(default=timedelta(days=1), description="How long it may rain.")
    where: tuple[str, ...] = Field(default=(), description="Places.")


WEATHER = Family(name="weather", inputs=(), indicators=(), observe=lambda *_: (), options=WeatherOptions)
QUIET = Family(name="quiet", inputs=(), indicators=(), observe=lambda *_: ())


def test_options_reach_the_family(write: Write) -> None:
    """What is set under a family's name is what the family asks the organisation for."""
    path = write("indicators:\n  weather: {after: 2h, where: [here]}\n")

    organisation = load(path, {}, source_types(), [QUIET, WEATHER]).organisation

    assert organisation.options_of(WeatherOptions) == WeatherOptions(after=timedelta(hours=2), where=("here",))


def test_options_that_nobody_sets_have_their_defaults(write: Write) -> None:
    """A family without a word in the settings is judged by the defaults."""
    organisation = load(write("data_dir: d"), {}, source_types(), [WEATHER]).organisation

    assert organisation.options_of(WeatherOptions) == WeatherOptions()


def test_mistakes_in_options_have_lines(write: Write) -> None:
    """Unknown families and options are answered with the nearest, wrong values with what was expected; all at once."""
    path = write("indicators:\n  wether: {}\n  quiet: {}\n  weather:\n    after: 7\n    were: [here]\n")

    with pytest.raises(ConfigError) as caught:
        load(path, {}, source_types(), [QUIET, WEATHER])

    assert [str(m).replace(f"{path.parent}/", "") for m in caught.value.mistakes] == [
        "paceline.yaml:2: indicators.wether: no family of indicators with options; expected weather, or one of weather",
        "paceline.yaml:3: indicators.quiet: no family of indicators with options; expected one of weather",
        (
            "paceline.yaml:5: indicators.weather.after: 7 is no duration; "
            "expected a number and one of s m h d w, for example 5m, 6h or 28d"
        ),
        "paceline.yaml:6: indicators.weather.were: unknown key; expected where; the keys here are after, where",
    ]


def test_no_options_are_none(write: Write) -> None:
    """An empty section sets nothing."""
    assert load(write("indicators:\n"), {}, source_types(), [WEATHER]).options == ()


def test_a_catalogue_may_stand_in_files_of_its_own() -> None:
    """The services of the settings come first, then those of the files, each file once."""
    found = loaded(HERE / "good" / "everything.good.yaml")

    assert [s.name for s in found.services] == ["shop", "api", "linter"]


def test_a_file_of_two_patterns_is_read_once(write: Write, tmp_path: Path) -> None:
    """A catalogue file that two patterns name does not claim its services twice."""
    (tmp_path / "shop.yaml").write_text("services: [{name: shop}]", encoding="utf-8")

    found = loaded(write("catalogue: [shop.yaml, sh*.yaml]"))

    assert [s.name for s in found.services] == ["shop"]


def test_one_service_of_two_files_is_refused(write: Write, tmp_path: Path) -> None:
    """Two files with one service → refused with both places, not "last wins"."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("services:\n  - {name: shop}\n", encoding="utf-8")

    assert said(write("catalogue: ['[ab].yaml']")) == [
        (
            "b.yaml:2: services[0].name: another service is named 'shop', at a.yaml:2; "
            "expected a name of its own for each service"
        )
    ]


def test_names_from_the_environment_are_not_echoed(write: Write) -> None:
    """What two services both claim stays unsaid where it came from a variable."""
    path = write(
        "services:\n  - {name: '${PACELINE_TEST_A}'}\n  - {name: '${PACELINE_TEST_A}'}\n"
        "  - {name: b, components: '${PACELINE_TEST_B}'}\n  - {name: c, components: '${PACELINE_TEST_B}'}\n"
    )

    sentences = said(path, PACELINE_TEST_A=SECRET, PACELINE_TEST_B=SECRET)

    assert [s.partition(";")[0] for s in sentences] == [
        "paceline.yaml:3: services[1].name: another service is named this value, at paceline.yaml:2",
        "paceline.yaml:5: services[3].components: the service 'b' claims this value too, at paceline.yaml:4",
    ]


def test_no_environment_may_be_production(write: Write) -> None:
    """An empty list is taken at its word: then nothing is production."""
    assert loaded(write("environments: {production: []}")).organisation.production == ()


def test_the_zone_of_the_environment_is_the_organisations(write: Write) -> None:
    """The variable that overrides the zone overrides it for judging too."""
    assert loaded(write("timezone: UTC"), PACELINE_TIMEZONE="Asia/Tokyo").organisation.zone == ZoneInfo("Asia/Tokyo")


def test_year_and_limit_have_defaults(write: Write) -> None:
    """Numbers are compared with the last table, and metrics are cut far above what is usual."""
    found, told = loaded(write("data_dir: d")), loaded(HERE / "good" / "everything.good.yaml")

    assert (found.benchmark_year, found.series_limit) == (2025, 250_000)
    assert (told.benchmark_year, told.series_limit) == (2024, 5_000)


def test_observations_are_derived_for_the_organisation(settings_file: Path, clock: Callable[[], datetime]) -> None:
    """The service judges by the catalogue and rules of its configuration."""
    settings_file.write_text(settings_file.read_text(encoding="utf-8") + "services: [{name: shop}]\n", encoding="utf-8")
    found = configuration(settings_file, {}, settings_file.parent)

    with closing(build(found, clock, {})) as running:
        running.service.refresh()
        definitions = [DerivationStore(running.database).stamp(f.name)["definitions"] for f in families()]

    organisation = Organisation(services=(Service(name="shop"),))
    assert definitions == [f"{f.version};{organisation.version_for(f.options)}" for f in families()]


@pytest.fixture
def documented(write: Write) -> Organisation:
    """The organisation of the documentation's example."""
    page = (HERE.parents[1] / "docs" / "catalogue.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return loaded(write(example)).organisation


def test_the_documented_example_tells_a_monorepos_services_apart(documented: Organisation) -> None:
    """A change belongs to the services whose paths it touches; a docs-only one to none; a shared one to all listed."""

    def touched(path: str) -> list[str]:
        return [s.name for s in documented.services if any_matches(s.paths, path)]

    assert documented.of_repository("shop/backend") == ("checkout", "payment")
    assert touched("services/checkout/cart.py") == ["checkout"]
    assert touched("lib/money/deep/round.py") == ["checkout", "payment"]
    assert touched("README.md") == []
    assert documented.of_run("shop/backend", "deploy-payment") == "payment"


def test_the_documented_example_names_services_and_levels(documented: Organisation) -> None:
    """Deployments and components find their service, and a team's levels hold it."""
    assert [documented.deployed(n) for n in ("storefront-web", "storefront", "else")] == [
        "storefront",
        "storefront",
        None,
    ]
    assert documented.component("Web shop") == "storefront"
    assert levels(documented.team("checkout")) == ("/", "/commerce", "/commerce/checkout")


def test_the_documented_example_has_two_regions(documented: Organisation) -> None:
    """Each region is production, for a service that calls them otherwise too."""
    asked = [
        ("checkout", "production-us"),
        ("payment", "live-eu"),
        ("payment", "production-us"),
        ("checkout", "live-eu"),
    ]

    assert [documented.is_production(*a) for a in asked] == [True, True, False, False]
