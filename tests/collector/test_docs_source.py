"""Pages of documentation in real repositories: their versions, what they cover, and what becomes of moved ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from names import PLANTED_LOGIN, PLANTED_MAIL
from pydantic import ValidationError

from collector.errors import ContractError, SourceError
from collector.events import DocPage
from collector.source import Page, SourceContext
from collector.sources.docs import DocsConfig
from collector.systems.docs.told import Told, docs_map, front_matter

START = datetime(2026, 1, 1, tzinfo=UTC)


def hour(n: float) -> datetime:
    """Hours after the start."""
    return START + timedelta(hours=n)


@dataclass
class Handbook:
    """A repository with pages, and a source over it. Each commit is an hour after the one before."""

    repository: Any
    context: SourceContext
    cursor: str | None = None
    hours: int = 0
    pages: list[Page] = field(default_factory=list)

    def commit(self, message: str = "a change", **files: str | None) -> str:
        """Commit files by their names, with `__` for a slash and `_md` for an ending; None removes one."""
        for name, text in files.items():
            path = self.repository.path / name.replace("__", "/").replace("_md", ".md").replace("_yaml", ".yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if text is None else path.write_text(text, encoding="utf-8")
        self.repository.git("add", "--all")
        self.hours += 1
        found: str = self.repository.commit(message, at=self.hours)
        return found

    def move(self, old: str, new: str) -> str:
        """Commit that a page is somewhere else."""
        self.repository.git("mv", old, new)
        return self.commit("move")

    def read(self, **settings: Any) -> list[DocPage]:
        """The events of a run from where the last one stopped."""
        fields = {"name": "docs", "type": "docs", "repository": str(self.repository.path), **settings}
        self.pages = list(DocsConfig.model_validate(fields).build(self.context).pull(self.cursor))
        self.cursor = self.pages[-1].cursor if self.pages else self.cursor
        return [e for page in self.pages for e in page.events if isinstance(e, DocPage)]

    def stored(self, bench: Any, *runs: Callable[[], object], **settings: Any) -> list[DocPage]:
        """What a store keeps of a run before and after each of some steps."""
        fields = {"name": "docs", "type": "docs", "repository": str(self.repository.path), **settings}
        config = DocsConfig.model_validate(fields)
        for step in (lambda: None, *runs):
            step()
            assert bench.runner.run("docs", config.build(self.context)).succeeded
        return sorted(bench.store.events(DocPage), key=lambda e: (e.path, e.changed_at))

    @property
    def warnings(self) -> list[str]:
        """What the last run said."""
        return [w for page in self.pages for w in page.warnings]


@pytest.fixture
def handbook(repository: Any, context: SourceContext) -> Handbook:
    """An empty repository."""
    return Handbook(repository, context)


def versions(events: list[DocPage]) -> dict[str, list[datetime]]:
    """When each page changed, in order."""
    found: dict[str, list[datetime]] = {}
    for event in sorted(events, key=lambda e: e.changed_at):
        found.setdefault(event.path, []).append(event.changed_at)
    return found


# --- versions -------------------------------------------------------------------------------------------


def test_each_commit_that_changes_a_page_is_a_version(handbook: Handbook) -> None:
    """A page has a version for each commit that touched it, and none for others."""
    handbook.commit(docs__a_md="a", docs__b_md="b", src__a_md="no page")
    handbook.commit(docs__a_md="a2")
    handbook.commit(src__a_md="still none")

    assert versions(handbook.read()) == {"docs/a.md": [hour(1), hour(2)], "docs/b.md": [hour(1)]}


def test_the_last_version_says_whose_a_page_is(handbook: Handbook) -> None:
    """What front matter says now stands in the last version, with the repository's name and the commit's time."""
    handbook.commit(docs__pay_md="Pay.")
    text = "---\ncovers: [src/pay, shop:api]\nservice: shop\nteam: payments\nlast_reviewed: 2026-01-02\n---\nPay."
    sha = handbook.commit(docs__pay_md=text)

    first, last = sorted(handbook.read(repository_name="team/handbook"), key=lambda e: e.changed_at)

    assert last == DocPage(
        source="docs",
        native_id=f"team/handbook@{sha}:docs/pay.md",
        updated_at=hour(2),
        repository="team/handbook",
        path="docs/pay.md",
        changed_at=hour(2),
        reviewed_at=datetime(2026, 1, 2, tzinfo=UTC),
        service="shop",
        team="payments",
        covers=("src/pay", "shop:api"),
    )
    assert (first.covers, first.reviewed_at) == ((), None)


def test_a_merge_changes_a_page_when_it_is_merged(handbook: Handbook) -> None:
    """What was written on a branch is on the page from the merge on, and not before."""
    handbook.commit(docs__a_md="a")
    handbook.repository.branch("feature")
    handbook.commit(docs__a_md="a2")
    handbook.repository.checkout("main")
    handbook.repository.merge("feature", at=9)

    assert versions(handbook.read()) == {"docs/a.md": [hour(1), hour(9)]}


def test_commits_may_make_no_version(handbook: Handbook) -> None:
    """A commit by whose subject a rule fits changes no page; the first one of a page always counts."""
    handbook.commit("style: begin", docs__a_md="a")
    handbook.commit("style: blanks", docs__a_md="a ")
    handbook.commit("say more", docs__a_md="a 2")

    assert versions(handbook.read(ignore_commits=["style: *"])) == {"docs/a.md": [hour(1), hour(3)]}


def test_a_page_that_moves_keeps_its_versions(handbook: Handbook) -> None:
    """A rename is followed, also a second one, and is no change of the page."""
    handbook.commit(docs__a_md="a long enough page")
    handbook.move("docs/a.md", "docs/b.md")
    handbook.move("docs/b.md", "docs/c.md")
    handbook.commit(docs__c_md="another page")

    assert versions(handbook.read()) == {"docs/c.md": [hour(1), hour(4)]}


def test_a_page_that_takes_the_place_of_another_takes_nothing_of_it(handbook: Handbook) -> None:
    """A page that moves to where another was has its own versions there, and the other has its own elsewhere."""
    handbook.commit(docs__a_md="page a")
    handbook.commit(docs__b_md="page b")
    handbook.move("docs/b.md", "docs/c.md")
    handbook.move("docs/a.md", "docs/b.md")

    assert versions(handbook.read()) == {"docs/b.md": [hour(1)], "docs/c.md": [hour(2)]}


def test_a_deleted_page_is_none_and_begins_anew(handbook: Handbook) -> None:
    """What was deleted is no page; at its path another may begin."""
    handbook.commit(docs__a_md="a", docs__b_md="b")
    handbook.commit(docs__a_md=None, docs__b_md=None)
    handbook.commit(docs__b_md="another")

    assert versions(handbook.read()) == {"docs/b.md": [hour(3)]}


def test_which_files_are_pages(handbook: Handbook) -> None:
    """Rules say which paths are pages and which are not; links are none."""
    handbook.commit(wiki__a_md="a", wiki__x__b_md="b", wiki__x__draft_md="c", docs__d_md="d")
    (handbook.repository.path / "wiki" / "link.md").symlink_to("a.md")
    handbook.commit()

    found = handbook.read(pages=["wiki/*.md"], exclude=["*/draft.md"])

    assert versions(found) == {"wiki/a.md": [hour(1)], "wiki/x/b.md": [hour(1)]}


def test_two_stars_stand_for_any_folders_and_for_none(handbook: Handbook) -> None:
    """`docs/**/*.md` takes what stands in `docs` itself, and `**/guide.md` what stands at the top."""
    handbook.commit(docs__a_md="a", docs__x__b_md="b", guide_md="c", src__guide_md="d", src__e_md="e")

    found = versions(handbook.read(pages=["docs/**/*.md", "**/guide.md"]))

    assert sorted(found) == ["docs/a.md", "docs/x/b.md", "guide.md", "src/guide.md"]


@pytest.mark.parametrize("rule", ["/docs/.*/", ":(glob)docs", ""])
def test_rules_for_pages_are_paths_or_globs(rule: str) -> None:
    """What Git would take for something else is refused."""
    with pytest.raises(ValidationError, match="is no path in a repository; expected a path or a glob"):
        DocsConfig.model_validate({"name": "docs", "type": "docs", "repository": ".", "pages": [rule]})


def test_paths_of_any_writing(handbook: Handbook) -> None:
    """Blanks, letters of any alphabet and characters of rules are part of a path."""
    (handbook.repository.path / "docs").mkdir()
    (handbook.repository.path / "docs" / "Größe [x] y.md").write_text("a", encoding="utf-8")
    handbook.commit()

    assert list(versions(handbook.read())) == ["docs/Größe [x] y.md"]


def test_a_repository_without_commits_gives_nothing(handbook: Handbook) -> None:
    """Its first commit may come."""
    assert handbook.read() == []


def test_a_branch_that_is_not_there_fails_the_run(handbook: Handbook) -> None:
    """A default branch that was renamed is no repository without pages."""
    handbook.commit(docs__a_md="a")

    with pytest.raises(ContractError, match="the repository has no branch 'trunk'"):
        handbook.read(branch="trunk")


# --- only what is new -----------------------------------------------------------------------------------


def test_nothing_new_gives_no_page(handbook: Handbook) -> None:
    """A run after which nothing moved reports nothing at all."""
    handbook.commit(docs__a_md="a")
    handbook.read()

    assert handbook.read() == []
    assert handbook.pages == []


def test_only_pages_that_changed_are_read_again(handbook: Handbook) -> None:
    """Of new commits come the new versions, and the version before of the same page, which says nothing now."""
    handbook.commit(docs__a_md="---\ncovers: src\n---\n", docs__b_md="b")
    handbook.read()
    handbook.commit(docs__a_md="---\ncovers: lib\n---\n")

    events = handbook.read()

    assert {(e.changed_at, e.covers) for e in events} == {(hour(2), ("lib",)), (hour(1), ())}


STEPS: dict[str, Callable[[Handbook], object]] = {
    "changed": lambda h: h.commit(docs__a_md="---\ncovers: lib\n---\n2"),
    "moved": lambda h: h.move("docs/a.md", "docs/z.md"),
    "deleted": lambda h: h.commit(docs__a_md=None),
    "deleted and begun anew": lambda h: (h.commit(docs__a_md=None), h.commit(docs__a_md="anew")),
    "only restyled": lambda h: h.commit("style: x", docs__a_md="---\ncovers: lib\n---\nA longer page."),
    "mapped": lambda h: h.commit(map_yaml="docs/b.md: [src/b]"),
    "reset": lambda h: h.repository.git("reset", "--hard", "HEAD^"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=list(STEPS))
def test_a_look_after_a_look_knows_as_much_as_a_first_one(
    handbook: Handbook, new_bench: Callable[[str], Any], step: Callable[[Handbook], object]
) -> None:
    """Whatever happens to pages and history between two runs, the store says what a first run would say."""
    handbook.commit(docs__a_md="---\ncovers: src\n---\nA page.", docs__b_md="b", map_yaml="docs/b.md: [src]")
    handbook.commit(docs__a_md="---\ncovers: src\n---\nA longer page.")
    handbook.commit(docs__b_md="b2")

    settings: dict[str, Any] = {"map": "map.yaml", "ignore_commits": ["style: *"]}
    after = handbook.stored(new_bench("after"), lambda: step(handbook), **settings)
    first = handbook.stored(new_bench("first"), **settings)

    assert [(e.native_id, e.path, e.changed_at, e.covers) for e in after] == [
        (e.native_id, e.path, e.changed_at, e.covers) for e in first
    ]


def test_other_settings_read_everything_again(handbook: Handbook) -> None:
    """Whoever corrects `pages` waits for no commit."""
    handbook.commit(docs__a_md="a", wiki__b_md="b")
    handbook.read()

    assert versions(handbook.read(pages=["wiki/*"])) == {"wiki/b.md": [hour(1)]}


@pytest.mark.parametrize("cursor", ["", "null", '{"head": 1}'])
def test_a_foreign_cursor_reads_everything_again(handbook: Handbook, cursor: str) -> None:
    """A cursor of another form costs a full read, not the run."""
    handbook.commit(docs__a_md="a")
    handbook.cursor = cursor

    assert len(handbook.read()) == 1


# --- what pages cover -----------------------------------------------------------------------------------


def test_a_map_says_what_pages_cover_before_they_do(handbook: Handbook) -> None:
    """The map counts, then a page's own words; what the map names by its path is a page wherever it stands."""
    handbook.commit(
        docs__a_md="---\ncovers: src/a\nteam: a\n---\n",
        README_md="Read me.",
        map_yaml="pages:\n  docs/*: {covers: [lib]}\n  ./README.md: [src]\n  docs/x.md: [y]\n",
    )

    events = {e.path: e for e in handbook.read(map="map.yaml")}

    assert {path: (e.covers, e.team) for path, e in events.items()} == {
        "docs/a.md": (("lib",), "a"),
        "README.md": (("src",), None),
    }
    assert handbook.warnings == ["map.yaml names pages that are not there: docs/x.md"]


def test_code_may_stand_in_another_repository(handbook: Handbook) -> None:
    """Paths without a repository belong to the one of the settings."""
    handbook.commit(docs__a_md="---\ncovers: [src/a, api:openapi]\n---\n")

    (event,) = handbook.read(code_repository="shop")

    assert event.covers == ("shop:src/a", "api:openapi")


def test_front_matter_may_be_left_alone(handbook: Handbook) -> None:
    """With `front_matter: false` only the map speaks."""
    handbook.commit(docs__a_md="---\ncovers: src/a\n---\n")

    assert handbook.read(front_matter=False)[0].covers == ()


def test_a_page_whose_front_matter_is_broken_is_a_page(handbook: Handbook) -> None:
    """A page without usable front matter counts by its versions, and one of them is named."""
    handbook.commit(docs__a_md="---\ncovers: [src\n---\n", docs__b_md="---\n- x\n---\n", docs__c_md="c")

    assert len(handbook.read()) == 3
    assert handbook.warnings == ["the front matter of 2 pages is no YAML, such as of docs/a.md"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pages: [docs/a.md]", "this is no map of pages"),
        ("pages:\n  docs/a.md: 7", r"map.yaml:2: expected the code that the page covers"),
        ("docs/a.md: [7]", r"map.yaml:1: expected the code that the page covers"),
        ("a: b: c", "map.yaml:1: broken YAML"),
        ("", "the file is empty"),
    ],
)
def test_a_map_that_is_none_fails_the_run(handbook: Handbook, text: str, words: str) -> None:
    """A broken map must not look like pages that cover nothing."""
    handbook.commit(docs__a_md="a", map_yaml=text)

    with pytest.raises(ContractError, match=words):
        handbook.read(map="map.yaml")


def test_a_map_that_is_not_there_fails_the_run(handbook: Handbook) -> None:
    """A map that was moved is named."""
    handbook.commit(docs__a_md="a")

    with pytest.raises(ContractError, match=r"the repository has no docs/map\.yaml; restore it, or correct `map`"):
        handbook.read(map="docs/map.yaml")


FRONT_MATTER = [
    ("No front matter.\n---\ncovers: x\n---\n", Told()),
    ("---\n---\nEmpty.", Told()),
    ("\ufeff---\r\nservice: shop\r\n---\r\nWindows.", Told(service="shop")),
    ("---\nowner: group:default/payments\n---\n", Told(team="payments")),
    (f"---\nowner: {PLANTED_LOGIN}\n---\n", Told()),
    (f"---\nowner: user:default/{PLANTED_MAIL}\n---\n", Told()),
    ("---\nreviewed: 2026-01-31\n---\n", Told(reviewed_at=datetime(2026, 1, 31, tzinfo=UTC))),
    ("---\nlast_reviewed: soon\ncovers: 7\nservice: 3\n---\n", Told()),
]


@pytest.mark.parametrize(("text", "told"), FRONT_MATTER)
def test_front_matter(text: str, told: Told) -> None:
    """Known keys are read wherever editors put line breaks; a person who owns a page is not."""
    assert front_matter(text, "docs/a.md") == told


def test_a_path_of_a_map_comes_before_its_rules() -> None:
    """A page that the map names is what it says of it, not what a rule before says of many."""
    assert docs_map("docs/*: [a]\ndocs/b.md: [b]", "map.yaml").of("docs/b.md").covers == ("b",)


# --- where it stands ------------------------------------------------------------------------------------


def test_a_url_is_cloned_without_files_and_read_the_same(handbook: Handbook) -> None:
    """Through a clone that has only the pages' own files come the same events, later ones too."""
    handbook.commit(docs__a_md="---\ncovers: src\n---\n", docs__b_md="b", src__c_md="c")
    url = handbook.repository.path.as_uri()
    here = handbook.read(repository_name="r")
    handbook.cursor = None

    there = handbook.read(repository=url, repository_name="r")
    handbook.commit(docs__b_md="---\ncovers: lib\n---\n")
    later = handbook.read(repository=url, repository_name="r")

    assert there == here
    assert {(e.path, e.covers) for e in later} == {("docs/b.md", ("lib",)), ("docs/b.md", ())}


def test_a_clone_without_trees_is_refused(handbook: Handbook, new_repository: Any) -> None:
    """Without trees no commit says what it touched."""
    handbook.commit(docs__a_md="a")
    handbook.repository = new_repository("bare", "--bare", "--filter=tree:0", clone_of=handbook.repository)

    with pytest.raises(SourceError, match="is a clone without trees"):
        handbook.read()


@pytest.mark.parametrize(
    ("settings", "path", "problem"),
    [
        ({"repository": "gone"}, "repository", "does not exist"),
        ({"repository": "."}, "repository", "no Git repository at"),
        ({"repository": "git@host:a/b.git", "token": "t0ken"}, "token", "only a URL with https:// takes one"),
        ({"repository": "https://host/a", "token": "file:/gone"}, "token", "its file cannot be read"),
    ],
)
def test_settings_that_cannot_work_are_mistakes(
    context: SourceContext, settings: dict[str, str], path: str, problem: str
) -> None:
    """What only a look at this machine shows is told before the first run."""
    (mistake,) = DocsConfig.model_validate({"name": "docs", "type": "docs", **settings}).check(context)

    assert mistake.path == path
    assert problem in mistake.problem
