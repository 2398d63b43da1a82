"""People of a directory that speaks SCIM 2.0 (RFC 7643, 7644): who joined when, and who has left.

What of a user means what is `collector/systems/scim/users.py`'s. A pass over the list is read whole or again: places in
it are numbers, which move when somebody joins or leaves meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from collector.api import ApiConfig
from collector.cursors import decoded
from collector.errors import BadRecord, ContractError, SourceError
from collector.events import Member
from collector.http import Answer, ApiClient
from collector.secrets import reveal
from collector.source import About, Page, SourceContext
from collector.staff import StaffSettings, Stay, UnreadableError, Words, check_share, whole
from collector.systems.scim.users import DEPARTMENT, User, attribute
from collector.times import as_rfc3339

_PAGE = 100
_MOST_PAGES = 100_000
_MEANING = frozenset({"start", "left", "person", "kind", "team", "site", "codes", "filter"})
"""Settings that say what a user means, beside those of all rosters."""
_SWEEP_EVERY = timedelta(days=1)
_LONGEST_REASON = 20
_REFUSED_QUESTION, _NOT_IMPLEMENTED = 400, 501
_ABOUT = About(
    system="Directories (SCIM 2.0)",
    gives=("member",),
    tested="official schema",
    scopes=(
        ("reading `/Users`", "as a bearer token, or as the password of `username`"),
        ("the attribute named by `start`", "many directories hide extensions unless the client may read them"),
    ),
    costs=(
        ("users", "10 requests for 1 000, where the server gives 100 at a time; all of them once a day"),
        ("a run in which nothing happened", "1 request; a server that cannot filter is read whole each time"),
    ),
    limits=(
        "SCIM has no attribute for the day on which somebody starts: without `start` nobody is a member.",
        "Who joins or leaves while the list is read moves its places: nobody is taken as gone until the next pass.",
        "A server that hands out fewer users than it counts is reported as cut off; narrow it with `filter`.",
    ),
    example="""\
sources:
  - type: scim
    name: directory
    url: https://idp.example.com/scim/v2
    token: ${SCIM_TOKEN:-}
    start: urn:example:schemas:hr:2.0:User:startDate
    kinds: {contractor: [Contractor], intern: [Intern]}
    every: 1h
""",
    more="""\
**What becomes what.** Each user with the attribute `start` is a stay on the roster. Attributes are named as SCIM does:
`userType`, `addresses.locality`, or with the schema of an extension before it, such as
`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department`; of several values the primary one counts.
Users without a start are left out, which is said: service accounts mostly are. `meta.created` may stand for it where
accounts are made on the first day.

**Who.** `person: mail` takes the primary address, or `userName` where there is none; `person: login` takes `userName`.
Either is hashed at once; names, managers, telephones and pictures are not read.

**Since when.** The directory learnt of somebody at `meta.created`. Who had left, and whose start then lies after that,
joined again: that is a stay of its own, entered when the directory changed it. Somebody left at the end of the day that
the attribute `left` names; without it, when `active` was first seen to be false, by `meta.lastModified`. Who is not in
the list any more has left (`missing: left`); a quarter (`broken_share`) gone at once fails the run.

**Reading.** Changed users are asked for by `meta.lastModified`, and all of them once a day. `filter` narrows the list,
for example to `userType eq "Employee"`; whom a new filter leaves out is forgotten, and has not left.
""",
)


class ScimConfig(StaffSettings, ApiConfig):
    """Settings of a directory that speaks SCIM."""

    type: Literal["scim"]
    about: ClassVar[About] = _ABOUT

    username: str = Field(default="", description="The user, where the server wants a password instead of a token.")
    start: str = Field(min_length=1, description="The attribute with the day on which somebody starts.")
    left: str = Field(default="", description="The attribute with somebody's last day; `active` tells unless given.")
    person: Literal["mail", "login"] = Field(
        default="mail", description="What other sources know people by: the primary address, or `userName`."
    )
    kind: str = Field(default="userType", description="The attribute that `kinds` maps.")
    team: str = Field(default=DEPARTMENT, description="The attribute with the team.")
    site: str = Field(default="", description="The attribute with the site, such as `addresses.locality`.")
    codes: str = Field(default="", description="The attribute that `coding` is about; all write code unless given.")
    filter: str = Field(default="", description="Which users are read, in SCIM's language of filters.")

    def build(self, context: SourceContext) -> ScimSource:
        """The source."""
        token = reveal(self.token)
        headers = {"Accept": "application/scim+json, application/json"}
        if token and not self.username:
            headers["Authorization"] = f"Bearer {token}"
        client = self.client(context, headers=headers, basic=(self.username, token) if self.username else None)
        return ScimSource(client, self, context)

    @property
    def meaning(self) -> str:
        """Changes with all that says what a user means."""
        names = {*_MEANING, *StaffSettings.model_fields} - {"broken_share"}
        return hashlib.blake2b(self.model_dump_json(include=names).encode(), digest_size=8).hexdigest()

    @property
    def asked_for(self) -> str:
        """Changes with whom the list is of; a filter may name people."""
        return hashlib.blake2b(self.filter.encode(), digest_size=8).hexdigest()


class _Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What is known: the stays by their native ids, up to which modification, and by a whole list of when and of whom.

    `filters`: whether the server understands filters.
    """

    meaning: str
    since: datetime | None = None
    swept_at: datetime | None = None
    asked_for: str | None = None
    filters: bool = True
    stays: dict[str, Stay] = {}


class _Listing(msgspec.Struct):
    """A page of the list."""

    totalResults: int  # noqa: N815 - the protocol's name
    Resources: list[msgspec.Raw] = []


class _Refusal(msgspec.Struct):
    """Why a question was refused."""

    scimType: str = ""  # noqa: N815 - the protocol's name


class _NoFilterError(Exception):
    """The server does not understand filters, or passes over them."""


@dataclass
class _Pass:
    """What a pass over the list met."""

    since: datetime | None
    stays: dict[str, Stay] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    newest: datetime | None = None
    total: int | None = None
    moved: bool = False
    cut: bool = False
    unread: int = 0
    without_start: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the list can tell who is not in it: it held still, and everybody in it could be told."""
        return self.since is None and not self.moved and not self.unread and len(self.seen) == self.total


@dataclass(frozen=True)
class ScimSource:
    """See ScimConfig."""

    client: ApiClient
    config: ScimConfig
    context: SourceContext = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Users that changed since the cursor's, or all of them; the last page says who is gone."""
        before = decoded(cursor, _Cursor) or _Cursor(meaning=self.config.meaning)
        since = None
        if before.since is not None and not self._is_due(before):
            # Not every server reads the fractions that it writes.
            since = (before.since - self.config.overlap).replace(microsecond=0)
        try:
            yield from self._passed(before, since)
        except _NoFilterError:
            yield from self._passed(msgspec.structs.replace(before, filters=False), None)

    def _is_due(self, before: _Cursor) -> bool:
        """Whether all users are read: once a day, by other settings, or where nothing else can be asked for."""
        swept_at, now = before.swept_at, self.context.clock()
        other = before.meaning != self.config.meaning or self.context.since is not None
        return not before.filters or swept_at is None or other or now - swept_at >= _SWEEP_EVERY

    def _passed(self, before: _Cursor, since: datetime | None) -> Iterator[Page]:
        """The pages of one pass. In its middle the cursor is still the one before: it is read whole, or again."""
        met, reader = _Pass(since), _Reader(self.config, self.context, before)
        unchanged = msgspec.json.encode(before).decode()
        for first, resources in self._pages(met):
            events: list[Member] = []
            rejected: list[BadRecord] = []
            for number, raw in enumerate(resources, start=first):
                try:
                    events += reader.read(raw, met)
                except UnreadableError as error:
                    rejected.append(BadRecord(f"Users, item {number}", str(error)))
            yield Page(events=events, rejected=rejected, cursor=unchanged, checkpoint=True)
        yield self._last(before, met, reader.words.told)

    def _pages(self, met: _Pass) -> Iterator[tuple[int, list[msgspec.Raw]]]:
        """The users of each page, with the place of its first one. Servers give fewer than asked for, or all."""
        start, beginning = 1, b""
        for _ in range(_MOST_PAGES):
            answer = self._asked(start, met.since)
            listing: _Listing = answer.read(_Listing)
            found = listing.Resources
            met.moved = met.moved or met.total not in {None, listing.totalResults}
            met.total = listing.totalResults
            if not found:
                met.cut = start <= met.total
                return
            if start > 1 and bytes(found[0]) == beginning:
                raise ContractError(f"{answer.asked}: the first users come again as the next: it has no startIndex")
            beginning = beginning or bytes(found[0])
            yield start, found
            start += len(found)
            if start > met.total:
                return
        raise ContractError("GET Users: its pages never end")

    def _asked(self, start: int, since: datetime | None) -> Answer:
        """A page of the list. Raises _NoFilterError where the server does not know what was modified since."""
        own = self.config.filter
        changed = f'meta.lastModified gt "{as_rfc3339(since)}"' if since else ""
        wanted = f"({own}) and {changed}" if own and changed else own or changed
        asked = {"startIndex": str(start), "count": str(_PAGE), **({"filter": wanted} if wanted else {})}
        answer = self.client.get("Users", asked, understood={_REFUSED_QUESTION, _NOT_IMPLEMENTED})
        if answer.status not in {_REFUSED_QUESTION, _NOT_IMPLEMENTED}:
            return answer
        why = _reason(answer)
        if why == "tooMany":
            raise SourceError(f"{answer.asked}: these are too many users for the server; narrow them with `filter`")
        if changed:
            raise _NoFilterError
        said = f" ({why})" if why else ""
        raise SourceError(f"{answer.asked}: answered {answer.status}{said}; check the address and `filter`")

    def _last(self, before: _Cursor, met: _Pass, said: Sequence[str]) -> Page:
        """What only the end of a pass can say: who is gone, and from where the next one goes on."""
        now = self.context.clock()
        gone, newly = self._gone(before, met, now) if met.is_whole else ({}, 0)
        stays = before.stays | met.stays | gone
        others = met.is_whole and before.asked_for not in {None, self.config.asked_for}
        if others:  # nobody leaves by that: who is not asked for any more was none of them
            stays, gone, newly = {i: s for i, s in stays.items() if i not in gone}, {}, 0
        cursor = msgspec.structs.replace(
            before,
            meaning=self.config.meaning,
            since=max(filter(None, (before.since, met.newest)), default=None),
            swept_at=now if met.is_whole else before.swept_at,
            asked_for=self.config.asked_for if met.is_whole else before.asked_for,
            stays=stays,
        )
        cut = f"Users: the server counts {met.total} and handed out {len(met.seen)}; narrow them with `filter`"
        return Page(
            events=[s.event(self.config.name, i, now) for i, s in gone.items() if s.left_at != before.stays[i].left_at],
            warnings=[*said, *self._warnings(met, newly, filters=before.filters)],
            truncations=[cut] if met.cut else [],
            complete=[whole(stays)] if others else [],
            cursor=msgspec.json.encode(cursor).decode(),
            checkpoint=True,
        )

    def _gone(self, before: _Cursor, met: _Pass, now: datetime) -> tuple[dict[str, Stay], int]:
        """Who is not in the list any more, and how many of them had not left before. Raises SourceError for many."""
        missing = {i: s for i, s in before.stays.items() if i not in met.seen and not s.gone}
        newly = sum(not s.has_left(now) for s in missing.values())
        check_share(before.stays.values(), newly, self.config.broken_share, now)
        return {i: s.dropped(now, leaves=self.config.missing == "left") for i, s in missing.items()}, newly

    def _warnings(self, met: _Pass, newly_gone: int, *, filters: bool) -> Iterator[str]:
        if newly_gone:
            taken = "they count as having left" if self.config.missing == "left" else "nothing is concluded from it"
            yield f"{newly_gone} of the people are not listed any more; {taken}"
        if met.since is None and not met.is_whole and not met.cut:
            yield "the list changed while it was read, or holds what is no user: nobody is taken as gone"
        if met.since is None and met.without_start:
            yield f"{met.without_start} users have no {self.config.start}, so they are no members"
        if not filters:
            yield "the server does not tell what was modified since: all users are read each time"


class _Reader:
    """Makes stays of users."""

    def __init__(self, config: ScimConfig, context: SourceContext, before: _Cursor) -> None:
        self._config, self._context, self._before = config, context, before
        self.words = Words(config)

    def read(self, raw: msgspec.Raw, met: _Pass) -> list[Member]:
        """The event of a user, where anything of it is new. Raises UnreadableError, with what was expected."""
        try:
            resource: Any = msgspec.json.decode(raw)
            user = User.of(resource)
        except (msgspec.DecodeError, UnreadableError):
            met.unread += 1
            raise UnreadableError("`id` is missing; expected a user") from None
        modified_at = user.modified_at
        if met.since is not None and modified_at is not None and modified_at < met.since:
            raise _NoFilterError
        met.newest = max(filter(None, (met.newest, modified_at)), default=None)
        # Some directories take logins or addresses for ids.
        native_id = f"user/{self._context.people.hashed(user.id).rpartition(':')[2]}"
        met.seen.add(native_id)
        if not attribute(resource, self._config.start):
            met.without_start += 1
            return []
        known = self._before.stays.get(native_id)
        stay = self._stay(user, resource, known)
        found = {native_id: stay}
        if known is not None and known.ended_before(stay.started_at):
            stay = self._stay(user, resource, None)
            entered_at = modified_at or self._context.clock()
            found[native_id] = msgspec.structs.replace(stay, entered_at=entered_at)
            found[f"{native_id}/{known.started_at:%Y-%m-%d}"] = msgspec.structs.replace(known, gone=True)
        met.stays |= found
        now = self._context.clock()
        updated_at = max(modified_at or now, now) if known else modified_at or now
        return [
            one.event(self._config.name, i, updated_at) for i, one in found.items() if self._before.stays.get(i) != one
        ]

    def _stay(self, user: User, resource: Mapping[str, Any], known: Stay | None) -> Stay:
        config, words, people = self._config, self.words, self._context.people
        person = (user.mail if config.person == "mail" else "") or user.login
        if not person:
            raise UnreadableError("`userName` is missing; expected a login or an address")
        started_at = words.start(attribute(resource, config.start))
        return Stay(
            person=people.hashed(person),
            kind=words.kind(attribute(resource, config.kind)),
            started_at=started_at,
            # Who began anew on an account of old was entered later than the account was made.
            entered_at=max(filter(None, (user.created_at, known.entered_at if known else None)), default=None),
            left_at=self._left(user, resource, started_at, known),
            team=attribute(resource, config.team) or None,
            site=attribute(resource, config.site) or None if config.site else None,
            codes=words.codes(attribute(resource, config.codes)) if config.codes else True,
            bot=people.is_bot(*filter(None, (user.login, user.mail))),
        )

    def _left(
        self, user: User, resource: Mapping[str, Any], started_at: datetime, known: Stay | None
    ) -> datetime | None:
        """When somebody left. That an account is closed is seen once: later changes of it do not move the day."""
        told = self.words.left(attribute(resource, self._config.left), started_at) if self._config.left else None
        if told is not None or user.active:
            return told
        seen = known.left_at if known else None
        return seen or user.modified_at or self._context.clock()


def _reason(answer: Answer) -> str:
    """The kind of a refusal, as the protocol names it; empty where the answer is none of its."""
    try:
        found: str = answer.read(_Refusal).scimType
    except ContractError:
        return ""
    return found if found.isalpha() and len(found) <= _LONGEST_REASON else ""
