"""How commands ask a Prometheus."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import click

from collector.http import ApiClient, Limits
from slo_engine.prometheus_api import Ask, data_of

TOKEN = "PACELINE_PROMETHEUS_TOKEN"  # noqa: S105 - the name of a variable
_LIMITS = Limits(seconds=120.0, attempts=3, patience_seconds=10.0)

prometheus_option = click.option(
    "--prometheus",
    "url",
    default="",
    metavar="URL",
    help=f"The address of a Prometheus, such as http://localhost:9090; {TOKEN} is its bearer token.",
)


@contextlib.contextmanager
def asking(url: str) -> Iterator[Ask]:
    """Asks the API of a Prometheus for the data of a path. Raises SourceError where it does not answer."""
    token = os.environ.get(TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with contextlib.closing(ApiClient(f"{url.rstrip('/')}/api/v1", headers=headers, limits=_LIMITS)) as client:
        yield lambda path: data_of(client.get(path).json())
