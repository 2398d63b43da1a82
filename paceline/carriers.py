"""What carries: a Slack webhook, a mail server, any other webhook. Knows nothing of what it carries.

What one is set to is its model, and the model sends, once: to repeat is its caller's business. Nobody's address and no
secret stands in an error.
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from collector.errors import AuthError, RetryableError, SourceError
from collector.http import ApiClient, Limits
from collector.secrets import Secret, is_in_file, reveal
from slo_engine.event_lines import one_line, web_link

SEND_SECONDS = 15.0
"""How long each step of a sending may take."""
_LARGEST_ANSWER_BYTES = 1 << 20

Name = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$", description="A name of your own, for logs and counts.")
]


def named_apart(one: str, several: str) -> Callable[[list[Any]], list[Any]]:
    """A check that no two of a list have one name; what they are, in words."""

    def check(listed: list[Any]) -> list[Any]:
        names = [each.name for each in listed]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two {several} are named {name!r}; expected a name of its own for each {one}")
        return listed

    return check


def _web_address(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not is_in_file(text) and web_link(text) is None:
        raise ValueError("this value is no web address; expected https://…, without user and password")
    return value


def _address(value: str) -> str:
    if not value.isprintable() or "@" not in parseaddr(value)[1]:
        raise ValueError("this is no e-mail address; expected for example oncall@example.com")
    return value


_WebAddress = Annotated[Secret, AfterValidator(_web_address)]
_Address = Annotated[str, AfterValidator(_address)]


class Carrier(BaseModel):
    """Base of what carries."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SlackWebhook(Carrier):
    """An incoming webhook of Slack, or of what understands its blocks."""

    url: _WebAddress = Field(description="The incoming webhook; it is a secret: give it as ${NAME} or as file:/path.")
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the public ones.")
    proxy: Secret = Field(default=SecretStr(""), description="Proxy for this target; none unless given.")

    def post(self, message: Mapping[str, Any]) -> None:
        """Send a message of blocks. Raises SourceError, sorted by whether later is worth a try."""
        _post(reveal(self.url), message, self.ca_file, reveal(self.proxy))


class Webhook(Carrier):
    """Any address that takes JSON."""

    url: _WebAddress = Field(description="Where the JSON is posted to.")
    token: Secret = Field(default=SecretStr(""), description="Bearer token: give it as ${NAME} or as file:/path.")
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the public ones.")
    proxy: Secret = Field(default=SecretStr(""), description="Proxy for this target; none unless given.")

    def post(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Send JSON with its token and other headers. Raises SourceError, sorted by whether later is worth a try."""
        token = reveal(self.token)
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        _post(reveal(self.url), body, self.ca_file, reveal(self.proxy), {**shown, **(headers or {})})


class MailServer(Carrier):
    """A mail server, and whom its mails are from and for."""

    host: str = Field(min_length=1, description="The mail server.")
    port: int = Field(default=587, ge=1, le=65535, description="Its port: 587 for starttls, 465 for tls.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is protected; without it no password is sent."
    )
    username: str = Field(default="", description="User of the mail server; no login unless given.")
    password: Secret = Field(default=SecretStr(""), description="Password: give it as ${NAME} or as file:/path.")
    sender: _Address = Field(description="The address that mails are from.")
    to: list[_Address] = Field(
        min_length=1, description="The addresses that mails go to: those of teams, not of people."
    )
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the system's.")

    @model_validator(mode="after")
    def _protected(self) -> Self:
        if self.username and self.security == "none":
            raise ValueError("a password over an unprotected connection; expected security: starttls or tls")
        return self

    def hand_over(self, mail: EmailMessage) -> None:
        """Give a mail to the server for all its addresses. Raises SourceError, sorted by whether later is worth a try.

        Where the server refuses some addresses only, that is no RetryableError: the others have it.
        """
        asked = f"mail by {self.host}:{self.port}"
        try:
            with self._connected() as server:
                refused = server.send_message(mail)
        except (smtplib.SMTPException, OSError) as error:
            raise _mail_error(error, asked) from None
        if refused:
            raise SourceError(f"{asked}: {len(refused)} of {len(self.to)} addresses were refused; check `to`")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        where = (self.host, self.port, domain_of(self.sender))
        if self.security == "tls":
            made: smtplib.SMTP = smtplib.SMTP_SSL(*where, timeout=SEND_SECONDS, context=context)
        else:
            made = smtplib.SMTP(*where, timeout=SEND_SECONDS)
        with made as server:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.username:
                server.login(self.username, reveal(self.password))
            yield server


def domain_of(sender: str) -> str:
    """The domain of an address: mails name it, for what the machine itself is called is nobody's business."""
    return parseaddr(sender)[1].rpartition("@")[2]


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


def mail_of(  # noqa: PLR0913 - a mail has these parts
    *, sender: str, to: Iterable[str], subject: str, at: datetime, message_id: str, text: str, page: str
) -> EmailMessage:
    """A mail with text and the same as an HTML page. No text makes a header of its own."""
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = one_line(subject)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = message_id
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    mail.add_alternative(page, subtype="html")
    return mail


def slack_address(url: str) -> str:
    """An address as it stands within `<…|…>`."""
    return url.replace("|", "%7C").replace("<", "%3C").replace(">", "%3E").replace("&", "&amp;")


def _post(url: str, body: Any, ca_file: Path | None, proxy: str = "", headers: Mapping[str, str] | None = None) -> None:
    limits = Limits(seconds=SEND_SECONDS, bytes=_LARGEST_ANSWER_BYTES, attempts=1)
    client = ApiClient(url, headers=headers, ca_file=ca_file, proxy=proxy, limits=limits)
    try:
        client.post(body=body)
    finally:
        client.close()
