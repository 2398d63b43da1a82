"""Small inputs that would cost much: nested and repeated YAML, packed answers, expressions that never end."""

from __future__ import annotations

import gzip
import os
import subprocess
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from collector.document import documents_of
from collector.errors import ConfigError, ContractError, PacelineError, SourceError
from collector.events import DocPage
from collector.gitcommand import Git
from collector.http import ApiClient, Limits
from collector.name_rules import checked_expression, checked_rule
from collector.patterns import Pattern
from collector.people import People
from collector.source import Page, SourceContext
from collector.sources.docs import DocsConfig
from collector.sources.git import RELEASE_TAG
from collector.systems.docs.versions import files_of

LIMIT = 1 << 20
BOMB_BYTES = 1 << 28


def _aliases() -> str:
    names = "abcdefghij"
    lines = [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in pairwise(names)]
    return "\n".join(["a: &a [x, x]", *lines])


YAML_BOMBS = {
    "aliases of aliases": _aliases(),
    "brackets": "a: " + "[" * 20_000,
    "braces": "a: " + "{a: " * 20_000,
    "levels": "\n".join(f"{' ' * n}k:" for n in range(1_000)),
    "a circle": "a: &a [*a]",
}


@pytest.mark.parametrize("text", YAML_BOMBS.values(), ids=YAML_BOMBS.keys())
def test_yaml_is_refused_before_it_costs_much(text: str) -> None:
    """A few kilobytes cost no minute and no memory, and the answer is a mistake with its file."""
    begun = thread_time()

    with pytest.raises(ConfigError, match=r"settings\.yaml"):
        documents_of(text, Path("settings.yaml"))

    assert thread_time() - begun < 10


@pytest.mark.parametrize(
    "text",
    ["a: !!python/object/apply:os.system ['touch taken']", "a: !!python/name:os.system ''", "a: !secret x"],
)
def test_yaml_makes_values_and_nothing_else(text: str) -> None:
    """No tag makes an object or calls anything."""
    with pytest.raises(ConfigError, match="unknown tag"):
        documents_of(text, Path("settings.yaml"))


def test_the_library_alone_would_take_the_bomb() -> None:
    """What is refused here is no mistake to the library: the limit is ours."""
    text = "a: " + "[" * 60 + "]" * 60

    assert YAML(typ="safe", pure=True).load(text)["a"]
    with pytest.raises(ConfigError, match="nested too deeply"):
        documents_of(text, Path("settings.yaml"))


def _packed(encoding: str) -> bytes:
    zeros = b" " * (1 << 20)
    if encoding == "gzip":
        return gzip.compress(zeros * (BOMB_BYTES >> 20), 9)
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(zeros) for _ in range(BOMB_BYTES >> 20)) + packer.flush()


@pytest.fixture(scope="module")
def bombs() -> Iterator[str]:
    """A server whose answers to /gzip and /deflate are small, and a quarter of a gigabyte once unpacked."""
    bodies = {f"/{encoding}": _packed(encoding) for encoding in ("gzip", "deflate")}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Encoding", self.path[1:])
            self.send_header("Content-Length", str(len(bodies[self.path])))
            self.end_headers()
            try:
                self.wfile.write(bodies[self.path])
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def unpacked_at_once(url: str, path: str) -> None:
    """A planted weakness: an answer is read whole before its size is looked at."""
    import requests  # noqa: PLC0415 - what only the planted weakness does

    if len(requests.get(f"{url}/{path}", timeout=60).content) > LIMIT:
        raise ContractError("larger than it may be")


def bounded(url: str, path: str) -> None:
    """What our client does."""
    with closing(ApiClient(url, limits=Limits(seconds=60, bytes=LIMIT, attempts=1))) as client:
        client.get(path)


def most_memory(read: Callable[[str, str], None], url: str, path: str) -> int:
    """How many bytes a reading held at most, which must end in an error."""
    tracemalloc.start()
    try:
        with pytest.raises(PacelineError, match="larger than"):
            read(url, path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_packed_answer_is_unpacked_no_further_than_its_limit(bombs: str, encoding: str) -> None:
    """A quarter of a gigabyte in a quarter of a megabyte costs a few times the limit."""
    assert most_memory(bounded, bombs, encoding) < 16 * LIMIT


def test_a_client_that_unpacks_at_once_is_found(bombs: str) -> None:
    """The check above fails for a client without the limit."""
    assert most_memory(unpacked_at_once, bombs, "gzip") > 16 * LIMIT


# --- repositories ----------------------------------------------------------------------------------------

PAGE_BYTES = 64 << 20
GIT = {
    **{f"GIT_{who}_{what}": "c@people.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def told(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    """What git prints in a repository."""
    done = subprocess.run(["git", "-C", str(folder), *arguments], input=stdin, capture_output=True, check=True, env=GIT)
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def large_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a page, and one of 64 MiB that is a few kilobytes packed, its front matter without an end."""
    folder = tmp_path_factory.mktemp("pages")
    told(folder, "init", "--quiet", "-b", "main")
    (folder / "docs").mkdir()
    (folder / "docs" / "small.md").write_text("---\nservice: shop\n---\nA page.\n", encoding="utf-8")
    (folder / "docs" / "large.md").write_bytes(b"---\n" + b"x: y\n" * (PAGE_BYTES // 5))
    (folder / "map.yaml").write_bytes(b"#" * (8 << 20))
    told(folder, "add", ".")
    told(folder, "commit", "--quiet", "-m", "Pages")
    return folder


@pytest.fixture(scope="module")
def many_paths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of twelve objects that name ten thousand million paths."""
    folder = tmp_path_factory.mktemp("paths")
    told(folder, "init", "--quiet", "-b", "main")
    name, mode, kind = told(folder, "hash-object", "-w", "--stdin", stdin=b"x"), "100644", "blob"
    for _ in range(10):
        rows = "".join(f"{mode} {kind} {name}\tf{n}.md\n" for n in range(10))
        name, mode, kind = told(folder, "mktree", stdin=rows.encode()), "040000", "tree"
    told(folder, "update-ref", "refs/heads/main", told(folder, "commit-tree", "-m", "Paths", name))
    return folder


def pages_of(folder: Path, **settings: Any) -> list[Page]:
    """What the source of documentation reads of a repository."""
    given = {"name": "docs", "type": "docs", "repository": str(folder), **settings}
    context = SourceContext(
        data_dir=folder, base_dir=folder, people=People(b"k" * 32), clock=lambda: datetime(2026, 3, 2, tzinfo=UTC)
    )
    return list(DocsConfig.model_validate(given).build(context).pull(None))


def traced(read: Callable[[], object]) -> int:
    """How many bytes a reading held at most."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_page_that_is_large_is_listed_and_not_read(large_pages: Path) -> None:
    """Of 64 MiB, a few kilobytes in the repository, nothing is held; that page has its versions like all others."""
    found: list[Page] = []

    held = traced(lambda: found.extend(pages_of(large_pages, front_matter=True)))

    assert held < PAGE_BYTES / 4
    assert [w for page in found for w in page.warnings] == [
        "1 pages are larger than 4 MiB, such as docs/large.md: their front matter is not read"
    ]
    events = [event for page in found for event in page.events]
    assert {(e.path, e.service) for e in events if isinstance(e, DocPage)} == {
        ("docs/small.md", "shop"),
        ("docs/large.md", None),
    }


def test_a_reader_that_takes_a_page_whole_is_found(large_pages: Path) -> None:
    """The check above fails for a reader without the limit."""
    assert traced(lambda: Git(large_pages).text("cat-file", "blob", "main:docs/large.md")) > PAGE_BYTES


def test_a_map_of_pages_that_is_large_is_refused(large_pages: Path) -> None:
    """It is read whole, so it has a limit."""
    with pytest.raises(ContractError, match=r"map\.yaml is larger than"):
        pages_of(large_pages, map="map.yaml")


def test_a_list_of_files_without_end_is_refused(many_paths: Path) -> None:
    """What git prints is read up to a limit, and git ends."""
    git = Git(many_paths, most_bytes=4 << 20)

    def read() -> None:
        with pytest.raises(ContractError, match="prints more than 4194304 bytes"):
            files_of(git, "main")

    assert traced(read) < 64 << 20


def test_git_takes_no_more_memory_than_it_may(many_paths: Path) -> None:
    """To compare trees git itself holds all paths: it is ended before the machine has no memory."""
    git = Git(many_paths, memory_bytes=128 << 20)

    with pytest.raises(SourceError, match=r"[Oo]ut of memory"):
        list(git.log_with_paths(["main"]))


def test_a_message_without_end_is_refused(tmp_path: Path) -> None:
    """A commit tells a bounded text."""
    told(tmp_path, "init", "--quiet", "-b", "main")
    tree = told(tmp_path, "mktree")
    told(tmp_path, "update-ref", "refs/heads/main", told(tmp_path, "commit-tree", tree, stdin=b"x " * (6 << 20)))

    for read in (Git(tmp_path).log, Git(tmp_path).log_with_paths):
        with pytest.raises(ContractError, match="tells more than"):
            list(read(["main"]))


ENDLESS = (
    *(
        "(a+)+",
        "(.*)*x",
        r"(?:\w+)*!",
        "([a-z]*)+$",
        "(?P<name>.+)+b",
        "(a|a)*b",
        "(a|ab|b)*c",
        "(a?){30}b",
        "(a|a?)+$",
    ),
    *(r"(\w+\s?)*x", "(.*,)*", "(x+x+)+y", "(a*b*)*c", "((a)|(a))*b", "(?=(a+)+b)a", "(?i:(a|A+)*)b", r"(a)(\1a|a)*b"),
)


@pytest.mark.parametrize("expression", [*ENDLESS, ".*a.*a.*a.*a.*a"])
def test_an_expression_that_takes_for_ever_is_refused(expression: str) -> None:
    """What is repeated and can be read in two ways doubles its time with each character; many repetitions share it."""
    with pytest.raises(ValueError, match="for ever"):
        checked_rule(f"/{expression}/")
    with pytest.raises(ValueError, match="for ever"):
        checked_expression(expression)


def test_a_name_that_an_expression_would_take_long_for_does_not_fit() -> None:
    """Three repetitions that share a text take as long as its length to the third power: such names are bounded."""
    rule = Pattern(checked_rule("/.*a.*a.*/"))
    begun = thread_time()

    assert rule.matches("-a-a-")
    assert not rule.matches("a" * 100_000)
    assert not rule.matches("b" * 100_000)
    assert thread_time() - begun < 5


_PARTS = st.recursive(
    st.sampled_from(["a", "b", "[ab]", ".", "[^a]", r"\w", "c"]),
    lambda inner: st.one_of(
        st.builds("({}){}".format, inner, st.sampled_from(["*", "+", "?", "{2,9}", "*?", "{5}"])),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("{}{}".format, inner, inner),
        st.builds("(?i:{})".format, inner),
        st.builds("(?!{})".format, inner),
    ),
    max_leaves=7,
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(_PARTS)
def test_no_expression_that_is_taken_takes_long(expression: str) -> None:
    """Whatever is not refused is over in no time for names that are made to take long."""
    try:
        rule = Pattern(checked_rule(f"/{expression}/"))
    except ValueError:
        return
    for name in ("a" * 60 + "!", "ab" * 30 + "!", "aab" * 20 + "!"):
        begun = thread_time()
        rule.matches(name)
        assert thread_time() - begun < 2


@pytest.mark.parametrize(
    "rule",
    [
        *("/([a-z]+-)*[a-z]+/", "/release-.*/", r"/v\d+(\.\d+)*/", "/(a|b)+/", "a*a*a*a*a*b", r"/[A-Z][A-Z0-9]+-\d+/"),
        *(
            "/(?!test-).*-x/",
            "/(?:[a-z]+(?:-[a-z]+)*)/",
            r"/(\d{1,3}\.){3}\d{1,3}/",
            "/(?i:shop-.*)/",
            f"/{RELEASE_TAG}/",
        ),
    ],
)
def test_expressions_and_globs_that_people_write_are_taken(rule: str) -> None:
    """They are taken, and a name of ten thousand characters is over at once."""
    begun = thread_time()

    assert not Pattern(checked_rule(rule)).matches("a" * 10_000 + "!")
    assert thread_time() - begun < 5
