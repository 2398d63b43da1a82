"""A repository's commit graph in memory, and the questions asked of it. Pure.

Each walk visits each commit once: what a merge brought, and which deployment first contained a commit, are both
answered for all commits together, not once per merge or deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SHIPPED_BEFORE = -2
"""Stands for a deployment that is settled: nobody asks which one it was."""


@dataclass
class CommitGraph:
    """Commits by number. `parents` holds the numbers of the known parents, the first parent first."""

    number: dict[str, int] = field(default_factory=dict)
    parents: list[tuple[int, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, shas: Sequence[str], parents_json: Sequence[str]) -> CommitGraph:
        """The graph of some commits, each given once, with its parents as a JSON list of ids (empty text: none).

        Parents that are not among the commits (a shallow clone's) are cut off.
        """
        number = {sha: i for i, sha in enumerate(shas)}
        find = number.get
        parents: list[tuple[int, ...]] = []
        # Slicing a list of hex digits is several times faster than decoding JSON, and there is one per commit.
        for text in parents_json:
            if "," not in text:  # one parent or none, as nearly all have
                only = find(text[2:-2])
                parents.append(() if only is None else (only,))
            else:
                parents.append(tuple([p for p in map(find, text[2:-2].split('","')) if p is not None]))
        return cls(number, parents)

    def brought_by(self, line: Sequence[bool]) -> list[int]:
        """For each commit, the commit of the default branch's line that brought it there; -1 where none did.

        `line` tells which commits stand on the first-parent line. A commit of the line brings itself and what is
        reachable from it but not from the line below: the commits of the merged branch. Another commit of the line
        is never among them: after a forced push, what the old line brought stays with the old line.
        """
        owner = [-1] * len(self.parents)
        for tip in self.in_order(line):
            owner[tip] = tip
            stack = list(self.parents[tip])
            while stack:
                commit = stack.pop()
                if owner[commit] < 0 and not line[commit]:
                    owner[commit] = tip
                    stack.extend(self.parents[commit])
        return owner

    def in_order(self, line: Sequence[bool]) -> list[int]:
        """The commits of the line, parents before children. There may be several lines after a forced push."""
        below = {p[0] for i, p in enumerate(self.parents) if line[i] and p}
        done = bytearray(len(self.parents))
        order: list[int] = []
        tips = [i for i, on in enumerate(line) if on and i not in below]
        if len(tips) > 1:  # the answer must not depend on the order of reading, so the ids decide
            shas = list(self.number)
            tips.sort(key=shas.__getitem__)
        for tip in tips:
            run, commit = [], tip
            while not done[commit]:
                done[commit] = 1
                run.append(commit)
                parents = self.parents[commit]
                if not parents or not line[parents[0]]:
                    break
                commit = parents[0]
            order.extend(reversed(run))
        return order

    def shipped_in(self, deployed: Sequence[Sequence[int]], before: Iterable[int] = ()) -> list[int]:
        """For each commit, the index of the first deployment that contains it; -1 where none does.

        `deployed` are the commits known of each deployment, in the order of the deployments. What is in `before`
        had shipped already: it gets SHIPPED_BEFORE.
        """
        first = [-1] * len(self.parents)
        for commit in before:
            first[commit] = SHIPPED_BEFORE
        for index, tips in enumerate(deployed):
            stack = list(tips)
            while stack:
                current = stack.pop()
                if first[current] == -1:
                    first[current] = index
                    stack.extend(self.parents[current])
        return first

    def is_ancestor(self, commit: int, tip: int, first: Sequence[int]) -> bool:
        """True where a commit is reachable from another one that is not itself.

        `first` is what `shipped_in` gave. Whatever contains the commit shipped no earlier, so the walk leaves out
        what did.
        """
        least, seen, stack = first[commit], {tip}, [tip]
        while stack:
            for parent in self.parents[stack.pop()]:
                if parent == commit:
                    return True
                if parent not in seen and not 0 <= first[parent] < least:
                    seen.add(parent)
                    stack.append(parent)
        return False
