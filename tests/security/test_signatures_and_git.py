"""Forged deliveries of webhooks, and words for git that would be its options."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collector.errors import PacelineError
from collector.people import People
from collector.source import SourceContext
from collector.sources.git import GitConfig
from collector.webhooks import is_same, is_signed

SECRET = "the-secret-of-these-tests"  # noqa: S105 - it opens nothing but their own door
BODY = b'{"a": 1}'


def made(secret: str = SECRET, body: bytes = BODY, digest: str = "sha256") -> str:
    """A signature."""
    return hmac.new(secret.encode(), body, digest).hexdigest()


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256=",
        made(),
        "sha1=" + made(digest="sha1"),
        "sha256=" + made(digest="sha1"),
        "sha512=" + made(digest="sha512"),
        "sha256=" + made("").upper(),
        "sha256=" + made(""),
        "sha256=" + made(body=BODY + b" "),
        "sha256=" + made()[:-1],
        "sha256=" + made() + "0",
        "SHA256=" + made(),
        " sha256=" + made(),
        "sha256=" + "\u0660" * 64,
        "sha256=\udcff",
        "sha256=" + hashlib.sha256(SECRET.encode() + BODY).hexdigest(),
        SECRET,
    ],
)
def test_what_is_no_signature_of_this_body_opens_nothing(signature: str) -> None:
    """Another digest, no prefix or another one, none at all, letters of other scripts: none of them is taken."""
    assert not is_signed(SECRET, BODY, signature, prefix="sha256=")


def test_the_signature_itself_opens() -> None:
    """What the check above refuses differs from this."""
    assert is_signed(SECRET, BODY, "sha256=" + made(), prefix="sha256=")


def test_nobody_signs_with_no_secret() -> None:
    """A secret that is empty, as a file that was emptied leaves it, opens nothing, and no token equals it."""
    assert not is_signed("", BODY, "sha256=" + made(""), prefix="sha256=")
    assert not is_same("", "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repository", "--upload-pack=touch taken;://x"),
        ("repository", "ext::sh -c touch% taken ://x"),
        ("repository", "-c://core.sshCommand=touch"),
        ("branch", "--output=taken"),
        ("branch", "--upload-pack=touch taken"),
        ("branch", "$(touch taken)"),
    ],
)
def test_no_word_of_the_settings_is_an_option_of_git(repository: Any, tmp_path: Path, field: str, value: str) -> None:
    """An address or a branch that looks like an option or a command starts no program and writes no file."""
    repository.commit(at=0)
    config = GitConfig.model_validate({"type": "git", "name": "shop", "repository": str(repository.path), field: value})
    folder = tmp_path / "data"
    folder.mkdir()
    context = SourceContext(
        data_dir=folder, base_dir=folder, people=People(b"k" * 32), clock=lambda: datetime(2026, 3, 9, tzinfo=UTC)
    )

    with pytest.raises(PacelineError):
        list(config.build(context).pull(None))

    assert list(Path().glob("taken*")) == []
    assert list(tmp_path.rglob("taken*")) == []


@pytest.mark.parametrize("name", ["--output=taken", "-c", "$(touch${IFS}taken)", "`touch`", "a;touch"])
def test_no_name_of_a_ref_is_an_option_of_git(repository: Any, tmp_path: Path, name: str) -> None:
    """What others call their tags and branches is read, and is neither an option nor a command."""
    repository.commit(at=0)
    for kind in ("heads", "tags"):
        ref = repository.path / ".git" / "refs" / kind / name
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(repository.sha() + "\n", encoding="utf-8")
    tags = {"rule": "tags", "pattern": ".*"}
    config = GitConfig.model_validate(
        {"type": "git", "name": "shop", "repository": str(repository.path), "deployments": tags}
    )
    context = SourceContext(
        data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: datetime(2026, 3, 9, tzinfo=UTC)
    )

    pages = list(config.build(context).pull(None))

    assert sum(len(page.events) for page in pages) >= 1
    assert list(tmp_path.rglob("taken")) == []
