"""Pushing boards to a Grafana: what is saved, what is left alone, and what is said where it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from grafana_api import EDITOR, VIEWER, FakeGrafana, Reply, running

from collector.errors import AuthError, ContractError, RetryableError, SourceError
from collector.http import ApiClient, Limits
from dashboards.panels import Dashboard
from paceline.grafana import Grafana, Outcome, Wishes, push

LOGIN = "<!DOCTYPE html><html><title>Sign in</title></html>"
Push = Callable[..., list[Outcome]]


def board(name: str, expr: str = "up") -> Dashboard:
    """A board of ours with one panel."""
    panels = [{"id": 1, "title": "Running", "type": "stat", "targets": [{"refId": "A", "expr": expr}]}]
    uid = f"paceline-{name}"
    return Dashboard(uid=uid, document={"uid": uid, "title": name.title(), "tags": ["paceline"], "panels": panels})


ONE, OTHER = board("one"), board("other")
WISHES = {"folder": "Paceline", "folder_uid": "paceline", "message": "pushed"}


@pytest.fixture(scope="module")
def address() -> Iterator[FakeGrafana]:
    """A Grafana that is served for all tests."""
    with running() as fake:
        yield fake


@pytest.fixture
def fake(address: FakeGrafana) -> FakeGrafana:
    """An empty Grafana."""
    url = address.url
    address.__dict__.update(FakeGrafana(url=url).__dict__)
    return address


@pytest.fixture
def waits() -> list[float]:
    """How long was waited between requests."""
    return []


@pytest.fixture
def grafana(fake: FakeGrafana, waits: list[float]) -> Iterator[Callable[[str], Grafana]]:
    """Asks with a token, without waiting."""
    made: list[ApiClient] = []

    def ask(token: str) -> Grafana:
        headers = {"Authorization": f"Bearer {token}"}
        made.append(ApiClient(fake.url, headers=headers, limits=Limits(attempts=3), sleep=waits.append))
        return Grafana(made[-1])

    yield ask
    for client in made:
        client.close()


@pytest.fixture
def pushed(grafana: Callable[[str], Grafana]) -> Push:
    """Pushes boards with a token: what became of them."""

    def do(*boards: Dashboard, token: str = EDITOR, **wishes: Any) -> list[Outcome]:
        return list(push(grafana(token), boards, Wishes(**{**WISHES, **wishes})))

    return do


def done(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    """What became of each, without words."""
    return [(o.name, o.done) for o in outcomes]


# --- what is saved


def test_a_first_push_makes_the_folder_and_the_boards(fake: FakeGrafana, pushed: Push) -> None:
    """An empty Grafana has the folder under its uid and the boards in it afterwards."""
    found = pushed(ONE, OTHER)

    assert done(found) == [
        ("folder Paceline", "created"),
        ("paceline-one", "created"),
        ("paceline-other", "created"),
    ]
    assert fake.folders == {"paceline": "Paceline"}
    assert {uid: b.folder_uid for uid, b in fake.boards.items()} == {u.uid: "paceline" for u in (ONE, OTHER)}


def test_the_message_stands_in_the_history(fake: FakeGrafana, pushed: Push) -> None:
    """Grafana's list of versions says why."""
    pushed(ONE, message="release 1.2")

    assert [v.message for v in fake.boards["paceline-one"].versions] == ["release 1.2"]


def test_a_second_push_changes_nothing(fake: FakeGrafana, pushed: Push) -> None:
    """What is equal is not sent: no version is added, and nothing but questions is asked."""
    pushed(ONE, OTHER)
    before = fake.state()
    fake.asked.clear()

    found = pushed(ONE, OTHER)

    assert done(found) == [("paceline-one", "unchanged"), ("paceline-other", "unchanged")]
    assert (fake.state(), fake.changes) == (before, [])


def test_what_differs_is_saved_as_the_next_version(fake: FakeGrafana, pushed: Push) -> None:
    """One board has changed: it alone is saved, over the version that was looked at."""
    pushed(ONE, OTHER)

    found = pushed(board("one", "down"), OTHER)

    assert found[0] == Outcome(name="paceline-one", done="updated", said="1 difference")
    assert [len(b.versions) for b in fake.boards.values()] == [2, 1]
    assert fake.boards["paceline-one"].document["panels"][0]["targets"][0]["expr"] == "down"


def test_a_board_that_was_moved_comes_back(fake: FakeGrafana, pushed: Push) -> None:
    """A board in another folder differs, and is saved into ours."""
    pushed(ONE)
    fake.folders["elsewhere"] = "Elsewhere"
    fake.boards["paceline-one"].folder_uid = "elsewhere"

    found = pushed(ONE)

    assert done(found) == [("paceline-one", "updated")]
    assert fake.boards["paceline-one"].folder_uid == "paceline"


def test_a_folder_keeps_the_title_that_it_has(fake: FakeGrafana, pushed: Push) -> None:
    """The folder is found by its uid; that somebody renamed it is said, and left."""
    fake.folders["paceline"] = "Platform"

    found = pushed(ONE)

    assert found[0] == Outcome(
        name="folder Platform", done="unchanged", said="it keeps this title; 'Paceline' is wanted"
    )
    assert fake.folders == {"paceline": "Platform"}


def test_a_folder_that_somebody_makes_at_once_is_used(fake: FakeGrafana, pushed: Push) -> None:
    """Two pushes to an empty Grafana: the second finds the folder of the first."""

    def race(method: str, path: str) -> None:
        if (method, path) == ("POST", "/api/folders"):
            fake.folders["paceline"] = "Paceline"

    fake.instead = race

    assert done(pushed(ONE))[1:] == [("paceline-one", "created")]


def test_a_title_that_another_folder_has_is_said(fake: FakeGrafana, pushed: Push) -> None:
    """Where Grafana allows a title once, the way out is the uid of the folder that has it."""
    fake.folders["abc"] = "Paceline"

    with pytest.raises(SourceError, match=r"a folder with the same name already exists \(409\); .* --folder-uid"):
        pushed(ONE)
    assert fake.boards == {}


# --- a dry run


def test_a_dry_run_says_what_would_be_done(fake: FakeGrafana, pushed: Push) -> None:
    """The same words as of a push, for a Grafana where something is missing, different and left over."""
    fake.folders["paceline"] = "Paceline"
    fake.put("paceline-one", board("one", "down").document)
    fake.put("paceline-gone", board("gone").document)

    found = pushed(ONE, OTHER, dry_run=True, prune=True)

    assert done(found) == [
        ("paceline-one", "updated"),
        ("paceline-other", "created"),
        ("paceline-gone", "deleted"),
    ]


def test_a_dry_run_changes_nothing(fake: FakeGrafana, pushed: Push) -> None:
    """Grafana is as it was, and was asked questions alone."""
    fake.folders["paceline"] = "Paceline"
    fake.put("paceline-one", board("one", "down").document)
    fake.put("paceline-gone", board("gone").document)
    before = fake.state()

    pushed(ONE, OTHER, dry_run=True, prune=True, overwrite=True)

    assert (fake.state(), fake.changes) == (before, [])
    assert len(fake.asked) > 3


def test_a_dry_run_of_an_empty_grafana_makes_no_folder(fake: FakeGrafana, pushed: Push) -> None:
    """The folder would be made."""
    assert done(pushed(ONE, dry_run=True)) == [("folder Paceline", "created"), ("paceline-one", "created")]
    assert fake.state() == ({}, {})


# --- conflicts


def test_what_another_one_saves_meanwhile_is_not_lost(fake: FakeGrafana, pushed: Push) -> None:
    """Somebody saves between the look and the push: nothing is saved over it, the others go on."""
    pushed(ONE, OTHER)
    fake.before_save = lambda: fake.put("paceline-one", board("one", "theirs").document)

    found = pushed(board("one", "ours"), OTHER)

    assert done(found) == [("paceline-one", "failed"), ("paceline-other", "unchanged")]
    assert "somebody else saved it in Grafana meanwhile (412)" in found[0].said
    assert fake.boards["paceline-one"].document["panels"][0]["targets"][0]["expr"] == "theirs"


def test_overwriting_saves_over_it(fake: FakeGrafana, pushed: Push) -> None:
    """With the wish to overwrite ours is the newest version, and theirs stays in the history."""
    pushed(ONE)
    fake.before_save = lambda: fake.put("paceline-one", board("one", "theirs").document)

    found = pushed(board("one", "ours"), overwrite=True)

    exprs = [v.document["panels"][0]["targets"][0]["expr"] for v in fake.boards["paceline-one"].versions]
    assert (found[0].done, exprs) == ("updated", ["up", "theirs", "ours"])


def test_a_board_that_appears_meanwhile_is_a_conflict(fake: FakeGrafana, pushed: Push) -> None:
    """A uid that was free is taken: what stands there is somebody's."""
    fake.before_save = lambda: fake.put("paceline-one", board("one", "theirs").document)

    assert done(pushed(ONE))[1:] == [("paceline-one", "failed")]


def test_a_conflict_with_the_same_board_is_none(fake: FakeGrafana, pushed: Push) -> None:
    """Another push of the same came first, or an answer was lost: the board is there."""
    fake.before_save = lambda: fake.put("paceline-one", ONE.document)

    assert done(pushed(ONE))[1:] == [("paceline-one", "created")]
    assert len(fake.boards["paceline-one"].versions) == 1


def test_a_conflict_may_be_a_409(fake: FakeGrafana, pushed: Push) -> None:
    """Newer versions of Grafana say it with another status."""
    fake.instead = lambda method, path: (
        Reply(409, {"message": "the object has been modified"})
        if (method, path) == ("POST", "/api/dashboards/db")
        else None
    )

    assert "meanwhile (409)" in pushed(ONE)[1].said


def test_a_title_that_is_taken_is_said(fake: FakeGrafana, pushed: Push) -> None:
    """Old versions of Grafana keep one board of a title in a folder."""
    fake.unique_titles = True
    fake.folders["paceline"] = "Paceline"
    fake.put("abc", ONE.document)

    assert pushed(ONE)[0].said == "Grafana has another board of its title or uid; rename or delete that one (412)"


def test_a_board_of_a_plugin_is_left_alone(fake: FakeGrafana, pushed: Push) -> None:
    """It is the plugin's, unless it is overwritten."""
    fake.folders["paceline"] = "Paceline"
    fake.put("paceline-one", board("one", "down").document, plugin="acme-app")

    assert "it belongs to a plugin of Grafana's" in pushed(ONE)[0].said
    assert done(pushed(ONE, overwrite=True)) == [("paceline-one", "updated")]


def test_a_provisioned_board_is_not_tried(fake: FakeGrafana, pushed: Push) -> None:
    """Grafana reads it from a file and would refuse: that is said, and nothing is sent."""
    fake.folders["paceline"] = "Paceline"
    fake.put("paceline-one", board("one", "down").document, provisioned=True)

    (found,) = pushed(ONE)

    assert (found.done, "(it is provisioned)" in found.said, fake.changes) == ("failed", True, [])


def test_a_provisioned_board_that_is_equal_is_fine(fake: FakeGrafana, pushed: Push) -> None:
    """The file says the same."""
    fake.folders["paceline"] = "Paceline"
    fake.put("paceline-one", ONE.document, provisioned=True)

    assert done(pushed(ONE)) == [("paceline-one", "unchanged")]


def test_a_board_that_grafana_does_not_take_stops_no_other(fake: FakeGrafana, pushed: Push) -> None:
    """Its words are said with the status, and the next board is saved."""
    untitled = Dashboard(uid="paceline-none", document=ONE.document | {"title": ""})

    found = pushed(untitled, OTHER)[1:]

    assert done(found) == [("paceline-none", "failed"), ("paceline-other", "created")]
    assert found[0].said == "Grafana would not save it: Dashboard title cannot be empty (400)"


def test_words_of_a_server_stay_on_a_line(fake: FakeGrafana, pushed: Push) -> None:
    """A refusal may hold anything: it moves no cursor, and is cut."""
    fake.instead = lambda _method, path: (
        Reply(400, {"message": "\x1b[2Jno\n" + "x" * 900}) if path == "/api/dashboards/db" else None
    )

    said = pushed(ONE)[1].said

    assert (said.isprintable(), len(said) < 400, " [2Jno xxx" in said) == (True, True, True)


# --- tokens


def test_an_unknown_token_is_refused(fake: FakeGrafana, pushed: Push) -> None:
    """Nothing can be done, and the variable is named instead of its value."""
    with pytest.raises(AuthError, match=r"does not accept the token in PACELINE_GRAFANA_TOKEN \(401\)") as raised:
        pushed(ONE, token="glsa_old")  # noqa: S106 - a token of nobody

    assert "glsa_old" not in str(raised.value)
    assert fake.state() == ({}, {})


def test_a_viewer_may_not_make_the_folder(fake: FakeGrafana, pushed: Push) -> None:
    """Which permission it lacks is said."""
    with pytest.raises(AuthError, match=r"may not make folders \(403\); expected the permission folders:create"):
        pushed(ONE, token=VIEWER)
    assert fake.state() == ({}, {})


def test_a_viewer_may_not_save(fake: FakeGrafana, pushed: Push) -> None:
    """Each board fails for itself: a token may be allowed some of them."""
    fake.folders["paceline"] = "Paceline"

    found = pushed(ONE, OTHER, token=VIEWER)

    assert done(found) == [("paceline-one", "failed"), ("paceline-other", "failed")]
    assert "may not save boards here (403)" in found[0].said


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(403, {"message": "Quota reached"}), 'Grafana says "Quota reached": the token in'),
        (Reply(403, "<html>Blocked</html>"), "a web page came instead of JSON"),
        (Reply(413, "<html>413 Request Entity Too Large</html>"), "raise the limit of the proxy before Grafana"),
        (Reply(422, {"message": "spec is invalid"}), "Grafana would not save it: spec is invalid (422)"),
    ],
)
def test_why_a_board_was_not_saved_is_said_in_the_words_of_the_server(
    reply: Reply, said: str, fake: FakeGrafana, pushed: Push
) -> None:
    """A 403 is mostly a permission, and may be a quota or a proxy; a body may be too large for what stands before."""
    fake.folders["paceline"] = "Paceline"
    fake.instead = lambda method, _path: reply if method == "POST" else None

    found = pushed(ONE)

    assert done(found) == [("paceline-one", "failed")]
    assert said in found[0].said


def test_a_board_in_a_newer_form_is_left_and_said(fake: FakeGrafana, pushed: Push) -> None:
    """Grafana does not give what it saved in the second form of its documents: it is not taken for missing."""
    fake.put("paceline-one", {"title": "One"})
    fake.folders["paceline"] = "Paceline"
    newer = Reply(406, {"message": "dashboard api version not supported, use /apis/dashboard.grafana.app/v2 instead"})
    fake.instead = lambda _method, path: newer if path.endswith("/paceline-one") else None

    found = pushed(ONE, OTHER)

    assert done(found) == [("paceline-one", "failed"), ("paceline-other", "created")]
    assert "it was saved in a newer form of Grafana's: delete it there, and push again" in found[0].said


def test_a_viewer_may_not_prune(fake: FakeGrafana, pushed: Push) -> None:
    """What is left over stays, and that is a failure."""
    fake.folders["paceline"] = "Paceline"
    fake.put("paceline-gone", board("gone").document)

    found = pushed(token=VIEWER, prune=True)

    assert done(found) == [("paceline-gone", "failed")]
    assert "dashboards:delete" in found[0].said


# --- servers in trouble


def once(reply: Reply, where: tuple[str, str]) -> Callable[[str, str], Reply | None]:
    """Answers a request in Grafana's place the first time."""
    left = [reply]
    return lambda method, path: left.pop() if (method, path) == where and left else None


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_may_pass_is_tried_again(status: int, fake: FakeGrafana, pushed: Push, waits: list[float]) -> None:
    """A busy or restarting server is waited for, also for what is saved."""
    fake.instead = once(Reply(status, {"message": "later"}), ("POST", "/api/dashboards/db"))

    assert done(pushed(ONE))[1:] == [("paceline-one", "created")]
    assert len(waits) == 1


def test_a_wish_to_be_left_alone_is_kept(fake: FakeGrafana, pushed: Push, waits: list[float]) -> None:
    """As long as the server says."""
    reply = Reply(429, {"message": "later"}, {"Retry-After": "7"})
    fake.instead = once(reply, ("GET", "/api/dashboards/uid/paceline-one"))

    pushed(ONE)

    assert waits == [7.0]


def test_a_save_whose_answer_was_lost_is_no_conflict(fake: FakeGrafana, pushed: Push) -> None:
    """It was saved, the answer was an error, and the repetition meets its own version."""

    def lose(method: str, path: str) -> Reply | None:
        if (method, path) == ("POST", "/api/dashboards/db") and not fake.boards:
            fake.put("paceline-one", ONE.document)
            return Reply(504, {"message": "gateway"})
        return None

    fake.instead = lose

    assert done(pushed(ONE))[1:] == [("paceline-one", "created")]
    assert len(fake.boards["paceline-one"].versions) == 1


def test_a_server_that_stays_down_is_said(fake: FakeGrafana, pushed: Push) -> None:
    """The first question is repeated, then that is all."""
    fake.instead = lambda _method, _path: Reply(503, {"message": "down"})

    with pytest.raises(RetryableError, match="answered 503; the server failed"):
        pushed(ONE)
    assert len(fake.asked) == 3


def test_a_server_that_goes_down_fails_what_is_left(fake: FakeGrafana, pushed: Push) -> None:
    """What was saved is said, and so is what was not."""
    fake.instead = lambda _method, path: Reply(503, {"message": "down"}) if path.endswith("/paceline-other") else None

    assert done(pushed(ONE, OTHER))[1:] == [("paceline-one", "created"), ("paceline-other", "failed")]


@pytest.mark.parametrize("status", [200, 404])
def test_a_login_page_is_no_grafana(status: int, fake: FakeGrafana, pushed: Push) -> None:
    """A page, found or not, says nothing about folders: none is made."""
    fake.instead = lambda _method, _path: Reply(status, LOGIN)

    with pytest.raises(ContractError, match="a web page came instead of JSON; a login or a proxy"):
        pushed(ONE)
    assert fake.changes == []


def test_another_server_is_not_followed(fake: FakeGrafana, pushed: Push) -> None:
    """A redirect to where people log in would hand the token over."""
    fake.instead = lambda _method, _path: Reply(302, LOGIN, {"Location": "https://login.example.com/"})

    with pytest.raises(ContractError, match="redirected to another server, which is not followed"):
        pushed(ONE)


def test_a_login_page_on_the_same_server_is_no_grafana(fake: FakeGrafana, pushed: Push) -> None:
    """A redirect to the own login is followed, and found to be a page."""
    fake.instead = lambda _method, path: (
        Reply(200, LOGIN) if path == "/login" else Reply(302, LOGIN, {"Location": "/login"})
    )

    with pytest.raises(ContractError, match="a web page came instead of JSON"):
        pushed(ONE)


@pytest.mark.parametrize(
    "body", [{"dashboard": {"title": "x"}, "meta": {}}, {"dashboard": 1, "meta": {}}, {"dashboard": {}}, []]
)
def test_an_answer_of_another_shape_fails_the_board(body: Any, fake: FakeGrafana, pushed: Push) -> None:
    """Nothing is guessed: what is not as documented is not compared and not overwritten."""
    fake.folders["paceline"] = "Paceline"
    fake.instead = lambda _method, path: Reply(200, body) if path.endswith("/paceline-one") else None

    assert done(pushed(ONE)) == [("paceline-one", "failed")]
    assert fake.changes == []


# --- what is left over


def test_a_board_that_is_made_no_more_is_named(fake: FakeGrafana, pushed: Push) -> None:
    """It stays unless its deletion is asked for."""
    pushed(ONE, OTHER)

    found = pushed(ONE)

    assert done(found) == [("paceline-one", "unchanged"), ("paceline-other", "stray")]
    assert "paceline-other" in fake.boards


def test_pruning_deletes_what_is_made_no_more(fake: FakeGrafana, pushed: Push) -> None:
    """Asked for, it is deleted."""
    pushed(ONE, OTHER)

    assert done(pushed(ONE, prune=True))[1:] == [("paceline-other", "deleted")]
    assert list(fake.boards) == ["paceline-one"]


def test_pruning_leaves_what_is_not_ours(fake: FakeGrafana, pushed: Push) -> None:
    """Boards of other names, without our tag, or in another folder are somebody else's."""
    fake.folders |= {"paceline": "Paceline", "other": "Other"}
    fake.put("theirs", {"title": "Theirs", "tags": ["paceline"]})
    fake.put("paceline-theirs", {"title": "Theirs too", "tags": ["mine"]})
    fake.put("paceline-moved", {"title": "Moved", "tags": ["paceline"]}, folder_uid="other")
    before = fake.state()

    assert pushed(prune=True) == []
    assert (fake.state(), fake.changes) == (before, [])


def test_pruning_reads_every_page(fake: FakeGrafana, pushed: Push) -> None:
    """A folder with more boards than an answer holds is searched to its end."""
    fake.folders["paceline"] = "Paceline"
    for number in range(1000):
        fake.put(f"a-{number}", {"title": "Theirs"})
    fake.put("paceline-gone", board("gone").document)

    assert done(pushed(prune=True)) == [("paceline-gone", "deleted")]


def test_a_search_without_pages_ends(fake: FakeGrafana, grafana: Callable[[str], Grafana]) -> None:
    """A server that answers every page with the same is asked twice."""
    hits = [{"uid": f"a-{number}", "title": "A"} for number in range(1000)]
    fake.instead = lambda _method, _path: Reply(200, hits)

    assert len(grafana(EDITOR).boards_in("paceline")) == 1000
    assert len(fake.asked) == 2


def test_a_provisioned_board_is_not_pruned(fake: FakeGrafana, pushed: Push) -> None:
    """Grafana keeps what a file says, and its words are said."""
    fake.folders["paceline"] = "Paceline"
    fake.put("paceline-gone", board("gone").document, provisioned=True)

    (found,) = pushed(prune=True)

    assert (found.done, "provisioned dashboard cannot be deleted (400)" in found.said) == ("failed", True)


def test_what_is_gone_already_is_deleted(fake: FakeGrafana, pushed: Push) -> None:
    """Somebody was faster."""
    fake.folders["paceline"] = "Paceline"
    fake.put("paceline-gone", board("gone").document)
    fake.instead = lambda method, _path: Reply(404, {"message": "Dashboard not found"}) if method == "DELETE" else None

    assert done(pushed(prune=True)) == [("paceline-gone", "deleted")]


def test_a_folder_that_cannot_be_searched_is_a_failure(fake: FakeGrafana, pushed: Push) -> None:
    """What was pushed before is said all the same."""
    fake.folders["paceline"] = "Paceline"
    fake.instead = lambda _method, path: Reply(403, {"message": "no"}) if path == "/api/search" else None

    found = pushed(ONE)

    assert done(found) == [("paceline-one", "created"), ("folder Paceline", "failed")]
    assert "may not search (403)" in found[1].said
