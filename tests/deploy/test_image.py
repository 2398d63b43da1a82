"""The container image: what its file promises, and its command under the restrictions that the chart asks for."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from chart_release import Of
from image import FILE, ROOT, Image, information, installed, sandbox, status
from receivers import certificate

pytestmark = pytest.mark.integration

_STARTS_WITHIN, _STOPS_WITHIN = 90.0, 30.0
_TRY = """
import json, os, pathlib
def tried(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError as error:
        return error.strerror
    return "written"
paths = ["/x", "/etc/paceline/x", "/opt/paceline/x", "/usr/x", "/data/x", "/tmp/x"]  # noqa: S108 - the container's own
print(json.dumps({"user": [os.getuid(), os.getgid()], "wrote": {p: tried(p) for p in paths}}))
"""
"""Tells from inside who one is, and where one can write."""


@pytest.fixture(scope="module")
def bwrap(requires_tool: Callable[[str], str]) -> str:
    """Bubblewrap, where the machine lets it make a sandbox."""
    program = requires_tool("bwrap")
    tried = [program, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true"]
    if subprocess.run(tried, check=False, capture_output=True).returncode and os.environ.get("CI") != "true":
        pytest.skip("this machine allows no user namespace")
    return program


@dataclass(frozen=True)
class Container:
    """The image's command at work."""

    line: Sequence[str]
    process: subprocess.Popen[bytes]
    pid: int
    port: int
    data: Path

    def get(self, path: str) -> str:
        """The body of an answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as answer:
            found: bytes = answer.read()
        return found.decode()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What another command in the same restrictions does."""
        return subprocess.run([*self.line, *command], check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def container(bwrap: str, repository_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A container that reads a Git repository; stopped after the tests."""
    folder = tmp_path_factory.mktemp("image")
    repository = repository_at(folder / "shop")
    repository.commit(at=1)
    repository.tag("v1.0.0", at=2)
    (folder / "etc").mkdir()
    settings = "sources: [{type: git, name: shop, repository: /shop}]\nlogs: {format: json}\nprocesses: 1\n"
    settings += "access: {anonymous: viewer}\n"
    (folder / "etc" / "paceline.yaml").write_text(settings, encoding="utf-8")
    writable = {"/data": folder / "data", "/tmp": folder / "tmp"}  # noqa: S108 - the container's own
    for path in writable.values():
        path.mkdir()
    mounts = {
        "/opt/paceline": installed(folder / "paceline"),
        "/etc/paceline": folder / "etc",
        "/shop": folder / "shop",
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    image = Image.read()
    line = sandbox(bwrap, image, mounts, writable, {"PACELINE_PORT": str(port)})
    reading, writing = os.pipe()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*line, "--info-fd", str(writing), *image.command], pass_fds=[writing], stdout=log, stderr=log
        )
    os.close(writing)
    found = Container(line, process, information(reading), port, folder / "data")
    try:
        _wait_until_ready(found, folder / "log")
        yield found
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(container: Container, log: Path) -> None:
    end = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < end and container.process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.HTTPError):
            if 'platform_collector_last_success_timestamp_seconds{source="shop"}' in container.get("metrics"):
                return
        time.sleep(0.1)
    pytest.fail(log.read_text(encoding="utf-8"))


def test_it_serves_with_a_read_only_root(container: Container) -> None:
    """It is alive and ready, has read commits by Git, and keeps its store in /data."""
    assert json.loads(container.get("healthz"))["status"] == "ok"
    assert json.loads(container.get("readyz"))["status"] in {"ok", "degraded"}
    assert re.search(
        r'^platform_collector_events_total\{.*source="shop".*\} [1-9]', container.get("metrics"), re.MULTILINE
    )
    assert {"paceline.db", "people.key"} <= {path.name for path in container.data.iterdir()}


def test_it_has_no_privilege_and_cannot_get_any(container: Container) -> None:
    """No capability is effective, permitted or can be gained; set-user-id programs raise nothing."""
    found = status(container.pid)

    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert found["NoNewPrivs"] == "1"


def test_the_restrictions_are_there(container: Container) -> None:
    """From inside: nobody in particular, and only /data and /tmp can be written. The test above is not in vain."""
    done = container.run("python", "-c", _TRY)
    found = json.loads(done.stdout)

    assert found["user"] == [65532, 65532]
    assert [path for path, said in found["wrote"].items() if said == "written"] == ["/data/x", "/tmp/x"]  # noqa: S108 - the container's own
    assert found["wrote"]["/usr/x"] == "Read-only file system"


def test_its_own_health_check_answers(container: Container) -> None:
    """The command that the image gives to the engine."""
    done = container.run(*Image.read().health)

    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def _answering(status: int, context: ssl.SSLContext | None) -> Iterator[int]:
    """The port of a server that answers every request with this status, by TLS where a context is given."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@pytest.mark.parametrize(("encrypted", "status", "well"), [(True, 200, True), (True, 503, False), (False, 503, False)])
def test_the_health_check_asks_by_tls_too(encrypted: bool, status: int, well: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Where the settings have a certificate, a healthy service is found healthy, and an ill one ill."""
    with _answering(status, certificate(tmp_path).context() if encrypted else None) as port:
        command = [sys.executable, *Image.read().health[1:]]
        environ = os.environ | {"PACELINE_PORT": str(port)}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ, timeout=60)

    assert (done.returncode == 0) is well, done.stderr


def test_a_stop_is_heard_by_the_first_process_of_a_container(container: Container) -> None:
    """SIGTERM ends it in time, without being killed, and its store is whole."""
    os.kill(container.pid, signal.SIGTERM)

    assert container.process.wait(_STOPS_WITHIN) == 0
    assert not (container.data / "paceline.db-journal").exists()


# --- what its file says -----------------------------------------------------------------------------------


def test_the_base_is_pinned_and_every_package_locked() -> None:
    """The base image by its digest; what pip installs by hash, from wheels alone or from what was built here."""
    text = FILE.read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip (?:--python \S+ )?install ([^&\n]*)", text)

    assert re.search(r"^ARG BASE=python:[\w.-]+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert len(installs) == 3
    assert all("--require-hashes --only-binary :all:" in one or "--no-deps --no-index" in one for one in installs)


def test_the_last_stage_has_no_compiler_and_no_root() -> None:
    """It installs Git and certificates, runs as a user with a number, and says what it is."""
    image = Image.read()
    installs = [rest for word, rest in image.lines if word == "RUN"]

    assert image.user == ("65532", "65532")
    assert re.findall(r"--no-install-recommends ([a-z -]+?) +&&", " ".join(installs)) == ["ca-certificates git"]
    assert image.of("LABEL").count("org.opencontainers.image.") == 5


def test_everything_the_build_needs_is_sent_to_it() -> None:
    """The ignore file lets in what the wheel is made of."""
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}

    assert kept >= {"pyproject.toml", "README.md", "LICENSE", "requirements", "config", "paceline"}
    assert [name for name in sorted(kept) if not (ROOT / name).exists()] == []


def test_the_chart_runs_the_image_as_it_is_built(release: Of) -> None:
    """The chart's user, folders and port are the image's."""
    image = Image.read()
    pod = release("default").of("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environ = {one["name"]: one["value"] for one in container["env"]}

    assert str(pod["securityContext"]["runAsUser"]) == image.user[0]
    assert container["args"] == json.loads(image.of("CMD"))
    assert {name: environ[name] for name in environ if name in image.environment} == {
        name: image.environment[name] for name in environ if name in image.environment
    }
    assert container["ports"][0]["containerPort"] == int(image.of("EXPOSE"))
