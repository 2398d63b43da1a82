"""The settings of a JSON API: its lists, how they are paged and read on, and which events their items become."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self, cast

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from collector.document import nearest
from collector.events import Deployment
from collector.expressions import ExpressionText, Template, TemplateText
from collector.name_rules import checked_expression
from collector.systems.http_json.formats import FormatText, TimeForm, ZoneText, lacks_zone
from collector.systems.http_json.kinds import ISSUE, KINDS, FieldOf, Holds, fields_of

SINCE = "{since}"
"""Where in what is asked the time stands from which on items are wanted."""
ID = "{id}"
"""Where in the path of one item its id stands."""
_WITH_RULES = ("version", "artifact", "previous_sha", "change_shas", "labels", "links", "actor_team", "rolled_back")
"""What a rule for deployments does not know of a run."""
_SECRETS = frozenset(
    {
        *("token", "apitoken", "accesstoken", "authtoken", "privatetoken", "apikey", "accesskey"),
        *("secret", "clientsecret", "password", "passwd", "authorization"),
    }
)
"""Parameters by which systems take credentials, in small letters alone."""


def _path(text: str) -> str:
    if "://" in text or set("?#") & set(text):
        raise ValueError(f"{text!r} is no path; expected what follows `url`, with its query under `parameters`")
    return text.lstrip("/")  # the one at the end stays: without it some servers answer with another address


def _path_with(place: str, text: str) -> str:
    """A path in which a place is filled in, and nothing else."""
    if set("{}") & set(text.replace(place, "")):
        raise ValueError(f"a brace of {text!r} would be sent as it is; expected {place} alone between braces")
    return _path(text)


def _path_of_list(text: str) -> str:
    return _path_with(SINCE, text)


def _path_by_id(text: str) -> str:
    return _path_with(ID, text)


def _path_of_one(text: str) -> str:
    if ID not in text:
        raise ValueError(f"{text!r} names no item; expected a path with {ID}, such as builds/{ID}")
    return _path_by_id(text)


def _without_secrets(parameters: dict[str, list[str]]) -> dict[str, list[str]]:
    """Refuses what stands for credentials: addresses are written into logs on the way and at the server."""
    for name in parameters:
        if re.sub(r"[^a-z]", "", name.lower()) in _SECRETS:
            raise ValueError(f"{name!r} would show a secret in addresses; expected `token` with `header`")
    return parameters


def _pattern(text: str) -> str:
    groups = re.compile(checked_expression(text)).groups
    if groups > 1:
        raise ValueError(f"{groups} groups; expected at most one, around what is taken")
    return text


def _kind(text: str) -> str:
    if text not in KINDS:
        near = nearest(text, KINDS)
        raise ValueError(f"{text!r} is no kind of event; expected {near or 'one of ' + ', '.join(KINDS)}")
    return text


def _template(text: str) -> str:
    return Template(text).text


def _one_or_more(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (bool, int, float)) else value


def _time_form(value: Any) -> Any:
    return {"format": value} if isinstance(value, str) else value


def _rule(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_as_text)]
Parameters = Annotated[
    dict[str, Annotated[list[Text], BeforeValidator(_one_or_more)]], AfterValidator(_without_secrets)
]
PathText = Annotated[TemplateText, AfterValidator(_path)]
PatternText = Annotated[str, AfterValidator(_pattern)]
KindText = Annotated[str, AfterValidator(_kind)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Paging(_Settings):
    """How a long list is handed out."""

    kind: Literal["none", "page", "offset", "cursor", "link", "next_url", "keyset"] = Field(
        description="`page` by number, `offset` by how many come before, `cursor` by a token in the answer, `link` by "
        "the `Link` header, `next_url` by an address in the answer, `keyset` by the last item's `id`."
    )
    parameter: str = Field(
        default="", description="The parameter that asks for a page: `page` or `offset` unless given."
    )
    size_parameter: str = Field(default="", description="The parameter for the size of a page.")
    size: int = Field(default=100, ge=1, le=10_000, description="How many items are asked for at once.")
    first: int = Field(default=1, ge=0, le=1, description="The number of the first page.")
    next: ExpressionText | None = Field(
        default=None, description="Where in the answer the next token or address stands; nothing or false at the end."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.kind in {"cursor", "next_url"} and self.next is None:
            raise ValueError(f"paging by {self.kind} has no `next`; expected where the next one stands in the answer")
        if self.kind in {"cursor", "keyset"} and not self.parameter:
            raise ValueError(f"paging by {self.kind} has no `parameter`; expected the one that asks for the next page")
        if self.next is not None and self.kind not in {"cursor", "next_url"}:
            raise ValueError(f"paging by {self.kind} takes no `next`; expected kind cursor or next_url")
        return self

    @property
    def asks_with(self) -> str:
        """The parameter that asks for a page; empty where there is none."""
        return self.parameter or (self.kind if self.kind in {"page", "offset"} else "")


class Since(TimeForm):
    """How only what is new is asked for: the time stands where a parameter, the path or the body says `{since}`."""

    field: ExpressionText = Field(description="Where the time stands in an item, by which the next run goes on.")
    format: FormatText = Field(default="rfc3339", description="How the time is written in what is asked.")
    order: Literal["ascending", "descending"] | None = Field(
        default=None,
        description="How the items are ordered by that time. `ascending`: pages go on from the last item's time, so "
        "nothing that moves while the list is read is missed. `descending`: reading stops at what is old.",
    )


class Open(_Settings):
    """Which items may still change without being new, and how these are asked for again until they have ended.

    With neither `path` nor `parameter` the list is read again from the oldest of them.
    """

    when: ExpressionText = Field(description="What is true of an item that has not ended.")
    path: Annotated[str, AfterValidator(_path_of_one)] | None = Field(
        default=None, description="The path of one item, such as `builds/{id}`."
    )
    take: ExpressionText | None = Field(default=None, description="Where the item stands in the answer of `path`.")
    parameter: str = Field(default="", description="The parameter of the list that takes ids.")
    separator: str = Field(default="", description="What joins ids in one parameter; it is repeated unless given.")

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if self.path is not None and self.parameter:
            raise ValueError("both `path` and `parameter`; expected one of them")
        return self


class Detail(_Settings):
    """A request for each item, whose answer the expressions of its events find under its name."""

    path: PathText = Field(description="Its path, with expressions: `tickets/{id}/notes`.")
    parameters: Annotated[
        dict[str, Annotated[list[Annotated[Text, AfterValidator(_template)]], BeforeValidator(_one_or_more)]],
        AfterValidator(_without_secrets),
    ] = Field(default_factory=dict, description="Parameters of the request, with expressions: `{id}`.")
    when: ExpressionText | None = Field(default=None, description="Which items it is made for; all unless given.")
    take: ExpressionText | None = Field(default=None, description="What of the answer is kept; all unless given.")
    paging: Paging = Field(
        default=Paging(kind="none"), description="How it is handed out; with it `take` is a list, and so is the answer."
    )


class Lookup(_Settings):
    """What ids stand for: a request for each id, or one for a list of all of them."""

    path: Annotated[str, AfterValidator(_path_by_id)] = Field(
        description="The path of one, such as `users/{id}`, or of a list of all."
    )
    parameters: Parameters = Field(default_factory=dict, description="Parameters of the request.")
    items: ExpressionText | None = Field(default=None, description="Where the list stands in its answer.")
    id: ExpressionText = Field(default="id", description="Where the id stands in an entry of the list.")
    paging: Paging = Field(
        default=Paging(kind="none"), description="How a list of all is handed out; in one answer unless given."
    )
    take: ExpressionText = Field(description="Where stands what the id stands for.")


class Nested(_Settings):
    """A list inside an item: of each entry a record becomes. Expressions look at the entry alone."""

    items: ExpressionText = Field(description="Where the list stands in the item.")
    when: ExpressionText | None = Field(default=None, description="Which entries count; all unless given.")
    fields: dict[str, Annotated[FieldRule, BeforeValidator(_rule)]] = Field(description="What each field is.")


class FieldRule(_Settings):
    """What a field is: found by an expression, a fixed value, a text with expressions, or a list of records."""

    found: ExpressionText | None = Field(default=None, alias="from", description="Where it stands in the item.")
    value: Any = Field(default=None, description="The same for all.")
    text: TemplateText | None = Field(default=None, description="A text with expressions: `run/{id}`.")
    each: Nested | None = Field(default=None, description="A list of records.")
    when: ExpressionText | None = Field(default=None, description="What must be true for it to be stated at all.")
    lookup: str = Field(default="", description="The lookup that tells what an id stands for.")
    map: dict[str, Any] = Field(default_factory=dict, description="What the system's values mean.")
    default: Any = Field(
        default=None,
        description="With `map`, what a value means that it does not list, which is reported; without, what stands "
        "where nothing is found.",
    )
    pattern: PatternText | None = Field(
        default=None, description="What of a text is taken: the group of an expression, or all it finds."
    )
    format: FormatText | None = Field(default=None, description="How the time is written, where not as `times`.")
    zone: ZoneText = Field(default="", description="The zone of such times without an offset.")
    plus: ExpressionText | None = Field(default=None, description="A duration in `unit` that is added to the time.")
    unit: Literal["ms", "s", "m", "h", "d"] = Field(default="s", description="What a duration counts.")

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        ways = ("found", "value", "text", "each")
        given = [name for name in ways if name in self.model_fields_set]
        if len(given) != 1:
            raise ValueError("a field says none or several of these; expected one of from, value, text, each")
        if self.map and self.each:
            raise ValueError("a list of records has no `map`; expected it at one of its fields")
        return self

    def fixed(self) -> Iterator[Any]:
        """What it may be by the settings alone."""
        yield from [self.value, self.default, *self.map.values()]


class EventRule(_Settings):
    """An event that an item becomes."""

    kind: KindText = Field(
        description="The kind of event; or `issue`, of which `issues` makes a ticket or an incident."
    )
    when: ExpressionText | None = Field(default=None, description="Which items become one; all unless given.")
    fields: dict[str, Annotated[FieldRule, BeforeValidator(_rule)]] = Field(
        description="What each field of the kind is: where it stands in the item, or a rule."
    )
    deployment: dict[str, Annotated[FieldRule, BeforeValidator(_rule)]] = Field(
        default_factory=dict, description="What the deployments that rules make of this run get beside."
    )

    @field_validator("fields")
    @classmethod
    def _fit_the_kind(cls, value: dict[str, FieldRule], info: ValidationInfo) -> dict[str, FieldRule]:
        if kind := info.data.get("kind"):
            _check(value, fields_of(KINDS[kind]), f"a {kind}")
        return value

    @field_validator("deployment")
    @classmethod
    def _fit_a_deployment(cls, value: dict[str, FieldRule], info: ValidationInfo) -> dict[str, FieldRule]:
        if value and info.data.get("kind") != "pipeline_run":
            raise ValueError("only runs become deployments by rules; expected the fields of this kind alone")
        known = {name: field for name, field in fields_of(Deployment).items() if name in _WITH_RULES}
        _check(value, known, "a deployment that a rule makes")
        return value

    @property
    def type(self) -> type[msgspec.Struct]:
        """The type of what its items become."""
        return KINDS[self.kind]

    def rules(self) -> Iterator[FieldRule]:
        """Its rules of fields, those inside lists among them."""
        return _all_of([*self.fields.values(), *self.deployment.values()])


def _all_of(rules: Iterable[FieldRule]) -> Iterator[FieldRule]:
    for rule in rules:
        yield rule
        if rule.each is not None:
            yield from _all_of(rule.each.fields.values())


def _check(rules: Mapping[str, FieldRule], known: Mapping[str, FieldOf], what: str) -> None:
    """Raises ValueError for a field that is not known, a required one that is missing, a rule that does not fit."""
    for name in rules:
        if name not in known:
            near = nearest(name, known)
            raise ValueError(f"{name!r} is no field of {what}; expected {near or 'one of ' + ', '.join(known)}")
    missing = [name for name, field in known.items() if field.required and name not in rules]
    if missing:
        raise ValueError(f"{what} lacks {', '.join(missing)}; expected a rule for each")
    for name, rule in rules.items():
        _check_rule(rule, known[name])


def _check_rule(rule: FieldRule, field: FieldOf) -> None:
    if (rule.each is not None) is not (field.holds is Holds.RECORDS):
        raise ValueError(f"`{field.name}` is {field.holds}; expected {_a_rule(field)}")
    if (rule.format or rule.zone or rule.plus) and field.holds is not Holds.TIME:
        raise ValueError(f"`{field.name}` is {field.holds}; expected format, zone and plus at times alone")
    if field.name == "native_id" and "value" in rule.model_fields_set:
        raise ValueError("`native_id` tells one event from another; expected from or text")
    if isinstance(rule.value, dict) or (isinstance(rule.value, list) and field.holds is not Holds.TEXTS):
        raise ValueError(f"`{field.name}` is {field.holds}; expected `value` as one, without a mapping or list")
    for value in rule.fixed() if field.choices else ():
        if value is not None and value not in field.choices:
            shown = nearest(str(value), field.choices) or f"one of {', '.join(field.choices)}"
            raise ValueError(f"{value!r} is no value of `{field.name}`; expected {shown}")
    if rule.each is not None:
        inner = cast("type[msgspec.Struct]", field.records)
        _check(rule.each.fields, fields_of(inner), f"an entry of `{field.name}`")


def _a_rule(field: FieldOf) -> str:
    return "`each`" if field.holds is Holds.RECORDS else "from, value or text"


class ListSettings(_Settings):
    """A list that the API hands out."""

    path: Annotated[str, AfterValidator(_path_of_list)] = Field(description="Its path below `url`.")
    name: str = Field(default="", description="What it is called in messages and in the cursor; its path unless given.")
    method: Literal["GET", "POST"] = Field(default="GET", description="How it is asked for.")
    parameters: Parameters = Field(default_factory=dict, description="Parameters of every request.")
    body: Any = Field(
        default=None,
        description="The body of a POST. Parameters of pages stand in it too, by their place: `variables.after`.",
    )
    items: ExpressionText | None = Field(
        default=None, description="Where the items stand in an answer; the answer is the list unless given."
    )
    id: ExpressionText = Field(default="id", description="Where the id of an item stands.")
    times: Annotated[TimeForm, BeforeValidator(_time_form)] = Field(
        default_factory=TimeForm, description="How its times are written: a format, or `format` and `zone`."
    )
    paging: Paging = Field(default=Paging(kind="none"), description="How it is handed out; in one answer unless given.")
    since: Since | None = Field(default=None, description="How only what is new is asked for; all unless given.")
    open: Open | None = Field(default=None, description="Which items are read again until they have ended.")
    complete: bool = Field(
        default=False,
        description="Whether it holds all there is of its kinds: then what it no longer holds was deleted there.",
    )
    details: dict[str, Detail] = Field(default_factory=dict, description="Further requests for each item, by a name.")
    lookups: dict[str, Lookup] = Field(
        default_factory=dict, description="What ids stand for, by a name; asked once in a run for each."
    )
    events: list[EventRule] = Field(min_length=1, description="What its items become.")

    @model_validator(mode="after")
    def _works(self) -> Self:
        if self.body is not None and self.method == "GET":
            raise ValueError("a GET has no body; expected `method: POST`, or `parameters`")
        if self.method == "POST" and self.paging.kind in {"link", "next_url"}:
            raise ValueError(f"a POST is not paged by {self.paging.kind}; expected another kind of paging")
        if self.method == "POST" and not isinstance(self.body, dict) and self.paging.kind != "none":
            raise ValueError("the parameters of pages have no place; expected `body` as a mapping")
        return self

    @model_validator(mode="after")
    def _is_read_on(self) -> Self:
        if self.since is None and self.asks_since:
            raise ValueError(f"it asks with {SINCE}; expected `since` with the field of the time")
        if self.since is not None and not self.asks_since and self.since.order != "descending":
            raise ValueError(f"nothing asks with {SINCE}; expected it in a parameter, the path or the body")
        if self.complete and not self.reads_all:
            raise ValueError("a part of the list cannot be complete; expected neither `since` nor paging by keyset")
        again = self.open
        if again is not None and self.since is None and not (again.path or again.parameter or self.reads_all):
            raise ValueError("what is open is never met again; expected `path` or `parameter`, or `since`")
        return self

    @model_validator(mode="after")
    def _knows_its_zones(self) -> Self:
        for rule in (rule for event in self.events for rule in event.rules() if rule.format):
            if lacks_zone(str(rule.format), rule.zone or self.times.zone):
                raise ValueError(f"times as {rule.format!r} say no offset; expected `zone` beside it, or under `times`")
        return self

    @model_validator(mode="after")
    def _knows_its_lookups(self) -> Self:
        for name in {rule.lookup for event in self.events for rule in event.rules() if rule.lookup}:
            if name not in self.lookups:
                near = nearest(name, self.lookups)
                raise ValueError(f"no lookup is called {name!r}; expected {near or 'it under `lookups`'}")
        return self

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of events that its items may become."""
        found = {rule.kind for rule in self.events}
        found |= {"deployment"} if "pipeline_run" in found else set()
        return frozenset(found - {ISSUE} | ({"ticket", "incident"} if ISSUE in found else set()))

    @property
    def key(self) -> str:
        """What it is called."""
        return self.name or self.path.rstrip("/") or "list"

    @property
    def asks_since(self) -> bool:
        """Whether what is asked holds a time."""
        return SINCE in json.dumps([self.path, self.parameters, self.body])

    @property
    def reads_all(self) -> bool:
        """Whether each run reads the whole list."""
        return self.since is None and self.paging.kind != "keyset"


def asked_alone(
    path: str, parameters: Mapping[str, list[str]], items: str | None, paging: Paging, id_at: str
) -> ListSettings:
    """A list that is asked for beside another: a detail, or what ids stand for. It was checked where it is written."""
    return ListSettings.model_construct(path=path, parameters=dict(parameters), items=items, paging=paging, id=id_at)
