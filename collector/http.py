"""HTTP for whoever talks to another system: bounded, patient, and silent about secrets. Sole importer of requests.

Errors are those of `collector/errors.py`. Their messages name the method, the server and the path that the caller
asked for; never a query, a header, a body or what stands in the base URL after the server, where some keep a secret.
"""

from __future__ import annotations

import json
import random
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from requests.adapters import BaseAdapter

from collector.errors import AuthError, ContractError, RetryableError, SourceError

Method = Literal["GET", "POST"]

_CHUNK_BYTES = 1 << 16
_CONNECT_SECONDS = 10.0
_MOST_REDIRECTS = 5
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNAUTHORISED, _FORBIDDEN, _NOT_IMPLEMENTED = 401, 403, 501
_SERVER_ERRORS = 500
_TRY_LATER = frozenset({408, 425, 429})
_SEEN_OTHER = frozenset({301, 302, 303})
_SAME_METHOD = frozenset({307, 308})
_SUCCESS = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one answer may cost, and how often a failed request is repeated.

    `seconds`: for one answer, from the request to its last byte, and for each wait within it. `bytes`: of its body,
    unpacked. `attempts`: 1 repeats nothing. `patience_seconds`: the longest single wait before a repetition; where a
    server asks for more, the request fails with its wish.
    """

    seconds: float = 60.0
    bytes: int = 64 * 1024 * 1024
    attempts: int = 4
    patience_seconds: float = 120.0


@dataclass(frozen=True)
class Answer:
    """A successful answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    asked: str

    def json(self) -> Any:
        """The body as JSON. Raises ContractError where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ContractError(f"{self.asked}: the answer is no JSON; is this the address of an API?") from None


class ApiClient:
    """Asks one server. Not to be shared by threads.

    `headers` and `basic` (user and password) are credentials: they go to the base URL's server and to no other, and
    neither a `.netrc` nor a proxy of the environment replaces them. `ca_file` holds the certificates to trust instead
    of the public ones.
    """

    def __init__(  # noqa: PLR0913 - one client has one set of options
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
        ca_file: Path | None = None,
        proxy: str = "",
        limits: Limits | None = None,
        adapter: BaseAdapter | None = None,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._base = base_url
        self._origin = _origin_of(base_url)
        self._limits = limits or Limits()
        self._sleep, self._chance = sleep, chance
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"User-Agent": "paceline", "Accept": "application/json", **(headers or {})})
        if basic is not None:
            self._session.headers["Authorization"] = f"Basic {b64encode(':'.join(basic).encode()).decode()}"
        if ca_file is not None:
            self._session.verify = str(ca_file)
        if proxy:
            self._session.proxies = {"http": proxy, "https": proxy}
        if adapter is not None:
            self._session.mount("http://", adapter)
            self._session.mount("https://", adapter)

    def __repr__(self) -> str:
        return f"ApiClient({self._origin})"

    def close(self) -> None:
        """Let go of kept connections."""
        self._session.close()

    def get(self, path: str = "", parameters: Mapping[str, str | list[str]] | None = None) -> Answer:
        """The answer to a GET of a path below the base URL, repeated where that may help.

        Raises AuthError, RetryableError (with the server's wish), ContractError, or SourceError for any other refusal.
        """
        return self._patiently("GET", path, dict(parameters or {}), None, self._limits.attempts)

    def post(self, path: str = "", body: Any = None, *, repeatable: bool = False) -> Answer:
        """The answer to a POST of a JSON body. Repeated only where `repeatable`: where twice does no harm."""
        sent = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        return self._patiently("POST", path, {}, sent, self._limits.attempts if repeatable else 1)

    def _patiently(
        self, method: Method, path: str, parameters: Mapping[str, Any], body: bytes | None, attempts: int
    ) -> Answer:
        asked = f"{method} {self._origin}{path and '/' + path.partition('?')[0].lstrip('/')}"
        for attempt in range(attempts):
            try:
                return self._once(method, path, parameters, body, asked)
            except RetryableError as error:
                wait = self._wait(attempt, error.retry_after_seconds)
                if attempt + 1 == attempts or wait > self._limits.patience_seconds:
                    raise
                self._sleep(wait)
        raise RetryableError(f"{asked}: not one attempt is allowed")

    def _wait(self, attempt: int, wished: float | None) -> float:
        """Twice as long after each failure, half of it by chance, and never less than the server asked for."""
        longest: float = min(_FIRST_WAIT_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
        return max(longest * (1 + self._chance()) / 2, wished or 0.0)

    def _once(self, method: Method, path: str, parameters: Mapping[str, Any], body: bytes | None, asked: str) -> Answer:
        url = f"{self._base.rstrip('/')}/{path.lstrip('/')}" if path else self._base
        for _ in range(_MOST_REDIRECTS + 1):
            answer, target = self._exchange(method, url, parameters, body, asked)
            if answer is not None:
                return answer
            url, parameters = urljoin(url, target), {}
        raise ContractError(f"{asked}: redirected more than {_MOST_REDIRECTS} times")

    def _exchange(
        self, method: Method, url: str, parameters: Mapping[str, Any], body: bytes | None, asked: str
    ) -> tuple[Answer | None, str]:
        """One request: its answer, or where it is redirected to. The library's errors hold addresses: none gets out."""
        try:
            started = time.monotonic()
            response = self._session.request(
                method,
                url,
                params=parameters,
                data=body,
                headers={} if body is None else {"Content-Type": "application/json"},
                timeout=(min(_CONNECT_SECONDS, self._limits.seconds), self._limits.seconds),
                allow_redirects=False,
                stream=True,
            )
            with closing(response):
                if response.status_code in _SEEN_OTHER | _SAME_METHOD:
                    return None, self._redirected(method, url, response, asked)
                refuse(response.status_code, response.headers, asked)
                content = self._body(response, started, asked)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, headers, content, asked), ""
        except requests.exceptions.SSLError:
            raise SourceError(f"{asked}: its certificate is not trusted; name its CA, or check the host") from None
        except requests.exceptions.Timeout:
            raise RetryableError(f"{asked}: no answer within {self._limits.seconds:g} s") from None
        except (
            requests.exceptions.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
        ):
            raise RetryableError(
                f"{asked}: the connection failed; is the server up, and reachable from here?"
            ) from None
        except (requests.exceptions.RequestException, OSError, ValueError):
            # A broken address or header, a body that cannot be unpacked, certificates that cannot be read.
            raise SourceError(f"{asked}: the request could not be made; check address, proxy and CA file") from None

    def _body(self, response: requests.Response, started: float, asked: str) -> bytes:
        """The body, as long as it stays within the limits: neither endless nor dripping."""
        found = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            found += chunk
            if len(found) > self._limits.bytes:
                raise ContractError(f"{asked}: the answer is larger than {self._limits.bytes} bytes")
            if time.monotonic() - started > self._limits.seconds:
                raise RetryableError(f"{asked}: the answer took longer than {self._limits.seconds:g} s")
        return bytes(found)

    def _redirected(self, method: Method, url: str, response: requests.Response, asked: str) -> str:
        """Where a redirect leads, if that is the same server: another one would be handed the credentials."""
        target = response.headers.get("location", "")
        if method == "POST" and response.status_code in _SEEN_OTHER:
            raise ContractError(f"{asked}: redirected, which a POST does not survive; give the final address")
        if _origin_of(urljoin(url, target)) != self._origin:
            raise ContractError(f"{asked}: redirected to another server, which is not followed; give its address")
        return target


def refuse(status: int, headers: Mapping[str, str], asked: str) -> None:
    """Raise the error of a status that is no success: the one table from statuses to errors."""
    if status in _SUCCESS:
        return
    said = f"{asked}: answered {status}"
    wished = retry_after(headers)
    limited = wished is not None or headers.get("x-ratelimit-remaining") == "0"
    if status in _TRY_LATER or (status == _FORBIDDEN and limited):
        raise RetryableError(f"{said}; too many requests, or too early", retry_after_seconds=wished)
    if status in {_UNAUTHORISED, _FORBIDDEN}:
        raise AuthError(f"{said}; check its credentials and what they allow")
    if status >= _SERVER_ERRORS and status != _NOT_IMPLEMENTED:
        raise RetryableError(f"{said}; the server failed", retry_after_seconds=wished)
    raise SourceError(f"{said}; check the address and what is asked")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How many seconds a server wants to be left alone: `Retry-After` in seconds, or a date read by its own clock."""
    value = headers.get("retry-after") or headers.get("Retry-After")
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        return max((until - parsedate_to_datetime(headers.get("date") or headers["Date"])).total_seconds(), 0.0)
    except (ValueError, TypeError, KeyError):
        return None


def _origin_of(url: str) -> str:
    """Scheme, host and port of an address, as they may be shown. Raises ContractError for what is no web address."""
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in _DEFAULT_PORTS:
        raise ContractError("an address is not usable; expected http:// or https:// and a host")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")
