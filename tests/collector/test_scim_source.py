"""Users of a directory that speaks SCIM: what they say, how they are read, and who is gone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from names import PLANTED_NAME
from providers.scim import BASE, HR, World, provider, refusal, user
from replay import Provider, Reply

from collector.errors import AuthError, ContractError, SourceError
from collector.events import Member, MemberKind
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.sources.scim import ScimConfig
from collector.systems.scim.users import attribute

START = f"{HR}:startDate"
_DEFAULTS: dict[str, Any] = {"name": "people", "type": "scim", "url": BASE, "start": START}


@dataclass
class Directory:
    """A directory that is read run after run."""

    world: World
    context: SourceContext
    api: Provider = field(init=False)
    cursor: str | None = None
    pages: list[Page] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Answer as the world says, at any time."""
        self.api = provider(self.world)

    def read(self, *, hours: float = 0, since: datetime | None = None, **settings: Any) -> list[Member]:
        """The events of a run, so many hours after the usual time."""
        wire = Wire(adapter=self.api, sleep=lambda _: None, chance=lambda: 0.0)
        now = self.context.clock() + timedelta(hours=hours)
        context = replace(self.context, wire=wire, clock=lambda: now, since=since)
        self.api.asked.clear()
        self.pages = list(ScimConfig.model_validate({**_DEFAULTS, **settings}).build(context).pull(self.cursor))
        self.cursor = self.pages[-1].cursor
        return [e for page in self.pages for e in page.events if isinstance(e, Member)]

    def one(self, **settings: Any) -> Member:
        """The only event of a run."""
        (event,) = self.read(**settings)
        return event

    def change(self, number: int, at: str = "2026-03-01T12:00:00Z", **fields: Any) -> None:
        """Change a user, which the directory notes."""
        self.world.users[number].update(fields)
        self.world.users[number]["meta"] = {**self.world.users[number]["meta"], "lastModified": at}

    @property
    def rejected(self) -> list[str]:
        """What the last run set aside."""
        return [str(r) for page in self.pages for r in page.rejected]

    @property
    def warnings(self) -> list[str]:
        """What the last run said."""
        return [w for page in self.pages for w in page.warnings]

    @property
    def filters(self) -> list[str]:
        """What the last run asked to be filtered by, request by request."""
        return [asked.one("filter") for asked in self.api.asked]


@pytest.fixture
def directory(context: SourceContext) -> Directory:
    """A directory without users."""
    return Directory(World(), context)


# --- what a user says -----------------------------------------------------------------------------------


def test_a_user_is_a_stay(directory: Directory) -> None:
    """Start, kind, department and place of a user; the person and the id as hashes."""
    directory.world.users = [user(1)]
    people = directory.context.people

    member = directory.one(site="addresses.locality")

    assert member == Member(
        source="people",
        native_id=f"user/{people.hashed('2819c223-7f76-453a-919d-000000000001').removeprefix('person:')}",
        updated_at=datetime(2026, 2, 2, 9, 0, 0, 123000, tzinfo=UTC),
        person=people.hashed("user1@people.example"),
        member_kind=MemberKind.HIRE,
        started_at=datetime(2026, 2, 2, tzinfo=UTC),
        entered_at=datetime(2026, 1, 20, 9, tzinfo=UTC),
        team="payments",
        site="berlin",
    )


@pytest.mark.parametrize(
    ("settings", "fields", "known_as"),
    [
        ({}, {}, "user1@people.example"),
        ({"person": "login"}, {}, "user1"),
        ({}, {"emails": []}, "user1"),
        (
            {},
            {"emails": [{"value": "first@people.example"}, {"value": "second@people.example"}]},
            "first@people.example",
        ),
    ],
)
def test_whom_others_know_by(
    directory: Directory, settings: dict[str, str], fields: dict[str, Any], known_as: str
) -> None:
    """The primary address, else the first, else the login; or the login where the settings say so."""
    directory.world.users = [user(1, **fields)]

    assert directory.one(**settings).person == directory.context.people.hashed(known_as)


def test_a_user_without_a_start_is_no_member(directory: Directory) -> None:
    """Accounts of services are no newcomers, and how many are left out is said."""
    directory.world.users = [user(1), user(2, "")]

    assert len(directory.read()) == 1
    assert directory.warnings[-1] == f"1 users have no {START}, so they are no members"


def test_when_the_account_was_made_may_be_the_start(directory: Directory) -> None:
    """Any attribute may tell the start."""
    directory.world.users = [user(1)]

    assert directory.one(start="meta.created").started_at == datetime(2026, 1, 20, 9, tzinfo=UTC)


def test_roles_and_bots_are_told_apart(directory: Directory) -> None:
    """With `codes` a title tells who writes code, and automation is no person."""
    directory.world.users = [user(1), user(2, title="Counsel"), user(3, userName="renovate[bot]")]

    found = directory.read(codes="title", coding=["engineer"])

    assert [(m.codes, m.bot) for m in found] == [(True, False), (False, False), (True, True)]


def test_an_unknown_kind_is_said(directory: Directory) -> None:
    """What `kinds` does not map is a hire, and said without its text."""
    directory.world.users = [user(1), user(2, userType=PLANTED_NAME)]

    assert {m.member_kind for m in directory.read()} == {MemberKind.HIRE}
    assert directory.warnings == ["a kind that `kinds` does not map is taken as hire"]


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (user(2, PLANTED_NAME), "`start`: expected a date, for example 2026-03-02, or a time with an offset"),
        (user(2, userName="", emails=[]), "`userName` is missing; expected a login or an address"),
        ({"userName": PLANTED_NAME}, "`id` is missing; expected a user"),
        ("user", "`id` is missing; expected a user"),
    ],
)
def test_a_user_that_cannot_be_used_is_set_aside(directory: Directory, one: Any, reason: str) -> None:
    """One bad user costs itself: its place in the list is told, and nothing of it."""
    directory.world.users = [user(1), one, user(3)]

    assert len(directory.read()) == 2
    assert directory.rejected == [f"Users, item 2: {reason}"]


PATHS = [
    ("userName", "user1"),
    ("USERTYPE", "Employee"),
    ("addresses.locality", "berlin"),
    ("emails", "user1@people.example"),
    (f"{HR}:startDate", "2026-02-02"),
    (f"{HR.upper()}:startdate", "2026-02-02"),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "payments"),
    ("urn:example:schemas:lost:2.0:User:startDate", ""),
    ("active", "true"),
    ("name.lost", ""),
    ("schemas.lost", ""),
]


@pytest.mark.parametrize(("path", "text"), PATHS)
def test_attributes_are_named_as_the_standard_does(path: str, text: str) -> None:
    """Case does not matter, extensions are named by their schema, of several values the primary one counts."""
    assert attribute(user(1), path) == text


# --- who has left ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [False, "False"])
def test_a_closed_account_has_left(directory: Directory, closed: object) -> None:
    """`active` false, also as a text → left when that was modified."""
    directory.world.users = [user(1)]
    directory.read()
    directory.change(0, active=closed)

    assert directory.one().left_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_who_left_left_once(directory: Directory) -> None:
    """A closed account that is changed later does not move the day on which somebody left."""
    directory.world.users = [user(1, active=False)]
    left_at = directory.one().left_at
    directory.change(0, title="Former engineer")

    assert directory.read() == []
    assert left_at == datetime(2026, 2, 2, 9, 0, 0, 123000, tzinfo=UTC)


def test_who_comes_back_never_left(directory: Directory) -> None:
    """An account that is opened again takes the leaving back."""
    directory.world.users = [user(1, active=False)]
    directory.read()
    directory.change(0, active=True)

    assert directory.one().left_at is None


def test_who_left_and_starts_again_began_anew(directory: Directory) -> None:
    """Re-hire after 200 days on the account of old → a second stay, entered when the directory said so."""
    directory.world.users = [user(1, "2024-01-08")]
    directory.read()
    directory.change(0, "2025-08-01T17:00:00Z", active=False)
    former = directory.one(hours=25)
    directory.change(0, "2026-03-01T12:00:00Z", active=True, **{HR: {"startDate": "2026-03-02"}})

    again, before = directory.read(hours=26)

    assert (again.id, again.left_at, again.entered_at) == (former.id, None, datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert (before.started_at, before.left_at) == (former.started_at, former.left_at)
    assert directory.read(hours=27) == []


def test_a_last_day_is_told_by_its_attribute(directory: Directory) -> None:
    """With `left` somebody leaves at the end of that day, in the zone of the settings."""
    directory.world.users = [user(1, hr={"endDate": "2026-03-31"})]

    member = directory.one(left=f"{HR}:endDate", zone="Europe/Berlin")

    assert member.left_at == datetime(2026, 3, 31, 22, tzinfo=UTC)


def test_a_deleted_user_has_left(directory: Directory) -> None:
    """Who is not in the whole list of the next day has left, which is said."""
    directory.world.users = [user(n) for n in range(1, 4)]
    directory.read()
    del directory.world.users[1]

    assert directory.read(hours=23) == []
    gone = directory.one(hours=25)

    assert gone.left_at == directory.context.clock() + timedelta(hours=25)
    assert directory.warnings == ["1 of the people are not listed any more; they count as having left"]


def test_who_is_not_asked_for_any_more_has_not_left(directory: Directory) -> None:
    """A narrower `filter` says that somebody is none of those who are meant, not that they are gone."""
    directory.world.users = [user(1), user(2)]
    kept, _ = directory.read()
    del directory.world.users[1]

    assert directory.read(hours=1, filter='userType eq "Employee"') == []
    assert [set(c.native_ids) for page in directory.pages for c in page.complete] == [{kept.native_id}]
    assert directory.read(hours=26, filter='userType eq "Employee"') == []
    assert directory.warnings == []


def test_who_is_gone_may_mean_nothing(directory: Directory) -> None:
    """With `missing: ignore` a deleted user changes nothing, once and for all."""
    directory.world.users = [user(1), user(2)]
    directory.read()
    del directory.world.users[1]

    assert directory.read(hours=25, missing="ignore") == []
    assert directory.warnings == ["1 of the people are not listed any more; nothing is concluded from it"]
    assert directory.read(hours=50, missing="ignore") == []
    assert directory.warnings == []


def test_a_quarter_gone_at_once_fails_the_run(directory: Directory) -> None:
    """A directory that lost its people did not dismiss them: nobody is told to have left."""
    directory.world.users = [user(n) for n in range(12)]
    directory.read()
    before, directory.world.users = directory.cursor, directory.world.users[4:]

    with pytest.raises(SourceError, match="4 of 12 people are gone from the roster at once"):
        directory.read(hours=25)

    assert directory.cursor == before


# --- how the list is read -------------------------------------------------------------------------------


def test_every_page_is_read_however_small(directory: Directory) -> None:
    """Servers give fewer users than asked for: the places go on from what was given."""
    directory.world.users = [user(n) for n in range(7)]
    directory.world.most = 3

    assert len(directory.read()) == 7
    assert [asked.one("startIndex") for asked in directory.api.asked] == ["1", "4", "7"]


def test_an_empty_list_has_no_resources(directory: Directory) -> None:
    """A list of nobody may leave `Resources` out."""
    assert directory.read() == []


def test_only_changed_users_are_asked_for(directory: Directory) -> None:
    """Within a day the list is asked for what was modified since, with an overlap, and by the own filter."""
    directory.world.users = [user(1), user(2)]
    directory.read(filter='userType eq "Employee"')
    directory.change(1, hr={}, title="Lead", userType="Intern")

    member = directory.one(filter='userType eq "Employee"')

    assert member.member_kind is MemberKind.INTERN
    assert directory.filters == ['(userType eq "Employee") and meta.lastModified gt "2026-02-03T08:00:00Z"']


def test_all_users_are_asked_for_once_a_day_and_on_demand(directory: Directory) -> None:
    """After a day, by other settings, and where somebody asks for the past, no filter is sent."""
    directory.world.users = [user(1)]
    directory.read()

    asked = []
    for run in ({"hours": 25}, {"hours": 25, "zone": "Europe/Berlin"}, {"since": datetime(2026, 1, 1, tzinfo=UTC)}):
        directory.read(**run)
        asked.append(directory.filters)

    assert asked == [[""], [""], [""]]


@pytest.mark.parametrize("kind", ["ignored", "invalidFilter"])
def test_a_server_without_filters_is_read_whole(directory: Directory, kind: str) -> None:
    """A filter that is refused, or passed over, which an old user proves: the whole list is read, now and later."""
    directory.world.users = [user(1), user(2)]
    directory.read()
    directory.world.filters = kind
    directory.change(1, active=False)

    assert directory.one().left_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    directory.read(hours=1)

    assert directory.filters == [""]
    assert directory.warnings == ["the server does not tell what was modified since: all users are read each time"]


def test_a_filter_of_ones_own_that_is_refused_fails_the_run(directory: Directory) -> None:
    """A wrong `filter` is told, without what the server says about it."""
    directory.world.filters = "invalidFilter"

    with pytest.raises(SourceError, match=r"answered 400 \(invalidFilter\); check the address and `filter`$"):
        directory.read(filter="x")


def test_a_list_that_moves_while_it_is_read_tells_nobody_gone(directory: Directory) -> None:
    """`totalResults` changes between two pages → nobody is taken as gone, and the next run reads all again."""
    directory.world.users = [user(n) for n in range(1, 5)]
    directory.read()
    del directory.world.users[3]
    directory.api = provider(Shrinking(directory.world.users))

    assert directory.read(hours=25) == []
    assert directory.warnings == [
        "the list changed while it was read, or holds what is no user: nobody is taken as gone"
    ]
    directory.api = provider(directory.world)
    assert [m.left_at is None for m in directory.read(hours=26)] == [False]


class Shrinking(World):
    """A directory that loses its first user after the first page was handed out."""

    def listing(self, asked: Any) -> Reply:
        """A page, and one user fewer from then on."""
        found = super().listing(asked)
        self.users = self.users[1:] if asked.number("startIndex", 1) == 1 else self.users
        return found


def test_a_server_that_counts_more_than_it_hands_out_is_cut_off(directory: Directory) -> None:
    """An end before the end is said, and nobody is taken as gone by it."""
    directory.world.users = [user(1), user(2)]
    directory.world.counted = 500

    assert len(directory.read()) == 2
    assert [t for page in directory.pages for t in page.truncations] == [
        "Users: the server counts 500 and handed out 2; narrow them with `filter`"
    ]


def test_a_server_without_places_is_no_end(directory: Directory) -> None:
    """The first page again and again is an error, not a list of two."""
    directory.world.users = [user(n) for n in range(5)]
    directory.world.pages = False

    with pytest.raises(ContractError, match="the first users come again as the next"):
        directory.read()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (refusal("tooMany"), SourceError, "these are too many users for the server; narrow them with `filter`"),
        (Reply(body=b"<html>no</html>", status=400), SourceError, "answered 400; check the address and `filter`"),
        (Reply({}, status=501), SourceError, "answered 501; check the address"),
        (Reply({"detail": "x"}, status=404), SourceError, "answered 404"),
        (Reply({"status": "403"}, status=403), AuthError, "answered 403; check its credentials"),
        (Reply({"totalResults": "many"}), ContractError, "not as documented"),
    ],
)
def test_refusals_are_told_by_their_kind(
    directory: Directory, answer: Reply, kind: type[SourceError], words: str
) -> None:
    """Each error of the protocol says what to do, and never what the server wrote about whom."""
    directory.api.faults = {1: answer}

    with pytest.raises(kind, match=words) as raised:
        directory.read()

    assert "Quarterstaff" not in str(raised.value)


def test_tokens_and_passwords_reach_the_server(directory: Directory) -> None:
    """A token is a bearer token, and with a user it is their password."""
    directory.read(token="t0ken")  # noqa: S106 - planted
    bearer = directory.api.asked[0].headers["authorization"]
    directory.read(token="t0ken", username="paceline")  # noqa: S106 - planted

    assert (bearer, directory.api.asked[0].headers["authorization"]) == ("Bearer t0ken", "Basic cGFjZWxpbmU6dDBrZW4=")


def test_nothing_of_a_person_is_kept(directory: Directory) -> None:
    """Neither events, nor cursor, nor what is said holds a name, a login, an address or a manager."""
    directory.world.users = [user(1, userName="quarterstaff"), user(2, PLANTED_NAME), user(3, id="quarterstaff@x")]
    directory.read()

    assert "quarterstaff" not in f"{directory.pages} {directory.cursor}".lower()
