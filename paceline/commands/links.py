"""Where alerts point to: the options of commands that make rules."""

from __future__ import annotations

from urllib.parse import urlsplit

import click

from slo_engine.annotations import Links

base_url_option = click.option(
    "--base-url", default="", metavar="URL", help="Where this service is reached, for links in alerts."
)
dashboard_url_option = click.option(
    "--dashboard-url", default="", metavar="URL", help="Where the dashboard of SLOs is, for links in alerts."
)


def links_of(base_url: str, dashboard_url: str) -> Links:
    """The links of both addresses. Raises UsageError for what is no address."""
    return Links(paceline=_address("--base-url", base_url), dashboard=_address("--dashboard-url", dashboard_url))


def _address(option: str, url: str) -> str:
    """An address without a slash at its end."""
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment):
        raise click.UsageError(f"{option}: {url!r} is no address; expected one such as https://paceline.example.com")
    return url.rstrip("/")
