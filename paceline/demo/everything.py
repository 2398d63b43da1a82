"""All that happens to the example organisation."""

from __future__ import annotations

from collections.abc import Iterator

from collector.events import Event
from paceline.demo import collections, newcomers, pages, probes, self_service, support, surveys, trouble, usage
from paceline.demo.deployments import Releases
from paceline.demo.organisation import Example
from paceline.demo.repositories import Repository
from paceline.demo.requests import requests


def all_events(example: Example) -> Iterator[Event]:
    """The events of all sources, source by source."""
    yield from _delivery(example)
    for part in (trouble, newcomers, self_service, support, usage, surveys, pages, probes, collections):
        yield from part.events(example)


def _delivery(example: Example) -> Iterator[Event]:
    for name, proposed in requests(example).items():
        repository = Repository(example, name, proposed)
        yield from repository.events()
        for product in example.products:
            if product.repository == name:
                yield from Releases(example, product, repository.line).events()
