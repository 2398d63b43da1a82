"""Every block of code in the documentation that is no command is read by what would read it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from chart_files import schema
from code_blocks import ROOT, Block, blocks

from collector.document import Document, read_documents
from collector.people import People
from collector.registry import source_types
from collector.source import SourceContext
from collector.sources.files import FilesConfig
from collector.systems.docs.told import docs_map
from paceline.identity_files import read_identities
from paceline.settings import load
from paceline.slo_files import packaged_policy
from slo_engine.exclusion_files import load_exclusions
from slo_engine.gate_files import load_overrides, load_policy
from slo_engine.indicator import families, indicators
from slo_engine.openslo import load_slos
from slo_engine.slo import Slo

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
COMMANDS = {"sh", "console"}
ELSEWHERE = {
    "python": "tests/test_docs.py runs the code of the architecture page, each block with what it is about",
}
"""Languages whose blocks other tests run, with where."""
GENERATED = {"docs/commands.md": "the help of each command, which tests/test_docs.py writes and compares"}
"""Pages whose texts are the program's own."""
SKETCHES = {
    ("docs/architecture.md", "source ─► collector"): "a drawing",
    ("docs/enricher.md", "[FIRING] checkout burns"): "an example of a chat message; tests/slo_engine/test_enrich.py",
    ("docs/first-minutes.md", "team/shop: default"): "a question as it may look; tests/paceline/test_init.py asks it",
    ("docs/init.md", "  What tells of deployments"): "a question as it may look; tests/paceline/test_init.py asks it",
    ("docs/lint.md", "slos/checkout.yaml:3: warning"): "one finding; tests/slo_engine/test_lint.py has each of them",
}
"""Texts that nothing reads, by page and beginning, with the reason."""
STARTER = ROOT / "config" / "slos" / "merge-to-production.yaml"
VALUE = "https://hooks.example.com/what-a-variable-holds"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _id(block: Block) -> str:
    return block.where


# --- YAML, by what it is ---------------------------------------------------------------------------------


def _settings(path: Path) -> None:
    """Settings are accepted, with files of the kinds that they may name beside them."""
    beside = path.parent
    (beside / "slos").mkdir()
    (beside / "slos" / "one.yaml").write_bytes(STARTER.read_bytes())
    (beside / "people").mkdir()
    (beside / "people" / "one.yaml").write_text("bots: [release-train]\n", encoding="utf-8")
    variables = dict.fromkeys(_VARIABLE.findall(path.read_text(encoding="utf-8")), VALUE)

    assert load(path, variables, source_types(), families())


def _identities(path: Path) -> None:
    """A reviewed file is accepted as settings name it."""
    settings = path.with_name("settings.yaml")
    settings.write_text(f"identities: [{path.name}]\n", encoding="utf-8")
    (document,) = read_documents(settings)

    assert read_identities(document, path.parent)


def _alertmanager(path: Path) -> None:
    """`amtool` accepts it; a fragment without a route of its own is given one."""
    (document,) = read_documents(path)
    told = {"route": {"receiver": document.value["receivers"][0]["name"]}} | document.value
    path.write_text(json.dumps(told), encoding="utf-8")

    _accepted("amtool", "check-config", path)


def _prometheus(path: Path) -> None:
    """`promtool` accepts it."""
    _accepted("promtool", "check", "config", "--syntax-only", path)


def _accepted(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _templates(path: Path) -> None:
    """Texts in YAML that hold YAML do; the body that they send is JSON once its templates are filled in."""
    (document,) = read_documents(path)
    inner = path.with_name("inner.yaml")
    bodies = []
    for name, text in document.value.items():
        inner.write_text(text, encoding="utf-8")
        (read,) = read_documents(inner)
        bodies += [read.value["webhook"][name.rpartition(".")[2]]["body"]] if "template." in name else []

    assert [json.loads(re.sub(r"\{\{[^{}]*\}\}", "null", body)) for body in bodies]


def _values(path: Path) -> None:
    """Values of the Helm chart are accepted by its schema."""
    (document,) = read_documents(path)

    jsonschema.validate(document.value, schema())


def _slos() -> list[Slo]:
    """The SLOs that the pages speak of."""
    (starter,) = load_slos(STARTER, indicators())
    return [starter, replace(starter, name="checkout-answers", owner_service="checkout")]


_KINDS: Mapping[str, Callable[[Path], Any]] = {
    "SLO": lambda path: load_slos(path, indicators()),
    "exclusions": lambda path: load_exclusions(path, _slos()),
    "overrides": lambda path: load_overrides(path, packaged_policy(), _slos()),
    "policy": load_policy,
    "map of pages": lambda path: docs_map(path.read_text(encoding="utf-8"), path.name),
    "identities": _identities,
    "Alertmanager": _alertmanager,
    "Prometheus": _prometheus,
    "templates": _templates,
    "values": _values,
    "settings": _settings,
}


def _kind(document: Document) -> str:
    """What a YAML document is, by its keys; settings are everything else."""
    keys = set(document.value)
    by_key = {
        "apiVersion": "SLO",
        "rules": "policy",
        "pages": "map of pages",
        "people": "identities",
        "receivers": "Alertmanager",
        "scrape_configs": "Prometheus",
        "service.webhook.paceline": "templates",
        "config": "values",
        "ingress": "values",
        "postgresql": "values",
    }
    entries = next((v for k in ("exclusions", "overrides") if isinstance(v := document.value.get(k), list)), [])
    if entries and isinstance(entries[0], dict):
        return "exclusions" if "exclusions" in keys else "overrides"
    return next((kind for key, kind in by_key.items() if key in keys), "settings")


@pytest.mark.parametrize("block", blocks("yaml", "yml"), ids=_id)
def test_yaml_is_accepted_by_what_reads_it(block: Block, tmp_path: Path, requires_tool: Callable[[str], str]) -> None:
    """Settings, SLOs, exclusions, policies, overrides, identities, and what other programs are given."""
    requires_tool("promtool")
    requires_tool("amtool")
    path = tmp_path / "block.yaml"
    path.write_text(block.text, encoding="utf-8")

    _KINDS[_kind(read_documents(path)[0])](path)


# --- records -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("json", "csv"), ids=_id)
def test_records_are_events(block: Block, tmp_path: Path) -> None:
    """Records in the pages are read as files of events, each of them."""
    name = {"json": "records.jsonl", "csv": "records.csv"}[block.language]
    (tmp_path / name).write_text(block.text, encoding="utf-8")
    config = FilesConfig(type="files", name="records", path=name, kind="deployment")
    context = SourceContext(data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: NOW)

    pages = list(config.build(context).pull(None))

    assert [reason for page in pages for reason in page.rejected] == []
    assert sum(len(page.events) for page in pages) == len(block.text.splitlines()) - (block.language == "csv")


# --- nothing else --------------------------------------------------------------------------------------------


def test_every_block_is_executed_or_read() -> None:
    """A block in a language that no test reads would be code that nobody tries."""
    read = COMMANDS | set(ELSEWHERE) | {"yaml", "yml", "json", "csv"}

    assert [b.where for b in blocks() if b.language not in read | {"text"}] == []


def test_every_text_that_nothing_reads_has_its_reason() -> None:
    """Texts are drawings and examples of messages; each is known, and each that is known is there."""
    texts = [b for b in blocks("text") if b.page not in GENERATED]
    known = {b: next((k for k in SKETCHES if k[0] == b.page and b.text.startswith(k[1])), None) for b in texts}

    assert [b.where for b, reason in known.items() if reason is None] == []
    assert set(SKETCHES) - set(known.values()) == set()
