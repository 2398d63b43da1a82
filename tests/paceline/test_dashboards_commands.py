"""`paceline dashboards`: files and ConfigMaps, and a Grafana that is pushed to and compared with."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grafana_api import EDITOR, VIEWER, FakeGrafana, Reply, running

from dashboards.build import boards_of
from dashboards.panels import Dashboard
from slo_engine.indicator import indicators

Run = Callable[..., tuple[object, str, str]]


@pytest.fixture(scope="module")
def address() -> Iterator[FakeGrafana]:
    """A Grafana that is served for all tests."""
    with running() as fake:
        yield fake


@pytest.fixture
def fake(address: FakeGrafana, monkeypatch: pytest.MonkeyPatch) -> FakeGrafana:
    """An empty Grafana, and the token of an editor in the environment."""
    monkeypatch.setenv("PACELINE_GRAFANA_TOKEN", f"{EDITOR}\n")
    url = address.url
    address.__dict__.update(FakeGrafana(url=url).__dict__)
    return address


@pytest.fixture(scope="module")
def boards() -> tuple[Dashboard, ...]:
    """Every board, as it is made without an address and a notice."""
    return boards_of(indicators().values())


@pytest.fixture
def full(fake: FakeGrafana, boards: tuple[Dashboard, ...]) -> FakeGrafana:
    """A Grafana that has every board."""
    fake.folders["paceline"] = "Paceline"
    for board in boards:
        fake.put(board.uid, board.document)
    return fake


def edit(fake: FakeGrafana, uid: str, title: str) -> None:
    """Somebody gives a board another title in Grafana."""
    fake.put(uid, fake.boards[uid].document | {"title": title})


# --- build and check


def test_what_was_built_checks_clean(run: Run, tmp_path: Path) -> None:
    """What was written passes the check, what was changed fails it and is said."""
    folder = str(tmp_path / "grafana")
    written = run("dashboards", "build", "--out", folder)[1].split()

    assert run("dashboards", "check", "--out", folder) == (0, "", "")
    Path(written[0]).write_text("{}", encoding="utf-8")
    code, out, err = run("dashboards", "check", "--out", folder)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"{Path(written[0]).name}:1: '{{}}' stands where '{{' belongs")


def test_boards_lead_to_the_address_that_is_given(run: Run, tmp_path: Path) -> None:
    """With the service's address panels link to explanations; without it they do not."""
    texts = []
    for options in ([], ["--base-url", "https://paceline.example.com/"]):
        run("dashboards", "build", "--out", str(tmp_path), *options)
        texts.append((tmp_path / "paceline-delivery.json").read_text(encoding="utf-8"))

    assert [text.count("https://paceline.example.com/explain/") > 0 for text in texts] == [False, True]


def test_config_maps_are_written(run: Run, tmp_path: Path) -> None:
    """In the namespace and folder that are asked for, with a label more."""
    options = ["--format", "configmap", "--namespace", "mon", "--label", "team=platform", "--folder", "SLOs"]

    code, out, _ = run("dashboards", "build", "--out", str(tmp_path), *options)

    text = (tmp_path / "configmaps.yaml").read_text(encoding="utf-8")
    assert (code, out) == (0, f"{tmp_path}/configmaps.yaml\n")
    for line in ('  namespace: "mon"', '    "team": "platform"', '    grafana_folder: "SLOs"'):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--label", "a=b"], "--label and --namespace are for --format configmap"),
        (["--namespace", "a"], "--label and --namespace are for --format configmap"),
        (["--format", "configmap", "--prometheus-url", "http://p:9090"], "--prometheus-url is for --format files"),
        (["--prometheus-url", "p:9090"], "--prometheus-url: 'p:9090' is no address"),
        (["--base-url", "p"], "--base-url: 'p' is no address"),
        (["--format", "configmap", "--label", "a"], "--label: 'a' is no label; expected KEY=VALUE"),
        (["--format", "configmap", "--label", "a=b c"], "'b c' is no value of a label"),
        (["--format", "configmap", "--namespace", "A"], "'A' is no namespace"),
    ],
)
@pytest.mark.parametrize("command", ["build", "check"])
def test_options_that_do_not_fit_are_refused(
    command: str, options: list[str], said: str, run: Run, tmp_path: Path
) -> None:
    """Nothing is written, and a person is told what to write."""
    code, _, err = run("dashboards", command, "--out", str(tmp_path / "new"), *options)

    assert (code, said in err) == (2, True)
    assert not (tmp_path / "new").exists()


# --- push


def test_pushing_says_what_became_of_each_board(fake: FakeGrafana, run: Run) -> None:
    """A line each, the folder first."""
    code, out, err = run("dashboards", "push", "--url", f"{fake.url}/")

    lines = out.splitlines()
    assert (code, err, lines[0]) == (0, "", "folder Paceline: created")
    assert lines[1:] == [f"{uid}: created" for uid in fake.boards]
    assert len(fake.boards) > 3


def test_a_second_push_makes_no_version(full: FakeGrafana, run: Run) -> None:
    """Everything real is equal to itself: Grafana is asked questions alone."""
    before = full.state()

    code, out, _ = run("dashboards", "push", "--url", full.url)

    assert (code, {line.partition(": ")[2] for line in out.splitlines()}) == (0, {"unchanged"})
    assert (full.state(), full.changes) == (before, [])


def test_a_push_for_programs(full: FakeGrafana, run: Run) -> None:
    """As JSON, in a dry run that changes nothing."""
    edit(full, "paceline-delivery", "Mine")

    code, out, _ = run("dashboards", "push", "--url", full.url, "--dry-run", "--output", "json")

    found = json.loads(out)
    assert (code, found["dry_run"], full.changes) == (0, True, [])
    assert [o for o in found["outcomes"] if o["done"] != "unchanged"] == [
        {"name": "paceline-delivery", "done": "updated", "said": "1 difference"}
    ]


def test_a_dry_run_is_told_as_one(fake: FakeGrafana, run: Run) -> None:
    """Nobody takes it for done."""
    out = run("dashboards", "push", "--url", fake.url, "--dry-run")[1]

    assert {line.partition(": ")[2] for line in out.splitlines()} == {"would be created"}
    assert fake.state() == ({}, {})


def test_a_board_that_fails_is_exit_code_1(full: FakeGrafana, run: Run) -> None:
    """The others are pushed."""
    edit(full, "paceline-delivery", "Mine")
    full.boards["paceline-delivery"].provisioned = True
    del full.boards["paceline-support"]

    code, out, _ = run("dashboards", "push", "--url", full.url)

    lines = [line for line in out.splitlines() if not line.endswith(": unchanged")]
    assert (code, lines[1]) == (1, "paceline-support: created")
    assert lines[0].startswith("paceline-delivery: failed (Grafana reads it from a file")


def test_another_folder_may_be_chosen(fake: FakeGrafana, run: Run) -> None:
    """By title and uid; a message goes into the history."""
    options = ["--folder", "Platform SLOs", "--folder-uid", "slos", "--message", "release 7"]

    assert run("dashboards", "push", "--url", fake.url, *options)[0] == 0

    assert fake.folders == {"slos": "Platform SLOs"}
    assert {(b.folder_uid, b.versions[0].message) for b in fake.boards.values()} == {("slos", "release 7")}


def test_what_somebody_saves_meanwhile_is_kept_unless_overwritten(full: FakeGrafana, run: Run) -> None:
    """Exit code 1 and a way out; with the option it is saved over."""
    edit(full, "paceline-delivery", "Mine")
    full.before_save = lambda: edit(full, "paceline-delivery", "Mine, again")

    refused, out, _ = run("dashboards", "push", "--url", full.url)
    kept = full.boards["paceline-delivery"].document["title"]
    done = run("dashboards", "push", "--url", full.url, "--overwrite")[0]

    assert (refused, kept, done) == (1, "Mine, again", 0)
    assert "push with --overwrite" in out
    assert full.boards["paceline-delivery"].document["title"] != kept


def test_a_board_that_is_made_no_more_is_deleted_only_if_asked(full: FakeGrafana, run: Run) -> None:
    """First it is named, then it is deleted."""
    full.put("paceline-promises", {"title": "Old", "tags": ["paceline"]})

    first = run("dashboards", "push", "--url", full.url)
    second = run("dashboards", "push", "--url", full.url, "--prune")

    assert (first[0], first[1].splitlines()[-1]) == (
        0,
        "paceline-promises: stray (no such board is made any more; --prune deletes it)",
    )
    assert (second[0], second[1].splitlines()[-1]) == (0, "paceline-promises: deleted")


@pytest.mark.parametrize("command", ["push", "diff"])
@pytest.mark.parametrize("token", ["", " \n"])
def test_without_a_token_nothing_is_asked(
    command: str, token: str, fake: FakeGrafana, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person must set it; it is no option, for those are seen by everybody on the machine."""
    monkeypatch.setenv("PACELINE_GRAFANA_TOKEN", token)

    code, out, err = run("dashboards", command, "--url", fake.url)

    assert (code, out) == (2, "")
    assert err == "PACELINE_GRAFANA_TOKEN is not set; expected the token of a Grafana service account\n"
    assert fake.asked == []


@pytest.mark.parametrize("token", ["glsa_1\nglsa_2", "glsa_\u2026"])
def test_what_is_no_token_is_neither_sent_nor_repeated(
    token: str, fake: FakeGrafana, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was cut, or copied with what a page showed instead: no header can hold it."""
    monkeypatch.setenv("PACELINE_GRAFANA_TOKEN", token)

    code, _, err = run("dashboards", "push", "--url", fake.url)

    assert (code, "glsa" in err, fake.asked) == (2, False, [])
    assert err.startswith("PACELINE_GRAFANA_TOKEN has characters that no token has")


@pytest.mark.parametrize("url", ["https://admin:hunter2@grafana.example.com", "http://hunter2@[::1]"])
def test_a_password_in_the_address_is_refused_and_not_repeated(url: str, fake: FakeGrafana, run: Run) -> None:
    """The token has its place."""
    code, out, err = run("dashboards", "push", "--url", url)

    assert (code, "an address with a user in it" in err, "hunter2" in out + err) == (2, True, False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--url", "grafana"], "--url: 'grafana' is no address"),
        (["--url", "http://[::1"], "--url: 'http://[::1' is no address"),
        (["--url", "http://g", "--folder-uid", "a b"], "--folder-uid: 'a b' is none"),
        (["--url", "http://g", "--folder-uid", "a" * 41], "expected up to 40 letters"),
        (["--url", "http://g", "--folder", " "], "--folder: it is empty; expected a title"),
        (["--url", "http://g", "--message", "a" * 501], "--message: 501 characters; expected at most 500"),
    ],
)
def test_what_grafana_would_refuse_is_refused(options: list[str], said: str, fake: FakeGrafana, run: Run) -> None:
    """Before anything is asked."""
    code, _, err = run("dashboards", "push", *options)

    assert (code, said in err) == (2, True)


@pytest.mark.parametrize("command", ["push", "diff"])
@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(401, {"message": "Invalid API key"}), "does not accept the token"),
        (Reply(403, {"message": "no"}), "may not see folders (403)"),
        (Reply(200, "<html>Sign in</html>"), "a web page came instead of JSON"),
        (Reply(302, "", {"Location": "https://login.example.com/"}), "redirected to another server"),
    ],
)
def test_a_grafana_that_cannot_be_asked_is_exit_code_1(
    command: str, reply: Reply, said: str, fake: FakeGrafana, run: Run
) -> None:
    """One clear sentence."""
    fake.instead = lambda _method, _path: reply

    code, out, err = run("dashboards", command, "--url", fake.url)

    assert (code, out, said in err, err.count("\n")) == (1, "", True, 1)


@pytest.mark.parametrize("arguments", [["push"], ["diff", "--full", "--output", "json"]], ids=["push", "diff"])
@pytest.mark.parametrize("token", [EDITOR, VIEWER, "glsa_unknown_s3cr3t", "glsa_ü_s3cr3t", "glsa_\n_s3cr3t"])
def test_the_token_is_never_said(
    arguments: list[str],
    token: str,
    full: FakeGrafana,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in what is printed, nor in a log, whether it is right, wrong or broken."""
    edit(full, "paceline-delivery", "Mine")
    monkeypatch.setenv("PACELINE_GRAFANA_TOKEN", token)
    caplog.set_level(logging.DEBUG)

    _, out, err = run("dashboards", *arguments, "--url", full.url)

    assert out + err
    assert "s3cr3t" not in out + err + caplog.text


# --- diff


def test_nothing_is_said_to_differ_after_a_push(full: FakeGrafana, run: Run) -> None:
    """Each board is equal, and programs are told so by the exit code."""
    code, out, _ = run("dashboards", "diff", "--url", full.url, "--exit-code")

    assert (code, out.splitlines()) == (0, [f"{uid}: equal" for uid in full.boards])
    assert full.changes == []


def test_an_empty_grafana_lacks_everything(fake: FakeGrafana, run: Run) -> None:
    """The folder and each board are missing; exit code 0 unless it is asked for."""
    code, out, _ = run("dashboards", "diff", "--url", fake.url)

    assert (code, out.splitlines()[0]) == (0, "folder Paceline: missing")
    assert {line.partition(": ")[2] for line in out.splitlines()} == {"missing"}
    assert run("dashboards", "diff", "--url", fake.url, "--exit-code")[0] == 2


def test_what_differs_is_said_with_its_places(full: FakeGrafana, run: Run) -> None:
    """The first of them; the rest are counted. Boards that are left over are named."""
    document = full.boards["paceline-delivery"].document
    full.put("paceline-delivery", document | {"title": "Mine", "panels": []})
    full.put("paceline-promises", {"title": "Old", "tags": ["paceline"]})

    code, out, _ = run("dashboards", "diff", "--url", full.url, "--exit-code")

    lines = [line for line in out.splitlines() if not line.endswith(": equal")]
    assert (code, lines[0], lines[-1]) == (
        2,
        "paceline-delivery: different",
        "paceline-promises: no such board is made any more",
    )
    assert lines[1:3] == ["  panels: missing in Grafana", f'  title: "Mine" stands where "{document["title"]}" belongs']


def test_many_differences_are_counted(full: FakeGrafana, run: Run) -> None:
    """Five are shown."""
    document = full.boards["paceline-delivery"].document
    full.put("paceline-delivery", document | {f"theirs{n}": n for n in range(7)})

    lines = run("dashboards", "diff", "--url", full.url)[1].splitlines()

    assert [line.strip() for line in lines if line.startswith("  ")] == [
        *(f"theirs{n}: only in Grafana" for n in range(5)),
        "and 2 more; --full shows them",
    ]


def test_the_full_difference_is_a_diff(full: FakeGrafana, run: Run) -> None:
    """From what Grafana has to what would be pushed."""
    edit(full, "paceline-delivery", "Mine")

    lines = run("dashboards", "diff", "--url", full.url, "--full")[1].splitlines()

    assert '-  "title": "Mine"' in lines
    assert "+++ paceline/paceline-delivery.json" in lines


def test_a_difference_for_programs(full: FakeGrafana, run: Run) -> None:
    """The folder, each board with its state and differences, and what is left over."""
    edit(full, "paceline-delivery", "Mine")
    full.boards["paceline-delivery"].provisioned = True
    full.put("paceline-promises", {"title": "Old", "tags": ["paceline"]})

    found = json.loads(run("dashboards", "diff", "--url", full.url, "--output", "json")[1])

    assert found["folder"] == {"uid": "paceline", "title": "Paceline"}
    (different,) = [b for b in found["boards"] if b["state"] != "equal"]
    assert (different["uid"], different["provisioned"], len(different["differences"])) == ("paceline-delivery", True, 1)
    assert [one["uid"] for one in found["stray"]] == ["paceline-promises"]


def test_a_board_that_cannot_be_read_is_exit_code_1(full: FakeGrafana, run: Run) -> None:
    """It is not known whether it differs; the others are compared."""
    refused = Reply(403, {"message": "no"})
    full.instead = lambda _method, path: refused if path.endswith("/paceline-delivery") else None

    code, out, _ = run("dashboards", "diff", "--url", full.url, "--exit-code")

    lines = [line for line in out.splitlines() if not line.endswith(": equal")]
    assert (code, lines[0], len(lines)) == (1, "paceline-delivery: unknown", 2)
    assert "may not see boards (403)" in lines[1]
