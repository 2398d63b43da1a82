"""The code blocks of the documentation: where each stands, what it is, and the commands in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (?P<name>[\w./-]+\.ya?ml)\n")
_HERE = re.compile(r"<<'(?P<end>\w+)'")
_ANYTHING = "…"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        """The page and the line that a person looks at."""
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """What its first line says that it is saved as; empty where it says nothing."""
        found = _FILE.match(self.text)
        return found["name"] if found else ""


@dataclass(frozen=True)
class Command:
    """A command of a block, as it is written, and what stands below it as its output."""

    block: Block
    text: str
    shown: str = ""

    @property
    def name(self) -> str:
        """The page and the command: by this it is known in lists."""
        return f"{self.block.page}: {self.text}"

    def shows(self, output: str) -> bool:
        """Whether an output is what the page shows. `…` stands for anything; nothing shown is no claim."""
        if not self.shown:
            return True
        pattern = ".*".join(re.escape(part) for part in self.shown.rstrip().split(_ANYTHING))
        return re.fullmatch(pattern, _plain(output).rstrip(), re.DOTALL) is not None


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages; all of them where none is named."""
    return [b for page in PAGES for b in blocks_of(page) if not languages or b.language in languages]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(str(page.relative_to(ROOT)), text.count("\n", 0, m.start()) + 2, m["language"], m["text"])
        for m in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a `sh` or `console` block."""
    return list(_asked(block) if block.language == "console" else _written(block))


def _asked(block: Block) -> Iterator[Command]:
    """What stands behind the prompts, and what follows each."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        first, _, shown = part.partition("\n")
        yield Command(block, _without_comment(first), shown)


def _written(block: Block) -> Iterator[Command]:
    """The lines; an open quote, a backslash at the end or a here-document goes on with the next one."""
    whole, until = "", ""
    for line in block.text.splitlines():
        whole = f"{whole}\n{line}" if whole else _without_comment(line)
        if not until and (begun := _HERE.search(line)):
            until = begun["end"]
        elif until:
            until = "" if line == until else until
        if until or whole.endswith("\\") or whole.count("'") % 2:
            continue
        if whole:
            yield Command(block, whole)
        whole = ""


def _without_comment(line: str) -> str:
    """A line without what a shell takes for a comment; the pages put blanks around its sign."""
    return re.sub(r"(?:^|\s+)# .*$", "", line).rstrip()


def _plain(output: str) -> str:
    """An output without blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in output.splitlines())
