"""Inputs that nobody should send, by the thousand: what takes them must not crash, hang, or tell a secret or a person.

`fuzzed` gives each target its share of the rounds. A finding names its target, the seed and its number, with which it
comes again; what hypothesis made up is shown as the smallest input that does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzzed_answers import Answers, samples
from fuzzed_files import Files, queries
from fuzzed_service import Served, served
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from spoiling import SECRET, TOKEN, WORDS, Take, Weak, checked, look

DESCRIBED = Path(__file__).with_name("described.py")
SHARES = {
    "answers": 0.1,
    "webhooks": 0.2,
    "api": 0.15,
    "described": 0.05,
    "settings": 0.02,
    "made settings": 0.03,
    "slos": 0.02,
    "made slos": 0.05,
    "queries": 0.38,
}
"""What share of the rounds each target has: an input of a query costs a hundredth of one of settings."""
_AT_ONCE = 1_000
"""So many examples hypothesis makes up with one seed: it remembers all of them meanwhile."""


@dataclass(frozen=True)
class Targets:
    """Everything that takes inputs. `schemathesis` is the Python that has it, where there is one."""

    answers: Answers
    served: Served
    files: Files
    schemathesis: Path | None

    @property
    def takes(self) -> Mapping[str, Take]:
        """By name, what takes one input that is made by chance."""
        return {
            "answers": self.answers.take,
            "webhooks": self.served.tell,
            "api": self.served.ask,
            "settings": self.files.settle,
            "slos": self.files.promise,
        }

    @property
    def made_up(self) -> Mapping[str, tuple[st.SearchStrategy[str], Callable[[str], str]]]:
        """By name, what hypothesis makes up, and what takes it."""
        return {
            "made settings": (self.files.made_settings, self.files.settled),
            "made slos": (self.files.made_slos, self.files.promised),
            "queries": (queries(), self.files.queried),
        }


@contextlib.contextmanager
def targets(folder: Path, root: Path) -> Iterator[Targets]:
    """All targets in a folder; settings and SLO files are those of the tests below the root."""
    found = samples(folder / "samples")
    good, bad = root / "tests" / "paceline" / "good", root / "tests" / "paceline" / "bad"
    texts = [path.read_text("utf-8") for path in (*good.glob("*.yaml"), *bad.glob("*.yaml"))]
    ending = f"store: postgresql://u:{SECRET}@127.0.0.1:1/x\naccess: {{session_key: {SECRET}}}\n"
    hooks = f"sources: [{{type: webhook, name: pushed, webhook_secret: {SECRET}}}]\n"
    written = [f"{text}\n{ending}" for text in (hooks, *texts) if text.strip()]
    slos = [path.read_text("utf-8") for path in (root / "tests" / "slo_engine").rglob("*.yaml")]
    files = Files(folder, written, [text for text in slos if "openslo" in text])
    python = root / ".venv-schemathesis" / "bin" / "python"
    with served(folder / "served", found) as running:
        yield Targets(Answers(folder, found), running, files, python if python.exists() else None)


def fuzzed(
    found: Targets, rounds: int, number: int, wanted: Sequence[str] = ()
) -> Iterator[tuple[str, int, list[str]]]:
    """Each target's name, how many inputs it took, and what is weak; `rounds` of all together, by a seed's number."""
    for name, share in SHARES.items():
        own = max(round(rounds * share), 1)
        if wanted and name not in wanted:
            continue
        if name == "described":
            yield name, *_described(found, own, number)
        elif name in found.made_up:
            strategy, take = found.made_up[name]
            yield name, *_made_up(name, strategy, take, own, number)
        else:
            before = found.answers.inputs
            weak = list(_by_chance(name, found.takes[name], own, number))
            yield name, found.answers.inputs - before if name == "answers" else own, weak
    yield "everything", 0, left(found)


def left(found: Targets) -> list[str]:
    """What is weak in what they left: every page, the store, the log and all other files."""
    weak = []

    def pages() -> None:
        look(found.served.shown())

    for name, looked in (("pages", pages), ("files", found.served.look_at_all)):
        try:
            looked()
        except Weak as error:
            weak.append(f"{name} in the end: {error}")
    return weak


def _by_chance(name: str, take: Take, rounds: int, number: int) -> Iterator[str]:
    for one in range(rounds):
        chance = random.Random(f"{number} {name} {one}")  # noqa: S311 - it is to be repeatable
        try:
            checked(lambda chance=chance: take(chance))  # type: ignore[misc] # bound at once
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever comes out is a finding, also what ends a process
            yield f"{name}, seed {number}, number {one}: {type(error).__name__}: {error}"


def _made_up(
    name: str, strategy: st.SearchStrategy[str], take: Callable[[str], str], rounds: int, number: int
) -> tuple[int, list[str]]:
    """How many inputs of a strategy were taken, and the smallest of each kind that is weak."""
    taken, weak = 0, []
    for batch, first in enumerate(range(0, rounds, _AT_ONCE)):

        @seed(f"{number} {name} {batch}")
        @settings(
            max_examples=min(_AT_ONCE, rounds - first),
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def one(text: str) -> None:
            nonlocal taken
            taken += 1
            checked(lambda: take(text))

        try:
            one()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            notes = " ".join(getattr(error, "__notes__", ()))
            weak.append(f"{name}, seed {number}, batch {batch}: {type(error).__name__}: {error} {notes}")
    return taken, weak


def _described(found: Targets, rounds: int, number: int) -> tuple[int, list[str]]:
    """What schemathesis finds by the description of the API, over HTTP; nothing where it is not installed."""
    if found.schemathesis is None:
        return 0, []
    described = found.served.folder / "openapi.json"
    described.write_text(json.dumps(found.served.app.openapi()), encoding="utf-8")
    with found.served.on_a_port() as url:
        done = subprocess.run(
            [str(found.schemathesis), str(DESCRIBED), url, str(described), str(number), str(rounds), *WORDS],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(found.served.folder)},
        )
    if done.returncode:
        return 0, [f"schemathesis ended with {done.returncode}: {done.stderr[-3_000:]}"]
    told: dict[str, Any] = json.loads(done.stdout)
    for status, count in told["statuses"].items():
        found.served.statuses[int(status)] += count
    return int(told["inputs"]), [f"described, seed {number}: {one}" for one in told["weak"]]


__all__ = ["SECRET", "SHARES", "TOKEN", "Targets", "Weak", "checked", "fuzzed", "look", "targets"]
