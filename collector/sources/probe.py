"""Checks that Paceline makes itself: of HTTP answers, open ports and certificates, each target once in a slot.

A slot is a whole minute UTC, as `uptime` counts them. What was not checked is no event: nobody knows how it was.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from collector.durations import Duration
from collector.errors import Mistake, PacelineError, SourceError
from collector.events import Probe
from collector.name_rules import checked_expression
from collector.probing import NO_NETWORK, PORTS, Check, Checked, Prober, is_host, prober, trusting
from collector.secrets import Secret, reveal
from collector.source import About, Page, SourceConfig, SourceContext
from collector.times import as_rfc3339, parsed

_SLOT = timedelta(minutes=1)
_LONGEST = timedelta(seconds=30)
"""Checks are spread over no more, and each takes no longer: a round is over within its minute."""
_OVER_SECONDS, _NEARLY_OVER_SECONDS = 1.0, 5.0
_NEXT_IS_NEAR_SECONDS = 15.0
_NO_STATUS = 0
"""A check counts as a request, whatever came of it."""
_STATUS = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ABOUT = About(
    system="Probes",
    gives=("probe",),
    tested="real servers",
    costs=(("checks", "1 connection for each target and minute, closed after the check"),),
    limits=(
        "Checks are made from where Paceline runs: what its network cannot reach is down for it.",
        "Of a certificate's chain the certificate of the server itself is looked at for `expires_within`.",
        "A proxy is not used; of an answer the first 256 KiB are read.",
    ),
    example="""\
sources:
  - type: probe
    name: checks
    targets:
      - {service: shop, url: "https://shop.example.com/health", body_contains: ok}
      - {service: shop-db, tcp: "db.example.com:5432"}
      - {service: registry, tls: "registry.example.com:443", expires_within: 14d}
""",
    more="""\
**What becomes what.** Each target gives one probe for each minute in which it was checked, with how many of its
`checks` passed and how long those took on average. A check passes where the server answers within `timeout` with one of
`valid_status_codes`, behind redirects too, and its body holds what it must; where a port takes a connection; where a
certificate is trusted, is the host's and lasts for `expires_within`. A failed check is not repeated: it is what was
measured. `uptime` makes one slot of all targets of a service, by its `pass_share`.

**When.** A target is checked at its own time within `spread`, the same in each round; several `checks` are spread
evenly. A minute is checked once. With `every: 5m` one minute of five is known and the others are not. What could not be
checked in time, or because Paceline did not run, is unknown: neither up nor down.

**Why checks fail** is said with each run, by service and kind of check: connection refused or closed, timeout, name not
resolved, network unreachable, TLS handshake failed, certificate expired, not valid yet, self-signed, of another host,
not trusted or expiring soon, a status, too many redirects, no HTTP answer, one that is cut off, a body that does
not match.

**Credentials** stand in `headers` as `${NAME}` or `file:/path`; they go to the server of `url` alone, not to where it
redirects. Certificates are verified by the system's authorities, or by `ca_file` instead.
""",
)


def _codes(value: object) -> object:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _code_range(text: str) -> str:
    found = _STATUS.fullmatch(text)
    if found is None or int(found[2] or found[1]) < int(found[1]):
        raise ValueError(f"{text!r} is no status; expected for example 204, or a range such as 200-299")
    return text


def _web_address(text: str) -> str:
    if not text:
        return text
    try:
        parts = urlsplit(text)
        usable = parts.scheme in PORTS and is_host(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("this is no web address; expected for example https://shop.example.com/health")
    if "@" in parts.netloc:
        raise ValueError("an address with user and password would show them; expected `headers`")
    return text


def _host_and_port(text: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        usable = not text or (is_host(parts.hostname) and bool(parts.port) and parts.netloc == text)
    except ValueError:
        usable = False
    if not usable or "@" in text:
        raise ValueError(f"{text!r} is no host and port; expected for example db.example.com:5432")
    return text


def _short(value: timedelta) -> timedelta:
    if value > _LONGEST:
        raise ValueError(f"this is too long for a minute; expected at most {_LONGEST.seconds}s")
    return value


Short = Annotated[Duration, AfterValidator(_short)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
StatusCodes = Annotated[list[Annotated[str, AfterValidator(_code_range)]], BeforeValidator(_codes)]


class ProbeTarget(BaseModel):
    """Something of a service that is checked: exactly one of `url`, `tcp` and `tls`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str = Field(min_length=1, description="The service whose uptime it is.")
    environment: str = Field(default="", description="Its environment; production unless given.")
    name: str = Field(
        default="", description="What tells it from other targets of the service; its address without query if empty."
    )
    url: Annotated[str, AfterValidator(_web_address)] = Field(default="", description="An address that must answer.")
    tcp: HostAndPort = Field(default="", description="A host and port that must take a connection.")
    tls: HostAndPort = Field(default="", description="A host and port that must show a trusted certificate.")
    timeout: Short = Field(default=timedelta(seconds=5), description="How long a check may take; at most 30s.")
    checks: int = Field(default=1, ge=1, le=10, description="How many checks are made in a minute, each for itself.")
    method: Literal["GET", "HEAD", "OPTIONS", "POST"] = Field(default="GET", description="How `url` is asked.")
    headers: dict[str, Secret] = Field(
        default_factory=dict, description="Headers for the server of `url`: secrets as ${NAME} or as file:/path."
    )
    valid_status_codes: StatusCodes = Field(
        default=["200-299"], min_length=1, description="Statuses of an answer that pass: numbers and ranges."
    )
    body_contains: str = Field(default="", description="A text that the body must hold.")
    body_matches: str = Field(default="", description="A regular expression that must be found in the body.")
    follow_redirects: bool = Field(default=True, description="Whether redirects are followed, at most 10.")
    ca_file: Path | None = Field(
        default=None, description="Certificates to trust instead of the public ones, as a PEM file."
    )
    expires_within: Duration | None = Field(
        default=None, description="A certificate that expires sooner fails, such as 14d; an expired one always does."
    )

    @property
    def kind(self) -> Literal["url", "tcp", "tls"]:
        """What is checked."""
        return "url" if self.url else "tcp" if self.tcp else "tls"

    @property
    def address(self) -> str:
        """Where the checks go."""
        return self.url or (f"tcp://{self.tcp}" if self.tcp else f"tls://{self.tls}")

    @property
    def shown(self) -> str:
        """What it is called; never with a query, in which some keep a secret."""
        return self.name or self.address.partition("#")[0].partition("?")[0]

    @property
    def key(self) -> str:
        """What tells it from all others of a source."""
        return f"{self.service}/{self.environment}/{self.shown}"

    @field_validator("body_matches")
    @classmethod
    def _is_expression(cls, value: str) -> str:
        return checked_expression(value)

    @field_validator("headers")
    @classmethod
    def _are_names(cls, value: dict[str, Secret]) -> dict[str, Secret]:
        for name in value:
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header; expected for example Authorization")
        return value

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(map(bool, (self.url, self.tcp, self.tls))) != 1:
            raise ValueError("a target is one thing; expected exactly one of `url`, `tcp` and `tls`")
        given = self.model_fields_set
        of_url = ("method", "headers", "valid_status_codes", "body_contains", "body_matches", "follow_redirects")
        odd = [] if self.url else [name for name in of_url if name in given]
        if not self.tls and not self.url.startswith("https:") and "expires_within" in given:
            odd.append("expires_within")
        if odd:
            raise ValueError(f"`{odd[0]}` means nothing for {self.address.partition(':')[0]}; expected no such setting")
        return self

    def check(self, trust: ssl.SSLContext) -> Check:
        """The check that is made of it. Raises SourceError for a header that cannot be read or sent."""
        ranges = [code.partition("-") for code in self.valid_status_codes]
        wanted = self.body_matches or (re.escape(self.body_contains) if self.body_contains else "")
        return Check(
            url=self.address,
            timeout_seconds=self.timeout.total_seconds(),
            trust=trust,
            method=self.method,
            headers={name: self._header(name, secret) for name, secret in self.headers.items()},
            valid_status_codes=[range(int(first), int(last or first) + 1) for first, _, last in ranges],
            body=re.compile(wanted) if wanted else None,
            follow_redirects=self.follow_redirects,
            expires_within_seconds=self.expires_within.total_seconds() if self.expires_within else 0.0,
        )

    def _header(self, name: str, secret: Secret) -> str:
        value = reveal(secret)
        if not (value.isascii() and value.isprintable()):
            raise SourceError(
                f"the header {name} of {self.shown} cannot be sent; expected one line of plain characters"
            )
        return value


class ProbeConfig(SourceConfig):
    """Settings of checks that Paceline makes."""

    type: Literal["probe"]
    about: ClassVar[About] = _ABOUT
    punctual: ClassVar[bool] = True

    every: Duration = Field(default=_SLOT, description="How often each target is checked; at least 1m.")
    targets: list[ProbeTarget] = Field(min_length=1, description="What is checked.")
    parallel: int = Field(default=16, ge=1, le=128, description="How many checks run at the same time.")
    spread: Short = Field(
        default=timedelta(seconds=10), description="Over how much of a minute checks are spread; at most 30s."
    )

    @field_validator("every")
    @classmethod
    def _is_a_slot(cls, value: timedelta) -> timedelta:
        if value < _SLOT:
            raise ValueError("a target is checked once a minute; expected at least 1m, and `checks` for more of them")
        return value

    @field_validator("targets")
    @classmethod
    def _are_told_apart(cls, value: list[ProbeTarget]) -> list[ProbeTarget]:
        keys = Counter(target.key for target in value)
        if (twice := next((t for t in value if keys[t.key] > 1), None)) is not None:
            raise ValueError(f"two targets of {twice.service} are {twice.shown!r}; expected a `name` for each of them")
        return value

    def build(self, context: SourceContext) -> ProbeSource:
        """The source."""
        return ProbeSource(self, context, prober(context.wire.reach))

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """Files of certificates and of secrets that are missing."""
        found: list[Mistake] = []
        for target in self.targets:
            try:
                target.check(_trust(target.ca_file, context.base_dir))
            except PacelineError as error:
                problem = f"{target.shown}: {str(error).partition(';')[0]}"
                expected = "a file that Paceline can read"
                found.append(Mistake(file="", line=0, path="targets", problem=problem, expected=expected))
        return found


@lru_cache(maxsize=64)
def _read_trust(path: Path | None, _stamp: tuple[int, int]) -> ssl.SSLContext:
    return trusting(path)


def _trust(ca_file: Path | None, base_dir: Path) -> ssl.SSLContext:
    """What certificates are verified by; a file is read again when it was replaced."""
    if ca_file is None:
        return _read_trust(None, (0, 0))
    path = base_dir / ca_file.expanduser()
    try:
        known = path.stat()
        return _read_trust(path, (known.st_mtime_ns, known.st_ino))
    except OSError:  # what is no PEM is one, too
        raise SourceError(f"{ca_file} holds no certificates that can be read; correct `ca_file`") from None


class _Planned(NamedTuple):
    """A check to be made, so many seconds after the beginning of its round."""

    after_seconds: float
    target: ProbeTarget
    check: Check


@dataclass
class _Results:
    """What the checks of one target in one slot came to."""

    seconds: list[float] = field(default_factory=list)
    """Of the checks that passed."""
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def checks(self) -> int:
        """How many were made."""
        return len(self.seconds) + self.failures.total()

    def add(self, checked: Checked) -> None:
        """One was made."""
        if checked.failure is None:
            self.seconds.append(checked.seconds)
        else:
            self.failures[checked.failure] += 1


@dataclass(frozen=True)
class ProbeSource:
    """See ProbeConfig. Its cursor is the last slot that was checked."""

    config: ProbeConfig
    context: SourceContext = field(repr=False)
    prober: Prober = field(default_factory=Prober, repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """One page, of the slot that is now; none where it was checked.

        Raises SourceError for a target whose certificates or secrets cannot be read, after the others were checked.
        """
        checks, problems = self._checks()
        slot = self._slot(None if cursor is None else parsed(cursor))
        if slot is not None and checks:
            results, left_out = self._round(slot, checks)
            events = [self._event(target, slot, found) for target, found in results if found.checks]
            warnings = [*_said(results), *_not_made(left_out)]
            yield Page(events=events, cursor=as_rfc3339(slot), warnings=warnings, checkpoint=True)
        if problems:
            raise problems[0]

    def _checks(self) -> tuple[list[tuple[ProbeTarget, Check]], list[PacelineError]]:
        """The checks of all targets, and why there is none of some."""
        found: list[tuple[ProbeTarget, Check]] = []
        problems: list[PacelineError] = []
        for target in self.config.targets:
            try:
                found.append((target, target.check(_trust(target.ca_file, self.context.base_dir))))
            except PacelineError as error:
                problems.append(error)
        return found, problems

    def _slot(self, last: datetime | None) -> datetime | None:
        """The slot to check: the present one or, waited for, the next; None where there is nothing to do.

        Who runs this is sometimes late by moments. Rounds that begin near the end of a minute would then miss one
        minute and meet another twice.
        """
        now = self.context.clock()
        slot = now.replace(second=0, microsecond=0)
        left = (slot + _SLOT - now).total_seconds()
        checked, steady = last == slot, last == slot - _SLOT
        near = _NEXT_IS_NEAR_SECONDS if checked else _OVER_SECONDS if steady else _NEARLY_OVER_SECONDS
        if left > near:
            return None if checked else slot
        self.context.wire.sleep(left)
        return slot + _SLOT

    def _round(
        self, slot: datetime, checks: Sequence[tuple[ProbeTarget, Check]]
    ) -> tuple[list[tuple[ProbeTarget, _Results]], int]:
        """The results of each target, and how many checks were not made before the slot was over."""
        now, timer = self.context.clock(), self.prober.timer
        started, left = timer(), (slot + _SLOT - now).total_seconds()
        planned = _planned(checks, min(self.config.spread.total_seconds(), max(left, 0.0)))
        results = {target.key: (target, _Results()) for target, _ in checks}
        made: list[tuple[_Planned, Future[Checked | None]]] = []

        def make(check: Check) -> Checked | None:
            return self.prober.check(check, now.timestamp()) if timer() - started < left else None

        with ThreadPoolExecutor(self.config.parallel, "probe") as pool:
            for one in planned:
                self.context.wire.sleep(max(one.after_seconds - (timer() - started), 0.0))
                made.append((one, pool.submit(make, one.check)))
        done = [(one, future.result()) for one, future in made]
        for one, checked in done:
            if checked is not None:
                self.context.wire.traffic.asked(_NO_STATUS, {})
                results[one.target.key][1].add(checked)
        return list(results.values()), sum(checked is None for _, checked in done)

    def _event(self, target: ProbeTarget, slot: datetime, found: _Results) -> Probe:
        return Probe(
            source=self.config.name,
            native_id=f"{target.key}@{as_rfc3339(slot)}",
            updated_at=self.context.clock(),
            service=target.service,
            environment=target.environment or None,
            target=target.shown,
            at=slot,
            duration_seconds=_SLOT.total_seconds(),
            passed=len(found.seconds),
            checks=found.checks,
            latency_seconds=statistics.fmean(found.seconds) if found.seconds else None,
        )


def _said(results: Sequence[tuple[ProbeTarget, _Results]]) -> Iterator[str]:
    """Why checks failed, by service and kind."""
    of: dict[str, _Results] = {}
    for target, found in results:
        whose = f"{target.service} ({target.environment})" if target.environment else target.service
        together = of.setdefault(f"{whose}, {target.kind}", _Results())
        together.seconds += found.seconds
        together.failures.update(found.failures)
    all_failed = all(found.failures and not found.seconds for found in of.values())
    if len(results) > 1 and all_failed and all(found.failures.keys() <= NO_NETWORK for found in of.values()):
        yield "no check reached any network; is that of this machine up?"
    for whose, found in of.items():
        reasons = ", ".join(f"{reason} ({n})" for reason, n in sorted(found.failures.items()))
        if reasons:
            yield f"{whose}: {found.failures.total()} of {found.checks} checks failed: {reasons}"


def _not_made(count: int) -> Iterator[str]:
    """Checks for which there was no time, or no means."""
    if count:
        yield f"{count} checks could not be made within the minute; raise `parallel`, or lower `timeout` or `checks`"


def _planned(checks: Sequence[tuple[ProbeTarget, Check]], spread_seconds: float) -> list[_Planned]:
    """When each check is made: a target at its own time in each round, its checks evenly apart."""
    return sorted(
        (
            _Planned((number + _place(target.key)) / target.checks * spread_seconds, target, check)
            for target, check in checks
            for number in range(target.checks)
        ),
        key=lambda one: one.after_seconds,
    )


def _place(key: str) -> float:
    """A number from 0 to below 1 that follows from a text, evenly over many of them."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest()) / 2**48
