"""Rule files read back: of Prometheus, of its operator (`PrometheusRule`) and of the Mimir ruler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collector.document import Document, DocumentPath
from collector.errors import ConfigError, Mistake
from slo_engine.rule import Group, Rule

_OPERATOR = "PrometheusRule"


def is_rule_file(document: Document) -> bool:
    """Whether a document says that it holds rules."""
    value = document.value
    return isinstance(value, dict) and (value.get("kind") == _OPERATOR or "groups" in value)


def groups_of(documents: Sequence[Document]) -> tuple[Group, ...]:
    """The groups of a rule file's documents, in their order. Raises ConfigError with every mistake."""
    mistakes: list[Mistake] = []
    found = [group for document in documents for group in _groups(document, mistakes)]
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(found)


def _groups(document: Document, mistakes: list[Mistake]) -> list[Group]:
    operator = isinstance(document.value, dict) and document.value.get("kind") == _OPERATOR
    path: DocumentPath = ("spec", "groups") if operator else ("groups",)
    found = []
    for place, group in _items(document, path, mistakes):
        rules = tuple(
            rule
            for at, one in _items(document, (*place, "rules"), mistakes)
            if (rule := _rule(document, at, one, mistakes))
        )
        found.append(Group(name=_text(group.get("name")), interval=_text(group.get("interval")), rules=rules))
    return found


def _items(
    document: Document, path: DocumentPath, mistakes: list[Mistake]
) -> list[tuple[DocumentPath, Mapping[str, Any]]]:
    """The mappings of a list."""
    value: Any = document.value
    for part in path:
        inside = isinstance(value, list) or (isinstance(value, dict) and part in value)
        value = value[part] if inside else None
    if not isinstance(value, list):
        mistakes.append(document.mistake(path, "no list", f"a list of {path[-1]}, as rule files have it"))
        return []
    wrong = [i for i, one in enumerate(value) if not isinstance(one, dict)]
    mistakes += (document.mistake((*path, i), "no mapping", "the keys of a rule file") for i in wrong)
    return [((*path, i), one) for i, one in enumerate(value) if i not in wrong]


def _rule(document: Document, at: DocumentPath, value: Mapping[str, Any], mistakes: list[Mistake]) -> Rule | None:
    if not (value.get("record") or value.get("alert")) or not value.get("expr"):
        mistakes.append(document.mistake(at, "no rule", "expr, and record or alert"))
        return None
    return Rule(
        record=_text(value.get("record")),
        alert=_text(value.get("alert")),
        expr=_text(value.get("expr")).strip(),
        wait=_text(value.get("for")),
        labels=_texts(value.get("labels")),
        annotations=_texts(value.get("annotations")),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _texts(value: Any) -> dict[str, str]:
    return {str(key): _text(one) for key, one in value.items()} if isinstance(value, dict) else {}
