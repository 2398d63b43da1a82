"""An exporter with one counter, to be run as a program and killed.

It prints the address it serves. Each line of its input is a code, and how many requests ended with it.
"""

from __future__ import annotations

import sys

from prometheus_client import CollectorRegistry, Counter, start_http_server


def main() -> None:
    """Serve and count until the input ends."""
    registry = CollectorRegistry()
    requests = Counter("shop_requests", "Requests that ended.", ["code"], registry=registry)
    for code in ("200", "500"):
        requests.labels(code)
    server, _ = start_http_server(0, "127.0.0.1", registry)
    print(f"127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 - the answer to who started it
    for line in sys.stdin:
        code, count = line.split()
        requests.labels(code).inc(int(count))


if __name__ == "__main__":
    main()
