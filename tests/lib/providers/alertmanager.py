"""Notifications of Alertmanager, of version 4, as its documentation shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Sample, told

from collector.sources.alertmanager import AlertmanagerConfig
from collector.webhooks import Delivery

_AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
_FIRING = "0001-01-01T00:00:00Z"


def alert(name: str = "ShopDown", *, ended: str = "", **fields: Any) -> dict[str, Any]:
    """An alert of service shop, which fires unless an end is given."""
    return {
        "status": "resolved" if ended else "firing",
        "labels": {"alertname": name, "service": "shop", "environment": "production", "severity": "page"},
        "annotations": {"summary": f"{name}: nobody can buy"},
        "startsAt": "2026-03-02T07:00:00.123Z",
        "endsAt": ended or _FIRING,
        "generatorURL": "http://prometheus.example.com/graph?g0.expr=up",
        "fingerprint": f"c0ffee{name.lower()}",
        **fields,
    }


def notification(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A notification of alerts."""
    firing = any(one["status"] == "firing" for one in alerts)
    return {
        "version": "4",
        "groupKey": '{}:{alertname="ShopDown"}',
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "paceline",
        "groupLabels": {"alertname": "ShopDown"},
        "commonLabels": {"severity": "page"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.com",
        "alerts": list(alerts),
        **fields,
    }


def delivered(body: Any, at: datetime = _AT, secret: str = "t0ken-of-the-sample") -> Delivery:  # noqa: S107 - no secret
    """A notification as it comes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(headers={"authorization": f"Bearer {secret}"}, body=raw, received_at=at)


def sample(folder: Path) -> Sample:
    """One alert that fires and one that was resolved, with people where people put them."""
    owned = {"owner": PLANTED_MAIL, "on_call": PLANTED_NAME}
    labels = {**alert()["labels"], **owned}
    some = [alert("SlowShop", labels=labels), alert("ShopDown", ended="2026-03-02T07:30:00Z", labels=labels)]
    return told(
        AlertmanagerConfig,
        folder,
        [delivered(notification(*some))],
        type="alertmanager",
        incidents=[{"labels": {"severity": "page"}}],
    )
