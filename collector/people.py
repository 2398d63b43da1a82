"""People become keyed hashes at the edge, and bots are told apart there. Nothing downstream sees a name.

The hash is keyed so that nobody who reads the store can test whether an address is in it. One account or address is one
hash however it is written; a display name is never the same as an account.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from collections.abc import Callable
from pathlib import Path

from collector.errors import ConfigError, Mistake

PERSON_PREFIX = "person:"
_HASHED = re.compile(r"person:[0-9a-f]{32}")
_MINIMUM_KEY_BYTES = 16

# Exact account names first, then shapes that only automation uses. `bot_tom` and `mr-bot-ham` are people.
_BOT_ACCOUNTS = frozenset(
    {
        "dependabot",
        "dependabot-preview",
        "github-actions",
        "gitlab-ci",
        "greenkeeper",
        "jenkins",
        "k8s-ci-robot",
        "mergify",
        "pre-commit-ci",
        "renovate",
        "semantic-release-bot",
        "snyk-bot",
        "web-flow",
    }
)
_BOT_SHAPE = re.compile(r".*\[bot\]$|.*-(ci-)?(bot|robot)$|^project_\d+_bot", re.IGNORECASE)


# What forges write into commits for those who hide their address: `17+ada@users.noreply.…`, with the number of the
# account or without; `17-ada@…` where the forge joins them so, which an account of the first kind may be called.
_NOREPLY = re.compile(r"(?:\d+\+)?([^@+]+)@(?:users\.)?noreply\.[^@]+")
_JOINED_NOREPLY = re.compile(r"\d+-([^@+]+)@users\.noreply\.(?!github\.com$)[^@]+")


def normal_form(identifier: str) -> str:
    """An account or address as it is compared: Unicode form, case and outer blanks do not matter.

    The address by which a forge hides somebody's own is the account itself.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", identifier).casefold()).strip()
    hidden = _JOINED_NOREPLY.fullmatch(plain) or _NOREPLY.fullmatch(plain)
    return hidden[1] if hidden else plain


def _account(name: str) -> str:
    """The account that a login or an address speaks of."""
    return normal_form(name).partition("@")[0].strip()


def is_bot(*names: str) -> bool:
    """True where an account name or the local part of an address belongs to automation, not to a person."""
    return any(account in _BOT_ACCOUNTS or _BOT_SHAPE.match(account) for account in map(_account, names))


class People:
    """Turns logins and addresses into keyed hashes; remembers them, since histories repeat few people.

    `bots` tells of an account, in its normal form, whether it is a bot beside those that everybody knows.
    """

    def __init__(self, key: bytes, bots: Callable[[str], bool] = lambda _: False) -> None:
        self._key = key
        self._bots = bots
        self._known: dict[str, str] = {}
        self._automated: dict[tuple[str, ...], bool] = {}

    def hashed(self, identifier: str) -> str:
        """`person:` and 32 hex digits for a login or address; how it is written does not matter.

        What is already hashed comes back unchanged, so exported events can be imported again.
        """
        known = self._known.get(identifier)
        if known is None:
            same = identifier if _HASHED.fullmatch(identifier) else self._hash(normal_form(identifier))
            known = self._known[identifier] = same
        return known

    def named(self, name: str) -> str:
        """The hash of somebody of whom only a display name is known: nobody's account, and nobody's address."""
        return self._hash(f"\0{normal_form(name)}")

    def derived(self, purpose: str) -> bytes:
        """A key for something else, 32 bytes: it tells nothing of this one, and hashes by it match none of these."""
        return hmac.new(self._key, f"paceline/{purpose}".encode(), hashlib.sha256).digest()

    def is_bot(self, *names: str) -> bool:
        """True where a login or address belongs to automation, by what everybody knows or by what was told here."""
        known = self._automated.get(names)
        if known is None:
            told = is_bot(*names) or any(self._bots(_account(name)) for name in names)
            known = self._automated[names] = told
        return known

    def _hash(self, plain: str) -> str:
        digest = hmac.new(self._key, plain.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return PERSON_PREFIX + digest.hexdigest()[:32]


def load_key(data_dir: Path, environment: str | None) -> bytes:
    """The key of the hashes: from the environment, else from `people.key` in the data directory.

    The file is generated on first use, readable by its owner alone. Losing it makes every person a new one.
    """
    if environment:
        if len(environment.encode()) < _MINIMUM_KEY_BYTES:
            raise ConfigError(
                Mistake(
                    file="environment",
                    line=0,
                    path="PACELINE_PEOPLE_KEY",
                    problem="the key is too short",
                    expected=f"at least {_MINIMUM_KEY_BYTES} bytes, for example from `openssl rand -hex 32`",
                )
            )
        return environment.encode()
    path = data_dir / "people.key"
    if not path.exists():
        _write_new_key(path)
    return path.read_text(encoding="ascii").strip().encode()


def _write_new_key(path: Path) -> None:
    """Write beside, then link into place: a crash or a second process leaves one whole key."""
    draft = path.with_name(f".people.key.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(secrets.token_hex(32) + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first; its key counts
    finally:
        draft.unlink()
