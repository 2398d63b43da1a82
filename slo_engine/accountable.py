"""What files have in common in which a team answers for an exception: who, which ticket, when, for which SLOs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from collector.document import Document, DocumentPath, nearest, read_documents
from collector.errors import ConfigError, Mistake
from slo_engine.exclusions import concerns
from slo_engine.slo import Slo

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?")
_EXAMPLE = "2026-03-01T22:00Z"


def _time(text: Any) -> datetime:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise ValueError(f"{str(text)[:40]!r} is no time; expected one such as {_EXAMPLE}")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not in the calendar; expected a time such as {_EXAMPLE}") from error


def _role(text: str) -> str:
    if "@" in text:
        raise ValueError("a person's address would be published; expected the name of a team or a role")
    if not text.strip():
        raise ValueError("nobody is named; expected the name of a team or a role")
    return text


def _ticket(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        raise ValueError("a number stands here; expected the ticket as text in quotes")  # noqa: TRY004 - pydantic collects these
    if isinstance(value, str) and not value.strip():
        raise ValueError('the ticket is empty; expected one such as "OPS-17"')
    return value


_Time = Annotated[datetime, BeforeValidator(_time)]


class Accountable(BaseModel):
    """Who answers for an exception, under which ticket, from when until when, and for which SLOs it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slo: str = ""
    service: str = ""
    author: Annotated[str, AfterValidator(_role), Field(description="the name of a team or a role.")]
    ticket: Annotated[str, BeforeValidator(_ticket), Field(description='the text of a ticket such as "OPS-17".')]
    starts_at: _Time = Field(alias="from", description=f"a time such as {_EXAMPLE}.")
    ends_at: _Time = Field(alias="until", description=f"a time such as {_EXAMPLE}.")

    @model_validator(mode="after")
    def _for_somebody(self) -> Self:
        if bool(self.slo) == bool(self.service):
            problem = "names both an SLO and a service" if self.slo else "names no SLO and no service"
            raise ValueError(f"{problem}; expected slo (a name or a glob such as checkout-*) or service")
        return self


def only_document(path: Path, held: str) -> Document:
    """The one document of a file. Raises ConfigError where there is another one, beside those of reading."""
    document, *others = read_documents(path)
    if others:
        raise ConfigError(others[0].mistake((), "a second document", f"one, with all {held}"))
    return document


def backwards(document: Document, at: DocumentPath, written: Accountable) -> Mistake:
    """The mistake of an end that is not after its beginning."""
    problem = f"{written.ends_at.isoformat()} is not after from ({written.starts_at.isoformat()})"
    return document.mistake((*at, "until"), problem, "a later time")


def unconcerned(document: Document, at: DocumentPath, written: Accountable, slos: Sequence[Slo]) -> list[Mistake]:
    """A mistake where what is written is for none of the SLOs, naming the nearest; else nothing."""
    if any(concerns(slo, written.slo, written.service) for slo in slos):
        return []
    if written.slo:
        known = sorted({slo.name for slo in slos})
        key, name, problem = "slo", written.slo, f"there is no SLO {written.slo[:60]!r}"
    else:
        known = sorted({name for slo in slos for name in (slo.owner_service, slo.service) if name})
        key, name, problem = "service", written.service, f"no SLO is of a service {written.service[:60]!r}"
    listed = f"one of {', '.join(known[:5])}" if known else "none while there are no SLOs"
    return [document.mistake((*at, key), problem, nearest(name, known) or listed)]
