"""Where metrics are sent to those who do not scrape: what can be set."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from collector.api import Url
from collector.durations import Duration
from collector.secrets import Secret

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset(
    {
        *("content-encoding", "content-length", "content-type", "host", "user-agent"),
        "x-prometheus-remote-write-version",
    }
)


def _interval(value: timedelta) -> timedelta:
    # After five minutes without a sample Prometheus holds a series for ended.
    if not timedelta(seconds=1) <= value <= timedelta(minutes=4):
        raise ValueError("numbers sent so seldom would come and go; expected 1s to 4m")
    return value


def _names(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not _LABEL_NAME.fullmatch(name) or name.startswith("__"):
            raise ValueError(f"{name[:40]!r} is no label name; expected letters, digits and _, such as cluster")
    return value


def _headers(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name in value:
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name[:40]!r} is no header to give; expected one such as X-Scope-OrgID")
    return value


class Destination(BaseModel):
    """Where metrics are sent: what all kinds have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Url
    every: Annotated[Duration, AfterValidator(_interval)] = Field(
        default=timedelta(minutes=1), description="How often numbers are sent again while they stay the same; up to 4m."
    )
    headers: Annotated[dict[str, Secret], AfterValidator(_headers)] = Field(
        default_factory=dict, description="Headers of each request; their values as ${NAME} or as file:/path."
    )
    timeout: Duration = Field(default=timedelta(seconds=10), description="How long one answer may take.")
    ca_file: Path | None = Field(
        default=None, description="Certificates to trust instead of the public ones, as a PEM file."
    )


class OtlpSettings(Destination):
    """Where the metrics go over OTLP."""

    url: Url = Field(
        description="Base URL of an OTLP/HTTP receiver, for example http://localhost:4318; /v1/metrics is added."
    )


class RemoteWriteSettings(Destination):
    """Where the metrics go by Prometheus remote write."""

    url: Url = Field(description="Address that takes remote write, for example http://mimir:9009/api/v1/push.")
    token: Secret = Field(default=SecretStr(""), description="Bearer token: give it as ${NAME} or as file:/path.")
    username: str = Field(default="", description="User of basic authentication, instead of a token.")
    password: Secret = Field(default=SecretStr(""), description="Its password: give it as ${NAME} or as file:/path.")
    labels: Annotated[dict[str, str], AfterValidator(_names)] = Field(
        default_factory=dict, description="Labels that all series get, for example the name of the cluster."
    )

    @model_validator(mode="after")
    def _one_way_to_prove_oneself(self) -> Self:
        if self.username and self.token.get_secret_value():
            raise ValueError("a token and a user exclude each other; expected one of `token` and `username`")
        return self
