"""How far those who joined have come: reads what people did after they joined, and nothing else. Pure.

A person is looked at again only where new events can say something else of them: events of repositories in which they
work, dated while they are still on their way. What a person was judged by is kept in words, with their piece.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

from collector.conditions import Above
from collector.events import (
    Change,
    Commit,
    Deployment,
    Event,
    Member,
    Milestone,
    MilestoneKind,
    PipelineRun,
    Result,
    RunKind,
    kind_of,
)
from collector.patterns import any_matches
from slo_engine.acts import ACTIVE, NEVER, Act, Group, acts_by, new_acts
from slo_engine.changes import Merged, names
from slo_engine.credits import Credit, Delivered, delivered, joined, only_repository, read_releases, read_work
from slo_engine.episodes import Episode, episodes, read_roster, with_imports
from slo_engine.first_acts import FirstActs, is_person, nothing_kept
from slo_engine.indicator import Asked, Events, Piece
from slo_engine.organisation import Organisation
from slo_engine.progress import Known, Person, Progress, Reached, Terms

DAY = 86_400_000_000
UNKNOWN_KIND = "unknown"
"""The kind of an episode that no roster tells of."""
FIRST_ACTIVITY = "first_activity"
_TENTH = 10
_SHOWN_BY: Mapping[MilestoneKind, tuple[type[Event], ...]] = {
    MilestoneKind.ACCESS_GRANTED: (),
    MilestoneKind.FIRST_GREEN_RUN: (PipelineRun,),
    MilestoneKind.FIRST_MERGED_CHANGE: (Commit, Change),
    MilestoneKind.FIRST_DEPLOYED_CHANGE: (Deployment,),
    MilestoneKind.TENTH_MERGED_CHANGE: (Commit, Change),
}
STAGES = tuple(_SHOWN_BY)
"""The milestones after the start, in order."""


@lru_cache(maxsize=1 << 15)
def _known_by(words: tuple[str, ...]) -> Known:
    """What a piece's words say; nobody changes it. Most people's are the same as at the last look."""
    return Known.of(words)


class Joiners:
    """One look at those who joined."""

    def __init__(self, events: Events, organisation: Organisation, terms: Terms, asked: Asked) -> None:
        self._events, self._organisation, self._terms, self._asked = events, organisation, terms, asked
        stays = read_roster(events, organisation)
        self.has_roster = bool(stays) or bool(events.columns(Member, "id"))
        found = {person: episodes(person, own, terms.rehire_gap) for person, own in stays.items()}
        self.roster = with_imports(found, terms.bulk_share, terms.bulk_span)
        self._reported = self._read_milestones()
        self.stages = tuple(s for s in STAGES if self._is_shown(s))
        self._people: dict[tuple[str | None, bool], str | None] = {}
        self._begun: dict[str, int] = {}
        self._ends: dict[Episode, int] = {}
        self._known = {person: _known_by(words) for person, words in asked.known.items() if is_person(person)}
        self._firsts = FirstActs(events, asked)
        self._readers: dict[str, set[str]] = defaultdict(set)
        self._served: dict[str, set[str]] = defaultdict(set)
        for person, known in self._known.items():
            for repository in known.repositories:
                self._readers[repository].add(person)
            for service in known.services:
                self._served[service].add(person)

    def found(self) -> Iterator[tuple[str, list[Progress], tuple[str, ...]]]:
        """Each person that there is something new to say of: their progress, and what that was found by."""
        people = self._wanted() if self._clocked else {}
        if self._clocked:
            self._follow(people)
        for person in sorted(self._gone(people)):
            yield person, [], ()
        for person, one in sorted(people.items()):
            progress = [self._progress(person, one, e) for e in one.episodes]
            if progress or person in self._known:
                yield person, progress, self._words(one, progress)

    def kept(self) -> Iterator[Piece]:
        """Once all is found: what of repositories is kept for the next look, where nobody tells who joined when."""
        if self._asked.only is None:
            follows = self._clocked and not self.has_roster
            if not follows or self._asked.since is None:
                yield from nothing_kept(self._asked)
            if follows:
                yield from self._firsts.pieces()

    @property
    def _clocked(self) -> bool:
        """Whether anything says when an onboarding begins."""
        return self.has_roster or self._terms.first_activity

    def _gone(self, people: Iterable[str]) -> set[str]:
        """Those of whom something was said and nothing is any more."""
        if self._asked.only is not None:
            return set()
        if self.has_roster:
            return self._known.keys() - self.roster.keys()
        everybody = self._asked.since is None or not self._terms.first_activity
        return self._known.keys() - set(people) if everybody else set()

    # --- what is known beforehand ------------------------------------------------------------------------------

    def _read_milestones(self) -> dict[str, list[tuple[MilestoneKind, Reached]]]:
        """The milestones that sources report directly, by person."""
        found: dict[str, list[tuple[MilestoneKind, Reached]]] = defaultdict(list)
        columns = ("person", "milestone", "at", "id", "source")
        for account, kind, at, id_, source in self._events.columns(Milestone, *columns):
            person = self._organisation.identities.person(account)
            if person is not None:
                found[person].append((MilestoneKind(kind), Reached(at, (id_,), "reported", source)))
        return found

    def _is_shown(self, stage: MilestoneKind) -> bool:
        """Whether anything known could show that a milestone was reached: else its absence means nothing."""
        revisions = self._asked.revisions
        return any(kind is stage for own in self._reported.values() for kind, _ in own) or any(
            bool(revisions.get(kind_of(t)))
            if revisions
            else bool(self._events.distinct(t, "service" if t is Deployment else "repository"))
            for t in _SHOWN_BY[stage]
        )

    def _by(self, person: str) -> str:
        """Changes with all that is known of somebody beside what they did."""
        listed = self.roster.get(person)
        return self._by_nothing if listed is None else self._by_all(listed)

    @cached_property
    def _by_nothing(self) -> str:
        """The same of all of whom no roster tells."""
        return self._by_all(None)

    def _by_all(self, listed: Sequence[Episode] | None) -> str:
        told = repr((self.has_roster, self.stages, listed))
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    def _person(self, account: str | None, bot: bool) -> str | None:  # noqa: FBT001 - an event's field
        """The person behind an account, where anybody asks for them; no bots."""
        key = (account, bot)
        if key not in self._people:
            identities = self._organisation.identities
            person = identities.person(account) if account and not identities.is_bot(account, bot) else None
            self._people[key] = person if not self.has_roster or person in self.roster else None
        return self._people[key]

    def _actors(self, actor: str | None, bot: bool, others: str) -> set[str]:  # noqa: FBT001 - an event's field
        """The people who did something, those of whom nobody asks left out."""
        told = [self._person(actor, bot), *(self._person(name, False) for name in (names(others) if others else ()))]
        return {person for person in told if person is not None}

    def _counts(self, repository: str) -> bool:
        return not any_matches(self._terms.tutorials, repository)

    def _end(self, episode: Episode) -> int:
        """When nothing that somebody does belongs to an onboarding of theirs any more."""
        if episode not in self._ends:
            end = self._terms.end(episode)
            self._ends[episode] = end if episode.left_at is None else min(end, episode.left_at)
        return self._ends[episode]

    # --- whom new events concern -------------------------------------------------------------------------------

    def _wanted(self) -> dict[str, Person]:
        """Those to look at: everybody, or those of whom new events can say something else."""
        asked, known = self._asked, self._known
        if asked.only is not None:
            return {person: self._new(person) for person in asked.only}
        found: dict[str, Person] = {}
        everybody = self.roster.keys() if self.has_roster else known.keys()
        for person in everybody - asked.derived.keys():
            if asked.since is None or person not in known or known[person].by != self._by(person):
                found[person] = self._new(person)
        if asked.since is not None:
            self._touch(found, asked.since)
        return found

    def _new(self, person: str) -> Person:
        return Person(list(self.roster.get(person, ())), Known(by=self._by(person)))

    def _look(self, found: dict[str, Person], person: str) -> Person:
        """Somebody to be looked at where they are known to work."""
        if person not in found:
            own = self._known.get(person) or Known()
            known = Known(set(own.repositories), set(own.services), by=self._by(person))
            fresh = set(own.repositories) if own.unsure else set[str]()
            found[person] = Person(list(self.roster.get(person, ())), known, fresh, scan=False)
        return found[person]

    def _touch(self, found: dict[str, Person], since: Mapping[str, int]) -> None:
        """Add those whom events after some revisions concern."""
        for person in self._with_new_milestones(since.get(kind_of(Milestone), 0)):
            self._look(found, person)
        for kind in ACTIVE:
            revision = since.get(kind_of(kind), 0)
            for repository in self._events.moved(kind, revision):
                if not self.has_roster:
                    self._firsts.look_again(repository)
                for person in self._still(self._readers.get(repository, ())):
                    self._look(found, person)
            for repository in filter(self._counts, self._events.distinct(kind, "repository", revision)):
                new = new_acts(self._events, kind, repository, revision)
                if not self.has_roster:
                    self._firsts.tell(repository, new)
                self._touch_readers(found, repository, new, runs=kind is PipelineRun)
                self._touch_actors(found, repository, new, runs=kind is PipelineRun)
        if not self.has_roster:
            self._touch_beginners(found)
        self._touch_deployed(found, since.get(kind_of(Deployment), 0))

    def _still(self, people: Iterable[str]) -> list[str]:
        return [p for p in people if not self.has_roster or p in self.roster]

    def _with_new_milestones(self, revision: int) -> list[str]:
        new = [account for (account,) in self._events.columns(Milestone, "person", revision=Above(revision))]
        told = {self._organisation.identities.person(a) for a in (*new, *self._events.moved(Milestone, revision))}
        everybody = self.roster.keys() if self.has_roster else self._known.keys()
        return sorted(p for p in told if p is not None and p in everybody)

    def _touch_readers(self, found: dict[str, Person], repository: str, new: Sequence[Act], *, runs: bool) -> None:
        """Those who work in a repository of which something is new. Of runs, only one's own mean anything."""
        ids, earliest = {act.id for act in new}, min((act.at for act in new), default=NEVER)
        for person in self._still(self._readers.get(repository, ())):
            known = self._known[person]
            concerned = known.until + DAY >= earliest and not runs
            if concerned or not ids.isdisjoint(known.events):
                self._look(found, person)

    def _touch_actors(self, found: dict[str, Person], repository: str, new: Sequence[Act], *, runs: bool) -> None:
        """Those who did something in a repository for the first time, or whose run may be the first green one."""
        for act in new:
            for person in self._actors(act.actor, act.bot, act.others):
                known = self._known.get(person)
                first = known is None or repository not in known.repositories
                own = runs and known is not None and act.at <= known.running + DAY
                if (first or own) and self._within(person, act.at):
                    one = self._look(found, person)
                    if first:
                        one.known.repositories.add(repository)
                        one.fresh.add(repository)

    def _touch_beginners(self, found: dict[str, Person]) -> None:
        """Those who began otherwise than was known, or where their repository did. Without a roster both say if new."""
        for repository, begun, groups in filter(lambda one: self._counts(one.repository), self._firsts.differing()):
            for person in self._readers.get(repository, ()) if begun else ():
                self._look(found, person)
            for person in {p for group in groups for p in self._actors(*group)} & self._known.keys():
                # They may have begun later than they seemed to: what else they did then counts too.
                found[person] = self._new(person)

    def _within(self, person: str, at: int) -> bool:
        """Whether what somebody did at a time may belong to an onboarding of theirs."""
        if self.has_roster:
            return any(e.start <= at <= self._end(e) for e in self.roster.get(person, ()))
        known = self._known.get(person)
        return known is None or at <= known.end

    def _touch_deployed(self, found: dict[str, Person], revision: int) -> None:
        """Those whose repositories were deployed anew."""
        for name in self._events.moved(Deployment, revision):
            for person in self._still(self._served.get(name, ())):
                self._look(found, person)
        columns = ("id", "repository", "finished_at", "started_at")
        for name in self._events.distinct(Deployment, "service", revision):
            only = only_repository(self._organisation, self._organisation.deployed(name) or name)
            for id_, told, finished_at, started_at in self._events.columns(
                Deployment, *columns, service=name, revision=Above(revision)
            ):
                earliest = min(finished_at, finished_at if started_at is None else started_at)
                # It may have been another repository's before.
                concerned = self._readers.get(told or only or "", set()) | self._served.get(name, set())
                for person in self._still(concerned):
                    known = self._known[person]
                    if known.until + DAY >= earliest or id_ in known.events:
                        self._look(found, person).known.services.add(name)

    # --- how far they have come --------------------------------------------------------------------------------

    def _follow(self, people: dict[str, Person]) -> None:
        """Find what these people did, and without a roster when each of them began."""
        self._scan(people)
        if not self.has_roster:
            self._begin(people)
        workers: dict[str, dict[str, Person]] = defaultdict(dict)
        for person, one in people.items():
            for repository in one.known.repositories if one.episodes and not one.episodes[0].unsure else ():
                workers[repository][person] = one
        self._find_services(workers)
        for repository, own in sorted(workers.items()):
            after = min(e.start for one in own.values() for e in one.episodes)
            self._runs(repository, own, after)
            self._work(repository, own, after)

    def _scan(self, people: dict[str, Person]) -> None:
        """Where people work: all repositories, for those of whom it is not known; else what they are known for."""
        if not self.has_roster:
            self._scan_firsts(people)
            return
        scanned = {person: one for person, one in people.items() if one.scan}
        after = min((e.start for one in scanned.values() for e in one.episodes), default=0)
        for kind in ACTIVE if scanned else ():
            for repository in filter(self._counts, self._events.distinct(kind, "repository")):
                for group, times in acts_by(self._events, kind, repository, after - 1).items():
                    self._note(people, repository, group, times, everybody=False)

    def _scan_firsts(self, people: dict[str, Person]) -> None:
        """The same without a roster, where only the first thing matters that somebody did in each repository."""
        everybody = self._asked.since is None and self._asked.only is None
        if everybody or any(one.scan for one in people.values()):
            names_ = {name for kind in ACTIVE for name in self._events.distinct(kind, "repository")}
        else:
            names_ = set().union(*(one.known.repositories for one in people.values()))
        for repository in filter(self._counts, sorted(names_)):
            for group, (at, _) in self._firsts.of(repository).items():
                self._note(people, repository, group, [at], everybody=everybody)

    def _note(
        self, people: dict[str, Person], repository: str, group: Group, times: Sequence[int], *, everybody: bool
    ) -> None:
        """Note that some actors worked in a repository."""
        first = min(times)
        self._begun[repository] = min(first, self._begun.get(repository, first))
        for person in self._actors(*group):
            if everybody and person not in people:
                people[person] = self._new(person)
            one = people.get(person)
            if one is None or (self.has_roster and not (one.scan and any(self._within(person, t) for t in times))):
                continue
            one.first[repository] = min(first, one.first.get(repository, first))
            if one.scan:
                one.known.repositories.add(repository)
                one.fresh.add(repository)

    def _begin(self, people: dict[str, Person]) -> None:
        """Without a roster an onboarding begins with the first thing that somebody did.

        Where little of a repository's past is known before that, nobody can say that they were new.
        """
        calendar = self._organisation.calendar(None)
        for person, one in people.items():
            if not one.first:
                continue
            at, repository = min((at, repository) for repository, at in one.first.items())
            unsure = at - self._begun[repository] < self._terms.known_for
            one.episodes = [Episode(person, calendar.day_start(at), UNKNOWN_KIND, FIRST_ACTIVITY, unsure=unsure)]
            end = self._end(one.episodes[0])
            one.known.repositories = {r for r, first in one.first.items() if first <= end}

    def _find_services(self, workers: Mapping[str, Mapping[str, Person]]) -> None:
        """Look up which services are deployed from repositories in which somebody worked for the first time."""
        fresh = {r for r, own in workers.items() if any(r in one.fresh for one in own.values())}
        if not fresh:
            return
        pairs = set(self._events.columns(Deployment, "repository", "service", repository=sorted(fresh)))
        for name in self._events.distinct(Deployment, "service"):
            only = only_repository(self._organisation, self._organisation.deployed(name) or name)
            pairs |= {(only, name)} if only in fresh else set()
        for repository, name in pairs:
            for one in workers[repository].values():
                one.known.services.add(name)

    def _runs(self, repository: str, own: Mapping[str, Person], after: int) -> None:
        """The first green runs of some people in a repository."""
        green = {"result": Result.SUCCESS.value, "run_kind": RunKind.PIPELINE.value}
        columns = ("finished_at", "id", "source", "actor", "bot")
        for at, id_, source, actor, bot in self._events.columns(
            PipelineRun, *columns, repository=repository, finished_at=Above(after - 1), **green
        ):
            person = self._person(actor, bool(bot))
            if person is not None and person in own:
                one, found = own[person], Reached(at, (id_,), "run", source)
                for episode in one.episodes:
                    if episode.start <= at <= self._end(episode):
                        one.runs[episode.start] = min(found, one.runs.get(episode.start, found))

    def _work(self, repository: str, own: Mapping[str, Person], after: int) -> None:
        """What some people merged in a repository, and when that reached production."""
        work = read_work(self._events, repository, after, self._person)
        credited: dict[str, list[Credit]] = defaultdict(list)
        changes: dict[str, Merged] = {}
        for person, credit in work.credits():
            if person in own and credit.worked_at >= after:
                credited[person].append(credit)
                changes[credit.change.id] = credit.change
        services = set().union(*(own[person].known.services for person in own))
        releases = (
            read_releases(self._events, self._organisation, services, after).get(repository, {}) if changes else {}
        )
        shipped = delivered(self._organisation, work, list(changes.values()), releases)
        for person, credits_ in credited.items():
            one = own[person]
            for episode in one.episodes:
                if self._credit(one, episode, credits_, shipped):
                    start, end = episode.start, self._end(episode)
                    told = (r.source for chain in releases.values() for r in chain if start <= r.at <= end)
                    one.delivering[start].update(told)

    def _credit(self, one: Person, episode: Episode, found: Sequence[Credit], shipped: Mapping[str, Delivered]) -> bool:
        """Count somebody's merged changes for an onboarding, and the first deployment; whether any was merged in it."""
        merged = False
        start, end = episode.start, self._end(episode)
        for merged_at, worked_at, change in found:
            if worked_at < start:
                continue
            if start <= merged_at <= end:
                merged = True
                one.merged[start].append((merged_at, change.id, change.source))
            if (by := shipped.get(change.id)) is not None and start <= by.at <= end:
                reached = Reached(by.at, (change.id, by.id), by.rule, joined(change.source, by.source))
                one.deployed[start] = min(reached, one.deployed.get(start, reached))
        return merged

    def _progress(self, person: str, one: Person, episode: Episode) -> Progress:
        """The milestones of an episode, each as early as anybody knows of it: a source's own word before ours."""
        merged = sorted(set(one.merged.get(episode.start, ())))
        found = [*self._told(person, episode)]
        for kind, place in ((MilestoneKind.FIRST_MERGED_CHANGE, 1), (MilestoneKind.TENTH_MERGED_CHANGE, _TENTH)):
            if len(merged) >= place:
                at, id_, source = merged[place - 1]
                found.append((kind, Reached(at, (id_,), "merge", source)))
        found += [(MilestoneKind.FIRST_GREEN_RUN, r) for r in (one.runs.get(episode.start),) if r is not None]
        found += [(MilestoneKind.FIRST_DEPLOYED_CHANGE, r) for r in (one.deployed.get(episode.start),) if r is not None]
        reached: dict[MilestoneKind, Reached] = {}
        for kind, one_found in found:
            before = reached.get(kind)
            if before is None or _order(one_found) < _order(before):
                reached[kind] = one_found
        changing = frozenset(source for _, _, source in merged[:_TENTH])
        delivering = changing | one.delivering.get(episode.start, set()) if merged else frozenset[str]()
        sources = {
            MilestoneKind.FIRST_MERGED_CHANGE: changing,
            MilestoneKind.FIRST_DEPLOYED_CHANGE: delivering,
            MilestoneKind.TENTH_MERGED_CHANGE: changing,
        }
        decided = [id_ for r in reached.values() for id_ in r.evidence]
        return Progress(episode, reached, sources, frozenset([*decided, *(id_ for _, id_, _ in merged[:_TENTH])]))

    def _told(self, person: str, episode: Episode) -> Iterator[tuple[MilestoneKind, Reached]]:
        """What was reported of an episode. Access may be granted before the start: it is there on the first day."""
        for kind, reached in self._reported.get(person, ()):
            early = kind is MilestoneKind.ACCESS_GRANTED and (episode.since is None or reached.at > episode.since)
            at = max(reached.at, episode.start) if early else reached.at
            if episode.start <= at <= self._end(episode):
                yield kind, reached._replace(at=at)

    def _words(self, one: Person, progress: Sequence[Progress]) -> tuple[str, ...]:
        """What somebody was judged by, and until when anything can change that."""
        known = one.known
        known.events = {id_ for p in progress for id_ in p.events}
        run = MilestoneKind.FIRST_GREEN_RUN
        work = [s for s in self.stages if s not in {MilestoneKind.ACCESS_GRANTED, run}]
        known.until = max((self._open_until(p, work) for p in progress), default=-NEVER)
        known.running = max((self._open_until(p, [run]) for p in progress), default=-NEVER)
        if not self.has_roster and progress:
            known.end, known.unsure = self._end(progress[0].episode), progress[0].episode.unsure
        return known.words

    def _open_until(self, progress: Progress, stages: Sequence[MilestoneKind]) -> int:
        """Until when events can say something else of some milestones of an onboarding."""
        episode, reached = progress.episode, progress.reached
        if episode.unsure:
            return episode.start + DAY
        if all(s in reached for s in stages):
            return max((reached[s].at for s in stages), default=episode.start + DAY)
        return self._end(episode)


def _order(reached: Reached) -> tuple[int, bool, Reached]:
    """The earliest first; of equally early ones a source's own word."""
    return reached.at, reached.rule != "reported", reached
