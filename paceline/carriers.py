"""What carries: a Slack webhook, a mail server, any other webhook. Knows nothing of what it carries.

What one is set to is its model, and the model sends, once: to repeat is its caller's business. Nobody's address and no
secret stands in an error.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses, parseaddr
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from collector.errors import AuthError, ContractError, RetryableError, SourceError
from collector.http import Answer, ApiClient, Limits
from collector.reach import OutOfReachError, Reach
from collector.secrets import Secret, is_in_file, reveal
from slo_engine.event_lines import one_line, web_link

SEND_SECONDS = 15.0
"""How long each step of a sending may take."""
MAIL_SECONDS = 300.0
"""How long handing a mail over may take: a server that answers drop by drop ends no step."""
_LARGEST_ANSWER_BYTES = 1 << 20
_NOT_TRUSTED = "its certificate is not trusted; name its CA, or check the host"
_LONGEST_WORD = 80
_ERROR_WORD = re.compile(r"[a-z]+(_[a-z]+)+")

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
    found = getaddresses([value])
    local, _, domain = found[0][1].rpartition("@") if len(found) == 1 else ("", "", "")
    if not value.isprintable() or not local or not _in_ascii(domain):
        raise ValueError("this is no e-mail address; expected for example oncall@example.com")
    return value


def _in_ascii(domain: str) -> str:
    """A domain as mail servers know it; empty for none."""
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return ""


_WebAddress = Annotated[Secret, AfterValidator(_web_address)]
_Address = Annotated[str, AfterValidator(_address)]


class Carrier(BaseModel):
    """Base of what carries."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    _reach: Reach = PrivateAttr(default_factory=Reach)

    def within(self, reach: Reach) -> Self:
        """The same, which connects to what may be reached alone."""
        made = self.model_copy()
        made._reach = reach  # noqa: SLF001 - of the same model
        return made


class _Posted(Carrier):
    """What is posted to."""

    url: _WebAddress
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the public ones.")
    proxy: Secret = Field(default=SecretStr(""), description="Proxy for this target; none unless given.")

    def _client(self, headers: Mapping[str, str] | None = None) -> ApiClient:
        limits = Limits(seconds=SEND_SECONDS, bytes=_LARGEST_ANSWER_BYTES, attempts=1)
        return ApiClient(
            reveal(self.url),
            headers=headers,
            ca_file=self.ca_file,
            proxy=reveal(self.proxy),
            limits=limits,
            reach=self._reach,
        )


class SlackWebhook(_Posted):
    """An incoming webhook of Slack, or of what understands its blocks."""

    url: _WebAddress = Field(description="The incoming webhook; it is a secret: give it as ${NAME} or as file:/path.")

    def post(self, message: Mapping[str, Any]) -> None:
        """Send a message of blocks. Raises SourceError, sorted by whether later is worth a try."""
        answer = _post(self._client(), message)
        if word := _refusal(answer):
            raise SourceError(f"{answer.asked}: answered {word}; check the webhook and its channel")


class Webhook(_Posted):
    """Any address that takes JSON."""

    url: _WebAddress = Field(description="Where the JSON is posted to.")
    token: Secret = Field(default=SecretStr(""), description="Bearer token: give it as ${NAME} or as file:/path.")

    def post(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Send JSON with its token and other headers. Raises SourceError, sorted by whether later is worth a try."""
        token = reveal(self.token)
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        _post(self._client({**shown, **(headers or {})}), body)


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
        refused: Mapping[str, Any] | None = None
        try:
            with self._connected(self._context(asked)) as server:
                refused = server.send_message(mail)
        except OutOfReachError as error:
            raise OutOfReachError(f"{asked}: {error}; see docs/security.md") from None
        except (smtplib.SMTPException, OSError, UnicodeError) as error:
            if refused is None:  # else the mail was taken, and how we part changes nothing
                raise _mail_error(error, asked) from None
        if refused:
            raise SourceError(f"{asked}: {len(refused)} of {len(self.to)} addresses were refused; check `to`")

    def _context(self, asked: str) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        except OSError:
            raise SourceError(f"{asked}: the certificates cannot be read; check `ca_file`") from None

    @contextlib.contextmanager
    def _connected(self, context: ssl.SSLContext) -> Iterator[smtplib.SMTP]:
        until = time.monotonic() + MAIL_SECONDS
        where = (self._reach, self.host, self.port, domain_of(self.sender))
        made = _EncryptedMail(*where, context) if self.security == "tls" else _Mail(*where)
        with _cut_off(made, until - time.monotonic()), made as server:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.username:
                server.login(self.username, reveal(self.password))
            yield server


class _Mail(smtplib.SMTP):
    """A mail server at an address that may be reached."""

    def __init__(self, reach: Reach, host: str, port: int, own_name: str) -> None:
        self._reach = reach
        super().__init__(host, port, own_name, timeout=SEND_SECONDS)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._reach.connected(host, port, timeout)


class _EncryptedMail(smtplib.SMTP_SSL, _Mail):
    """The same, encrypted from the beginning."""

    def __init__(self, reach: Reach, host: str, port: int, own_name: str, context: ssl.SSLContext) -> None:
        self._reach = reach
        smtplib.SMTP_SSL.__init__(self, host, port, own_name, timeout=SEND_SECONDS, context=context)


@contextlib.contextmanager
def _cut_off(server: smtplib.SMTP, seconds: float) -> Iterator[None]:
    """Cut the connection when the time is over."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            if (open_one := server.sock) is not None:
                open_one.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(seconds, 0.0), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def domain_of(sender: str) -> str:
    """The domain of an address: mails name it, for what the machine itself is called is nobody's business."""
    return _in_ascii(parseaddr(sender)[1].rpartition("@")[2])


def _as_sent(address: str) -> str:
    """An address with its domain as mail servers know it."""
    return address.replace(f"@{parseaddr(address)[1].rpartition('@')[2]}", f"@{domain_of(address)}")


def _mail_error(error: Exception, asked: str) -> RetryableError | AuthError | SourceError:
    """What a failure means for the caller. The server's own words may hold addresses: only its code is said."""
    if isinstance(error, smtplib.SMTPAuthenticationError) and error.smtp_code >= 500:  # noqa: PLR2004 - see below
        return AuthError(f"{asked}: the login was refused; check username and password")
    if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        unknown = isinstance(error, ssl.SSLCertVerificationError)
        why = _NOT_TRUSTED if unknown else "it speaks no TLS there; check `port` and `security`"
        return SourceError(f"{asked}: {why}")
    if isinstance(error, (smtplib.SMTPNotSupportedError, UnicodeError)):
        why = "check `security` and `username`, and that user, password and addresses are ASCII"
        return SourceError(f"{asked}: the server cannot do what is asked; {why}")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = {code for code, _ in error.recipients.values()}
        passing = all(400 <= code < 500 for code in codes)  # noqa: PLR2004 - RFC 5321: 4xx may pass, 5xx will not
        said = f"{asked}: every address was refused ({', '.join(map(str, sorted(codes)))})"
        return RetryableError(said) if passing else SourceError(f"{said}; check `to`")
    if isinstance(error, smtplib.SMTPResponseException):
        said = f"{asked}: answered {error.smtp_code}"
        final = error.smtp_code >= 500  # noqa: PLR2004 - likewise
        return SourceError(f"{said}; check the settings of this target") if final else RetryableError(said)
    return RetryableError(f"{asked}: the connection failed; is the server up, and reachable from here?")


def mail_of(  # noqa: PLR0913 - a mail has these parts
    *, sender: str, to: Iterable[str], subject: str, at: datetime, message_id: str, text: str, page: str
) -> EmailMessage:
    """A mail with text and the same as an HTML page. No text makes a header of its own."""
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = one_line(subject)
    mail["From"] = _as_sent(sender)
    mail["To"] = ", ".join(map(_as_sent, to))
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = message_id
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    mail.add_alternative(page, subtype="html")
    return mail


def slack_address(url: str) -> str:
    """An address as it stands within `<…|…>`."""
    return url.replace("|", "%7C").replace("<", "%3C").replace(">", "%3E").replace("&", "&amp;")


def _refusal(answer: Answer) -> str:
    """The word by which Slack, and what is like it, says that it did not take a message; empty where it did.

    The status may be 200 all the same.
    """
    text = answer.body[:_LONGEST_WORD].decode("utf-8", "replace").strip()
    with contextlib.suppress(ContractError):
        found = answer.json()
        if isinstance(found, dict) and found.get("ok") is False:
            text = str(found.get("error") or "not_ok")
    return text if _ERROR_WORD.fullmatch(text) else ""


def _post(client: ApiClient, body: Any) -> Answer:
    with contextlib.closing(client):
        return client.post(body=body)
