"""The guard: who is let in, who is not, and the ways in which people try."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from paceline.access.guard import LARGEST_BODY_BYTES, LARGEST_OTHER_BYTES
from paceline.access.settings import ProxySettings
from paceline.access.table import ROUTES, Door
from paceline.webhooks import LARGEST_BODY_BYTES as LARGEST_DELIVERY_BYTES

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105 - of a test
BEARER = {"authorization": f"Bearer {TOKEN}"}
LOOKED_AT = sorted(
    name.removeprefix("GET ")
    .replace("{name}", "fast")
    .replace("{week}", "2026-W10")
    .replace("{indicator}", "deployment_frequency")
    for name, need in ROUTES.items()
    if need.door in {Door.LOOK, Door.SCRAPE}
)
"""An address of every route that not everybody may ask for."""

Guarded = Callable[..., TestClient]


def tokens(*scopes: str, secret: str = TOKEN) -> dict[str, Any]:
    """Settings with one token."""
    return {"tokens": [{"name": "ci", "secret": secret, "scopes": list(scopes)}]}


PROXY = {"proxy": {"networks": ["10.1.0.0/16"]}, "roles": {"viewer": "staff", "operator": ["ops"]}}


# --- without a sign-in -----------------------------------------------------------------------------------


def test_on_this_machine_everybody_may(guarded: Guarded) -> None:
    """Nothing set, nothing asked: everything is there for who sits at the machine."""
    client = guarded({}, url="", peer="127.0.0.1")
    assert {client.get(path).status_code for path in LOOKED_AT} <= {200, 302, 404, 422}


def test_a_page_of_another_site_does_not_look_through_a_browser(guarded: Guarded) -> None:
    """A name that leads to loopback is still another site's: DNS rebinding reads nothing."""
    client = guarded({}, url="", peer="127.0.0.1")

    def asked(hosts: tuple[str, ...]) -> set[int]:
        return {client.get("/metrics", headers={"host": host}).status_code for host in hosts}

    assert asked(("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "10.0.0.1")) == {421}
    assert asked(("localhost:8080", "[::1]:8080", "127.0.0.1", "paceline.localhost")) == {200}


def test_who_is_behind_a_plain_proxy_names_the_address(guarded: Guarded) -> None:
    """With `server.url` the name that people open is known."""
    client = guarded({}, url="http://paceline.internal", peer="127.0.0.1")
    assert client.get("/", headers={"host": "paceline.internal"}).status_code == 200


def test_an_explicit_choice_lets_everybody_look_and_no_more(guarded: Guarded) -> None:
    """`anonymous: viewer` opens the pages, and not what is for operators."""
    client = guarded({"anonymous": "viewer"})

    assert client.get("/").status_code == 200
    assert client.get("/metrics").status_code == 200
    assert client.get("/api/v1/deliveries").status_code == 401


# --- who is not let in -----------------------------------------------------------------------------------


def test_nobody_looks_without_saying_who_they_are(guarded: Guarded) -> None:
    """Each route that is not for everybody answers 401, by GET and by HEAD, and tells nothing."""
    client = guarded(tokens("read"))
    answers = {path: client.get(path) for path in LOOKED_AT}

    assert {path: a.status_code for path, a in answers.items()} == dict.fromkeys(LOOKED_AT, 401)
    assert {path: client.head(path).status_code for path in LOOKED_AT} == dict.fromkeys(LOOKED_AT, 401)
    assert {tuple(a.json()) for a in answers.values()} == {("detail",)}
    assert {a.headers["www-authenticate"] for a in answers.values()} == {"Bearer"}
    assert {a.headers["cache-control"] for a in answers.values()} == {"no-store"}


SPELLED = (
    *("//metrics", "/metrics/", "/METRICS", "/%2e/metrics", "/healthz/../metrics", "/healthz/%2e%2e/metrics"),
    *("/static/../metrics", "/static/%2e%2e%2fmetrics", "/metrics%00", "/metrics%20", "/metrics;.css", "/nothing"),
    *("/healthz%2f..%2fmetrics", "/account/../metrics", "/api/v1/slos#/healthz", "/.//api/v1/slos"),
)


def test_a_path_cannot_be_spelled_past_the_guard(guarded: Guarded) -> None:
    """Slashes, dots, case, encodings: what is no public route stays closed, and does not even say whether it exists."""
    client = guarded(tokens("read"))
    answers = {path: client.get(path) for path in SPELLED}

    assert {path: a.status_code for path, a in answers.items() if a.status_code != 401} == {}
    assert [path for path, a in answers.items() if "platform_" in a.text] == []


def test_another_method_is_no_other_door(guarded: Guarded) -> None:
    """Only GET and HEAD look; the others are refused before it is said whether the address exists."""
    client = guarded(tokens("read"))
    methods = ("OPTIONS", "TRACE", "POST", "PUT", "DELETE", "PATCH", "PROPFIND", "get")
    asked = [client.request(m, path) for m in methods for path in ("/metrics", "/api/v1/slos", "/nothing")]

    assert {answer.status_code for answer in asked} == {401}


TRIED: tuple[dict[str, str], ...] = (
    {"x-original-url": "/healthz"},
    {"x-rewrite-url": "/healthz"},
    {"x-http-method-override": "HEAD"},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-host": "localhost"},
    {"x-forwarded-proto": "https"},
    {"x-real-ip": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1"},
    {"x-forwarded-user": "ada", "x-forwarded-groups": "ops"},
    {"host": "localhost"},
    {"authorization": "Basic YWRhOmFkYQ=="},
    {"authorization": "Bearer"},
    {"authorization": "Bearer "},
    {"authorization": f"Token {TOKEN}"},
    {"cookie": "__Host-paceline-session=x; paceline-session=x"},
)


def test_a_header_does_not_open_a_door(guarded: Guarded) -> None:
    """What others trust blindly counts for nothing: no header but a credential lets anybody in."""
    client = guarded(tokens("read"))
    found = [client.get(path, headers=headers).status_code for path in ("/metrics", "/") for headers in TRIED]
    assert found == [401] * len(found)


def test_health_says_little_to_who_is_not_known(guarded: Guarded, collected: Any, clock: Any) -> None:
    """Probes learn whether it is well; the names of what is not are for those who may look."""
    clock.move(timedelta(hours=2))
    collected.refresh()
    client = guarded(tokens("read"), service=collected)

    assert client.get("/healthz").json() == {"status": "ok", "problems": []}
    assert client.get("/readyz").json() == {"status": "degraded", "problems": []}
    assert client.get("/readyz", headers=BEARER).json()["problems"] == ["source events is not fresh"]


# --- tokens ----------------------------------------------------------------------------------------------


def test_a_token_opens_what_it_is_for(guarded: Guarded) -> None:
    """`read` looks at pages and API; metrics and what is for operators it does not open."""
    client = guarded(tokens("read"))

    assert client.get("/api/v1/slos", headers=BEARER).status_code == 200
    assert client.get("/", headers={**BEARER, "accept": "text/html"}).status_code == 200
    assert client.get("/metrics", headers=BEARER).status_code == 403
    assert client.get("/api/v1/deliveries", headers=BEARER).status_code == 403
    assert client.get("/nothing", headers=BEARER).status_code == 404


def test_a_scraper_sees_metrics_alone(guarded: Guarded) -> None:
    """A token for metrics reads no page and no API."""
    client = guarded(tokens("metrics"))

    assert client.get("/metrics", headers=BEARER).status_code == 200
    assert {client.get(path, headers=BEARER).status_code for path in ("/", "/api/v1/slos", "/openapi.json")} == {403}


def test_a_wrong_token_is_none(guarded: Guarded) -> None:
    """Nearly right is wrong."""
    client = guarded(tokens("read"))
    wrong = ("x", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "", "\u00e9" * 20, "a" * 10_000)
    shown: list[bytes] = [f"Bearer {text}".encode("latin-1") for text in wrong]

    assert [client.get("/", headers=[(b"authorization", one)]).status_code for one in shown] == [401] * len(wrong)


def test_a_token_in_a_file_is_exchanged_without_a_restart(guarded: Guarded, tmp_path: Path) -> None:
    """Once the file holds another token, the old one is worth nothing; a file that is gone lets nobody in."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    client = guarded(tokens("read", secret=f"file:{file}"))
    assert client.get("/", headers=BEARER).status_code == 200

    file.write_text("another-token-that-nobody-guesses\n", encoding="utf-8")

    assert client.get("/", headers=BEARER).status_code == 401
    assert client.get("/", headers={"authorization": "Bearer another-token-that-nobody-guesses"}).status_code == 200
    for text in ("", " \n"):
        file.write_text(text, encoding="utf-8")
        assert client.get("/", headers={"authorization": "Bearer "}).status_code == 401
    file.unlink()
    assert client.get("/", headers=BEARER).status_code == 401


def test_metrics_can_be_left_open(guarded: Guarded) -> None:
    """`metrics: open` is for metrics alone."""
    client = guarded({**tokens("read"), "metrics": "open"})

    assert client.get("/metrics").status_code == 200
    assert client.get("/api/v1/slos").status_code == 401


def test_a_file_with_too_little_opens_nothing(guarded: Guarded, tmp_path: Path) -> None:
    """A token that its file cuts short can be guessed: it lets nobody in, although it is shown as it stands there."""
    file = tmp_path / "token"
    file.write_text("fifteen-letters\n", encoding="utf-8")
    client = guarded(tokens("read", secret=f"file:{file}"))

    assert client.get("/", headers={"authorization": "Bearer fifteen-letters"}).status_code == 401
    file.write_text("sixteen--letters\n", encoding="utf-8")
    assert client.get("/", headers={"authorization": "Bearer sixteen--letters"}).status_code == 200


# --- a trusted proxy -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "status", "operator"),
    [("staff", 200, 403), ("ops,staff", 200, 200), ("guests", 403, 403), ("", 403, 403)],
)
def test_the_proxy_says_who_asks(guarded: Guarded, groups: str, status: int, operator: int) -> None:
    """Roles follow from the groups that it tells."""
    client = guarded(PROXY, peer="10.1.2.3")
    headers = {"x-forwarded-user": "ada", "x-forwarded-groups": groups}

    assert client.get("/api/v1/slos", headers=headers).status_code == status
    assert client.get("/api/v1/deliveries", headers=headers).status_code == operator


@pytest.mark.parametrize("peer", ["10.2.0.1", "127.0.0.1", "::1", "2001:db8::1"])
def test_what_others_say_in_its_headers_counts_for_nothing(guarded: Guarded, peer: str) -> None:
    """Who is not the proxy cannot speak for it, also not by telling its address."""
    client = guarded(PROXY, peer=peer)
    headers = {"x-forwarded-user": "ada", "x-forwarded-groups": "ops", "x-forwarded-for": "10.1.2.3"}

    assert client.get("/api/v1/slos", headers=headers).status_code == 401


def test_a_header_that_came_twice_is_refused(guarded: Guarded) -> None:
    """A proxy that adds its header to one of the client's leaves open which of them is true."""
    client = guarded(PROXY, peer="10.1.2.3")
    twice = [("x-forwarded-user", "eve"), ("x-forwarded-user", "ada"), ("x-forwarded-groups", "ops")]

    assert client.get("/api/v1/slos", headers=twice).status_code == 400


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.1/0"])
def test_not_everybody_is_the_proxy(network: str) -> None:
    """A network of all addresses would let each of them say who they are; the settings are refused."""
    with pytest.raises(ValueError, match="this is everybody"):
        ProxySettings(networks=[network])


def test_an_address_in_six_groups_is_the_same_proxy(guarded: Guarded) -> None:
    """`::ffff:10.1.2.3` is 10.1.2.3."""
    headers = {"x-forwarded-user": "ada", "x-forwarded-groups": "staff"}
    assert guarded(PROXY, peer="::ffff:10.1.2.3").get("/", headers=headers).status_code == 200


# --- changes, asked for by another site ------------------------------------------------------------------


def test_another_site_changes_nothing(guarded: Guarded) -> None:
    """A form on another site is refused, whatever the browser sends along."""
    client = guarded(tokens("read"))
    sent: tuple[dict[str, str], ...] = (
        {},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://paceline.example.evil.example"},
        {"origin": "http://paceline.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "https://paceline.example"},
        {"sec-fetch-site": "none"},
        {"referer": "https://paceline.example/"},
    )
    assert [client.post("/account/sign-out", headers=h).status_code for h in sent] == [403] * len(sent)


def test_a_page_of_our_own_may(guarded: Guarded) -> None:
    """Old browsers tell the origin, newer ones more."""
    client = guarded(tokens("read"))
    for headers in ({"sec-fetch-site": "same-origin"}, {"origin": "https://paceline.example"}):
        answer = client.post("/account/sign-out", headers=headers)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")


# --- limits ----------------------------------------------------------------------------------------------


def test_who_asks_too_often_waits(guarded: Guarded) -> None:
    """One client's flood is answered 429 with the time to wait, and costs others nothing."""
    settings = {**tokens("read"), "limits": {"requests_per_second": 1}}
    client = guarded(settings)
    answers = [client.get("/healthz") for _ in range(7)]

    assert [a.status_code for a in answers[:5]] == [200] * 5
    assert (answers[-1].status_code, answers[-1].headers["retry-after"]) == (429, "1")


def test_guessing_tokens_is_slow(guarded: Guarded) -> None:
    """Wrong tokens are counted apart; the right one still works from the same address."""
    client = guarded({**tokens("read"), "limits": {"attempts_per_minute": 3}})
    wrong = {"authorization": "Bearer guess"}

    assert [client.get("/", headers=wrong).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert client.get("/readyz", headers=wrong).status_code == 429
    assert client.get("/", headers=BEARER).status_code == 200


def test_webhooks_have_a_limit_of_their_own(guarded: Guarded) -> None:
    """A flood of deliveries takes nothing from who looks, and the other way round."""
    client = guarded({**tokens("read"), "limits": {"webhooks_per_second": 0.2, "requests_per_second": 50}})

    assert [client.post("/webhooks/events", content=b"{}").status_code for _ in range(3)][-2:] == [429, 429]
    assert client.get("/healthz").status_code == 200


def test_no_route_takes_a_large_body(guarded: Guarded) -> None:
    """A body is refused by its announced length, before any of it is read."""
    client = guarded(tokens("read"))
    own, large = {"sec-fetch-site": "same-origin"}, b"x" * (LARGEST_OTHER_BYTES + 1)
    sent = client.post("/account/sign-out", content=large, headers=own)

    assert (sent.status_code, sent.headers["connection"]) == (413, "close")
    assert client.post("/webhooks/events", content=b"x" * (LARGEST_DELIVERY_BYTES + 1)).status_code == 413


def test_the_guard_takes_what_webhooks_take() -> None:
    """The fence is no narrower than the door."""
    assert LARGEST_BODY_BYTES[Door.SIGNED] == LARGEST_DELIVERY_BYTES


def test_webhooks_are_let_through_to_their_own_check(guarded: Guarded) -> None:
    """A sign-in is not asked of systems; the source's secret is."""
    answer = guarded(tokens("read")).post("/webhooks/nobody", content=b"{}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "no source has this name"})


# --- what answers carry ----------------------------------------------------------------------------------


def test_answers_to_who_is_known_are_kept_by_no_cache(guarded: Guarded) -> None:
    """Pages and API are not stored; files of pages are, for they are nobody's."""
    client = guarded(tokens("read"))

    assert client.get("/api/v1/slos", headers=BEARER).headers["cache-control"] == "no-store"
    assert "immutable" in client.get("/static/paceline.css").headers["cache-control"]


def test_over_tls_a_browser_stays_there(guarded: Guarded) -> None:
    """HSTS goes out where people reach the service by https, and only there."""
    assert guarded(tokens("read")).get("/healthz").headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in guarded(tokens("read"), url="http://localhost").get("/healthz").headers


def test_every_answer_has_the_headers_of_safety(guarded: Guarded) -> None:
    """Refusals too: nothing is framed, guessed or handed to another site."""
    client = guarded(tokens("read"))
    for path in ("/", "/metrics", "/nothing", "/healthz", "/account"):
        headers = client.get(path).headers
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


# --- the trail -------------------------------------------------------------------------------------------


def test_the_trail_names_nobody(guarded: Guarded, tmp_path: Path) -> None:
    """What was refused is kept with a keyed hash, the role and the time; the name that the proxy told is not."""
    viewer = {"x-forwarded-user": "ada@example.com", "x-forwarded-groups": "staff"}
    client = guarded(PROXY, peer="10.1.2.3")
    client.get("/webhooks", headers=viewer)
    text = (tmp_path / "audit.jsonl").read_text(encoding="utf-8")
    line = json.loads(text)

    assert "ada" not in text
    assert (line["action"], line["outcome"], line["role"], line["by"], len(line["who"])) == (
        *("look at what is for operators", "refused", "viewer", "proxy", 32),
    )
    operator = {"x-forwarded-user": "grace", "x-forwarded-groups": "ops"}
    line["what"] = ""
    assert client.get("/api/v1/audit", headers=operator).json()["lines"] == [line]
    assert client.get("/api/v1/audit", headers=viewer).status_code == 403


def test_who_is_refused_often_pushes_nothing_out_of_the_trail(guarded: Guarded, tmp_path: Path) -> None:
    """A thousand forms of another site, by nobody, and refusals of a viewer are some lines and not the whole file."""
    client = guarded({**PROXY, "limits": {"requests_per_second": 1_000}}, peer="10.1.2.3")
    viewer = {"x-forwarded-user": "ada", "x-forwarded-groups": "staff"}
    for _ in range(50):
        assert client.post("/account/sign-out", headers={"origin": "https://evil.example"}).status_code == 403
        assert client.get("/webhooks", headers=viewer).status_code == 403

    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["action"] for line in lines] == ["change", "look at what is for operators"] * 5
