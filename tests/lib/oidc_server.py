"""A real provider of OpenID Connect, and somebody who signs in there with a browser's habits."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import requests

NPM = Path(__file__).parents[1] / "npm"
_MODULE = NPM / "node_modules" / "oidc-provider"
_ACTION = re.compile(r'action="([^"]+)"')
_PROMPT = re.compile(r'name="prompt" value="(\w+)"')
_STEPS = 12


def missing() -> str:
    """Why there is no provider here; empty where there is one."""
    if shutil.which("node") is None:
        return "node is not installed"
    return "" if _MODULE.exists() else "oidc-provider is not installed; scripts/servers.sh does"


@contextlib.contextmanager
def oidc_server(redirect: str) -> Iterator[str]:
    """A running provider that sends people back to an address: its own."""
    process = subprocess.Popen(
        ["node", str(NPM / "oidc" / "provider.mjs"), redirect],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        issuer = process.stdout.readline().strip()
        assert issuer.startswith("http://127.0.0.1:"), "the provider did not start"
        yield issuer
    finally:
        process.terminate()
        process.communicate(timeout=10)


def signed_in_at(url: str, login: str, back: str) -> str:
    """Sign in at a provider, and agree: where the browser is sent back to."""
    with requests.Session() as browser:
        browser.trust_env = False
        answer = browser.get(url, allow_redirects=False, timeout=30)
        for _ in range(_STEPS):
            if answer.is_redirect:
                target = urljoin(answer.url, answer.headers["location"])
                if target.startswith(back):
                    return target
                answer = browser.get(target, allow_redirects=False, timeout=30)
                continue
            action, prompt = _ACTION.search(answer.text), _PROMPT.search(answer.text)
            assert answer.ok, answer.text
            assert action is not None, answer.text
            assert prompt is not None, answer.text
            form = {"prompt": prompt[1], "login": login, "password": "any"}
            answer = browser.post(urljoin(answer.url, action[1]), form, allow_redirects=False, timeout=30)
    raise AssertionError("the provider sent nobody back")
