"""The container image without an engine for containers: what its file says, and its command in a sandbox."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "deploy" / "Containerfile"
_OF_THE_SYSTEM = ("bin", "lib", "lib32", "lib64", "sbin", "usr")
_OF_ETC = ("alternatives", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "ssl")


@dataclass(frozen=True)
class Image:
    """The last stage of a Containerfile."""

    lines: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls) -> Image:
        """The stage that is delivered, one instruction and its arguments at a time."""
        text = re.sub(r"^#.*\n", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
        lines = [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word]
        last = max(number for number, (word, _) in enumerate(lines) if word == "FROM")
        return cls(tuple(lines[last:]))

    def of(self, word: str) -> str:
        """The arguments of the one instruction of this kind."""
        (found,) = [rest for one, rest in self.lines if one == word]
        return found

    @property
    def command(self) -> list[str]:
        """What a container runs unless it is told otherwise."""
        return [*json.loads(self.of("ENTRYPOINT")), *json.loads(self.of("CMD"))]

    @property
    def health(self) -> list[str]:
        """What tells whether it is well."""
        found: list[str] = json.loads(self.of("HEALTHCHECK").partition("CMD ")[2])
        return found

    @property
    def environment(self) -> dict[str, str]:
        """Its variables."""
        return dict(pair.split("=", 1) for pair in self.of("ENV").split())

    @property
    def user(self) -> tuple[str, str]:
        """Its user and group."""
        user, _, group = self.of("USER").partition(":")
        return user, group


def installed(venv: Path) -> Path:
    """What the image holds at /opt/paceline: the locked packages and our wheel, in a new folder."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    wheels = venv.parent / "wheel"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    python = ["--python", str(venv / "bin" / "python")]
    for command in (
        build,
        [*uv, "venv", "--relocatable", "--python", sys.executable, str(venv)],
        [*uv, "pip", "sync", *python, "--require-hashes", "--no-build", "requirements/run.txt"],
    ):
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    install = [*uv, "pip", "install", *python, "--offline", "--no-deps", str(wheel)]
    subprocess.run(install, cwd=ROOT, check=True, capture_output=True)
    return venv


def sandbox(
    bwrap: str, image: Image, mounts: Mapping[str, Path], writable: Mapping[str, Path], environ: Mapping[str, str]
) -> list[str]:
    """The beginning of a command line by which the rest runs as Kubernetes would run it.

    Its own user without capabilities and without a way to get any, a root that cannot be written, its own processes;
    the network is that of the test.
    """
    user, group = image.user
    line = [bwrap, "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1"]
    line += ["--die-with-parent", "--uid", user, "--gid", group, "--cap-drop", "ALL", "--clearenv"]
    line += _system()
    for place, path in mounts.items():
        line += ["--ro-bind", str(path), place]
    for place, path in writable.items():
        line += ["--bind", str(path), place]
    line += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/", "--chdir", image.of("WORKDIR")]
    for name, value in (image.environment | dict(environ)).items():
        line += ["--setenv", name, value]
    return line


def _system() -> Sequence[str]:
    """Programs and libraries of the machine the test runs on, in place of the base image's."""
    found: list[str] = []
    for name in _OF_THE_SYSTEM:
        path = Path("/") / name
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    if not sys.base_prefix.startswith("/usr"):
        found += ["--ro-bind", sys.base_prefix, sys.base_prefix]
    for name in _OF_ETC:
        found += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return found


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def information(descriptor: int) -> int:
    """The id of the sandboxed process, as bubblewrap tells it."""
    with os.fdopen(descriptor, encoding="utf-8") as told:
        found: int = json.load(told)["child-pid"]
    return found
