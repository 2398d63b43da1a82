"""Importing a Git history: collect and derive against `git log` printing the same fields, in the same run.

Give a repository, for example a clone with 50 000 commits or more:

    make bench ARGS=bench/import_history.py PACELINE_BENCH_REPOSITORY=/path/to/clone

Without one, a history of 60 000 commits with merges and tags is made first. Prints medians of seven runs, each in a
process of its own, so that memory is that of one import.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

RUNS = 7


def main() -> None:
    """Run the import several times and print each figure beside its limit."""
    with tempfile.TemporaryDirectory() as folder:
        given = os.environ.get("PACELINE_BENCH_REPOSITORY")
        repository = Path(given).resolve() if given else synthetic(Path(folder) / "history.git")
        runs = [in_a_process("--one", repository, Path(folder) / str(n)) for n in range(RUNS)]
        cloned = in_a_process("--clone", repository, Path(folder) / "clone")
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    delivery, whole = (
        statistics.median((run["collect"] + sum(run[name] for name in names)) / run["git_log"] for run in runs)
        for names in (("delivery",), ("delivery", "others"))
    )
    print(f"history               {middle['commits']:,.0f} commits, {middle['observations']:,.0f} observations")
    print(f"git log               {middle['git_log']:.2f} s for the same fields")
    print(f"collect               {middle['collect']:.2f} s")
    print(f"derive delivery       {middle['delivery']:.2f} s")
    print(f"derive all others     {middle['others']:.2f} s")
    limit = f"limit 2.5{'' if given else ' for a real history'}"
    print(f"collect and delivery  {delivery:.2f} x git log ({limit})")
    print(f"collect and all       {whole:.2f} x git log ({limit})")
    print(f"peak memory           {middle['memory_mb']:.0f} MB (limit 300)")
    print(f"second run in place   {middle['again']:.3f} s with nothing new (limit 0.3)")
    beyond = cloned["again"] - cloned["fetch"]
    print(f"second run of a clone {beyond:.3f} s beyond its git fetch of {cloned['fetch']:.3f} s (limit 0.3)")


def in_a_process(what: str, repository: Path, data_dir: Path) -> dict[str, float]:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, what, str(repository), str(data_dir)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def measure(repository: Path, data_dir: Path) -> dict[str, float]:
    """Import into an empty store and look again; seconds and megabytes."""
    from collector.gitcommand import LOG_FORMAT, Git, git_environment  # noqa: PLC0415 - only the measured process needs them
    from collector.people import People  # noqa: PLC0415
    from collector.run import Runner  # noqa: PLC0415
    from collector.source import SourceContext  # noqa: PLC0415
    from collector.sources.git import GitConfig, TagRule  # noqa: PLC0415
    from collector.store import Database, DerivationStore, EventStore  # noqa: PLC0415
    from slo_engine.derive import derive  # noqa: PLC0415
    from slo_engine.indicator import families  # noqa: PLC0415

    def now() -> datetime:
        return datetime.now(UTC)

    git = Git(repository)
    tips = git.text("for-each-ref", "--format=%(objectname)", "refs/heads", "refs/tags")
    command = git.command("log", "-z", f"--format={LOG_FORMAT}", "--stdin")
    with Path(os.devnull).open("wb") as nowhere:
        started = time.perf_counter()
        subprocess.run(command, input=tips.encode(), stdout=nowhere, check=True, env=git_environment())
        git_log = time.perf_counter() - started

    database = Database.open(data_dir)
    events, known = EventStore(database), families()
    config = GitConfig(type="git", name="history", repository=str(repository), deployments=TagRule(rule="tags"))
    context = SourceContext(data_dir=data_dir, base_dir=data_dir, people=People(b"k" * 32), clock=now)
    runner = Runner(database=database, store=events, clock=now)

    started = time.perf_counter()
    outcome = runner.run("history", config.build(context))
    collected = time.perf_counter()
    assert outcome.succeeded, outcome.error
    delivery = derive([family for family in known if family.name == "delivery"], events, DerivationStore(database))
    delivered = time.perf_counter()
    others = derive(known, events, DerivationStore(database))
    finished = time.perf_counter()
    again = runner.run("history", config.build(context))
    derive(known, events, DerivationStore(database))
    looked = time.perf_counter()
    assert again.changed == 0
    return {
        "commits": events.counts()["commit"],
        "observations": delivery.observations + others.observations,
        "git_log": git_log,
        "collect": collected - started,
        "delivery": delivered - collected,
        "others": finished - delivered,
        "again": looked - finished,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_clone(repository: Path, data_dir: Path) -> dict[str, float]:
    """Look again at a clone in which nothing is new, and run its `git fetch` alone; medians of seconds."""
    from collector.people import People  # noqa: PLC0415 - only the measured process needs them
    from collector.source import SourceContext  # noqa: PLC0415
    from collector.sources.git import GitConfig  # noqa: PLC0415

    # What a forge allows: a clone without trees.
    data_dir.mkdir(parents=True)
    settings = data_dir / "gitconfig"
    settings.write_text("[uploadpack]\n\tallowFilter = true\n", encoding="utf-8")
    os.environ["GIT_CONFIG_GLOBAL"] = str(settings)
    config = GitConfig(type="git", name="history", repository=repository.as_uri())
    context = SourceContext(
        data_dir=data_dir, base_dir=data_dir, people=People(b"k" * 32), clock=lambda: datetime.now(UTC)
    )
    source = config.build(context)
    cursor = None
    for page in source.pull(None):
        cursor = page.cursor
    again = [seconds(lambda: list(source.pull(cursor))) for _ in range(RUNS)]
    fetch = ("fetch", "--quiet", "--prune", "--force", "--no-write-fetch-head", "--filter=tree:0", "origin")
    refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
    alone = [seconds(lambda: source.git.text(*fetch, *refs)) for _ in range(RUNS)]
    return {"again": statistics.median(again), "fetch": statistics.median(alone)}


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def synthetic(path: Path, commits: int = 60_000) -> Path:
    """A bare repository: nine commits on a side branch, then a merge; a release tag every 300 commits."""
    subprocess.run(["git", "init", "--quiet", "--bare", str(path)], check=True)
    words = random.Random(1)  # noqa: S311 - the same history on every machine
    stream: list[str] = []
    main_mark, mark, at = 0, 0, 1_600_000_000
    for number in range(commits):
        mark, at = mark + 1, at + 600
        is_merge = number % 10 == 0
        who = f"Dev {number % 97} <dev{number % 97}@example.invalid> {at} +0000"
        text = f"change {number}\n\n" + " ".join(f"word{words.randrange(5_000)}" for _ in range(20))
        stream.append(f"commit refs/heads/{'main' if is_merge else 'side'}\nmark :{mark}\n")
        stream.append(f"author {who}\ncommitter {who}\ndata {len(text)}\n{text}\n")
        if main_mark:
            parent = main_mark if is_merge or number % 10 == 1 else mark - 1
            stream.append(f"from :{parent}\n")
            if is_merge:
                stream.append(f"merge :{mark - 1}\n")
        main_mark = mark if is_merge else main_mark
        if is_merge and number % 300 == 0:
            stream.append(f"reset refs/tags/v1.{number}.0\nfrom :{mark}\n\n")
    stream.append("reset refs/heads/side\nfrom 0000000000000000000000000000000000000000\n\ndone\n")
    command = ["git", "-C", str(path), "fast-import", "--quiet", "--done"]
    subprocess.run(command, input="".join(stream).encode(), check=True)
    subprocess.run(["git", "-C", str(path), "symbolic-ref", "HEAD", "refs/heads/main"], check=True)
    return path


if __name__ == "__main__":
    if len(sys.argv) > 1:
        chosen = {"--one": measure, "--clone": measure_clone}[sys.argv[1]]
        print(json.dumps(chosen(Path(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()
