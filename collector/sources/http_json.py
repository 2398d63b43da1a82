"""Any API that answers in JSON, described in the settings: which lists it has, and which events their items become.

What is asked stands in `collector/systems/http_json/`: settings, places of pages, the reading of a list, the mapping.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from collector.api import CiConfig, TrackerConfig
from collector.errors import Mistake
from collector.events import TYPE_OF_KIND
from collector.http import ApiClient
from collector.records import Records
from collector.secrets import Secret, reveal
from collector.source import About, Page, SourceContext
from collector.streams import Notes, Stream, pull
from collector.systems.http_json.kinds import ISSUE
from collector.systems.http_json.lists import Reader, Span
from collector.systems.http_json.lookups import Lookups
from collector.systems.http_json.mapping import Shapes
from collector.systems.http_json.places import Pages
from collector.systems.http_json.settings import ListSettings
from collector.tracking import IssueRule

_TOKEN = "{token}"  # noqa: S105 - the place of one
_HEADER = re.compile(r"([A-Za-z0-9-]+): *(.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_ABOUT = About(
    system="Any API that answers in JSON",
    gives=("any kind",),
    tested="real server",
    scopes=(("what the API asks for to read its lists", "nothing is ever written, but a POST may be how it is asked"),),
    costs=(
        ("a list", "1 request for each page, and 1 more where only an empty page is the end"),
        ("details", "1 more for each item and detail"),
        ("a run in which nothing happened", "what the overlap holds; the whole list where `since` is not given"),
    ),
    limits=(
        "Where an API stops after so many pages, `order: ascending` goes on by time, past that limit.",
        "What was deleted is seen where a list says that it is `complete`, and has no `since`.",
        "A login that hands out a session first is not made: give a token, or a proxy before the API.",
    ),
    example="""\
sources:
  - type: http_json
    name: desk
    url: https://desk.example.com/api
    token: ${DESK_TOKEN}
    lists:
      - path: tickets
        events:
          - {kind: ticket, fields: {native_id: id, queue: team, state: status, created_at: created}}
""",
    more="""\
How a list is described, from the first request to the last field, with three products as examples, stands in
[any JSON API](../http-json.md).
""",
)


_DO_NOTHING = {
    name: Mistake(file="", line=0, path=name, problem=problem, expected=expected)
    for name, problem, expected in (
        ("deployments", "no list gives a run that a rule could take", "an event of kind pipeline_run"),
        ("issues", "rules without issues, or issues without rules", "`issues` where a list gives kind issue"),
        ("webhook_secret", "nothing is received here", "a source of type webhook beside this one"),
    )
}


def _header(text: str) -> str:
    if text and (_HEADER.fullmatch(text) is None or text.count(_TOKEN) != 1 or "\n" in text):
        raise ValueError("this is no header with a token; expected for example `X-API-Key: {token}`")
    return text


def _names_of_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or "\n" in value.get_secret_value():
            raise ValueError(f"{name!r} is no header of one line; expected for example `X-Api-Version: ...`")
    return headers


class HttpJsonConfig(CiConfig, TrackerConfig):
    """Settings of any API that answers in JSON."""

    type: Literal["http_json"]
    about: ClassVar[About] = _ABOUT

    username: Secret = Field(
        default=SecretStr(""), description="The user of basic authentication; `token` is then the password."
    )
    header: Annotated[str, AfterValidator(_header)] = Field(
        default="Authorization: Bearer {token}", description="The header that carries the token."
    )
    headers: Annotated[dict[str, Secret], AfterValidator(_names_of_headers)] = Field(
        default_factory=dict, description="Further headers of every request, such as the version of an API."
    )
    issues: list[IssueRule] = Field(
        default_factory=list,
        description="Which items of kind `issue` are tickets or incidents: the first rule that fits; see "
        "docs/tracking.md.",
    )
    lists: list[ListSettings] = Field(
        min_length=1, description="The lists that are read, and what their items become; see docs/http-json.md."
    )

    @model_validator(mode="after")
    def _sends_one_token(self) -> Self:
        if self.username.get_secret_value() and "header" in self.model_fields_set:
            raise ValueError("`header` is not sent beside `username`, whose password is `token`; expected one of them")
        return self

    @field_validator("lists")
    @classmethod
    def _are_told_apart(cls, value: list[ListSettings]) -> list[ListSettings]:
        twice = [key for key, n in Counter(one.key for one in value).items() if n > 1]
        if twice:
            raise ValueError(f"two lists are called {twice[0]!r}; expected a `name` of its own for each")
        count = Counter(kind for one in value for kind in one.kinds)
        for one in value:
            shared = sorted(kind for kind in one.kinds if count[kind] > 1)
            if one.complete and shared:
                raise ValueError(f"{one.key!r} is not complete: another list gives {shared[0]} too; expected it alone")
        return value

    def build(self, context: SourceContext) -> HttpJsonSource:
        """The source."""
        return HttpJsonSource(self._client(context), self, context)

    def check(self, context: SourceContext) -> list[Mistake]:
        """As every API's; and that the rules have something to look at."""
        kinds = {rule.kind for one in self.lists for rule in one.events}
        told = {
            "deployments": bool(self.deployments) and "pipeline_run" not in kinds,
            "issues": bool(self.issues) is not (ISSUE in kinds),
            "webhook_secret": bool(self.webhook_secret.get_secret_value()),
        }
        return [*super().check(context), *(_DO_NOTHING[name] for name, is_mistake in told.items() if is_mistake)]

    def _client(self, context: SourceContext) -> ApiClient:
        token, username = reveal(self.token), reveal(self.username)
        headers = {name: reveal(value) for name, value in self.headers.items()}
        if token and not username:
            name, _, value = self.header.partition(":")
            headers[name] = value.strip().replace(_TOKEN, token)
        return self.client(context, headers=headers, basic=(username, token) if username else None)


@dataclass(frozen=True)
class HttpJsonSource:
    """See HttpJsonConfig. One stream for each list."""

    client: ApiClient
    config: HttpJsonConfig
    context: SourceContext = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """The items of all lists since the cursor's, and those that had not ended."""
        now = self.context.clock()
        span = Span(
            horizon=self.config.horizon(self.context),
            overlap=self.config.overlap,
            oldest=now - self.config.history,
            parallel=self.config.parallel,
        )
        streams = [Stream(one.key, self._reader(one, span).read) for one in self.config.lists]
        yield from pull(None if self.context.since else cursor, streams, Notes())

    def _reader(self, settings: ListSettings, span: Span) -> Reader:
        records = Records(source=self.config.name, people=self.context.people)
        lookups = Lookups(self.client, settings.lookups, self.config.url)
        rules = self.config.deploying(self.context), self.config.tracking(self.context)
        shapes = Shapes(settings, records, *rules, lookups)
        complete = [TYPE_OF_KIND[kind] for kind in sorted(settings.kinds)] if settings.complete else []
        return Reader(Pages(self.client, settings, self.config.url), settings, shapes, span, complete)
