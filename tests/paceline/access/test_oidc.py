"""Sign-in by OpenID Connect: at a real provider, and against forged answers of one."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from oidc_server import missing, oidc_server, signed_in_at
from replay import Provider, Reply, Request

from collector.http import Wire
from paceline.access.account import local_path

URL = "https://paceline.example"
ISSUER = "https://login.example/realm"
PAGE = {"accept": "text/html"}
OWN = {"sec-fetch-site": "same-origin"}
SESSION = "__Host-paceline-session"
ATTEMPT = "__Host-paceline-sign-in"
SECRET = "a-secret-of-the-client"  # noqa: S105 - of a test

Guarded = Callable[..., TestClient]


def settings(issuer: str = ISSUER) -> dict[str, Any]:
    """Settings with a sign-in."""
    oidc = {"issuer": issuer, "client_id": "paceline", "client_secret": SECRET}
    return {"oidc": oidc, "roles": {"viewer": ["staff"], "operator": ["ops"]}}


# --- a real provider -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A real provider."""
    if why := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    with oidc_server(f"{URL}/account/signed-in") as found:
        yield found


@pytest.fixture
def present(clock: Any) -> None:
    """A real provider tells the real time."""
    clock.at = datetime.now(UTC)


def sign_in(client: TestClient, login: str, wanted: str = "/slos") -> Any:
    """Ask for a page, sign in where that leads to, and come back: the last answer."""
    asked = client.get(wanted, headers=PAGE)
    assert asked.status_code == 302
    began = client.get(asked.headers["location"], headers=PAGE)
    assert began.status_code == 302, began.text
    back = signed_in_at(began.headers["location"], login, URL)
    return client.get(back.removeprefix(URL), headers=PAGE)


@pytest.mark.integration
@pytest.mark.usefixtures("present")
def test_somebody_signs_in_looks_and_leaves(guarded: Guarded, issuer: str, tmp_path: Path) -> None:
    """From the page that was asked for, over a certified provider and back to it; out again; the trail names nobody."""
    client = guarded(settings(issuer))
    answer = sign_in(client, "ada+staff", "/slos?q=1")

    assert (answer.status_code, answer.headers["location"]) == (302, "/slos?q=1")
    cookie = answer.headers["set-cookie"]
    assert re.search(rf"{SESSION}=[\w.-]+; HttpOnly; Max-Age=28800; Path=/; SameSite=lax; Secure", cookie), cookie
    assert client.get("/slos", headers=PAGE).status_code == 200
    assert client.get("/webhooks").status_code == 403
    assert "as <strong>viewer</strong>" in client.get("/account").text

    session = client.cookies[SESSION]
    assert client.post("/account/sign-out", headers=OWN).headers["location"] == "/account"
    assert SESSION not in client.cookies
    assert client.get("/slos", headers={"cookie": f"{SESSION}={session}"}).status_code == 401
    trail = (tmp_path / "audit.jsonl").read_text(encoding="utf-8")
    assert [trail.count(f'"{word}"') for word in ("sign-in", "sign-out")] == [1, 1]
    assert "ada" not in trail


@pytest.mark.integration
@pytest.mark.usefixtures("present")
def test_groups_decide(guarded: Guarded, issuer: str) -> None:
    """An operator sees what operating is about; who is in no group is told so and gets no session."""
    operator = guarded(settings(issuer))
    sign_in(operator, "grace+staff+ops")
    assert operator.get("/webhooks").status_code == 200

    guest = guarded(settings(issuer))
    refused = sign_in(guest, "eve+guests")
    assert (refused.status_code, SESSION in guest.cookies) == (403, False)
    assert "none of your groups" in refused.text


@pytest.mark.integration
@pytest.mark.usefixtures("present")
def test_an_answer_counts_once_and_in_its_own_browser(guarded: Guarded, issuer: str) -> None:
    """An answer that somebody else's browser brings, or one that comes again, signs nobody in."""
    client, other = guarded(settings(issuer)), guarded(settings(issuer))
    began = client.get("/account/sign-in")
    attempt = {"cookie": f"{ATTEMPT}={client.cookies[ATTEMPT]}"}
    back = signed_in_at(began.headers["location"], "ada+staff", URL).removeprefix(URL)

    assert other.get(back).status_code == 403
    assert client.get(back).status_code == 302
    assert client.get(back).status_code == 403
    assert other.get(back, headers=attempt).status_code == 403  # the provider takes a code once
    assert SESSION not in other.cookies


# --- a forged one ----------------------------------------------------------------------------------------

RSA = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})
FOREIGN = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


class Realm:
    """A provider at the transport: it says what a test wants it to say."""

    def __init__(self, now: int) -> None:
        self.now, self.nonce = now, ""
        self.token: Callable[[Realm], str] = Realm.signed
        self.metadata: dict[str, Any] = {}
        self.user: dict[str, Any] = {}
        self.sent: list[Request] = []
        self.adapter = Provider(ISSUER)
        self.adapter.route(r"\.well-known/openid-configuration")(lambda _: Reply(self._about()))
        self.adapter.route(r"jwks")(lambda _: Reply({"keys": [k.as_dict(private=False) for k in (RSA, EC)]}))
        self.adapter.route(r"me")(lambda _: Reply(self.user))
        self.adapter.route(r"token", "POST")(self._token)

    def _about(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "userinfo_endpoint": f"{ISSUER}/me",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
            **self.metadata,
        }

    def _token(self, asked: Request) -> Reply:
        self.sent.append(asked)
        return Reply({"access_token": "an-access-token", "token_type": "Bearer", "id_token": self.token(self)})

    def claims(self, **more: Any) -> dict[str, Any]:
        """What a sign-in of ada says; None leaves one out."""
        told = {
            "iss": ISSUER,
            "aud": "paceline",
            "sub": "ada",
            "nonce": self.nonce,
            "groups": ["staff"],
            "iat": self.now,
            "exp": self.now + 300,
            **more,
        }
        return {name: value for name, value in told.items() if value is not None}

    def signed(self, key: Any = RSA, alg: str = "RS256", kid: str = "one", **more: Any) -> str:
        """A token of these claims."""
        return jwt.encode({"alg": alg, "kid": kid}, self.claims(**more), key, algorithms=[alg])

    def sign_in(self, client: TestClient, wanted: str = "/", **answer: str) -> Any:
        """Begin and come back: the answer."""
        began = client.get("/account/sign-in", params={"next": wanted})
        asked = {name: value[0] for name, value in parse_qs(urlsplit(began.headers["location"]).query).items()}
        self.nonce = asked["nonce"]
        return client.get("/account/signed-in", params={"state": asked["state"], "code": "a-code", **answer})


@pytest.fixture
def realm(clock: Any) -> Realm:
    """A provider that can be made to lie."""
    return Realm(int(clock.at.timestamp()))


@pytest.fixture
def client(guarded: Guarded, realm: Realm) -> TestClient:
    """A client of a service whose provider that is."""
    told = {**settings(), "limits": {"attempts_per_minute": 6_000}}
    return guarded(told, wire=Wire(adapter=realm.adapter, sleep=lambda _: None))


def test_what_is_asked_of_the_provider(client: TestClient, realm: Realm) -> None:
    """The code flow with PKCE, a state and a nonce; the secret goes to the token endpoint, in its header."""
    query = parse_qs(urlsplit(client.get("/account/sign-in").headers["location"]).query)

    assert (query["response_type"], query["code_challenge_method"], query["scope"]) == (["code"], ["S256"], ["openid"])
    assert query["redirect_uri"] == [f"{URL}/account/signed-in"]
    assert min(len(query[name][0]) for name in ("state", "nonce", "code_challenge")) >= 43
    assert realm.sign_in(client).status_code == 302
    (sent,) = realm.sent
    assert sent.headers["authorization"].startswith("Basic ")
    assert set(parse_qs(sent.body.decode())) == {"grant_type", "code", "code_verifier", "redirect_uri"}


def test_an_exchanged_client_secret_counts_with_the_next_sign_in(
    guarded: Guarded, realm: Realm, tmp_path: Path
) -> None:
    """What its file holds then is what the provider is shown; while the file is gone nobody signs in."""
    file, told = tmp_path / "client-secret", settings()
    told["oidc"] = {**told["oidc"], "client_secret": f"file:{file}"}
    client = guarded(told, wire=Wire(adapter=realm.adapter))
    for secret in ("of-yesterday", "of-today"):
        file.write_text(f"{secret}\n", encoding="utf-8")
        assert realm.sign_in(client).status_code == 302
    file.unlink()

    used = [b64decode(sent.headers["authorization"].removeprefix("Basic ")).decode() for sent in realm.sent]
    assert used == ["paceline:of-yesterday", "paceline:of-today"]
    refused = client.get("/account/sign-in", headers=PAGE)
    assert (refused.status_code, str(file) in refused.text) == (503, False)


def test_another_kind_of_key_proves_as_well(client: TestClient, realm: Realm) -> None:
    """Elliptic curves sign, too."""
    realm.token = lambda r: r.signed(EC, "ES256", "two")
    assert realm.sign_in(client).status_code == 302
    assert client.get("/slos").status_code == 200


def _swapped(realm: Realm) -> str:
    head, _, proof = realm.signed().split(".")
    return ".".join((head, realm.signed(sub="eve").split(".")[1], proof))


FORGED: Mapping[str, Callable[[Realm], str]] = {
    "none": lambda r: f"eyJhbGciOiJub25lIn0.{r.signed().split('.')[1]}.",
    "no signature": lambda r: ".".join((*r.signed().split(".")[:2], "")),
    "the public key as a shared one": lambda r: r.signed(OctKey.import_key(RSA.as_pem(private=False)), "HS256"),
    "the client's secret": lambda r: r.signed(OctKey.import_key(SECRET), "HS256"),
    "a foreign key": lambda r: r.signed(FOREIGN),
    "an unknown key": lambda r: r.signed(FOREIGN, kid="three"),
    "changed": _swapped,
    "for others": lambda r: r.signed(aud="grafana"),
    "for others as well": lambda r: r.signed(aud=["paceline", "grafana"], azp="grafana"),
    "of another provider": lambda r: r.signed(iss="https://evil.example"),
    "of another attempt": lambda r: r.signed(nonce="another"),
    "without nonce": lambda r: r.signed(nonce=None),
    "without subject": lambda r: r.signed(sub=None),
    "without end": lambda r: r.signed(exp=None),
    "too old": lambda r: r.signed(iat=r.now - 900, exp=r.now - 600),
    "from the future": lambda r: r.signed(iat=r.now + 900, nbf=r.now + 900, exp=r.now + 1_200),
    "no token": lambda _: "x",
}
"""Tokens that must let nobody in."""


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # forged with what nobody should sign with
def test_a_forged_token_lets_nobody_in(client: TestClient, realm: Realm) -> None:
    """Signature, issuer, audience, nonce and times: one wrong thing is enough, and is not quoted."""
    for name, forged in FORGED.items():
        realm.token = forged
        answer = realm.sign_in(client)
        assert (name, answer.status_code, SESSION in client.cookies) == (name, 403, False)
        assert "eyJ" not in answer.text
    realm.token = Realm.signed
    assert realm.sign_in(client).status_code == 302


def test_a_foreign_answer_lets_nobody_in(client: TestClient, realm: Realm) -> None:
    """A wrong state, an error, no code, another issuer: nobody is signed in, and nothing of it is shown."""
    realm.metadata["authorization_response_iss_parameter_supported"] = True
    answers: tuple[dict[str, str], ...] = (
        {"iss": ISSUER, "state": "guessed"},
        {"iss": ISSUER, "state": ""},
        {"iss": ISSUER, "error": "access_denied", "error_description": "<script>"},
        {"iss": ISSUER, "code": ""},
        {"iss": "https://evil.example"},
        {},
    )
    for told in answers:
        answer = realm.sign_in(client, **told)
        assert (told, answer.status_code, SESSION in client.cookies) == (told, 403, False)
        assert "<script>" not in answer.text
    assert realm.sign_in(client, iss=ISSUER).status_code == 302


def test_groups_of_somebody_else_are_not_taken(client: TestClient, realm: Realm) -> None:
    """What the user info says counts for its own subject alone."""
    realm.token = lambda r: r.signed(groups=None)
    realm.user = {"sub": "grace", "groups": ["ops"]}
    assert realm.sign_in(client).status_code == 403
    realm.user = {"sub": "ada", "groups": ["staff"]}
    assert realm.sign_in(client).status_code == 302


def test_a_provider_that_names_itself_otherwise_is_refused(client: TestClient, realm: Realm) -> None:
    """The issuer of the settings is the one that counts; nothing secret stands in the answer."""
    realm.metadata["issuer"] = "https://evil.example"
    answer = client.get("/account/sign-in", headers=PAGE)

    assert answer.status_code == 403
    assert SECRET not in answer.text


def test_a_session_ends_and_cannot_be_changed(client: TestClient, realm: Realm, clock: Any) -> None:
    """Another byte, purpose or name, or more time: the cookie is worth nothing. Each sign-in makes a new one."""
    fixed = {"cookie": f"{SESSION}=fixed-by-somebody"}
    assert client.get("/slos", headers=fixed).status_code == 401
    realm.sign_in(client)
    sealed = client.cookies[SESSION]
    client.cookies.clear()
    realm.sign_in(client)
    assert client.cookies[SESSION] != sealed
    client.cookies.clear()

    def status(text: str, name: str = SESSION) -> int:
        return client.get("/slos", headers={"cookie": f"{name}={text}"}).status_code

    assert status(sealed) == 200
    parts = sealed.split(".")
    for index, part in enumerate(parts):
        middle = len(part) // 2
        changed = part[:middle] + ("A" if part[middle : middle + 1] != "A" else "B") + part[middle + 1 :]
        assert status(".".join((*parts[:index], changed, *parts[index + 1 :]))) == 401
    assert status(sealed, "paceline-session") == 401
    assert status(f"{sealed}; {SESSION}={sealed}") == 401
    client.get("/account/sign-in")
    assert status(client.cookies[ATTEMPT]) == 401
    client.cookies.clear()
    clock.move(timedelta(hours=8, seconds=1))
    assert status(sealed) == 401


@pytest.mark.parametrize("held", ["", "fifteen-letters", None])
def test_a_key_that_can_be_guessed_seals_nothing(
    guarded: Guarded, realm: Realm, tmp_path: Path, held: str | None
) -> None:
    """While the file of the key is cut short or gone nobody is signed in or known, and health still answers."""
    key = tmp_path / "key"
    key.write_text("a-key-of-sessions-long-enough", encoding="utf-8")
    client = guarded({**settings(), "session_key": f"file:{key}"}, wire=Wire(adapter=realm.adapter))
    realm.sign_in(client)
    assert client.get("/slos").status_code == 200

    if held is None:
        key.unlink()
    else:
        key.write_text(held, encoding="utf-8")

    assert [client.get(path).status_code for path in ("/slos", "/healthz")] == [401, 200]
    began = client.get("/account/sign-in")
    assert (began.status_code, "set-cookie" in began.headers) == (503, False)
    back = client.get("/account/signed-in?state=x&code=y", headers={"cookie": f"{ATTEMPT}=x"})
    assert (back.status_code, "key" in back.text) == (503, held is not None)
    key.write_text("a-key-of-sessions-long-enough", encoding="utf-8")
    assert client.get("/slos").status_code == 200


def test_a_new_key_ends_all_sessions(guarded: Guarded, realm: Realm, tmp_path: Path) -> None:
    """The key is read anew: what was sealed with the old one is worth nothing from then on, without a restart."""
    key = tmp_path / "key"
    key.write_text("a-key-of-sessions-long-enough", encoding="utf-8")
    client = guarded({**settings(), "session_key": f"file:{key}"}, wire=Wire(adapter=realm.adapter))
    realm.sign_in(client)
    key.write_text("another-key-of-sessions-long-enough", encoding="utf-8")

    assert client.get("/slos").status_code == 401
    assert realm.sign_in(client).status_code == 302
    assert client.get("/slos").status_code == 200


def test_a_sign_in_leads_nowhere_else() -> None:
    """Where to go afterwards is a path of this service, however it is written."""
    foreign = (
        *("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "///evil.example"),
        *("javascript:alert(1)", "/\t/evil.example", "/\r\nLocation: https://evil.example", "", "/account/sign-in"),
        *("http:evil.example", " //evil.example", "/" + "a" * 3_000, "//[", "/\x00", "evil.example"),
    )
    assert {local_path(wanted) for wanted in foreign} == {"/"}
    assert local_path("/slos/fast?window=28d#x") == "/slos/fast?window=28d#x"


def test_after_the_sign_in_the_wanted_page_is_ours(client: TestClient, realm: Realm) -> None:
    """A link that somebody sent leads to our own home, not to their site; no header is made of it."""
    answer = realm.sign_in(client, "//evil.example/\r\nSet-Cookie: a=b")
    assert (answer.status_code, answer.headers["location"]) == (302, "/")
