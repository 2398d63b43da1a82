"""Sends enriched alerts: Slack, e-mail, a generic webhook. Text from outside is escaped for each of them.

What a target is set to is its model here, and the model builds what sends. Nobody's address stands in an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import re
import smtplib
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from collector.errors import AuthError, RetryableError, SourceError
from collector.http import ApiClient, Limits
from collector.secrets import IncomingSecret, Secret, is_in_file, reveal
from slo_engine.enrich import AlertStatus, EnrichedAlert, Line, as_json
from slo_engine.event_lines import one_line, web_link

_SEND_SECONDS = 15.0
_LARGEST_ANSWER_BYTES = 1 << 20
MOST_ALERTS = 10
"""How many alerts of one notification are shown to people; the rest is counted. A program is sent all of them."""

# Slack's limits, https://docs.slack.dev/reference/block-kit/blocks
SLACK_BLOCKS, SLACK_TEXT, SLACK_HEADER = 50, 3_000, 150
_SLACK_FALLBACK = 1_000
_LONGEST_LINE = 300
_LONGEST_DESCRIPTION = 1_500
_LONGEST_URL = 1_000
_LONGEST_SUBJECT = 200
_FORMATS = re.compile(r"(?<![^\W_])[*_~`]|[*_~`](?![^\W_])")
"""A sign formats where it stands at the edge of a word, and not where a zero-width space stands before it."""
_SIGNS = {"firing": "\N{LARGE RED CIRCLE}", "resolved": "\N{LARGE GREEN CIRCLE}"}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One notification, enriched. `payload` is the webhook's body as it came, `alerts` are in its order.

    `thread` is the same for all notifications of one group of alerts.
    """

    status: AlertStatus
    receiver: str
    thread: str
    payload: Mapping[str, Any]
    alerts: tuple[EnrichedAlert, ...]

    @property
    def firing(self) -> int:
        """How many alerts fire."""
        return sum(a.alert.status == "firing" for a in self.alerts)

    @property
    def subject(self) -> str:
        """The notification in one line: `[FIRING] …`."""
        title = self.shown[0].title
        more = f" and {len(self.alerts) - 1} more" if len(self.alerts) > 1 else ""
        return _cut(f"[{self.status.upper()}] {title}", _LONGEST_SUBJECT - len(more)) + more

    @property
    def shown(self) -> tuple[EnrichedAlert, ...]:
        """The alerts that people are shown, the firing ones first."""
        return tuple(sorted(self.alerts, key=lambda a: a.alert.status == "resolved")[:MOST_ALERTS])

    @property
    def left_out(self) -> str:
        """What is not shown, in words; empty where everything is."""
        rest = len(self.alerts) - MOST_ALERTS
        return f"And {rest} more alert{'s' if rest > 1 else ''}." if rest > 0 else ""


class Sender(Protocol):
    """Hands a message on."""

    def send(self, message: Message) -> None:
        """Hand it on. Raises RetryableError where that may work later, and another PacelineError where it will not."""


# --- settings --------------------------------------------------------------------------------------------


def _web_address(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not is_in_file(text) and web_link(text) is None:
        raise ValueError("this value is no web address; expected https://…, without user and password")
    return value


def _base(value: str) -> str:
    if value and web_link(value) is None:
        raise ValueError("this is no web address; expected for example https://paceline.example.com")
    return value.rstrip("/")


def _address(value: str) -> str:
    if not value.isprintable() or "@" not in parseaddr(value)[1]:
        raise ValueError("this is no e-mail address; expected for example oncall@example.com")
    return value


Address = Annotated[str, AfterValidator(_address)]


class Target(BaseModel):
    """Base of the settings of a target. A subclass adds `type: Literal["key"]` and `build`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$", description="A name of your own, for logs and counts."),
    ]
    receivers: list[str] = Field(
        default_factory=list, description="Only notifications for these receivers of Alertmanager; empty: for all."
    )

    def wants(self, receiver: str) -> bool:
        """Whether a notification for a receiver goes here."""
        return not self.receivers or receiver in self.receivers

    def build(self, clock: Callable[[], datetime]) -> Sender:
        """What sends."""
        raise NotImplementedError


class SlackTarget(Target):
    """An incoming webhook of Slack, or of what understands its blocks."""

    type: Literal["slack"]
    url: Annotated[Secret, AfterValidator(_web_address)] = Field(
        description="The incoming webhook; it is a secret: give it as ${NAME} or as file:/path."
    )
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the public ones.")
    proxy: Secret = Field(default=SecretStr(""), description="Proxy for this target; none unless given.")

    def build(self, clock: Callable[[], datetime]) -> Sender:
        """What sends to Slack."""
        del clock
        return _Slack(self)


class EmailTarget(Target):
    """Mail by SMTP."""

    type: Literal["email"]
    host: str = Field(min_length=1, description="The mail server.")
    port: int = Field(default=587, ge=1, le=65535, description="Its port: 587 for starttls, 465 for tls.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is protected; without it no password is sent."
    )
    username: str = Field(default="", description="User of the mail server; no login unless given.")
    password: Secret = Field(default=SecretStr(""), description="Password: give it as ${NAME} or as file:/path.")
    sender: Address = Field(description="The address that mails are from.")
    to: list[Address] = Field(
        min_length=1, description="The addresses that mails go to: those of teams, not of people."
    )
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the system's.")

    @model_validator(mode="after")
    def _protected(self) -> Self:
        if self.username and self.security == "none":
            raise ValueError("a password over an unprotected connection; expected security: starttls or tls")
        return self

    def build(self, clock: Callable[[], datetime]) -> Sender:
        """What sends mail."""
        return _Email(self, clock)


class WebhookTarget(Target):
    """Any address that takes Alertmanager's webhook; each alert has `paceline` with what was found beside it."""

    type: Literal["webhook"]
    url: Annotated[Secret, AfterValidator(_web_address)] = Field(description="Where the JSON is posted to.")
    token: Secret = Field(default=SecretStr(""), description="Bearer token: give it as ${NAME} or as file:/path.")
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the public ones.")
    proxy: Secret = Field(default=SecretStr(""), description="Proxy for this target; none unless given.")

    def build(self, clock: Callable[[], datetime]) -> Sender:
        """What posts."""
        del clock
        return _Webhook(self)


def _names(targets: list[Any]) -> list[Any]:
    names = [t.name for t in targets]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two targets are named {name!r}; expected a name of its own for each target")
    return targets


AnyTarget = Annotated[SlackTarget | EmailTarget | WebhookTarget, Field(discriminator="type")]


class NotifySettings(BaseModel):
    """The enricher: who may post alerts to it, and where they go on to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: IncomingSecret = Field(
        default=SecretStr(""),
        description="What Alertmanager shows at /webhooks/alertmanager: its bearer token, or its basic-auth password. "
        "Without a secret the webhook is closed.",
    )
    username: str = Field(default="alertmanager", description="The user, where Alertmanager uses basic auth.")
    base_url: Annotated[str, AfterValidator(_base)] = Field(
        default="", description="The address of Paceline for links to explanations; no such links unless given."
    )
    targets: Annotated[list[AnyTarget], AfterValidator(_names)] = Field(
        default_factory=list, description="Where alerts go on to; see docs/enricher.md."
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.secret.get_secret_value() and not self.targets:
            raise ValueError("alerts would be taken and go nowhere; expected at least one of targets")
        return self


# --- Slack -----------------------------------------------------------------------------------------------


class _Slack:
    """Posts Block Kit to an incoming webhook."""

    def __init__(self, settings: SlackTarget) -> None:
        self._settings = settings

    def send(self, message: Message) -> None:
        settings = self._settings
        _post(reveal(settings.url), slack_body(message), settings.ca_file, reveal(settings.proxy))


def slack_body(message: Message) -> dict[str, Any]:
    """The message as blocks: at most 50, each text at most 3,000 characters, the header at most 150."""
    sign = _SIGNS[message.status]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(f"{sign} {message.subject}", SLACK_HEADER)}}
    ]
    last = [_context(message.left_out)] if message.left_out else []
    for alert in message.shown:
        own = list(_slack_alert(alert))
        if len(blocks) + len(own) + len(last) >= SLACK_BLOCKS:
            last = [_context(f"{len(message.alerts)} alerts, too long to show all of them.")]
            break
        blocks += own
    return {"text": slack_text(_cut(message.subject, _SLACK_FALLBACK)), "blocks": [*blocks, *last]}


def _slack_alert(alert: EnrichedAlert) -> Iterator[dict[str, Any]]:
    head = [Line(text=alert.about)]
    if alert.state:
        head.append(Line(text=alert.state))
    yield {"type": "divider"}
    yield _section([f"*{_slack_line(Line(text=alert.title))}*", *map(_slack_line, head)])
    if alert.description:
        yield _section([_slack_fitting(_lines(_cut(alert.description, _LONGEST_DESCRIPTION)))])
    for section in alert.sections:
        lines = [f"\N{BULLET} {_slack_line(line)}" for line in section.lines]
        yield _section([f"*{_slack_line(Line(text=section.title))}*", *lines])
    ends = [" · ".join(map(_slack_line, alert.links)), slack_text(alert.problem)]
    if any(ends):
        yield _section([text for text in ends if text])


def _section(lines: Iterable[str]) -> dict[str, Any]:
    """A block of whole lines: those that do not fit are left out, so that no escape and no link is cut in two."""
    kept, size = list[str](), 0
    for line in lines:
        size += len(line) + 1
        if size > SLACK_TEXT:
            break
        kept.append(line)
    return {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(kept) or "…", "verbatim": True}}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": slack_text(text), "verbatim": True}]}


def _slack_line(line: Line) -> str:
    text = slack_text(one_line(_cut(line.text, _LONGEST_LINE)))
    if line.url is None:
        return text
    address = line.url.replace("|", "%7C").replace("<", "%3C").replace(">", "%3E").replace("&", "&amp;")
    return f"<{address}|{text or 'link'}>" if len(address) <= _LONGEST_URL else text


def _slack_fitting(text: str) -> str:
    """As much of a text as fits into a block when it is escaped."""
    while len(slack_text(text)) >= SLACK_TEXT:
        text = _cut(text, len(text) * 9 // 10)
    return slack_text(text)


def slack_text(text: str) -> str:
    """Text as Slack shows it as it is: no mention, no link, no formatting. Names such as `api_v2` stay whole."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _FORMATS.sub("\u200b\\g<0>", escaped)


# --- e-mail ----------------------------------------------------------------------------------------------


class _Email:
    """Sends mail: text, and the same as HTML."""

    def __init__(self, settings: EmailTarget, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock

    def send(self, message: Message) -> None:
        settings = self._settings
        mail = email_of(message, settings.sender, settings.to, self._clock())
        asked = f"mail by {settings.host}:{settings.port}"
        try:
            with self._connected() as server:
                refused = server.send_message(mail)
        except (smtplib.SMTPException, OSError) as error:
            raise _mail_error(error, asked) from None
        if refused:
            # The others have it: sending it to all of them again would be a duplicate for those.
            raise SourceError(f"{asked}: {len(refused)} of {len(settings.to)} addresses were refused; check `to`")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        settings = self._settings
        context = ssl.create_default_context(cafile=None if settings.ca_file is None else str(settings.ca_file))
        host = parseaddr(settings.sender)[1].rpartition("@")[2]  # instead of the machine's own name
        where = (settings.host, settings.port, host)
        if settings.security == "tls":
            made: smtplib.SMTP = smtplib.SMTP_SSL(*where, timeout=_SEND_SECONDS, context=context)
        else:
            made = smtplib.SMTP(*where, timeout=_SEND_SECONDS)
        with made as server:
            if settings.security == "starttls":
                server.starttls(context=context)
            if settings.username:
                server.login(settings.username, reveal(settings.password))
            yield server


def _mail_error(error: Exception, asked: str) -> RetryableError | AuthError | SourceError:
    """What a failure means for the caller. The server's own words may hold addresses: only its code is said."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return AuthError(f"{asked}: the login was refused; check username and password")
    if isinstance(error, ssl.SSLError):
        return SourceError(f"{asked}: its certificate is not trusted; name its CA, or check the host")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return SourceError(f"{asked}: the server cannot do what is asked; check `security` and `username`")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = {code for code, _ in error.recipients.values()}
        passing = all(400 <= code < 500 for code in codes)  # noqa: PLR2004 - RFC 5321: 4xx may pass, 5xx will not
        said = f"{asked}: every address was refused ({', '.join(map(str, sorted(codes)))})"
        return RetryableError(said) if passing else SourceError(f"{said}; check `to`")
    if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500:  # noqa: PLR2004 - likewise
        return SourceError(f"{asked}: answered {error.smtp_code}; check the settings of this target")
    return RetryableError(f"{asked}: the connection failed; is the server up, and reachable from here?")


def email_of(message: Message, sender: str, to: Iterable[str], at: datetime) -> EmailMessage:
    """The message as mail. Those of one group of alerts are one conversation."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = one_line(message.subject)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = make_msgid(domain=domain)
    mail["References"] = f"<{hashlib.sha256(message.thread.encode()).hexdigest()[:32]}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n\n".join(_text_parts(message)) + "\n")
    mail.add_alternative(_html_page(message), subtype="html")
    return mail


def _text_parts(message: Message) -> Iterator[str]:
    for alert in message.shown:
        facts = [f"[{alert.alert.status.upper()}] {alert.title}", one_line(alert.about), alert.state]
        yield "\n".join(filter(None, facts))
        if alert.description:
            yield _lines(_cut(alert.description, _LONGEST_DESCRIPTION))
        for section in alert.sections:
            yield "\n".join([section.title, *(f"- {_text_line(line)}" for line in section.lines)])
        ends = [*map(_text_line, alert.links), alert.problem]
        if any(ends):
            yield "\n".join(filter(None, ends))
    if message.left_out:
        yield message.left_out


def _text_line(line: Line) -> str:
    text = one_line(_cut(line.text, _LONGEST_LINE))
    return f"{text}: {line.url}" if line.url else text


def _html_page(message: Message) -> str:
    body = "<hr>".join("".join(_html_alert(alert)) for alert in message.shown)
    return f"<!doctype html><html><body>{body}<p>{html.escape(message.left_out)}</p></body></html>\n"


def _html_alert(alert: EnrichedAlert) -> Iterator[str]:
    yield f"<h2>{html.escape(f'[{alert.alert.status.upper()}] {alert.title}')}</h2>"
    yield "".join(f"<p>{html.escape(text)}</p>" for text in (alert.about, alert.state) if text)
    if alert.description:
        text = html.escape(_lines(_cut(alert.description, _LONGEST_DESCRIPTION)))
        yield f"<p>{text}</p>".replace("\n", "<br>")
    for section in alert.sections:
        lines = "".join(f"<li>{_html_line(line)}</li>" for line in section.lines)
        yield f"<h3>{html.escape(section.title)}</h3><ul>{lines}</ul>"
    yield f"<p>{' · '.join(map(_html_line, alert.links))}</p><p>{html.escape(alert.problem)}</p>"


def _html_line(line: Line) -> str:
    text = html.escape(one_line(_cut(line.text, _LONGEST_LINE)))
    return f'<a href="{html.escape(line.url)}">{text}</a>' if line.url else text


# --- webhook ---------------------------------------------------------------------------------------------


class _Webhook:
    """Posts the notification as it came, with what was found beside each alert."""

    def __init__(self, settings: WebhookTarget) -> None:
        self._settings = settings

    def send(self, message: Message) -> None:
        settings = self._settings
        token = reveal(settings.token)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        _post(reveal(settings.url), webhook_body(message), settings.ca_file, reveal(settings.proxy), headers)


def webhook_body(message: Message) -> dict[str, Any]:
    """Alertmanager's own JSON, each alert with `paceline`."""
    given = zip(message.payload["alerts"], message.alerts, strict=True)
    return {**message.payload, "alerts": [{**alert, "paceline": as_json(found)} for alert, found in given]}


# --- what they share -------------------------------------------------------------------------------------


def _post(url: str, body: Any, ca_file: Path | None, proxy: str = "", headers: Mapping[str, str] | None = None) -> None:
    """One attempt: repeating is the sender's business, so that one target does not hold up the others."""
    limits = Limits(seconds=_SEND_SECONDS, bytes=_LARGEST_ANSWER_BYTES, attempts=1)
    client = ApiClient(url, headers=headers, ca_file=ca_file, proxy=proxy, limits=limits)
    try:
        client.post(body=body)
    finally:
        client.close()


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _lines(text: str) -> str:
    """Text of several lines without what would move a cursor or turn the direction of writing."""
    return "\n".join(map(one_line, text.splitlines()))
