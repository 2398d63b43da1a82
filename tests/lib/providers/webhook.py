"""Deliveries in Paceline's own JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Sample, told

from collector.sources.webhook import WebhookConfig
from collector.webhooks import Delivery

_AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def sample(folder: Path) -> Sample:
    """A deployment alone, and a list with a ticket, both by somebody."""
    deployment = {
        "kind": "deployment",
        "native_id": "17",
        "service": "shop",
        "environment": "production",
        "finished_at": "2026-03-02T09:00:00+01:00",
        "result": "success",
        "actor": PLANTED_MAIL,
    }
    ticket = {
        "kind": "ticket",
        "native_id": "7",
        "queue": "help",
        "state": "open",
        "created_at": "2026-03-02T07:00:00Z",
        "author": PLANTED_NAME,
        "replies": [{"at": "2026-03-02T07:30:00Z", "author": PLANTED_MAIL}],
    }
    bodies = [json.dumps(deployment), json.dumps([ticket, {**ticket, "native_id": "8", "author": None}])]
    headers = {"authorization": "Bearer t0ken-of-the-sample"}
    deliveries = [Delivery(headers=headers, body=body.encode(), received_at=_AT) for body in bodies]
    return told(WebhookConfig, folder, deliveries, type="webhook")
