"""YAML files with the line of every key, and typed models checked against them; YAML text. Owner of ruamel.yaml.

YAML 1.2, core schema, JSON's kinds of values: `no`, `on`, `1:30`, `007` and `2026-01-02` are the text that
stands there. What a person wrote wrongly is answered with file, line, path and what was expected, at once.
"""

from __future__ import annotations

import difflib
import io
import re
import typing
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.scanner import Scanner

from collector.errors import ConfigError, Mistake

M = TypeVar("M", bound=BaseModel)
DocumentPath: TypeAlias = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: value for text, value in (("true", True), ("false", False)) for word in (text, text.title(), text.upper())
}
_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_SECRET = re.compile("token|secret|password|key", re.IGNORECASE)
_ECHO_LIMIT = 60
_LONGEST_NUMBER = 300
"""Digits; Python refuses to convert integers of thousands, and nobody means one."""
_INVISIBLE = re.compile(r"[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a character, which `"\\ud83d"` alone is: no file, terminal or database takes it."""
_OLD_WORDS = re.compile(r"y|yes|n|no|on|off|[-+]?[0-9_]+(:[0-5]?[0-9])+", re.IGNORECASE)
"""Text here, but no text to readers of YAML 1.1: written in quotes."""
_DEEPEST = 50
"""Levels; far above any configuration, and far below where Python's stack ends."""
_SMALL = 16_384
"""Characters of a text whose nodes are kept: a larger one is somebody's catalogue, read once."""
_NODE_LIMIT = 100_000
"""Far above any configuration; stops aliases of aliases from filling the memory."""


@dataclass(frozen=True)
class Document:
    """One YAML document: plain values, and where each stands.

    `texts` holds numbers as they were written (`0.9990`). `from_environment` are the paths whose text came
    from a variable: they are never echoed.
    """

    file: str
    value: Any
    lines: Mapping[DocumentPath, int]
    texts: Mapping[DocumentPath, str] = field(default_factory=dict)
    from_environment: frozenset[DocumentPath] = frozenset()

    def line(self, path: DocumentPath) -> int:
        """The line of a path, or of its nearest ancestor that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def mistake(self, path: DocumentPath, problem: str, expected: str) -> Mistake:
        """A mistake at a path of this document."""
        return Mistake(file=self.file, line=self.line(path), path=dotted(path), problem=problem, expected=expected)


def dotted(path: DocumentPath) -> str:
    """A path as people write it: `sources[0].every`."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like this one, or empty text where none is near."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), "")


def read_documents(path: Path, *, environ: Mapping[str, str] | None = None) -> list[Document]:
    """All documents of a YAML file, in order; empty ones between `---` are skipped.

    With `environ`, `${NAME}` and `${NAME:-default}` in text values are replaced (`$${` stays `${`); the
    result is text. Raises ConfigError for an unreadable or empty file, broken YAML, duplicate keys and
    missing variables.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise ConfigError(_in_file(path, 0, problem, "a readable YAML file")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(_in_file(path, 0, "is not UTF-8", "a YAML file in UTF-8")) from error
    return documents_of(text, path, environ=environ)


def documents_of(text: str, path: Path, *, environ: Mapping[str, str] | None = None) -> list[Document]:
    """All documents in a YAML text, as `read_documents` has them; mistakes name the path."""
    nodes = [n for n in _compose(text, path) if not isinstance(n, ScalarNode) or _plain(n) is not None]
    if not nodes:
        raise ConfigError(_in_file(path, 0, "the file is empty", "at least one YAML document"))
    readers = [_Reader(str(path), environ) for _ in nodes]
    documents = [reader.document(node) for reader, node in zip(readers, nodes, strict=True)]
    mistakes = [m for reader in readers for m in reader.mistakes]
    if mistakes:
        raise ConfigError(*mistakes)
    return documents


def _in_file(path: Path, line: int, problem: str, expected: str) -> Mistake:
    return Mistake(file=str(path), line=line, path="", problem=problem, expected=expected)


def _composed(text: str) -> tuple[Node, ...]:
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    return tuple(yaml.compose_all(text))


class _Scanner(Scanner):
    """Gives up where brackets are nested too deeply: each one costs time for all that are open."""

    def fetch_flow_collection_start(self, *arguments: Any, **named: Any) -> None:
        if self.flow_level > _DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(*arguments, **named)


_nodes = lru_cache(maxsize=64)(_composed)
"""Parsing is what reading costs, and files such as those that come along are read again and again; who reads nodes
makes new values and changes none of them."""


def _compose(text: str, path: Path) -> list[Node]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # allowed by YAML: the later one holds
            return list(_nodes(text) if len(text) <= _SMALL else _composed(text))
    except RecursionError as error:
        raise ConfigError(_in_file(path, 0, "is nested too deeply", f"at most {_DEEPEST} levels")) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"broken YAML: {error.problem or error.context}"
        raise ConfigError(_in_file(path, mark.line + 1 if mark else 0, problem, "valid YAML 1.2")) from error
    except YAMLError as error:  # a character that YAML forbids; its message shows the text, so it stays out
        raise ConfigError(_in_file(path, 0, "broken YAML: forbidden character", "valid YAML 1.2")) from error


def _plain(node: ScalarNode) -> Any:
    """The value of a scalar by the YAML 1.2 core schema; text where it is quoted or not of that schema."""
    text = node.value
    if node.style is not None or node.tag == f"{_TAG}str" or len(text) > _LONGEST_NUMBER:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Reader:
    """Turns the nodes of one document into plain values, and notes lines and mistakes on the way."""

    def __init__(self, file: str, environ: Mapping[str, str] | None) -> None:
        self.file = file
        self.environ = environ
        self.lines: dict[DocumentPath, int] = {}
        self.texts: dict[DocumentPath, str] = {}
        self.from_environment: set[DocumentPath] = set()
        self.mistakes: list[Mistake] = []
        self.open: list[Node] = []

    def document(self, node: Node) -> Document:
        value = self.value(node, ())
        return Document(self.file, value, self.lines, self.texts, frozenset(self.from_environment))

    def refuse(self, node: Node, path: DocumentPath, problem: str, expected: str) -> None:
        line = node.start_mark.line + 1
        self.mistakes.append(Mistake(file=self.file, line=line, path=dotted(path), problem=problem, expected=expected))

    def value(self, node: Node, path: DocumentPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(self.lines) == _NODE_LIMIT:
            self.refuse(node, path, "too many values", f"a file of less than {_NODE_LIMIT} values")
        if len(self.lines) >= _NODE_LIMIT:
            return None
        if len(self.open) == _DEEPEST:
            self.refuse(node, path, "is nested too deeply", f"at most {_DEEPEST} levels")
            return None
        if any(node is parent for parent in self.open):
            self.refuse(node, path, "an alias of something that contains it", "a value without a circle")
            return None
        if not str(node.tag).startswith(_TAG) or "python" in str(node.tag):
            self.refuse(node, path, f"unknown tag {node.tag}", "a value without a tag")
            return None
        if isinstance(node, ScalarNode):
            return self.scalar(node, path)
        self.open.append(node)
        found: Any = None
        if isinstance(node, MappingNode):
            found = self.mapping(node, path)
        elif isinstance(node, SequenceNode):
            found = self.sequence(node, path)
        self.open.pop()
        return found

    def sequence(self, node: SequenceNode, path: DocumentPath) -> list[Any]:
        return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]

    def mapping(self, node: MappingNode, path: DocumentPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.refuse(key_node, path, "a key that is no text", "a plain word as key")
                continue
            key = str(key_node.value)
            if _HALF.search(key):
                self.refuse(key_node, path, "a key with half a character", "whole characters")
                continue
            here = (*path, key)
            if key_node.tag == f"{_TAG}merge":
                self.refuse(key_node, here, "YAML 1.2 has no merge key", "the keys themselves")
            elif key in found:
                first = self.lines[here]
                self.refuse(key_node, here, f"duplicate key, first on line {first}", "each key once")
            else:
                self.lines[here] = key_node.start_mark.line + 1
                found[key] = self.value(value_node, here)
        return found

    def scalar(self, node: ScalarNode, path: DocumentPath) -> Any:
        value = _plain(node)
        if isinstance(value, str) and _HALF.search(value):
            self.refuse(node, path, "a text with half a character", "whole characters")
            return ""
        if isinstance(value, (int, float)):
            self.texts[path] = node.value
        if self.environ is None or not isinstance(value, str) or "${" not in value:
            return value
        return self.replaced(node, value, path, self.environ)

    def replaced(self, node: Node, text: str, path: DocumentPath, environ: Mapping[str, str]) -> str:
        def one(match: re.Match[str]) -> str:
            name, default = match[1], match[2]
            if match[0] == "$${":
                return "${"
            if name is None:
                expected = "${NAME}, ${NAME:-default}, or $${ for the characters themselves"
                self.refuse(node, path, "`${` without the name of a variable", expected)
                return ""
            self.from_environment.add(path)
            if default is not None:
                return environ.get(name) or default
            if name not in environ:
                expected = f"the variable in the environment, or a default: ${{{name}:-…}}"
                self.refuse(node, path, f"the variable {name} is not set", expected)
            return environ.get(name, "")

        return _REFERENCE.sub(one, text)


class _Representer(SafeRepresenter):
    """Plain values in the order they are in; no anchors; text of several lines as a block."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def decimal(self, data: Decimal) -> ScalarNode:
        tag = "int" if data == data.to_integral_value() else "float"
        return self.represent_scalar(f"{_TAG}{tag}", f"{data.normalize():f}")

    def text(self, data: str) -> ScalarNode:
        style = "|" if "\n" in data else None
        if _INVISIBLE.search(data):
            style = '"'
        elif _OLD_WORDS.fullmatch(data):
            style = "'"
        return self.represent_scalar(f"{_TAG}str", data, style=style)


_Representer.add_representer(Decimal, _Representer.decimal)
_Representer.add_representer(str, _Representer.text)


def dump(documents: Iterable[Any]) -> str:
    """YAML text of plain values, one document each, that `read_documents` reads back as they are.

    Decimals are written with their exact digits, without exponent.
    """
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.width = 100_000  # a folded query is hard to copy
    stream = io.StringIO()
    yaml.dump_all(list(documents), stream)
    return stream.getvalue()


def validate(document: Document, model: type[M], *, at: DocumentPath = (), secrets: Collection[str] = ()) -> M:
    """The model filled from the document's value at a path.

    Raises ConfigError with every mistake: line, path, problem, what was expected. Values are echoed only
    where they are short, did not come from the environment and do not belong to a field named like a secret
    (`secrets` adds names). A validator's ValueError is split at "; expected ".
    """
    value = _walk(document.value, at)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise ConfigError(*(_mistake(document, model, at, d, secrets) for d in details)) from None


def _walk(value: Any, path: DocumentPath) -> Any:
    for part in path:
        value = value[part]
    return value


def _mistake(
    document: Document,
    model: type[BaseModel],
    at: DocumentPath,
    detail: ErrorDetails,
    secrets: Collection[str],
) -> Mistake:
    loc = detail["loc"]
    path = _real_path(document, at, loc)
    secret = _is_secret(document, path, secrets)
    shown = _shown(detail["input"], secret=secret)
    if detail["type"] == "extra_forbidden":
        return document.mistake(path, "unknown key", _expected_key(str(loc[-1]), _known_keys(model, loc[:-1])))
    if detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return _of_union(document, path, detail, secret=secret)
    if detail["type"] == "missing":
        return document.mistake(path, "is missing", _described(model, loc) or "a value")
    if detail["type"] in {"model_type", "model_attributes_type", "dict_type"}:
        keys = ", ".join(_known_keys(model, loc))
        return document.mistake(path, f"{shown} is no mapping", f"the keys {keys}" if keys else "a mapping")
    if detail["type"] in {"value_error", "assertion_error"}:
        return _from_validator(document, path, detail, secret=secret)
    return document.mistake(path, f"{shown} is not valid", _expectation(model, detail))


def _from_validator(document: Document, path: DocumentPath, detail: ErrorDetails, *, secret: bool) -> Mistake:
    message = str(detail.get("ctx", {}).get("error", "")) or detail["msg"]
    problem, _, expected = message.partition("; expected ")
    if secret and isinstance(detail["input"], str) and detail["input"] in message:
        problem, expected = "this value is not valid", ""
    return document.mistake(path, problem, expected or "another value")


def _real_path(document: Document, at: DocumentPath, loc: Sequence[str | int]) -> DocumentPath:
    """The part of pydantic's location that stands in the file: union members and validators do not."""
    path, value = at, _walk(document.value, at)
    for i, part in enumerate(loc):
        if _holds(value, part):
            value, path = value[part], (*path, part)
        elif i == len(loc) - 1 and isinstance(value, dict):
            path = (*path, part)
    return path


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _is_secret(document: Document, path: DocumentPath, secrets: Collection[str]) -> bool:
    named = any(isinstance(p, str) and (_SECRET.search(p) or p in secrets) for p in path)
    return named or any(p[: len(path)] == path for p in document.from_environment)


def _shown(value: Any, *, secret: bool) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = "nothing" if value is None else repr(value)
    credentials = "://" in text and "@" in text
    return "this value" if secret or credentials or len(text) > _ECHO_LIMIT else text


def _expected_key(key: str, known: Sequence[str]) -> str:
    near = nearest(key, known)
    if near:
        return f"{near}; the keys here are {', '.join(known)}"
    return f"one of {', '.join(known)}" if known else "no key here"


def _of_union(document: Document, path: DocumentPath, detail: ErrorDetails, *, secret: bool) -> Mistake:
    """The key that chooses between several models is missing, or has no known value."""
    context = detail.get("ctx", {})
    key = str(context.get("discriminator", "")).strip("'")
    if detail["type"] == "union_tag_not_found":
        return document.mistake(path, f"{key} is missing", f"the key {key}")
    found, choices = str(context.get("tag", "")), str(context.get("expected_tags", ""))
    near = nearest(found, re.findall(r"'([^']*)'", choices))
    expected = f"{choices}; perhaps {near!r}" if near else choices
    return document.mistake((*path, key), f"{_shown(found, secret=secret)} is not valid", expected)


def _expectation(model: type[BaseModel], detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    choices = str(context.get("expected_tags" if "expected_tags" in context else "expected", ""))
    if detail["type"] in {"literal_error", "enum", "union_tag_invalid"} and choices:
        near = nearest(str(detail["input"]), re.findall(r"'([^']*)'", choices))
        return f"{choices}; perhaps {near!r}" if near else choices
    message = re.sub(r"^Input should be ", "", detail["msg"])
    message = re.sub(r"^\w+ should (have|match)", lambda m: "it to " + m[1], message)
    described = _described(model, detail["loc"])
    return f"{message} ({described})" if described else message


def _described(model: type[BaseModel], loc: Sequence[str | int]) -> str:
    """The description of the field at a location, as the start of a clause; empty where it has none."""
    for candidate in _models_at(model, loc[:-1]):
        for name, info in candidate.model_fields.items():
            if loc and loc[-1] in {name, info.alias} and info.description:
                return info.description.rstrip(".")
    return ""


def _known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    fields = [item for m in _models_at(model, loc) for item in m.model_fields.items()]
    return sorted({info.alias or name for name, info in fields})


def _models_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that may stand at a location; parts that are no field (indexes, tags) are passed over."""
    models = [model]
    for part in loc:
        infos = [i for m in models for n, i in m.model_fields.items() if part in {n, i.alias}]
        if infos:
            models = [m for info in infos for m in _models_in(info.annotation)]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in typing.get_args(annotation) for m in _models_in(argument)]
