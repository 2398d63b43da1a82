"""Which of several processes does what: one elected evaluator, and whose turn an account at an API is.

The evaluator holds a lease in PostgreSQL that it renews. Whether it still holds it is judged by its own clock, which
goes on while the process is frozen: who could not renew is silent before another one can take over.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from collector.errors import PacelineError, StoreError
from collector.secrets import reveal
from collector.source import SourceConfig
from collector.store import Guard, Transaction
from collector.store.leases import Claimed, Fence
from paceline.logs import Log

EVALUATOR = "evaluator"
LEASE_SECONDS = 9.0
"""How long a lease holds that is not renewed."""
RENEW_SECONDS = 3.0
LOOK_SECONDS = 1.0
"""How often a replica looks whether it may take over."""
MARGIN_SECONDS = 1.0
"""So much earlier than the database the holder itself takes its lease for over."""


def steady_clock() -> float:
    """Seconds that go on while the process is frozen and, where the system can say so, while the machine sleeps."""
    boot: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class Leases(Protocol):
    """Where leases are kept; see `collector.store.coordination`. Every method may raise StoreError."""

    holder: str

    def claim(self, name: str, seconds: float) -> Claimed | None:
        """Take or renew a lease; None where somebody else holds it."""

    def resign(self, name: str) -> None:
        """Give it back."""

    def held_by(self, name: str) -> str | None:
        """Who holds it."""

    def end_transactions_of(self, holder: str) -> int:
        """End what a former holder has open."""


class Role(Protocol):
    """What a process may do."""

    @property
    def shared(self) -> bool:
        """Whether there may be others."""

    def exposes(self) -> bool:
        """Whether it is the one that derives, exposes and sends, at this moment."""

    def term(self) -> int | None:
        """Since which election it is that one: another number each time; None where it is not."""

    def shown(self, term: int) -> None:
        """Numbers were published that it evaluated since that election."""

    def shows(self) -> bool:
        """Whether it is that one, and has such numbers. Those of before may be lower than what another one exposed."""

    def evaluator(self) -> str:
        """Who is: `this replica`, `another replica` or `nobody`."""


class Alone:
    """The role of a process that shares its store with no other evaluator."""

    shared = False

    def exposes(self) -> bool:
        """Always."""
        return True

    def term(self) -> int | None:
        """Since ever."""
        return 0

    def shown(self, term: int) -> None:
        """Nobody exposed anything before."""

    def shows(self) -> bool:
        """Always."""
        return True

    def evaluator(self) -> str:
        """This one."""
        return "this replica"


class Election:
    """The role of one of several replicas. Its thread takes part until it is stopped."""

    shared = True

    def __init__(self, leases: Leases, log: Log, clock: Callable[[], float] = steady_clock) -> None:
        self._leases, self._log, self._clock = leases, log, clock
        self._held: tuple[Claimed, float] | None = None
        """The lease, and until when by the own clock."""
        self._shown: int | None = None
        """The token of the lease under which numbers were published last."""
        self._other = ""
        self._elected: Callable[[], None] = lambda: None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def exposes(self) -> bool:
        """Whether the lease is held for certain."""
        return self.term() is not None

    def term(self) -> int | None:
        """The token of the lease, while it is held for certain."""
        held = self._held
        return held[0].token if held is not None and self._clock() < held[1] else None

    def shown(self, term: int) -> None:
        """From now on the numbers of this election are there."""
        self._shown = term

    def shows(self) -> bool:
        """Whether the lease is held for certain, and numbers were published under it."""
        term = self.term()
        return term is not None and term == self._shown

    def evaluator(self) -> str:
        """Who holds it, as far as was heard."""
        if self.exposes():
            return "this replica"
        return "another replica" if self._other else "nobody"

    def guard(self, transaction: Transaction) -> None:
        """Let a transaction write only while the lease is held. Raises NoLongerHolder."""
        self.fence()(transaction)

    def fence(self) -> Guard:
        """The same for the lease as it is held now, also in another process."""
        held = self._held
        return Fence(EVALUATOR, self._leases.holder, held[0].token if held else -1)

    def look(self) -> None:
        """Renew the lease, or take it where it is free. What goes wrong is as if it were not free."""
        was, at = self._held, self._clock()
        try:
            claimed = self._leases.claim(EVALUATOR, LEASE_SECONDS)
            self._other = "" if claimed else self._leases.held_by(EVALUATOR) or ""
            if claimed is not None and (was is None or was[0].token != claimed.token):
                self._take_over(claimed)
        except StoreError as error:
            self._log.warning("this replica cannot ask who the evaluator is", error=str(error))
            return
        # Counted from before it was asked for: the answer may have taken long.
        self._held = None if claimed is None else (claimed, at + LEASE_SECONDS - MARGIN_SECONDS)
        if claimed is None:
            if was is not None:
                self._log.warning("another replica is the evaluator now")
        elif was is None or was[0].token != claimed.token:
            self._log.info("this replica is the evaluator now")
            self._elected()

    def start(self, elected: Callable[[], None]) -> None:
        """Take part from now on; `elected` is called, in the thread, when the lease was taken."""
        self._elected = elected
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take part no more, and give back what is held."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(RENEW_SECONDS)
        held, self._held = self._held, None
        if held is not None:
            try:
                self._leases.resign(EVALUATOR)
            except StoreError as error:
                self._log.warning("the evaluator's lease could not be given back, it ends by itself", error=str(error))

    def _take_over(self, claimed: Claimed) -> None:
        if claimed.before not in (None, self._leases.holder):
            self._leases.end_transactions_of(str(claimed.before))

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(RENEW_SECONDS if self._held else LOOK_SECONDS)


class Guest(Election):
    """The role of one command on a store that replicas may share: it derives while nobody else is the evaluator.

    Else it reads what the evaluator derived. Who needs no numbers takes no part.
    """

    shared = False

    def __init__(self, leases: Leases, log: Log, clock: Callable[[], float] = steady_clock) -> None:
        super().__init__(leases, log, clock)
        self._asked = False

    def term(self) -> int | None:
        """As of a replica; the first who asks begins to take part, where nobody leads."""
        if not self._asked:
            self._asked = True
            self.look()
            if self._held is None:  # nor later: it would take the lead from those who expose
                self._log.info("another process is the evaluator: what it derived is told, and nothing derived here")
            else:
                self.start(lambda: None)
        return super().term()


def account_of(source: SourceConfig, key: bytes) -> str:
    """The lock of a source: that of its account, where it asks a server with a credential; else its own.

    An account is a keyed hash of the server and the credential, which cannot be told from it.
    """
    host = (urlsplit(str(getattr(source, "url", "") or "")).hostname or "").lower()
    secrets = [_revealed(getattr(source, name, None)) for name in ("username", "token", "private_key")]
    named = [str(getattr(source, name, None) or "") for name in ("app_id", "installation_id")]
    if not host or not any(secrets):
        return f"source {source.name}"
    told = "\0".join((host, *secrets, *named)).encode("utf-8", "surrogatepass")
    return "account " + hmac.new(key, b"account\0" + told, hashlib.sha256).hexdigest()[:32]


def _revealed(secret: object) -> str:
    try:
        return reveal(secret) if isinstance(secret, SecretStr) else str(secret or "")
    except PacelineError:  # its file is being replaced: the run itself says so
        return ""
