"""Sign-in by OpenID Connect: the code flow with PKCE, state and nonce. Owner of authlib, which speaks the protocol.

Everything that a provider says is checked: its name, the signature by one of its keys, for whom a sign-in is meant, and
that it answers this very attempt. Only who it was, as `sub`, and the groups are read.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet, import_key

from collector.errors import ContractError, RetryableError, SourceError
from collector.http import ApiClient, Limits, Wire, origin
from collector.secrets import reveal
from paceline.access.settings import OidcSettings

SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""By whose private key a sign-in may be signed. None that the receiver could make itself, and never `none`."""
_KEPT = timedelta(hours=1)
"""How long what a provider says of itself holds."""
_ASKED_AGAIN = timedelta(minutes=1)
"""How soon its keys are read again for one that is not among them."""
_LEEWAY_SECONDS = 60
_LIMITS = Limits(seconds=10.0, bytes=1 << 20, attempts=2, patience_seconds=2.0)
_BAD_REQUEST, _UNAUTHORISED = 400, 401
_MOST_GROUPS = 500


class SignInError(Exception):
    """Somebody did not get signed in: why, in words without what was sent."""


class ProviderDownError(SignInError):
    """The provider cannot be asked now: trying again later may help."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What is remembered of an attempt until its answer: in a sealed cookie of the browser that began it."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begun(cls) -> Attempt:
        """One that nobody can guess."""
        return cls(state=secrets.token_urlsafe(32), nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(64))


@dataclass(frozen=True)
class SignedIn:
    """Who signed in, by the provider's own name for them, and their groups."""

    issuer: str
    subject: str
    groups: tuple[str, ...]


class _Metadata(msgspec.Struct):
    """What a provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    authorization_response_iss_parameter_supported: bool = False


class _Keys(msgspec.Struct):
    keys: list[dict[str, Any]]


@dataclass(frozen=True)
class _Known:
    metadata: _Metadata
    keys: KeySet
    at: datetime


class _Answered:
    """An answer of the token endpoint, as authlib reads one."""

    def __init__(self, status: int, body: Any) -> None:
        self.status_code, self._body = status, body

    def json(self) -> Any:
        """The body."""
        return self._body

    def raise_for_status(self) -> None:
        """Raise the error of a refusal."""
        if self.status_code >= _BAD_REQUEST:
            raise SignInError(f"the provider answered {self.status_code}")


class _Session:
    """What authlib sends with: our own HTTP, with its limits."""

    def __init__(self, client: Callable[[str], ApiClient]) -> None:
        self._client = client

    def post(self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> _Answered:
        """Send a form to the token endpoint."""
        # authlib adds the client's credentials to the header or to the body.
        _, sent, body = auth.prepare("POST", url, {"Accept": headers["Accept"]}, urlencode(data))
        answer = self._client(url).post_form(body, headers=sent, understood={_BAD_REQUEST, _UNAUTHORISED})
        return _Answered(answer.status, answer.json())


class Provider:
    """Signs people in. `redirect_url` is where the provider sends them back to. Threads may share it."""

    def __init__(
        self,
        settings: OidcSettings,
        redirect_url: str,
        *,
        clock: Callable[[], datetime],
        wire: Wire | None = None,
        base_dir: Path = Path(),
    ) -> None:
        self._settings, self._redirect_url, self._clock = settings, redirect_url, clock
        ca_file = None if settings.ca_file is None else base_dir / settings.ca_file
        self._wire, self._ca_file = wire or Wire(), ca_file
        self._known: _Known | None = None
        self._asking = threading.Lock()

    def begin(self, attempt: Attempt) -> str:
        """Where somebody signs in. Raises SignInError."""
        metadata = self._about().metadata
        url, _ = self._protocol(metadata).create_authorization_url(
            metadata.authorization_endpoint,
            state=attempt.state,
            nonce=attempt.nonce,
            code_verifier=attempt.verifier,
        )
        return str(url)

    def finish(self, attempt: Attempt, answer: Mapping[str, str]) -> SignedIn:
        """Who signed in, by what the browser brought back from the provider. Raises SignInError."""
        if not hmac.compare_digest(attempt.state.encode(), answer.get("state", "").encode()):
            raise SignInError("this is no answer to the sign-in that was begun here")
        metadata = self._about().metadata
        if metadata.authorization_response_iss_parameter_supported and answer.get("iss") != self._settings.issuer:
            raise SignInError("another provider answered")
        if "error" in answer or not answer.get("code"):
            raise SignInError("the provider did not sign you in")
        try:
            told = self._protocol(metadata).fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=answer["code"],
                code_verifier=attempt.verifier,
            )
        except SourceError as error:
            raise _failure(error) from None
        except (AuthlibBaseError, ValueError, TypeError):
            raise SignInError("the provider did not take the code that it gave") from None
        claims = self._claims(told, attempt)
        return SignedIn(self._settings.issuer, str(claims["sub"]), self._groups(metadata, claims, told))

    def _client(self, url: str) -> ApiClient:
        """A client of the provider. Where it names other servers than its own, these are public or allowed."""
        own = origin(url) == origin(self._settings.issuer)
        return self._wire.client(url, ca_file=self._ca_file, limits=_LIMITS, of_data=not own)

    def _protocol(self, metadata: _Metadata) -> Any:
        try:
            secret = reveal(self._settings.client_secret)
        except SourceError as error:
            raise _failure(error) from None
        methods = metadata.token_endpoint_auth_methods_supported
        with_secret = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        return OAuth2Client(
            session=_Session(self._client),
            client_id=self._settings.client_id,
            client_secret=secret or None,
            token_endpoint_auth_method=with_secret if secret else "none",
            scope=" ".join(self._settings.scopes),
            redirect_uri=self._redirect_url,
            code_challenge_method="S256",
        )

    def _claims(self, told: Mapping[str, Any], attempt: Attempt) -> Mapping[str, Any]:
        """What an ID token says, once it is proved. Raises SignInError."""
        text = told.get("id_token")
        if not isinstance(text, str):
            raise SignInError("the provider did not say who signed in; is `openid` among the scopes?")
        try:
            token = self._decoded(text)
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                },
                params={
                    "nonce": attempt.nonce,
                    "client_id": self._settings.client_id,
                    "access_token": told.get("access_token"),
                },
            )
            claims.validate(now=int(self._clock().timestamp()), leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError):
            raise SignInError("what the provider says of who signed in is not proved, or not meant for here") from None
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise SignInError("the provider did not say who signed in")
        found: Mapping[str, Any] = claims
        return found

    def _decoded(self, text: str) -> jwt.Token:
        """A proved token; keys that are not known yet are read once more, but not each time somebody invents one."""
        known = self._about()
        allowed = [name for name in SIGNATURES if name in known.metadata.id_token_signing_alg_values_supported]
        try:
            return jwt.decode(text, known.keys, algorithms=allowed)
        except InvalidKeyIdError:
            return jwt.decode(text, self._about(_ASKED_AGAIN).keys, algorithms=allowed)

    def _groups(self, metadata: _Metadata, claims: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[str, ...]:
        """Somebody's groups: by the token, else by what the provider says of them when asked."""
        found = claim(claims, self._settings.groups_claim)
        if found is None and metadata.userinfo_endpoint and isinstance(told.get("access_token"), str):
            try:
                bearer = {"Authorization": f"Bearer {told['access_token']}"}
                more = self._client(metadata.userinfo_endpoint).get(headers=bearer).read(dict[str, Any])
            except SourceError as error:
                raise _failure(error) from None
            if more.get("sub") == claims["sub"]:
                found = claim(more, self._settings.groups_claim)
        listed: Sequence[Any] = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return tuple(group for group in listed if isinstance(group, str))[:_MOST_GROUPS]

    def _about(self, older_than: timedelta = _KEPT) -> _Known:
        """What the provider says of itself, read again where it is older than that. Raises SignInError."""
        with self._asking:
            now = self._clock()
            if self._known is None or now - self._known.at > older_than:
                try:
                    self._known = self._read(now)
                except SourceError as error:
                    raise _failure(error) from None
            return self._known

    def _read(self, now: datetime) -> _Known:
        issuer = self._settings.issuer
        metadata = self._client(issuer).get(".well-known/openid-configuration").read(_Metadata)
        if metadata.issuer != issuer:
            raise ContractError("the provider calls itself otherwise; access.oidc.issuer must be what it says")
        endpoints = (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri)
        if urlsplit(issuer).scheme == "https" and any(urlsplit(url).scheme != "https" for url in endpoints):
            raise ContractError("the provider names an address without https")
        told = self._client(metadata.jwks_uri).get().read(_Keys)
        keys = [key for one in told.keys if (key := _public_key(one)) is not None]
        if not keys:
            raise ContractError("the provider shows no key to check a sign-in with")
        return _Known(metadata, KeySet(keys), now)


def _failure(error: SourceError) -> SignInError:
    return ProviderDownError(str(error)) if isinstance(error, RetryableError) else SignInError(str(error))


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path of names such as `realm_access.roles`; None where there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _public_key(told: dict[str, Any]) -> Key | None:
    """A key that proves signatures; None for those that are for something else, or of a kind that is not known."""
    if told.get("use", "sig") != "sig" or told.get("kty") not in {"RSA", "EC", "OKP"}:
        return None
    try:
        found: Key = import_key(told, told["kty"])
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return found
