"""A whole service that asks who people are: TLS, a real provider, tokens, and no secret in anything it leaves."""

from __future__ import annotations

import http.server
import os
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import requests
from certificates import made
from oidc_server import missing, oidc_server, signed_in_at
from stores import free_port
from told_secrets import files, process, told

from paceline.logs import configure

pytestmark = pytest.mark.integration

SECRETS = {
    "scrape": "scrape+token/that=nobody-guesses",
    "read": "read+token/that=nobody-guesses",
    "client": "a-secret-of-the-client",
    "sessions": "a-key-of-sessions-nobody-guesses",
    "hook": "a-secret-of-webhooks",
    "forge": "a-token-that-its-forge-refuses",
}
PAGE = {"accept": "text/html"}
SETTINGS = """\
evaluate_every: 1s
logs: {{format: json, level: debug}}
server:
  url: {url}
  tls: {{certificate: {certificate}, key: {key}}}
access:
  session_key: ${{SESSIONS}}
  oidc: {{issuer: {issuer}, client_id: paceline, client_secret: "file:{client}"}}
  roles: {{viewer: [staff], operator: [ops]}}
  tokens:
    - {{name: prometheus, secret: "${{SCRAPE}}", scopes: [metrics]}}
    - {{name: reader, secret: "file:{read}", scopes: [read]}}
sources:
  - {{type: gitea, name: forge, url: "{forge_url}", token: "file:{forge}", repositories: [a/b], every: 1s,
     commits: false, webhook_secret: "${{HOOK}}"}}
"""


@dataclass(frozen=True)
class Guarded:
    """A running service that asks who people are."""

    url: str
    trusted: str
    workspace: Any
    pid: int
    stop: Any

    def get(self, path: str, token: str = "", **more: Any) -> requests.Response:
        """What is answered to somebody, with a token if there is one."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return requests.get(self.url + path, headers=headers, verify=self.trusted, timeout=20, **more)


@pytest.fixture(scope="module")
def forge() -> Iterator[str]:
    """A forge that refuses everybody, and repeats in its answer what it was shown."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = str(self.headers).encode()
            self.send_response(401, "no")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Shown", self.headers.get("Authorization", ""))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def guarded(
    forge: str, workspaces: Any, eventually: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """Such a service, with a provider beside it."""
    if why := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    folder, url = tmp_path_factory.mktemp("secrets"), f"https://127.0.0.1:{free_port()}"
    certificate, key = made(folder, "paceline")
    for name in ("client", "read", "forge"):
        (folder / name).write_text(SECRETS[name] + "\n", encoding="utf-8")
    with oidc_server(f"{url}/account/signed-in") as issuer:
        given = {name: folder / name for name in ("client", "read", "forge")}
        text = SETTINGS.format(url=url, certificate=certificate, key=key, issuer=issuer, forge_url=forge, **given)
        variables = {name.upper(): SECRETS[name] for name in ("scrape", "sessions", "hook")}
        workspace = workspaces(text, **variables)
        started = workspace.start("serve", "--port", url.rpartition(":")[2])

        def stop() -> int:
            started.terminate()
            code: int = started.wait(timeout=30)
            return code

        found = Guarded(url, str(certificate), workspace, started.pid, stop)
        try:
            assert any(line.startswith("Status page") for line in started.stdout), workspace.log
            eventually(lambda: found.get("/readyz").ok)
            yield found
        finally:
            if started.poll() is None:
                started.kill()
            started.wait()
            started.stdout.close()


def test_tokens_open_what_they_are_for(guarded: Guarded) -> None:
    """By TLS: nobody gets nothing although they are on this machine, and a token what it is for."""

    def asked(token: str) -> list[int]:
        return [guarded.get(path, token).status_code for path in ("/metrics", "/api/v1/slos", "/api/v1/audit")]

    assert asked("") == [401, 401, 401]
    assert asked(SECRETS["scrape"]) == [200, 403, 403]
    assert asked(SECRETS["read"]) == [403, 200, 403]
    assert asked(SECRETS["hook"]) == [401, 401, 401]
    assert guarded.get("/healthz").json() == {"status": "ok", "problems": []}
    assert guarded.get("/healthz").headers["strict-transport-security"] == "max-age=31536000"
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{guarded.url}/healthz", timeout=20)
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"{guarded.url.replace('https', 'http')}/healthz", timeout=20)


def test_somebody_signs_in_by_tls_and_no_secret_is_left_behind(guarded: Guarded, eventually: Any) -> None:
    """In at a real provider, a page, out; neither log, files, answers nor the list of processes know a secret."""
    with requests.Session() as browser:
        browser.verify, browser.trust_env = guarded.trusted, False
        browser.headers.update(PAGE)
        at_provider = browser.get(f"{guarded.url}/slos", allow_redirects=False)
        began = browser.get(guarded.url + at_provider.headers["location"], allow_redirects=False)
        back = signed_in_at(began.headers["location"], "wilhelmina+staff+ops", guarded.url)
        page = browser.get(back)
        assert (page.status_code, page.url) == (200, f"{guarded.url}/slos")
        (session,) = (c for c in browser.cookies if "session" in c.name)
        assert (session.name, session.secure) == ("__Host-paceline-session", True)
        trail = browser.get(f"{guarded.url}/api/v1/audit")
        out = browser.post(f"{guarded.url}/account/sign-out", headers={"origin": guarded.url}, allow_redirects=False)
        assert out.status_code == 303
    copied = {"cookie": f"{session.name}={session.value}"}
    again = requests.get(f"{guarded.url}/api/v1/slos", headers=copied, verify=guarded.trusted, timeout=20)
    assert again.status_code == 401

    eventually(lambda: "collect failed" in guarded.workspace.log)
    answers = {path: guarded.get(path, SECRETS["read"]).content for path in ("/", "/sources", "/api/v1/slos")}
    answers |= {"/metrics": guarded.get("/metrics", SECRETS["scrape"]).content, "/api/v1/audit": trail.content}
    seen = process(guarded.pid)
    assert guarded.stop() == 0
    left = {**files(guarded.workspace.path), **answers, **seen}
    code = back.partition("code=")[2].partition("&")[0]
    hidden = {**SECRETS, "session": str(session.value), "code": code}

    assert {"log.txt", ".paceline/paceline.db", ".paceline/audit.jsonl"} <= set(left)
    assert told(hidden, left) == []
    assert "wilhelmina" not in left[".paceline/audit.jsonl"].decode() + left["log.txt"].decode()


@pytest.mark.parametrize("form", ["{}", "https://x/?t={}", "Basic {}"])
def test_a_planted_secret_in_a_log_line_is_found(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """What looks for secrets finds one that is logged: as it is, in a URL, in basic credentials."""
    secret = SECRETS["scrape"]
    basic = b64encode(f"prometheus:{secret}".encode()).decode()
    text = {"{}": secret, "https://x/?t={}": quote(secret, safe="")}.get(form, basic)
    configure("info", "json").info("asked", header=form.format(text))

    assert told(SECRETS, {"log": capsys.readouterr().err.encode()}) == [("scrape", "log")]
