"""What every source type must do, built-in or not. A new type adds its sample to conftest.py and no more."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr
from replay import Fault, Provider, Reply, Sample

from collector.api import ApiConfig
from collector.errors import AuthError, ContractError, PacelineError, RetryableError, SourceError
from collector.events import Event, event_id, person_fields, time_fields
from collector.http import Wire
from collector.registry import source_types
from collector.secrets import reveal
from collector.source import Page, Source, SourceConfig, SourceContext
from collector.webhooks import Delivery

PLANTED = ("wilhelmina", "quarterstaff")


TYPES = source_types().by_key
KEYS = sorted(TYPES)
ASKING = [key for key in KEYS if issubclass(TYPES[key], ApiConfig)]
"""The types that ask an API."""
READING = [key for key in KEYS if key not in ASKING]


@pytest.fixture(params=KEYS)
def sample(request: pytest.FixtureRequest, samples: dict[str, Callable[[Path], Sample]], tmp_path: Path) -> Sample:
    """A small sample of each registered type."""
    return samples[request.param](tmp_path)


@pytest.fixture(params=ASKING)
def api(request: pytest.FixtureRequest, samples: dict[str, Callable[[Path], Sample]], tmp_path: Path) -> Sample:
    """A small sample of each type that asks an API."""
    return samples[request.param](tmp_path)


@pytest.fixture
def provider(api: Sample) -> Provider:
    """The stand-in for the API of a sample."""
    assert api.provider is not None
    return api.provider


def built(sample: Sample, context: SourceContext) -> Source:
    """The source of a sample, which waits for nobody."""
    wire = Wire(adapter=sample.provider, sleep=lambda _: None, chance=lambda: 0.0)
    made = sample.config.build(replace(context, wire=wire))
    return Told(made, sample, context) if sample.deliveries else made


@dataclass(frozen=True)
class Told:
    """A source that only receives, as if its deliveries came again with each run: what it reports are their events."""

    source: Source
    sample: Sample
    context: SourceContext

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """A page for each delivery."""
        yield from self.source.pull(cursor)
        receiver = self.sample.config.receiver(self.context)
        assert receiver is not None
        for delivery in self.sample.deliveries:
            assert receiver.is_genuine(delivery)
            received = receiver.read(delivery)
            yield Page(events=received.events, rejected=received.rejected, cursor="told")


@pytest.fixture
def source(sample: Sample, context: SourceContext) -> Source:
    """The source of the sample."""
    return built(sample, context)


def everything(source: Source) -> list[Event]:
    """All events of a first run."""
    return list(chain.from_iterable(page.events for page in source.pull(None)))


class BreaksAtTheEnd:
    """A source whose last page fails: the one way in which all sources can break."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """All pages, then the failure."""
        yield from self.source.pull(cursor)
        raise ContractError("page 7 of 9 is no page")


def test_every_registered_type_has_a_sample(samples: dict[str, Any]) -> None:
    """A new source type cannot forget its contract: without a sample this fails."""
    assert set(source_types().by_key) <= set(samples)


def test_a_sample_configuration_has_no_mistakes(sample: Sample, context: SourceContext) -> None:
    """A correct configuration passes its own check."""
    assert list(sample.config.check(context)) == []


def test_two_first_runs_give_the_same_events(source: Source) -> None:
    """The same input gives the same events, ids included."""
    first, second = everything(source), everything(source)

    assert first
    assert [(e.id, e) for e in first] == [(e.id, e) for e in second]


def test_a_second_run_changes_nothing(source: Source, bench: Any) -> None:
    """A run after which nothing happened changes and moves nothing; what is read once more was known."""
    first = bench.runner.run("sample", source)
    before = bench.dump()

    second = bench.runner.run("sample", source)

    assert (first.succeeded, first.changed > 0) == (True, True)
    assert (second.succeeded, second.changed, second.removed, second.rejected) == (True, 0, 0, ())
    assert bench.dump() == before


def test_a_broken_last_page_keeps_nothing_beyond_a_checkpoint(source: Source, bench: Any) -> None:
    """Page 7 of 9 fails → what no checkpoint ended is not kept, and the cursor says so."""
    checkpoints = [page.cursor for page in source.pull(None) if page.checkpoint]
    before = bench.dump()

    outcome = bench.runner.run("sample", BreaksAtTheEnd(source))

    assert outcome.error == "page 7 of 9 is no page"
    assert bench.store.cursor("sample") == (checkpoints[-1] if checkpoints else None)
    assert (bench.dump() == before) is not bool(checkpoints)


def test_the_run_after_a_broken_one_catches_up(source: Source, new_bench: Callable[[str], Any]) -> None:
    """After a broken run the next one gives the same store as an unbroken one."""
    broken, whole = new_bench("broken"), new_bench("whole")
    broken.runner.run("sample", BreaksAtTheEnd(source))

    broken.runner.run("sample", source)
    whole.runner.run("sample", source)

    assert broken.dump() == whole.dump()


def test_ids_follow_from_kind_source_and_native_id(source: Source) -> None:
    """An id is the same on every machine, and no two events of a run share one."""
    events = everything(source)

    assert [e.id for e in events] == [event_id(e.kind, "sample", e.native_id) for e in events]
    assert len({e.id for e in events}) == len(events)


def test_all_times_are_in_utc(source: Source) -> None:
    """Every time of every event is aware and in UTC."""
    times = [getattr(e, name) for e in everything(source) for name in time_fields(type(e))]

    assert {at.tzinfo for at in times if at is not None} == {UTC}


def test_no_person_reaches_the_store(sample: Sample, source: Source, bench: Any) -> None:
    """No name and no address of a person stands in any stored column, nor in what a run says."""
    outcome = bench.runner.run("sample", source)

    kept = f"{bench.dump()} {outcome} {bench.store.runs()}".lower()
    assert ("person:" in kept) is any(person_fields(type(event)) for event in everything(source))
    assert [word for word in PLANTED if word in kept] == []


def test_missing_input_is_an_error_of_ours(sample: Sample, source: Source) -> None:
    """Input that is gone fails the run in our own words: it must not look like "no data"."""
    sample.take_away()

    with pytest.raises(PacelineError):
        everything(source)


def test_input_that_vanishes_later_keeps_events_and_cursor(sample: Sample, source: Source, bench: Any) -> None:
    """A source that is gone costs its own run, not what was kept before."""
    bench.runner.run("sample", source)
    before = bench.dump()
    sample.take_away()

    outcome = bench.runner.run("sample", source)

    assert not outcome.succeeded
    assert bench.dump() == before


@pytest.mark.parametrize("key", READING)
def test_check_names_the_setting_of_missing_input(
    key: str, samples: dict[str, Callable[[Path], Sample]], tmp_path: Path, context: SourceContext
) -> None:
    """Missing input on this machine is a mistake at start, at a setting that exists."""
    sample = samples[key](tmp_path)
    sample.take_away()

    mistakes = sample.config.check(context)

    assert {m.path for m in mistakes} <= set(type(sample.config).model_fields)
    assert mistakes


GARBAGE = (
    *("", "{", "null", "[]", "17", '"x"', "{}", "\u00e9" * 10_000, "2026-99-99T00:00:00Z", '{"version": 2}'),
    *('{"version": 1, "streams": []}', '{"version": 1, "streams": {"x": {"since": "yesterday"}}}', "[" * 5_000),
)


def test_a_cursor_that_is_none_is_borne(
    sample: Sample, context: SourceContext, new_bench: Callable[[str], Any]
) -> None:
    """Garbage, half a cursor or another's: all is read anew, or the run says what is wrong; nothing else happens."""
    whole = new_bench("whole")
    whole.runner.run("sample", built(sample, context))
    good, expected = whole.store.cursor("sample"), whole.dump()
    own = () if good is None else (good[: len(good) // 2], good.replace('"', "'"), good + "x")

    bench = new_bench("garbage")
    for number, cursor in enumerate((*GARBAGE, *own)):
        with bench.database.transaction() as transaction:
            bench.store.set_cursor(transaction, "sample", cursor)
        outcome = bench.runner.run("sample", built(sample, context))
        assert outcome.failure != "defect", (number, cursor[:80])
        assert outcome.succeeded or bench.store.cursor("sample") == cursor, (number, cursor[:80])
        assert outcome.succeeded, (number, cursor[:80], outcome.error)

    found = bench.dump()
    assert {t: rows for t, rows in found.items() if t.startswith("event_")} == {
        t: rows for t, rows in expected.items() if t.startswith("event_")
    }


# ---- sources that ask an API


def test_a_run_broken_at_any_request_resumes_to_the_same_store(
    api: Sample, provider: Provider, context: SourceContext, new_bench: Callable[[str], Any]
) -> None:
    """Interrupted at every request boundary and resumed, a source gives the store of an undisturbed run."""
    whole = new_bench("whole")
    whole.runner.run("sample", built(api, context))
    expected, boundaries = whole.dump(), len(provider.asked)

    for boundary in range(1, boundaries + 1):
        broken = new_bench(f"broken-{boundary}")
        provider.broken_from = len(provider.asked) + boundary
        failed = broken.runner.run("sample", built(api, context))
        provider.broken_from = None
        resumed = broken.runner.run("sample", built(api, context))

        assert (failed.succeeded, resumed.succeeded) == (False, True), boundary
        assert broken.dump() == expected, boundary


def test_a_server_that_fails_once_is_asked_again(
    api: Sample, provider: Provider, context: SourceContext, new_bench: Callable[[str], Any]
) -> None:
    """502, 429, a lost connection, a secondary limit at some request: the next try brings all."""
    whole = new_bench("whole")
    whole.runner.run("sample", built(api, context))
    expected = whole.dump()
    faults: list[Fault] = [
        Reply({}, status=502),
        Reply({}, status=429, headers={"Retry-After": "1"}),
        requests.exceptions.ConnectionError("reset by peer"),
        Reply({"message": "You have exceeded a secondary rate limit."}, status=403),
    ]

    for number, fault in enumerate(faults):
        bench = new_bench(f"faulty-{number}")
        provider.faults = {len(provider.asked) + 2: fault}
        outcome = bench.runner.run("sample", built(api, context))

        assert outcome.succeeded, (fault, outcome.error)
        assert bench.dump() == expected, fault


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        (Reply(body=b"<html><title>Sign in</title></html>", headers={"Content-Type": "text/html"}), (ContractError,)),
        (Reply(body=b'[{"id": 1, "na'), (ContractError,)),
        (Reply({"message": "Bad credentials"}, status=401), (AuthError,)),
        (Reply({"message": "Gone"}, status=410), (SourceError,)),
        (Reply({}, status=500), (RetryableError,)),
        (Reply({}, status=429, headers={"Retry-After": "3600"}), (RetryableError,)),
        (Reply({"unexpected": [1]}), (ContractError,)),
    ],
    ids=["html", "cut", "401", "410", "500", "429", "another shape"],
)
def test_an_answer_that_is_none_is_an_error_of_its_kind(
    api: Sample, provider: Provider, context: SourceContext, fault: Reply, kinds: tuple[type[PacelineError], ...]
) -> None:
    """What every request gets instead of an answer is named for what it is; it never looks like "no data"."""
    provider.routes = [(method, pattern, lambda *_, **__: fault) for method, pattern, _ in provider.routes]
    provider.with_etags = False

    with pytest.raises(kinds):
        everything(built(api, context))


def test_no_secret_is_told(api: Sample, provider: Provider, context: SourceContext, bench: Any) -> None:
    """The token reaches its server and stands in no outcome, no error, no cursor, no settings that are printed."""
    provider.token = "t0ken-of-the-sample"  # noqa: S105 - planted
    bench.runner.run("sample", built(api, context))
    provider.routes.clear()
    failed = bench.runner.run("sample", built(api, context))

    assert failed.error
    kept = f"{bench.dump()} {failed} {bench.store.runs()} {api.config!r} {built(api, context)!r}"
    assert provider.token not in kept
    assert provider.token not in "".join(asked.url for asked in provider.asked)


def test_an_exchanged_token_counts_with_the_next_run(
    api: Sample, provider: Provider, context: SourceContext, new_bench: Callable[[str], Any], tmp_path: Path
) -> None:
    """A token in a file that has expired fails a run; once the file holds the new one, the same settings go on."""
    if not isinstance(api.config, ApiConfig):
        pytest.skip("this source shows no token")
    file, bench = tmp_path / "token-of-today", new_bench("rotated")
    told = api.config.model_copy(update={"token": SecretStr(f"file:{file}")})
    sample = replace(api, config=told)
    provider.token = reveal(api.config.token) or "t0ken-of-today"
    file.write_text("t0ken-of-yesterday\n", encoding="utf-8")
    assert not bench.runner.run("sample", built(sample, context)).succeeded

    file.write_text(f"{provider.token}\n", encoding="utf-8")

    outcome = bench.runner.run("sample", built(sample, context))
    assert outcome.succeeded, outcome.error


def shown(secret: str) -> Iterator[Delivery]:
    """A delivery with a secret, in every way in which senders show that they know it."""
    body = b"{}"
    made = hmac.new(secret.encode(), body, "sha256").hexdigest()
    headers = {
        "circleci-signature": f"v1={made}",
        "x-gitea-signature": made,
        "x-gitlab-token": secret,
        "x-hub-signature": f"sha256={made}",
        "x-hub-signature-256": f"sha256={made}",
        "x-paceline-signature-256": f"sha256={made}",
        "x-pagerduty-signature": f"v1={made}",
    }
    for told in (f"Bearer {secret}", f"Basic {b64encode(f'paceline:{secret}'.encode()).decode()}"):
        yield Delivery(headers={**headers, "authorization": told}, body=body, received_at=datetime.now(UTC))


def test_an_exchanged_webhook_secret_opens_with_the_next_delivery(
    sample: Sample, context: SourceContext, tmp_path: Path
) -> None:
    """Whether it is shown or signs: once its file holds the new one, that opens and the old one does not."""
    if type(sample.config).receiver is SourceConfig.receiver:
        pytest.skip("nothing is sent to this source")
    file = tmp_path / "secret-of-today"
    config = sample.config.model_copy(update={"webhook_secret": SecretStr(f"file:{file}")})
    first, second = "the-first-secret-there-was", "the-second-secret-there-is"

    def opens(secret: str) -> bool:
        receiver = config.receiver(context)  # as it is made for each delivery
        return receiver is not None and any(map(receiver.is_genuine, shown(secret)))

    file.write_text(f"{first}\n", encoding="utf-8")
    assert (opens(first), opens(second)) == (True, False)
    file.write_text(f"{second}\n", encoding="utf-8")
    assert (opens(first), opens(second)) == (False, True)
    file.write_text("", encoding="utf-8")
    assert (opens(first), opens(second), opens("")) == (False, False, False)


def test_what_is_asked_for_again_costs_fewer_requests(
    api: Sample, provider: Provider, context: SourceContext, bench: Any
) -> None:
    """A run after which nothing happened asks no more than the first one did, and mostly less."""
    bench.runner.run("sample", built(api, context))
    first = len(provider.asked)
    bench.runner.run("sample", built(api, context))

    assert len(provider.asked) - first <= first


def test_every_page_of_an_api_is_a_checkpoint(api: Sample, provider: Provider, context: SourceContext) -> None:
    """A first read may take longer than an hourly quota: each page continues exactly after itself."""
    pages = list(built(api, context).pull(None))

    assert provider.asked
    assert [page.checkpoint for page in pages] == [True] * len(pages)
    assert all(json.loads(page.cursor) for page in pages)


def test_a_source_says_what_it_is(api: Sample) -> None:
    """Each source that asks an API has a page: what it gives, its scopes, its costs, its limits, an example."""
    about = type(api.config).about

    assert about is not None
    assert all([about.system, about.gives, about.tested, about.scopes, about.costs, about.limits])
    assert 1 <= len(about.example.strip().splitlines()) <= 10
