"""Settings of a source as a person would write them."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr


def plain(config: BaseModel, address: str) -> dict[str, Any]:
    """What is said, with the server's address, and secrets by reference: `SAMPLE_TOKEN`, or the file they name."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(address))
    return {name: _written(value, origin) for name, value in config if name in {*config.model_fields_set, "url"}}


def _written(value: Any, origin: str) -> Any:  # noqa: PLR0911 - one for each type
    match value:
        case SecretStr() if value.get_secret_value().startswith("file:"):
            return value.get_secret_value()
        case SecretStr():
            return "${SAMPLE_TOKEN}" if value.get_secret_value() else ""
        case timedelta():
            return f"{int(value.total_seconds())}s"
        case StrEnum():
            return value.value
        case str() if "://" in value:
            return origin + urlsplit(value).path
        case BaseModel():
            fields = type(value).model_fields
            said = ((name, one) for name, one in value if name in value.model_fields_set)
            return {fields[name].alias or name: _written(one, origin) for name, one in said}
        case dict():
            return {_written(name, origin): _written(one, origin) for name, one in value.items()}
        case list():
            return [_written(one, origin) for one in value]
    return value
