"""What an enriched alert says by Slack, by e-mail and to a webhook. Text from outside is escaped for each of them.

What a target is set to is its model here, and the model builds what sends. paceline/carriers.py carries it.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from collector.secrets import IncomingSecret
from paceline.carriers import (
    MailServer,
    Name,
    SlackWebhook,
    Webhook,
    domain_of,
    mail_of,
    named_apart,
    slack_address,
)
from slo_engine.enrich import AlertStatus, EnrichedAlert, Line, as_json
from slo_engine.event_lines import one_line, web_link
from slo_engine.words import so_many

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


def _base(value: str) -> str:
    if value and web_link(value) is None:
        raise ValueError("this is no web address; expected for example https://paceline.example.com")
    return value.rstrip("/")


class Target(BaseModel):
    """Base of the settings of a target. A subclass adds `type: Literal["key"]` and `build`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    receivers: list[str] = Field(
        default_factory=list, description="Only notifications for these receivers of Alertmanager; empty: for all."
    )

    def wants(self, receiver: str) -> bool:
        """Whether a notification for a receiver goes here."""
        return not self.receivers or receiver in self.receivers

    def build(self, clock: Callable[[], datetime]) -> Sender:
        """What sends."""
        raise NotImplementedError


class SlackTarget(SlackWebhook, Target):
    """An incoming webhook of Slack, or of what understands its blocks."""

    type: Literal["slack"]

    def build(self, clock: Callable[[], datetime]) -> Sender:
        """What sends to Slack."""
        del clock
        return _Slack(self)


class EmailTarget(MailServer, Target):
    """Mail by SMTP."""

    type: Literal["email"]

    def build(self, clock: Callable[[], datetime]) -> Sender:
        """What sends mail."""
        return _Email(self, clock)


class WebhookTarget(Webhook, Target):
    """Any address that takes Alertmanager's webhook; each alert has `paceline` with what was found beside it."""

    type: Literal["webhook"]

    def build(self, clock: Callable[[], datetime]) -> Sender:
        """What posts."""
        del clock
        return _Webhook(self)


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
    targets: Annotated[list[AnyTarget], AfterValidator(named_apart("target", "targets"))] = Field(
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
        self._settings.post(slack_body(message))


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
            last = [_context(f"{so_many(len(message.alerts), 'alert')}, too long to show all of them.")]
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
    address = slack_address(line.url)
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
        settings.hand_over(email_of(message, settings.sender, settings.to, self._clock()))


def email_of(message: Message, sender: str, to: Iterable[str], at: datetime) -> EmailMessage:
    """The message as mail. Those of one group of alerts are one conversation."""
    domain = domain_of(sender)
    mail = mail_of(
        sender=sender,
        to=to,
        subject=message.subject,
        at=at,
        message_id=make_msgid(domain=domain),
        text="\n\n".join(_text_parts(message)) + "\n",
        page=_html_page(message),
    )
    mail["References"] = f"<{hashlib.sha256(message.thread.encode()).hexdigest()[:32]}@{domain}>"
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
        self._settings.post(webhook_body(message))


def webhook_body(message: Message) -> dict[str, Any]:
    """Alertmanager's own JSON, each alert with `paceline`."""
    given = zip(message.payload["alerts"], message.alerts, strict=True)
    return {**message.payload, "alerts": [{**alert, "paceline": as_json(found)} for alert, found in given]}


# --- what they share -------------------------------------------------------------------------------------


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _lines(text: str) -> str:
    """Text of several lines without what would move a cursor or turn the direction of writing."""
    return "\n".join(map(one_line, text.splitlines()))
