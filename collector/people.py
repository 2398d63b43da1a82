"""People become keyed hashes at the edge, and bots are told apart there. Nothing downstream sees a name.

The hash is keyed so that nobody who reads the store can test whether an address is in it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
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


def is_bot(*names: str) -> bool:
    """True where an account name or the local part of an address belongs to automation, not to a person."""
    for name in names:
        account = name.partition("@")[0].rpartition("+")[2].strip().lower()
        if account in _BOT_ACCOUNTS or _BOT_SHAPE.match(account):
            return True
    return False


class People:
    """Turns logins and addresses into keyed hashes; remembers them, since histories repeat few people."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}

    def hashed(self, identifier: str) -> str:
        """`person:` and 32 hex digits for a login or address; case and outer blanks do not matter.

        What is already hashed comes back unchanged, so exported events can be imported again.
        """
        known = self._known.get(identifier)
        if known is None:
            known = self._known[identifier] = self._hash(identifier)
        return known

    def _hash(self, identifier: str) -> str:
        if _HASHED.fullmatch(identifier):
            return identifier
        plain = identifier.strip().casefold().encode("utf-8", "surrogateescape")
        return PERSON_PREFIX + hmac.new(self._key, plain, hashlib.sha256).hexdigest()[:32]


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
