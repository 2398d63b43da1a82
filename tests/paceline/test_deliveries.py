"""The weekly summary goes out: what each place is sent, what is tried again, and that nothing is sent twice."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.smtp import AuthResult
from block_kit import refused
from fastapi.testclient import TestClient
from pydantic import Field, ValidationError
from receivers import PASSWORD, USER, Certificate, Hook, MailBox, certificate, dripping, hook, mail_box, with_login
from weeks import HOSTILE, Small, organisation, whole

from collector.errors import PacelineError, RetryableError, SourceError, StoreError
from collector.store import Database, DeliveryLog, DeliveryRecord, DeliveryState, to_micros
from paceline.deliveries import LEASE, Deliveries
from paceline.delivery_places import (
    Delivery,
    EmailDelivery,
    FileDelivery,
    GitDelivery,
    Parcel,
    SlackDelivery,
    WebhookDelivery,
)
from paceline.service import Service
from paceline.settings import ReportSettings
from paceline.web import create_app
from slo_engine.weekly import Audience, Week, WeeklySummary, rendered

NOW = datetime(2026, 3, 9, 7, 0, tzinfo=UTC)
BASE = "https://paceline.example.com"
FILE = "weekly-2026-W10.md"
Repository = Any
"""As tests/conftest.py makes it."""
Run = Callable[..., tuple[object, str, str]]


# --- what is sent ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, to be copied: migrating takes longer than most tests here."""
    folder = tmp_path_factory.mktemp("migrated")
    Database.open(folder).close()
    return folder / "paceline.db"


@pytest.fixture(scope="module")
def summary(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> WeeklySummary:
    """Everything about the week of a small organisation, with hostile texts in it."""
    folder = tmp_path_factory.mktemp("summary")
    shutil.copy(migrated, folder / "paceline.db")
    database = Database.open(folder)
    found = whole(organisation(Small(database)))
    database.close()
    return found


@pytest.fixture
def parcel(summary: WeeklySummary) -> Parcel:
    """The summary on its way."""
    return Parcel(name="leaders", edition=1, summary=summary, base_url="", at=NOW)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of the mail servers."""
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def box() -> Iterator[MailBox]:
    """A mail server without protection."""
    with mail_box() as found:
        yield found


@pytest.fixture
def receiver() -> Iterator[Hook]:
    """A receiver of webhooks."""
    with hook() as found:
        yield found


def test_mail_says_the_same_twice(box: MailBox, parcel: Parcel) -> None:
    """Text and HTML are those of the summary; subject and date are those of the week and the sending."""
    EmailDelivery(**box.settings()).send(parcel)

    (got,) = box.received
    assert got.part("plain") == rendered(parcel.summary, "text")
    assert got.part("html") == rendered(parcel.summary, "html")
    assert got.mail["Subject"] == "Platform summary, week 2026-W10"
    assert (got.mail["Date"], got.mail["Auto-Submitted"]) == ("Mon, 09 Mar 2026 07:00:00 +0000", "auto-generated")


def test_mail_goes_to_whom_it_names(box: MailBox, parcel: Parcel) -> None:
    """The envelope has the addresses of the header, all of them, and nobody gets it blindly."""
    EmailDelivery(**box.settings()).send(parcel)

    (got,) = box.received
    assert got.sender == "paceline@example.com"
    assert got.to == [a.addr_spec for a in got.mail["To"].addresses] == ["leaders@example.com", "second@example.com"]
    assert [name for name in got.mail if name.lower() in {"bcc", "cc"}] == []


def test_a_repeated_mail_has_the_same_id(box: MailBox, parcel: Parcel) -> None:
    """So whoever gets it twice can tell; another edition, week or delivery is another mail."""
    mail = EmailDelivery(**box.settings())
    another_week = replace(parcel.summary, week="2026-W11")
    for one in (
        *(parcel, replace(parcel, at=NOW + timedelta(days=1))),
        *(replace(parcel, edition=2), replace(parcel, name="other"), replace(parcel, summary=another_week)),
    ):
        mail.send(one)

    ids = [got.mail["Message-ID"] for got in box.received]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert ids[0].endswith("@example.com>")


def test_no_text_makes_a_header(box: MailBox, parcel: Parcel) -> None:
    """Titles that try stay in the body; what reaches the subject is one line."""
    hostile = replace(parcel.summary, team="/shop\r\nBcc: eve@evil.example")
    EmailDelivery(**box.settings()).send(replace(parcel, summary=hostile))

    (got,) = box.received
    assert got.mail["Subject"] == "Platform summary, week 2026-W10, /shop  Bcc: eve@evil.example"
    assert got.mail["Bcc"] is None
    assert "eve@evil.example" not in got.to
    assert HOSTILE[:20] not in str(got.mail.items())


def test_mail_leads_to_the_page(box: MailBox, parcel: Parcel) -> None:
    """Where the address of the pages is told, both parts end with that of the week's."""
    EmailDelivery(**box.settings()).send(replace(parcel, base_url=BASE))

    (got,) = box.received
    page = f"{BASE}/weekly/2026-W10?audience=sre"
    assert got.part("plain").endswith(f":\n{page}\n")
    assert f'<a href="{page}"' in got.part("html")


def test_mail_is_protected_by_starttls(trusted: Certificate, parcel: Parcel) -> None:
    """With a login, against the certificates that were named."""
    with mail_box(**with_login(tls_context=trusted.context(), require_starttls=True)) as box:
        login = {"security": "starttls", "ca_file": trusted.file, "username": USER, "password": PASSWORD}
        EmailDelivery(**box.settings(**login)).send(parcel)

    assert [got.to for got in box.received] == [["leaders@example.com", "second@example.com"]]


def test_mail_is_protected_by_tls(trusted: Certificate, parcel: Parcel) -> None:
    """From the first byte on."""
    with mail_box(ssl_context=trusted.context()) as box:
        EmailDelivery(**box.settings(security="tls", ca_file=trusted.file)).send(parcel)

    assert [got.to for got in box.received] == [["leaders@example.com", "second@example.com"]]


def test_a_certificate_that_nobody_trusts_is_refused(trusted: Certificate, parcel: Parcel) -> None:
    """Nothing is sent, and trying again would not help."""
    with (
        mail_box(tls_context=trusted.context()) as box,
        pytest.raises(SourceError, match="its certificate is not trusted") as raised,
    ):
        EmailDelivery(**box.settings(security="starttls")).send(parcel)

    assert not isinstance(raised.value, RetryableError)
    assert box.received == []


def test_a_wrong_password_is_final(trusted: Certificate, parcel: Parcel) -> None:
    """It is not tried until the account is locked, and does not stand in the error."""
    with mail_box(**with_login(tls_context=trusted.context())) as box:
        login = {"security": "starttls", "ca_file": trusted.file, "username": USER, "password": "planted-secret"}
        with pytest.raises(SourceError, match="the login was refused") as raised:
            EmailDelivery(**box.settings(**login)).send(parcel)

    assert not isinstance(raised.value, RetryableError)
    assert "planted" not in str(raised.value)


def test_an_exchanged_password_counts_with_the_next_mail(trusted: Certificate, parcel: Parcel, tmp_path: Path) -> None:
    """It is read from its file for each mail: the same delivery is refused before, and taken afterwards."""
    file = tmp_path / "password"
    with mail_box(**with_login(tls_context=trusted.context())) as box:
        login = {"security": "starttls", "ca_file": trusted.file, "username": USER, "password": f"file:{file}"}
        target = EmailDelivery(**box.settings(**login))
        file.write_text("of-yesterday\n", encoding="utf-8")
        with pytest.raises(SourceError, match="the login was refused"):
            target.send(parcel)
        file.write_text(f"{PASSWORD}\n", encoding="utf-8")
        target.send(parcel)

        assert len(box.received) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [("451 busy, ask eve@evil.example", RetryableError), ("550 no, ask eve@evil.example", SourceError)],
)
def test_a_refused_mail_is_sorted(box: MailBox, parcel: Parcel, answer: str, error: type[Exception]) -> None:
    """4xx may pass, 5xx will not; the server's own words, which may name somebody, are not repeated."""
    box.answers = [answer]

    with pytest.raises(SourceError) as raised:
        EmailDelivery(**box.settings()).send(parcel)

    assert type(raised.value) is error
    assert "eve" not in str(raised.value)


def test_an_address_that_nobody_has_is_final(box: MailBox, parcel: Parcel) -> None:
    """The others have the mail: they do not get it again, and the error does not say whose address it is."""
    box.unknown = {"second@example.com"}

    with pytest.raises(SourceError, match="1 of 2 addresses were refused; check `to`") as raised:
        EmailDelivery(**box.settings()).send(parcel)

    assert not isinstance(raised.value, RetryableError)
    assert [got.to for got in box.received] == [["leaders@example.com"]]


def test_a_mail_that_was_taken_is_sent(box: MailBox, parcel: Parcel) -> None:
    """However the server parts: sent again, everybody would have it twice."""
    box.goodbye = "421 too many connections"
    EmailDelivery(**box.settings()).send(parcel)

    assert len(box.received) == 1


def test_parting_takes_no_longer_than_the_rest(box: MailBox, parcel: Parcel, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken is to be written down before somebody else sends it."""
    monkeypatch.setattr("paceline.carriers.MAIL_SECONDS", 0.3)
    box.parting_seconds = 2.0
    started = time.monotonic()
    EmailDelivery(**box.settings()).send(parcel)

    assert time.monotonic() - started < 1
    assert len(box.received) == 1


def test_a_mail_server_that_drips_is_left(parcel: Parcel, monkeypatch: pytest.MonkeyPatch, box: MailBox) -> None:
    """Each of its bytes comes in time; all of them would take longer than anybody else waits before sending, too."""
    monkeypatch.setattr("paceline.carriers.MAIL_SECONDS", 0.1)
    started = time.monotonic()

    with dripping(b"250-" * 10, 0.05) as port, pytest.raises(RetryableError, match="the connection failed"):
        EmailDelivery(**box.settings(port=port)).send(parcel)

    assert time.monotonic() - started < 1


def test_a_login_may_work_later(trusted: Certificate, parcel: Parcel) -> None:
    """A server whose directory is away says so by 4xx: the password may be right."""

    def away(*_: Any) -> AuthResult:
        return AuthResult(success=False, handled=False, message="454 4.7.0 later")

    options = {**with_login(tls_context=trusted.context()), "authenticator": away}
    login = {"security": "starttls", "ca_file": trusted.file, "username": USER, "password": PASSWORD}
    with mail_box(**options) as box, pytest.raises(RetryableError, match="answered 454"):
        EmailDelivery(**box.settings(**login)).send(parcel)


def test_a_wrong_port_is_told_from_a_wrong_certificate(box: MailBox, parcel: Parcel) -> None:
    """Where no TLS is spoken another CA would not help."""
    with pytest.raises(SourceError, match="it speaks no TLS there; check `port` and `security`") as raised:
        EmailDelivery(**box.settings(security="tls")).send(parcel)

    assert not isinstance(raised.value, RetryableError)


def test_a_server_that_hangs_up_may_work_later(box: MailBox, parcel: Parcel) -> None:
    """It is being started anew, perhaps: in the middle of TLS, too."""
    with dripping(b"", 0) as port, pytest.raises(RetryableError):
        EmailDelivery(**box.settings(security="tls", port=port)).send(parcel)


def test_certificates_that_are_not_there_are_named(box: MailBox, parcel: Parcel, tmp_path: Path) -> None:
    """The server is up: nobody should look for it."""
    with pytest.raises(SourceError, match="the certificates cannot be read; check `ca_file`"):
        EmailDelivery(**box.settings(ca_file=tmp_path / "none.pem")).send(parcel)


def test_a_domain_may_have_any_letters(box: MailBox, parcel: Parcel) -> None:
    """Mail servers know it in ASCII: in the envelope, the headers and the id."""
    addresses = {"sender": "Bücher <weeks@bücher.example>", "to": ["Zoë <team@bücher.example>"]}
    EmailDelivery(**box.settings(**addresses)).send(parcel)

    (got,) = box.received
    assert (got.sender, got.to) == ("weeks@xn--bcher-kva.example", ["team@xn--bcher-kva.example"])
    assert str(got.mail["To"]) == "Zoë <team@xn--bcher-kva.example>"
    assert got.mail["Message-ID"].endswith("@xn--bcher-kva.example>")


@pytest.mark.parametrize(
    "address", ["team@", "@example.com", "a@example.com, b@example.com", "a@b..c", "a@b\nBcc: c@d"]
)
def test_what_is_no_address_is_refused(box: MailBox, address: str) -> None:
    """One address is one: refused ones could not be counted else."""
    with pytest.raises(ValidationError, match="this is no e-mail address"):
        EmailDelivery(**box.settings(to=[address]))


def slack(url: str) -> SlackDelivery:
    """A delivery to a webhook of Slack."""
    return SlackDelivery.model_validate({"type": "slack", "name": "chat", "url": url})


def webhook(receiver: Hook, **more: str) -> WebhookDelivery:
    """A delivery to the receiver."""
    return WebhookDelivery.model_validate({"type": "webhook", "name": "hook", "url": receiver.url, **more})


def test_slack_takes_what_is_posted(receiver: Hook, parcel: Parcel) -> None:
    """The blocks are those of the summary, within all limits."""
    slack(f"{receiver.url}/services/x").send(parcel)

    (got,) = receiver.posted
    assert got.path == "/services/x"
    assert got.body == json.loads(rendered(parcel.summary, "slack"))
    assert refused(got.body) == []


def test_an_exchanged_webhook_of_slack_counts_with_the_next_post(
    receiver: Hook, parcel: Parcel, tmp_path: Path
) -> None:
    """Its address is the secret: what the file holds when something is sent is where it goes."""
    file = tmp_path / "slack"
    target = slack(f"file:{file}")
    for path in ("/services/old", "/services/new"):
        file.write_text(f"{receiver.url}{path}\n", encoding="utf-8")
        target.send(parcel)

    assert [one.path for one in receiver.posted] == ["/services/old", "/services/new"]


def test_a_file_that_holds_no_address_may_do_so_later(receiver: Hook, parcel: Parcel, tmp_path: Path) -> None:
    """While a file is gone nothing is sent, and it is tried again."""
    file = tmp_path / "slack"
    target = slack(f"file:{file}")
    with pytest.raises(RetryableError, match="cannot be read") as raised:
        target.send(parcel)
    file.write_text(receiver.url, encoding="utf-8")
    target.send(parcel)

    assert str(file) not in str(raised.value)
    assert len(receiver.posted) == 1


@pytest.mark.parametrize("said", [b"ok", b"", b'{"success":true}', b'{"ok":true}', b"<p>thank_you</p>"])
def test_slack_and_its_like_say_that_it_was_taken(receiver: Hook, parcel: Parcel, said: bytes) -> None:
    """Each in its own words."""
    receiver.answers = [(200, {}, said)]
    slack(receiver.url).send(parcel)

    assert len(receiver.posted) == 1


@pytest.mark.parametrize("said", [b"invalid_blocks", b'{"ok":false,"error":"invalid_blocks"}'])
def test_slack_may_refuse_with_a_success(receiver: Hook, parcel: Parcel, said: bytes) -> None:
    """Nobody has seen the message then, and the same one is refused again."""
    receiver.answers = [(200, {}, said)]

    with pytest.raises(SourceError, match="answered invalid_blocks") as raised:
        slack(receiver.url).send(parcel)

    assert not isinstance(raised.value, RetryableError)


def test_a_webhook_is_not_followed_to_another_server(receiver: Hook, parcel: Parcel) -> None:
    """It would be handed the token."""
    with hook() as other:
        receiver.answers = [(307, {"Location": f"{other.url}/x"}, b"")]
        with pytest.raises(SourceError) as raised:
            webhook(receiver, token=PASSWORD).send(parcel)

        assert other.posted == []
    assert PASSWORD not in str(raised.value)


def test_slack_leads_to_the_page(receiver: Hook, parcel: Parcel) -> None:
    """The last block links to the week's page; the others are as they were, also at the limit."""
    base = f"{BASE}/a|b&c"
    slack(receiver.url).send(replace(parcel, base_url=base))

    (got,) = receiver.posted
    *others, last = got.body["blocks"]
    address = last["text"]["text"].rpartition("<")[2].partition("|")[0]
    assert address == f"{BASE}/a%7Cb&amp;c/weekly/2026-W10?audience=sre"
    assert refused({**got.body, "blocks": others}) == []
    assert len(got.body["blocks"]) <= 50


def test_the_webhook_is_posted_the_data(receiver: Hook, parcel: Parcel) -> None:
    """The JSON of the summary, with its token; a repetition has the same idempotency key, a new edition another."""
    target = webhook(receiver, token=PASSWORD)
    for one in (parcel, parcel, replace(parcel, edition=2)):
        target.send(one)

    first, second, third = receiver.posted
    assert first.body == json.loads(rendered(parcel.summary, "json"))
    assert first.headers["authorization"] == f"Bearer {PASSWORD}"
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == parcel.key
    assert third.headers["idempotency-key"] != parcel.key


def test_an_exchanged_token_counts_with_the_next_post(receiver: Hook, parcel: Parcel, tmp_path: Path) -> None:
    """It is read from its file each time."""
    file = tmp_path / "token"
    target = webhook(receiver, token=f"file:{file}")
    for token in ("of-yesterday", "of-today"):
        file.write_text(f"{token}\n", encoding="utf-8")
        target.send(parcel)

    assert [one.headers["authorization"] for one in receiver.posted] == ["Bearer of-yesterday", "Bearer of-today"]


@pytest.mark.parametrize(
    ("answer", "wished"),
    [((500, {}, b""), None), ((503, {"Retry-After": "9"}, b""), 9.0), ((429, {"Retry-After": "7"}, b""), 7.0)],
)
def test_a_webhook_that_fails_may_work_later(receiver: Hook, parcel: Parcel, answer: Any, wished: float | None) -> None:
    """Its wish when is kept."""
    receiver.answers = [answer]

    with pytest.raises(RetryableError) as raised:
        webhook(receiver).send(parcel)

    assert raised.value.retry_after_seconds == wished


def test_a_webhook_that_hangs_is_left(receiver: Hook, parcel: Parcel, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may answer later; the others do not wait for it."""
    monkeypatch.setattr("paceline.carriers.SEND_SECONDS", 0.1)
    receiver.hanging.clear()

    with pytest.raises(RetryableError, match="no answer within"):
        webhook(receiver).send(parcel)


@pytest.mark.parametrize(("form", "ending"), [("markdown", "md"), ("html", "html"), ("text", "txt"), ("json", "json")])
def test_a_file_has_the_ending_of_its_format(form: Any, ending: str, parcel: Parcel, tmp_path: Path) -> None:
    """It stands in its folder, which is made, and nothing is beside it."""
    FileDelivery(type="file", name="disk", path=tmp_path / "a" / "b", format=form).send(parcel)

    (file,) = (tmp_path / "a" / "b").iterdir()
    assert file.name == f"weekly-2026-W10.{ending}"
    assert file.read_text(encoding="utf-8") == rendered(parcel.summary, form)


def test_a_file_is_overwritten_only_anew(parcel: Parcel, tmp_path: Path) -> None:
    """One that stands there is left alone until somebody wants it anew; what was sent is what stands there."""
    disk = FileDelivery(type="file", name="disk", path=tmp_path)
    (tmp_path / FILE).write_text("mine", encoding="utf-8")

    found = disk.send(parcel)
    left = (tmp_path / FILE).read_text(encoding="utf-8")
    anew = disk.send(replace(parcel, edition=2))

    assert (left, found == anew) == ("mine", False)
    assert (tmp_path / FILE).read_text(encoding="utf-8") == rendered(parcel.summary, "markdown")


def test_a_file_of_somebody_else_may_hold_anything(parcel: Parcel, tmp_path: Path) -> None:
    """It is left alone, whatever its bytes are."""
    (tmp_path / FILE).write_bytes(b"\xff\r\n")
    digest = FileDelivery(type="file", name="disk", path=tmp_path).send(parcel)

    assert digest == hashlib.sha256(b"\xff\r\n").hexdigest()


def test_a_link_leads_nowhere(parcel: Parcel, tmp_path: Path) -> None:
    """What somebody put where our draft is made does not have another file overwritten."""
    (tmp_path / "other").write_text("theirs", encoding="utf-8")
    (tmp_path / f"{FILE}.tmp").symlink_to(tmp_path / "other")
    FileDelivery(type="file", name="disk", path=tmp_path).send(parcel)

    assert (tmp_path / "other").read_text(encoding="utf-8") == "theirs"
    assert not (tmp_path / FILE).is_symlink()


# --- Git -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tree:
    """A work tree with a commit, cloned from a bare repository."""

    bare: Repository
    clone: Repository

    def delivery(self, **more: Any) -> GitDelivery:
        """A delivery into its folder of reports."""
        return GitDelivery(type="git", name="repository", path=self.clone.path / "docs" / "weeks", **more)


@pytest.fixture
def tree(new_repository: Callable[..., Repository]) -> Tree:
    """Others work in it: something is staged, changed and new, and a hook refuses commits."""
    bare = new_repository("bare", "--bare")
    clone = new_repository("clone", clone_of=bare)
    for name in ("staged", "changed"):
        (clone.path / name).write_text("1\n", encoding="utf-8")
    clone.git("add", ".")
    clone.commit("first", at=1)
    clone.git("push", "--quiet", "origin", "main")
    for name in ("staged", "changed", "new"):
        (clone.path / name).write_text("2\n", encoding="utf-8")
    clone.git("add", "staged")
    hook_file = clone.path / ".git" / "hooks" / "pre-commit"
    hook_file.parent.mkdir(exist_ok=True)
    hook_file.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook_file.chmod(0o755)
    return Tree(bare, clone)


def test_git_is_given_one_file(tree: Tree, parcel: Parcel) -> None:
    """A commit of the file alone, by nobody, pushed; what others had staged, changed or made stays as it was."""
    tree.delivery(push=True).send(parcel)

    assert tree.bare.git("show", "--format=%an %ae %cn %ce%n%s", "--name-only", "main").splitlines() == [
        "Paceline paceline@paceline.invalid Paceline paceline@paceline.invalid",
        "Platform summary, week 2026-W10",
        "",
        f"docs/weeks/{FILE}",
    ]
    assert tree.bare.git("show", f"main:docs/weeks/{FILE}") == rendered(parcel.summary, "markdown").strip()
    assert tree.clone.git("status", "--porcelain").splitlines() == ["M changed", "M  staged", "?? new"]


def test_git_is_committed_once(tree: Tree, parcel: Parcel) -> None:
    """Sent again after somebody was killed in between, there is no second commit, and the push is made up for."""
    tree.delivery().send(parcel)
    tree.delivery(push=True).send(parcel)

    assert tree.clone.git("rev-list", "--count", "main") == "2"
    assert tree.bare.sha("main") == tree.clone.sha("main")


@pytest.mark.parametrize("names", ["sha1", "sha256"])
def test_git_takes_the_first_commit(new_repository: Callable[..., Repository], parcel: Parcel, names: str) -> None:
    """A repository without any commit gets one, however long its names are."""
    empty = new_repository("empty", f"--object-format={names}")

    GitDelivery(type="git", name="repository", path=empty.path).send(parcel)

    assert empty.git("ls-tree", "--name-only", "HEAD") == FILE
    assert empty.git("status", "--porcelain") == ""


def test_git_waits_for_its_branch(tree: Tree, parcel: Parcel) -> None:
    """While another branch is checked out nothing is written; whoever did that may be back soon."""
    tree.clone.branch("else")

    with pytest.raises(RetryableError, match="the work tree is not on the branch main"):
        tree.delivery(branch="main").send(parcel)

    assert not (tree.clone.path / "docs").exists()


def test_git_does_not_overwrite_what_others_pushed(
    tree: Tree, new_repository: Callable[..., Repository], parcel: Parcel
) -> None:
    """Where the remote is ahead the push waits until somebody pulls."""
    other = new_repository("other", clone_of=tree.bare)
    theirs = other.commit("theirs", at=2)
    other.git("push", "--quiet", "origin", "main")

    with pytest.raises(RetryableError, match="the remote has commits that this work tree has not; pull them"):
        tree.delivery(push=True).send(parcel)

    assert tree.bare.sha("main") == theirs


def test_a_remote_that_takes_no_such_commit_is_final(tree: Tree, parcel: Parcel) -> None:
    """What a hook of the remote declines it declines tomorrow, too. Whose account it was is not kept."""
    declining = tree.bare.path / "hooks" / "pre-receive"
    declining.parent.mkdir(exist_ok=True)
    declining.write_text("#!/bin/sh\necho Permission denied to ada-lovelace. >&2\nexit 1\n", encoding="utf-8")
    declining.chmod(0o755)

    with pytest.raises(SourceError, match="pre-receive hook declined") as raised:
        tree.delivery(push=True).send(parcel)

    assert not isinstance(raised.value, RetryableError)
    assert "ada" not in str(raised.value)


def test_a_folder_outside_any_repository_is_a_mistake(parcel: Parcel, tmp_path: Path) -> None:
    """Trying again would not help, and nothing is written."""
    with pytest.raises(SourceError, match="not a git repository"):
        GitDelivery(type="git", name="repository", path=tmp_path / "weeks").send(parcel)

    assert list(tmp_path.iterdir()) == []


# --- when, and how often ---------------------------------------------------------------------------------


class Kept:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def info(self, event: str, **_: Any) -> None:
        """Keep it."""
        self.told.append(event)

    warning = error = info


class Recorded(Delivery):
    """A place that keeps the keys of what it is sent, and fails as told."""

    keys: list[str] = Field(default_factory=list)
    weeks: list[str] = Field(default_factory=list)
    failures: list[Any] = Field(default_factory=list)

    def send(self, parcel: Parcel) -> str:
        """Keep it."""
        self.keys.append(parcel.key)
        self.weeks.append(parcel.summary.week)
        if self.failures:
            raise self.failures.pop(0)
        return "digest"


@dataclass
class Bench:
    """Deliveries of a service that has nothing but weeks, on a store of its own, with a clock that is moved."""

    folder: Path
    stack: ExitStack
    at: datetime = NOW
    told_at: datetime | None = None
    covered: bool = True
    report: ReportSettings = field(default_factory=ReportSettings)
    log: Kept = field(default_factory=Kept)
    making: timedelta = timedelta()
    keeps: Callable[[Database], DeliveryLog] = DeliveryLog

    def __call__(self) -> datetime:
        """The time."""
        return self.at

    def deliveries(self) -> Deliveries:
        """Those of a process that just started."""
        database = Database.open(self.folder)
        self.stack.callback(database.close)
        return Deliveries(self._service(database), self.log, self, chance=lambda: 1.0)

    def _service(self, database: Database) -> Any:
        settings = SimpleNamespace(report=self.report, notify=SimpleNamespace(base_url=""))
        bench = self

        class Weekly(SimpleNamespace):
            @property
            def last_week(self) -> Week:
                return Week.last_before(bench.told_at or bench.at, ZoneInfo("UTC"))

        return Weekly(
            delivery_log=self.keeps(database),
            configuration=SimpleNamespace(settings=settings, sources=()),
            zone=ZoneInfo("UTC"),
            started_at=NOW,
            events=SimpleNamespace(runs=dict),
            covers=lambda _: self.covered,
            derived_summary=self._summary,
        )

    def _summary(self, week: Week, _audience: Audience, _team: str) -> Any:
        self.at += self.making
        return SimpleNamespace(week=week.label)

    @property
    def records(self) -> list[DeliveryRecord]:
        """The log."""
        database = Database.open(self.folder)
        found = DeliveryLog(database).listed(100)
        database.close()
        return found

    @property
    def record(self) -> DeliveryRecord:
        """Its one entry."""
        (one,) = self.records
        return one


@pytest.fixture
def bench(migrated: Path, tmp_path: Path) -> Iterator[Bench]:
    """A bench at the moment at which 2026-W10 is due."""
    shutil.copy(migrated, tmp_path / "paceline.db")
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def test_a_week_is_sent_once(bench: Bench) -> None:
    """However often somebody looks, and after a restart; the log says when and what."""
    place, first = Recorded(name="leaders"), bench.deliveries()
    first.send_due(place)
    first.send_due(place)
    bench.deliveries().send_due(place)

    found = bench.record
    assert place.weeks == ["2026-W10"]
    assert (found.state, found.attempts, found.digest) == (DeliveryState.SENT, 1, "digest")
    assert (found.sent_at, found.first_tried_at, found.error) == (to_micros(NOW), to_micros(NOW), None)


def test_a_new_delivery_begins_with_the_last_week(bench: Bench) -> None:
    """Weeks before it was configured are not sent; later ones are, each once."""
    place, deliveries = Recorded(name="leaders"), bench.deliveries()
    for _ in range(3):
        deliveries.send_due(place)
        bench.at += timedelta(days=7)

    assert place.weeks == ["2026-W10", "2026-W11", "2026-W12"]


def test_a_service_of_long_ago_has_no_news(bench: Bench) -> None:
    """One that tells of a time that is over by weeks, as an example does, sends nothing by itself."""
    place, deliveries = Recorded(name="leaders"), bench.deliveries()
    bench.told_at = NOW
    bench.at += timedelta(days=60)
    deliveries.send_due(place)

    assert (place.weeks, bench.records) == ([], [])


def test_a_week_whose_hour_was_missed_is_sent(bench: Bench) -> None:
    """Due on the last hour of a Sunday, and nobody was there until Monday: it is no old news yet."""
    bench.report = ReportSettings(weekday="sunday", hour=23)
    bench.at = datetime(2026, 3, 8, 23, 0, tzinfo=UTC)
    place, deliveries = Recorded(name="leaders"), bench.deliveries()
    deliveries.send_due(place)
    bench.at += timedelta(days=7, hours=2)
    deliveries.send_due(place)

    assert place.weeks == ["2026-W09", "2026-W10"]


def test_a_week_that_was_sent_by_hand_brings_none_before_it(bench: Bench) -> None:
    """Before its hour: the delivery is as new as before."""
    bench.at = NOW - timedelta(hours=3)
    place, deliveries = Recorded(name="leaders"), bench.deliveries()
    deliveries.send_now(place, Week.parse("2026-W10", ZoneInfo("UTC")), anew=False)
    deliveries.send_due(place)

    assert place.weeks == ["2026-W10"]


def test_a_week_waits_for_its_data_into_the_next(bench: Bench) -> None:
    """On a Sunday a day of waiting ends in another week; the week that waits is sent all the same."""
    bench.report = ReportSettings(weekday="sunday")
    bench.at, bench.covered = NOW - timedelta(days=1), False
    place, deliveries = Recorded(name="leaders"), bench.deliveries()
    deliveries.send_due(place)
    before = (list(place.weeks), bench.record.state)

    bench.at = NOW
    deliveries.send_due(place)

    assert before == ([], DeliveryState.PENDING)
    assert place.weeks == ["2026-W09"]


def test_what_failed_is_tried_with_growing_pauses(bench: Bench) -> None:
    """After 1, 2, 4… minutes; in between nobody is asked. The key stays."""
    place, deliveries = Recorded(name="leaders", failures=[RetryableError("later")] * 3), bench.deliveries()
    tried = []
    for _ in range(16):
        deliveries.send_due(place)
        tried.append(len(place.keys))
        bench.at += timedelta(minutes=1)

    assert tried == [1, 2, 2, 3, 3, 3, 3, *[4] * 9]
    assert len(set(place.keys)) == 1
    assert (bench.record.state, bench.record.attempts, bench.record.error) == (DeliveryState.SENT, 4, None)


def test_a_receiver_may_say_when(bench: Bench) -> None:
    """It is not asked before."""
    wish = RetryableError("later", retry_after_seconds=7_200)
    place, deliveries = Recorded(name="leaders", failures=[wish]), bench.deliveries()
    deliveries.send_due(place)

    bench.at += timedelta(minutes=119)
    deliveries.send_due(place)
    before = len(place.keys)
    bench.at += timedelta(minutes=1)
    deliveries.send_due(place)

    assert (before, len(place.keys)) == (1, 2)


@pytest.mark.parametrize("seconds", [1e6, 1e18, float("inf")])
def test_a_receiver_that_wants_to_be_left_alone_is(bench: Bench, seconds: float) -> None:
    """For longer than it is tried: it is given up with the receiver's word, whatever number that is."""
    place = Recorded(name="leaders", failures=[RetryableError("in a year", retry_after_seconds=seconds)])
    bench.deliveries().send_due(place)

    assert (bench.record.state, bench.record.error) == (DeliveryState.FAILED, "in a year")


def test_after_three_days_it_is_given_up(bench: Bench) -> None:
    """Then it is failed, with the last reason, and nobody is asked any more."""
    place, deliveries = Recorded(name="leaders", failures=[RetryableError("down")] * 50), bench.deliveries()
    for _ in range(20):
        deliveries.send_due(place)
        bench.at += timedelta(hours=6)

    assert len(place.keys) == 1 + 3 * 24 / 6
    assert (bench.record.state, bench.record.error) == (DeliveryState.FAILED, "down")
    assert bench.log.told[-1] == "the weekly summary was not delivered, it is given up"


@pytest.mark.parametrize("error", [SourceError("no"), PacelineError("no"), ValueError("private")])
def test_what_cannot_succeed_is_given_up_at_once(bench: Bench, error: Exception) -> None:
    """Of errors that are not ours only the kind is kept."""
    place = Recorded(name="leaders", failures=[error])
    bench.deliveries().send_due(place)
    bench.at += timedelta(hours=5)
    bench.deliveries().send_due(place)

    assert len(place.keys) == 1
    assert bench.record.state is DeliveryState.FAILED
    assert bench.record.error in {"no", "ValueError"}


def test_nobodys_address_is_kept(bench: Bench) -> None:
    """An error is kept as one short line without addresses."""
    error = RetryableError("git push: eve@evil.example said\r\nno" + "x" * 5_000)
    bench.deliveries().send_due(Recorded(name="leaders", failures=[error]))

    assert "eve" not in str(bench.record.error)
    assert "\n" not in str(bench.record.error)
    assert len(str(bench.record.error)) == 500


def test_a_store_that_fails_is_tried_later(bench: Bench) -> None:
    """That is not the receiver's fault."""
    bench.deliveries().send_due(Recorded(name="leaders", failures=[StoreError("busy")]))

    assert (bench.record.state, bench.record.error) == (DeliveryState.PENDING, "busy")


def test_what_a_killed_process_began_is_sent_again(bench: Bench) -> None:
    """Killed after sending and before writing that down: not before its time is over, then once, with the same key."""
    place = Recorded(name="leaders", failures=[KeyboardInterrupt()])  # as a kill: nobody catches it
    with pytest.raises(KeyboardInterrupt):
        bench.deliveries().send_due(place)
    left = bench.record.state
    bench.at += LEASE - timedelta(seconds=1)
    bench.deliveries().send_due(place)
    before = len(place.keys)

    bench.at += timedelta(seconds=1)
    bench.deliveries().send_due(place)
    bench.deliveries().send_due(place)

    assert (left, before, len(place.keys)) == (DeliveryState.SENDING, 1, 2)
    assert place.keys[0] == place.keys[1]
    assert (bench.record.state, bench.record.attempts) == (DeliveryState.SENT, 2)


def test_what_kills_whoever_sends_it_is_tried_ever_more_rarely(bench: Bench) -> None:
    """Each process that tries has twice as long as the one before: a receiver is not sent the same all day."""
    place = Recorded(name="leaders", failures=[KeyboardInterrupt()] * 9)
    tried = []
    for _ in range(9):
        with suppress(KeyboardInterrupt):
            bench.deliveries().send_due(place)
        tried.append(len(place.keys))
        bench.at += LEASE

    assert tried == [1, 2, 2, 3, 3, 3, 3, 4, 4]


def test_what_took_too_long_to_make_is_not_sent(bench: Bench) -> None:
    """Somebody else may be sending it by then; it is made again, with more time for it."""
    bench.making = LEASE
    place, deliveries = Recorded(name="leaders"), bench.deliveries()
    deliveries.send_due(place)
    before = list(place.weeks)
    deliveries.send_due(place)

    assert (before, place.weeks) == ([], ["2026-W10"])
    assert (bench.record.state, bench.record.attempts) == (DeliveryState.SENT, 2)


def test_what_was_sent_and_could_not_be_marked_is_marked_later(bench: Bench) -> None:
    """While its process lives: a store that is busy for minutes makes no second mail."""

    class Busy(DeliveryLog):
        failures: ClassVar = [StoreError("busy")] * 2

        def sent(self, held: DeliveryRecord, at: int, digest: str) -> bool:
            """Fail twice."""
            if self.failures:
                raise self.failures.pop()
            return super().sent(held, at, digest)

    bench.keeps = Busy
    place, deliveries = Recorded(name="leaders"), bench.deliveries()
    for _ in range(3):
        deliveries.send_due(place)
        bench.at += LEASE

    assert place.weeks == ["2026-W10"]
    assert (bench.record.state, bench.record.sent_at) == (DeliveryState.SENT, to_micros(NOW))


def test_whoever_fails_too_late_says_nothing_of_it(bench: Bench) -> None:
    """Its time was over, and somebody else has sent it: it is not given up, and the log does not say so."""

    class Slow(Recorded):
        def send(self, parcel: Parcel) -> str:
            bench.at += LEASE
            bench.deliveries().send_due(Recorded(name="leaders"))
            return super().send(parcel)

    bench.deliveries().send_due(Slow(name="leaders", failures=[SourceError("no")]))

    assert bench.record.state is DeliveryState.SENT
    assert bench.log.told[-1] == "the weekly summary was not delivered, somebody else is at it"


def test_whoever_takes_too_long_does_not_overrule(bench: Bench) -> None:
    """A process that ends after its time was over leaves the entry to the one that took it."""

    class Slow(Recorded):
        def send(self, parcel: Parcel) -> str:
            bench.at += LEASE
            bench.deliveries().send_due(Recorded(name="leaders", failures=[RetryableError("busy")]))
            return super().send(parcel)

    bench.deliveries().send_due(Slow(name="leaders"))

    assert (bench.record.state, bench.record.attempts, bench.record.error) == (DeliveryState.PENDING, 2, "busy")
    assert bench.log.told[-1] == "the weekly summary was delivered so slowly that it may be delivered twice"


def test_two_replicas_send_one_mail(bench: Bench) -> None:
    """Of several processes that look at the same moment, each with a connection of its own, one sends."""
    place, ready = Recorded(name="leaders"), threading.Barrier(4)

    def look(deliveries: Deliveries) -> None:
        ready.wait()
        deliveries.send_due(place)

    threads = [threading.Thread(target=look, args=(bench.deliveries(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert place.weeks == ["2026-W10"]
    assert bench.record.attempts == 1


def test_what_is_old_is_no_news(bench: Bench) -> None:
    """What nobody could send for a week, because no process ran, is given up; the newer week is sent."""
    place = Recorded(name="leaders", failures=[RetryableError("down")])
    bench.deliveries().send_due(place)

    bench.at += timedelta(days=8)
    bench.deliveries().send_due(place)

    assert place.weeks == ["2026-W10", "2026-W11"]
    assert [(r.week, r.state, r.error) for r in bench.records] == [
        ("2026-W11", DeliveryState.SENT, None),
        ("2026-W10", DeliveryState.FAILED, "nobody could send it for a week"),
    ]


def test_somebody_may_want_it_now(bench: Bench) -> None:
    """Before it is due and without all data; when it is due it was sent already."""
    bench.at, bench.covered = NOW - timedelta(hours=3), False
    place, week = Recorded(name="leaders"), Week.parse("2026-W10", ZoneInfo("UTC"))
    found = bench.deliveries().send_now(place, week, anew=False)
    again = bench.deliveries().send_now(place, week, anew=False)
    bench.at, bench.covered = NOW, True
    bench.deliveries().send_due(place)

    assert (found.state, again.attempts, len(place.keys)) == (DeliveryState.SENT, 1, 1)


def test_somebody_may_want_it_anew(bench: Bench) -> None:
    """It is another edition, with a key of its own, so that no receiver takes it for a repetition."""
    place, week = Recorded(name="leaders"), Week.parse("2026-W10", ZoneInfo("UTC"))
    bench.deliveries().send_now(place, week, anew=False)
    bench.at += timedelta(days=1)
    found = bench.deliveries().send_now(place, week, anew=True)

    assert len(set(place.keys)) == 2
    assert (found.edition, found.attempts, found.sent_at) == (2, 2, to_micros(bench.at))


# --- who is told -----------------------------------------------------------------------------------------


@pytest.fixture
def with_mail(settings_file: Path, box: MailBox) -> MailBox:
    """The settings of the small history have a mail delivery."""
    mail = json.dumps(box.settings())
    text = settings_file.read_text(encoding="utf-8")
    settings_file.write_text(
        text.replace("report: {directory: reports, hour: 7}", f"report: {{deliveries: [{mail}]}}"), encoding="utf-8"
    )
    return box


def test_a_failed_delivery_is_seen(with_mail: MailBox, collected: Service, clock: Any) -> None:
    """By the API and whoever asks whether the service is ready; neither names an address."""
    with_mail.answers = ["550 no, ask eve@evil.example"]
    clock.at = NOW
    deliveries = Deliveries(collected, Kept(), clock)
    deliveries.send_due(collected.configuration.deliveries[0])
    collected.refresh()

    with TestClient(create_app(collected)) as client:
        answer, ready = client.get("/api/v1/deliveries"), client.get("/readyz").json()

    (found,) = answer.json()["deliveries"]
    assert (found["week"], found["delivery"], found["state"], found["attempts"]) == ("2026-W10", "mail", "failed", 1)
    assert found["error"].endswith("answered 550; check the settings of this target")
    assert found["last_tried_at"] == "2026-03-09T07:00:00Z"
    assert "@" not in answer.text
    assert (ready["status"], ready["problems"]) == ("degraded", ["delivery mail of week 2026-W10 failed"])
    assert [part for part, how in ready["parts"].items() if how != "ok"] == ["deliveries"]


def test_the_command_sends_now(run: Run, with_mail: MailBox) -> None:
    """Once; after that it says when it was sent, unless it is wanted again."""
    first = run("report", "--week", "2026-W10", "--deliver")
    second = run("report", "--week", "2026-W10", "--deliver", "mail")
    third = run("report", "--week", "2026-W10", "--deliver", "--again")

    assert [code for code, _, _ in (first, second, third)] == [0, 0, 0]
    assert (first[1], third[1]) == ("mail: 2026-W10 was sent\n", "mail: 2026-W10 was sent\n")
    assert second[1].startswith("mail: 2026-W10 was sent already on 20")
    assert second[1].endswith(" UTC; --again sends it anew\n")
    assert [got.mail["Subject"] for got in with_mail.received] == ["Platform summary, week 2026-W10"] * 2


def test_the_command_lists_the_log(run: Run, with_mail: MailBox) -> None:
    """With what failed and why, as a table and for programs."""
    with_mail.answers = ["451 later", "550 no"]
    later = run("report", "--week", "2026-W10", "--deliver")
    failed = run("report", "--week", "2026-W09", "--deliver")

    listed = json.loads(run("report", "--deliveries", "--output", "json")[1])["deliveries"]
    table = run("report", "--deliveries")[1]

    assert (later[0], failed[0]) == (1, 1)
    assert "was not sent, it is tried again from" in later[1]
    assert "was not sent, it was given up: mail by" in failed[1]
    assert [(d["week"], d["state"]) for d in listed] == [("2026-W10", "pending"), ("2026-W09", "failed")]
    assert (listed[0]["next_try_at"] is None, listed[1]["next_try_at"]) == (False, None)
    assert "pending" in table
    assert "example.com" not in table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--deliver", "nobody"), "--deliver: 'nobody' is no delivery; expected one of directory"),
        (("--deliver", "--week", "2099-W01"), "2099-W01 is not over; expected a week that is"),
        (("--again",), "--again is for --deliver"),
        (("--deliver", "--audience", "sre"), "expected no --audience, --team and --out"),
    ],
)
def test_what_does_not_belong_together_is_refused(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """With exit code 2 and what is expected."""
    code, out, err = run("report", *arguments)

    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_whose_summary_it_is_follows_from_the_team() -> None:
    """A team's delivery is that of its audience; without a team it is the leaders'."""
    assert [Recorded(name="a", **given).whose for given in ({}, {"team": "/x"}, {"audience": "sre"})] == [  # type: ignore[arg-type] # as YAML gives it
        Audience.LEADER,
        Audience.TEAM,
        Audience.SRE,
    ]
