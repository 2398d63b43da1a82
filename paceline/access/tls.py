"""The certificate that the service answers with, read anew when its files change. TLS 1.2 at least."""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path

from collector.errors import PacelineError
from paceline.logs import Log

_LOOK_SECONDS = 10.0

_Seen = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate and its key, as PEM files. `context` stays the same; new connections get the newest certificate."""

    def __init__(self, certificate: Path, key: Path, log: Log) -> None:
        """Read the files. Raises PacelineError where they cannot be used."""
        self._files, self._log = (certificate, key), log
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        try:
            self._seen = self._look()
            self.context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or "the key does not fit, or this is no PEM"
            raise PacelineError(f"the certificate {certificate} cannot be used: {why}; see server.tls") from None

    def renew(self) -> bool:
        """Read the files where they have changed, and say whether; what cannot be used is logged, the old one stays."""
        try:
            seen = self._look()
            if seen == self._seen:
                return False
            # Tried apart first: a pair that does not fit would leave the context with half of it.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            # Certificate and key are two files: in between, one of them is new. The next look reads both.
            self._log.warning("a changed certificate cannot be used yet; the old one stays", error=str(error.strerror))
            return False
        self._seen = seen
        self._log.info("the certificate was read anew")
        return True

    def keep_new(self, stop: threading.Event) -> None:
        """Renew until told to stop."""
        while not stop.wait(_LOOK_SECONDS):
            self.renew()

    def _look(self) -> _Seen:
        # The file behind a link: Kubernetes swaps a link to the folder.
        return tuple((s.st_ino, s.st_mtime_ns, s.st_size) for s in map(os.stat, self._files))
