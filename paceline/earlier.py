"""The SLOs or rules that the configured ones are compared with: of files, of a folder, or of a Git revision."""

from __future__ import annotations

import dataclasses
import glob
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from collector.document import Document, read_documents
from collector.errors import ConfigError, Mistake, SourceError
from collector.gitcommand import Git
from paceline.settings import Configuration
from paceline.slo_files import read_slos
from slo_engine.indicator import Indicator
from slo_engine.openslo import load_slos
from slo_engine.rule import Group
from slo_engine.rule_reading import groups_of, is_rule_file
from slo_engine.slo import Slo

_YAML = (".yaml", ".yml")
_EXPECTED = "a file or folder of SLOs, a rule file, a settings file, or a Git revision such as HEAD or main"


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What was there before: SLOs, or rules alone where a rule file was named. `notes` say what is not as it was."""

    slos: tuple[Slo, ...] | None = None
    groups: tuple[Group, ...] | None = None
    notes: tuple[str, ...] = ()


def earlier(
    against: str, configuration: Configuration, environ: Mapping[str, str], indicators: Mapping[str, Indicator]
) -> Earlier:
    """What `against` names: a path where there is one, else a revision of the repository that holds the settings.

    Raises ConfigError with every mistake of what is read, and where nothing has this name.
    """
    path = Path(against).expanduser()
    if path.is_dir():
        return Earlier(slos=tuple(load_slos(path, indicators)))
    if path.exists():
        return _of_file(path, environ, indicators)
    return _Revision(against, _settings_file(against, configuration), environ).read(indicators)


def _of_file(path: Path, environ: Mapping[str, str], indicators: Mapping[str, Indicator]) -> Earlier:
    documents = read_documents(path)
    if is_rule_file(documents[0]):
        return Earlier(groups=groups_of(documents))
    value = documents[0].value
    if isinstance(value, dict) and "apiVersion" not in value:
        (document, *_) = read_documents(path, environ=environ)
        return Earlier(slos=read_slos(document, path.resolve().parent, indicators))
    return Earlier(slos=tuple(load_slos(path, indicators)))


def _settings_file(against: str, configuration: Configuration) -> Path:
    if configuration.document is None:
        problem = "there is no file of this name, and without a settings file there is no earlier version of it"
        raise ConfigError(_nothing(against, problem))
    return Path(configuration.document.file).resolve()


def _nothing(against: str, problem: str) -> Mistake:
    return Mistake(file="--against", line=0, path=against[:60], problem=problem, expected=_EXPECTED)


@dataclass(frozen=True)
class _Revision:
    """A revision of the repository that holds the settings file."""

    name: str
    settings: Path
    environ: Mapping[str, str]

    def read(self, indicators: Mapping[str, Indicator]) -> Earlier:
        """The SLOs that the settings named then. Only the files that they named are taken out of the repository."""
        top, commit = self._commit()
        git, own = Git(top), self.settings.relative_to(top)
        paths = set(_paths(git, commit))
        if own.as_posix() not in paths:
            return Earlier(slos=(), notes=(f"{self.name} has no {own}: everything is new",))
        with tempfile.TemporaryDirectory() as name:
            root = Path(name).resolve()
            try:
                return self._read(_Tree(git, commit, top, root, frozenset(paths)), own, indicators)
            except ConfigError as error:
                raise ConfigError(*(self._placed(m, root) for m in error.mistakes)) from error

    def _commit(self) -> tuple[Path, str]:
        git = Git(self.settings.parent)
        try:
            top = Path(git.text("rev-parse", "--show-toplevel").removesuffix("\n")).resolve()
        except SourceError as error:
            problem = f"there is no file of this name, and {self.settings.name} lies in no Git repository"
            raise ConfigError(_nothing(self.name, problem)) from error
        try:
            wanted = f"{self.name}^{{commit}}"
            return top, git.text("rev-parse", "--verify", "--quiet", "--end-of-options", wanted).strip()
        except SourceError as error:
            problem = "there is no file, and no revision, of this name"
            raise ConfigError(_nothing(self.name, problem)) from error

    def _read(self, tree: _Tree, own: Path, indicators: Mapping[str, Indicator]) -> Earlier:
        tree.lay_out()
        tree.fill(tree.root / own)
        document = read_documents(tree.root / own, environ=self.environ)[0]
        notes: list[str] = []
        moved = list(_patterns(document, tree, self.settings.parent, notes))
        for pattern in moved:
            for found in glob.glob(pattern, recursive=True):  # noqa: PTH207 - patterns may be absolute
                tree.fill(Path(found))
        if moved:
            document = dataclasses.replace(document, value={**document.value, "slos": moved})
        return Earlier(slos=read_slos(document, (tree.root / own).parent, indicators), notes=tuple(notes))

    def _placed(self, mistake: Mistake, root: Path) -> Mistake:
        """A mistake in the revision, not in the folder that it was taken out to."""
        file, problem = (text.replace(f"{root}/", f"{self.name}:") for text in (mistake.file, mistake.problem))
        return dataclasses.replace(mistake, file=file, problem=problem)


@dataclass(frozen=True)
class _Tree:
    """The YAML files of a commit in a folder: empty ones, so that globs find them, until they are asked for."""

    git: Git
    commit: str
    top: Path
    root: Path
    paths: frozenset[str]

    def lay_out(self) -> None:
        """Make the empty files."""
        for path in self.paths:
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).touch()

    def fill(self, found: Path) -> None:
        """Write what the commit has: of a file, or of all files below a folder."""
        for file in found.rglob("*") if found.is_dir() else (found,):
            if file.is_relative_to(self.root) and (path := file.relative_to(self.root).as_posix()) in self.paths:
                file.write_text(self.git.text("cat-file", "blob", f"{self.commit}:{path}"), encoding="utf-8")


def _paths(git: Git, commit: str) -> Iterator[str]:
    """The YAML files of a commit; links and submodules are none."""
    for entry in git.text("ls-tree", "-r", "-z", "--full-tree", commit).split("\0"):
        about, _, path = entry.partition("\t")
        if about.startswith("100") and path.endswith(_YAML) and ".." not in Path(path).parts:
            yield path


def _patterns(document: Document, tree: _Tree, base_dir: Path, notes: list[str]) -> Iterator[str]:
    """The patterns of `slos`, pointing into the tree; what lies outside the repository is read as it is now."""
    value = document.value
    listed = value.get("slos") if isinstance(value, dict) else None
    for pattern in listed if isinstance(listed, list) else []:
        absolute = Path(os.path.normpath(base_dir / str(pattern)))
        if absolute.is_relative_to(tree.top):
            yield str(tree.root / absolute.relative_to(tree.top))
        else:
            notes.append(f"{pattern} is not in the repository: it is read as it is now")
            yield str(absolute)
