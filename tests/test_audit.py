"""The audit of dependencies: it finds a known weakness, passes without one, and fails where nobody answers."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LOCK = f"paceline-weak==1.0 \\\n    --hash=sha256:{'0' * 64}\npaceline-sound==2.0 \\\n    --hash=sha256:{'1' * 64}\n"
WEAKNESS = {
    "id": "OSV-2026-1",
    "summary": "made up",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "paceline-weak"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
            "versions": ["1.0"],
        }
    ],
}


@pytest.fixture
def advisories() -> Iterator[tuple[str, list[str]]]:
    """A service of advisories on loopback that knows one weakness, and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = query["package"]["name"]
            asked.append(name)
            body = json.dumps({"vulns": [WEAKNESS]} if name == "paceline-weak" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query", asked
        server.shutdown()


def _audited(lock: Path, service: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PACELINE_OSV": service, "NO_PROXY": "127.0.0.1"}
    command = [str(ROOT / "scripts" / "audit.sh"), str(lock)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.integration
def test_a_known_weakness_is_found(
    advisories: tuple[str, list[str]], requires_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Code 1 and its name with one; 0 without, after asking for each package; 1 where nobody answers."""
    requires_tool(str(ROOT / ".venv-audit" / "bin" / "pip-audit"))
    service, asked = advisories
    weak, sound = tmp_path / "weak.txt", tmp_path / "sound.txt"
    weak.write_text(LOCK, encoding="utf-8")
    sound.write_text(LOCK[LOCK.index("paceline-sound") :], encoding="utf-8")

    found, clean = _audited(weak, service), _audited(sound, service)
    unreachable = _audited(sound, "http://127.0.0.1:9/v1/query")

    assert (found.returncode, "OSV-2026-1" in found.stdout, "known weaknesses" in found.stderr) == (1, True, True)
    assert (clean.returncode, sorted(set(asked))) == (0, ["paceline-sound", "paceline-weak"])
    assert (unreachable.returncode, "Not audited" in unreachable.stderr) == (1, True)
