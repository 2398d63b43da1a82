"""Where alerts and boards point to: the options of commands that make rules, and what an address is."""

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
    return Links(paceline=address("--base-url", base_url), dashboard=address("--dashboard-url", dashboard_url))


def address(option: str, url: str) -> str:
    """An address without a slash at its end. Raises UsageError for what is none; the option is named."""
    if url and not _is_address(url):
        raise click.UsageError(f"{option}: {url!r} is no address; expected one such as https://paceline.example.com")
    return url.rstrip("/")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and not parts.query and not parts.fragment
