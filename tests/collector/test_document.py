from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from collector.document import Document, dump, read_documents, validate
from collector.errors import ConfigError


class Item(BaseModel):
    """An item of a list in a settings file."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["git", "file"]
    every: timedelta = timedelta(minutes=5)
    name: str = Field(description="a name of your own.")
    webhook_secret: int = 0
    url: int = 0

    @field_validator("every", mode="before")
    @classmethod
    def _duration(cls, value: object) -> object:
        if value == "5x":
            message = "'5x' is no duration; expected 5m, 1h or 28d"
            raise ValueError(message)
        return value


class Settings(BaseModel):
    """A settings file."""

    model_config = ConfigDict(extra="forbid")

    name: str
    sources: list[Item] = []
    extra: dict[str, Item] = {}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "paceline.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Document:
    (document,) = read_documents(written(tmp_path, text), environ=environ)
    return document


def sentences(error: pytest.ExceptionInfo[ConfigError], tmp_path: Path) -> list[str]:
    return str(error.value).replace(f"{tmp_path}/", "").splitlines()


@pytest.mark.parametrize("word", ["no", "on", "off", "yes", "y", "1:30", "007", "2026-01-02", "1_000", "0b11"])
def test_words_of_yaml_1_1_stay_text(tmp_path: Path, word: str) -> None:
    """`no`, `on`, `1:30`, `007` → right or refused with a hint."""
    assert read(tmp_path, f"a: {word}\n").value == {"a": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("0o17", 15),
        ("0x1F", 31),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("a b", "a b"),
    ],
)
def test_scalars_follow_the_core_schema(tmp_path: Path, text: str, value: object) -> None:
    """Plain scalars become numbers, truth values or null by YAML 1.2's core schema; quoted ones stay text."""
    found = read(tmp_path, f"a: {text}\n").value["a"]
    assert (found, type(found)) == (value, type(value))


def test_numbers_keep_their_text(tmp_path: Path) -> None:
    """A number's own digits stay known, so that exact decimals can be made of them."""
    assert read(tmp_path, "a:\n  - 0.9990\n").texts[("a", 0)] == "0.9990"


def test_lines_are_those_of_keys_and_items(tmp_path: Path) -> None:
    """Every key and item knows its line; an unknown path has that of its nearest ancestor."""
    document = read(tmp_path, "# comment\nname: x\nsources:\n  - type: git\n    every: 5m\n  - type: file\n")
    lines = [
        document.line(("name",)),
        document.line(("sources",)),
        document.line(("sources", 0, "every")),
        document.line(("sources", 1)),
        document.line(("sources", 1, "name")),
        document.line(("elsewhere",)),
    ]
    assert lines == [2, 3, 5, 6, 6, 2]


def test_all_documents_of_a_file_are_read(tmp_path: Path) -> None:
    """A file with several documents gives them in order, each with its lines; empty ones are skipped."""
    documents = read_documents(written(tmp_path, "a: 1\n---\n---\nb: 2\n"))
    assert [(d.value, d.line(("b",))) for d in documents] == [({"a": 1}, 1), ({"b": 2}, 4)]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    """An empty file is a mistake, not an empty configuration."""
    with pytest.raises(ConfigError) as error:
        read_documents(written(tmp_path, text))
    assert sentences(error, tmp_path) == ["paceline.yaml: the file is empty; expected at least one YAML document"]


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is named with the reason."""
    with pytest.raises(ConfigError, match="No such file or directory") as error:
        read_documents(tmp_path / "none.yaml")
    assert error.value.mistakes[0].file.endswith("none.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a: 1\nb: [1, 2\nc: 3\n",
            "paceline.yaml:3: broken YAML: expected ',' or ']', but got ':'; expected valid YAML 1.2",
        ),
        (
            "a: 1\nb:\n  c: 1\n  c: 2\n",
            "paceline.yaml:4: b.c: duplicate key, first on line 3; expected each key once",
        ),
        (
            "a: !!python/object:os.system {}\n",
            (
                "paceline.yaml:1: a: unknown tag tag:yaml.org,2002:python/object:os.system; "
                "expected a value without a tag"
            ),
        ),
        (
            "a: !env X\n",
            "paceline.yaml:1: a: unknown tag !env; expected a value without a tag",
        ),
        (
            "a: &a\n  b: 1\nc:\n  <<: *a\n",
            "paceline.yaml:4: c.<<: YAML 1.2 has no merge key; expected the keys themselves",
        ),
        (
            "a: &a\n  - *a\n",
            ("paceline.yaml:1: a[0]: an alias of something that contains it; expected a value without a circle"),
        ),
        (
            "? [a, b]\n: 1\n",
            "paceline.yaml:1: a key that is no text; expected a plain word as key",
        ),
        (
            'a: "\\ud83d"\n',
            "paceline.yaml:1: a: a text with half a character; expected whole characters",
        ),
        (
            '"\\ud83d": a\n',
            "paceline.yaml:1: a key with half a character; expected whole characters",
        ),
        (
            "a: \x01\n",
            "paceline.yaml: broken YAML: forbidden character; expected valid YAML 1.2",
        ),
    ],
)
def test_broken_yaml_is_refused_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    """Duplicate YAML keys and what is no plain YAML 1.2 → refused, not "last wins"."""
    with pytest.raises(ConfigError) as error:
        read_documents(written(tmp_path, text))
    assert sentences(error, tmp_path) == [sentence]


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused as such."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_documents(path)


def test_aliases_of_aliases_cannot_fill_the_memory(tmp_path: Path) -> None:
    """Nine levels of ten aliases each are refused instead of becoming a billion values."""
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 10))
    with pytest.raises(ConfigError, match="too many values"):
        read_documents(written(tmp_path, "l0: &l0 x\n" + levels))


@pytest.mark.parametrize("levels", [50, 400, 1000])
def test_a_file_that_is_nested_too_deeply_is_refused(tmp_path: Path, levels: int) -> None:
    """Hundreds of levels are a mistake in the file, not a crash."""
    with pytest.raises(ConfigError, match="is nested too deeply; expected at most 50 levels"):
        read_documents(written(tmp_path, "a: " + "[" * levels + "]" * levels))


def test_a_file_of_many_levels_is_read(tmp_path: Path) -> None:
    """The deepest file that is allowed has its value."""
    assert read(tmp_path, "a: " + "[" * 48 + "x" + "]" * 48).lines[("a", *[0] * 48)] == 1


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000])
def test_a_number_of_thousands_of_digits_is_text(tmp_path: Path, number: str) -> None:
    """Where Python could not convert a number, its text goes on to the check of the field."""
    assert read(tmp_path, f"a: {number}\n").value == {"a": number}


def test_an_alias_repeats_the_value(tmp_path: Path) -> None:
    """An alias gives the value of its anchor."""
    assert read(tmp_path, "a: &a [1]\nb: *a\n").value == {"a": [1], "b": [1]}


def test_variables_are_replaced(tmp_path: Path) -> None:
    """`${NAME}` and `${NAME:-default}` are replaced in values; `$${` and other dollars stay."""
    text = "a: x${A}y\nb: ${B:-d}\nc: ${E:-d}\nd: $${A}\ne: $A\nf: ['${A}']\n'${A}': 1\n"
    value = read(tmp_path, text, {"A": "1", "E": ""}).value
    assert value == {"a": "x1y", "b": "d", "c": "d", "d": "${A}", "e": "$A", "f": ["1"], "${A}": 1}


def test_without_an_environment_nothing_is_replaced(tmp_path: Path) -> None:
    """Files that take no variables keep their text."""
    assert read(tmp_path, "a: ${A}\n").value == {"a": "${A}"}


def test_a_replaced_value_is_never_read_as_yaml(tmp_path: Path) -> None:
    """A variable's text stays one text, whatever it holds, and is not replaced again."""
    assert read(tmp_path, "a: ${A}\n", {"A": "1, ${B}\nb: 2"}).value == {"a": "1, ${B}\nb: 2"}


def test_all_missing_variables_are_named_with_their_lines(tmp_path: Path) -> None:
    """Every mistake at once: each missing variable with its line and path."""
    with pytest.raises(ConfigError) as error:
        read(tmp_path, "a: ${A}\nb:\n  - ${B}\nc: ${not a name}\n", {})
    assert sentences(error, tmp_path) == [
        (
            "paceline.yaml:1: a: the variable A is not set; "
            "expected the variable in the environment, or a default: ${A:-…}"
        ),
        (
            "paceline.yaml:3: b[0]: the variable B is not set; "
            "expected the variable in the environment, or a default: ${B:-…}"
        ),
        (
            "paceline.yaml:4: c: `${` without the name of a variable; "
            "expected ${NAME}, ${NAME:-default}, or $${ for the characters themselves"
        ),
    ]


def test_a_valid_document_becomes_the_model(tmp_path: Path) -> None:
    """A document, or the part of it at a path, becomes the typed model."""
    document = read(tmp_path, "name: x\nsources:\n  - {type: git, name: code}\n")
    assert validate(document, Settings).sources[0] == validate(document, Item, at=("sources", 0))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "nam: x\nname: y\n",
            "paceline.yaml:1: nam: unknown key; expected name; the keys here are extra, name, sources",
        ),
        (
            "name: x\nzzz: 1\n",
            "paceline.yaml:2: zzz: unknown key; expected one of extra, name, sources",
        ),
        (
            "name: x\nsources:\n  - type: git\n    name: code\n    evry: 5m\n",
            (
                "paceline.yaml:5: sources[0].evry: unknown key; "
                "expected every; the keys here are every, name, type, url, webhook_secret"
            ),
        ),
        (
            "name: x\nextra:\n  one:\n    type: git\n    nme: code\n    name: y\n",
            (
                "paceline.yaml:5: extra.one.nme: unknown key; "
                "expected name; the keys here are every, name, type, url, webhook_secret"
            ),
        ),
        (
            "sources: []\n",
            "paceline.yaml:1: name: is missing; expected a value",
        ),
        (
            "name: x\nsources:\n  - type: git\n",
            "paceline.yaml:3: sources[0].name: is missing; expected a name of your own",
        ),
        (
            "name: x\nsources:\n  - {type: git, name: a}\n  - type: gti\n    name: b\n",
            "paceline.yaml:4: sources[1].type: 'gti' is not valid; expected 'git' or 'file'; perhaps 'git'",
        ),
        (
            "name: x\nsources:\n  - {type: git, name: a, every: 5x}\n",
            "paceline.yaml:3: sources[0].every: '5x' is no duration; expected 5m, 1h or 28d",
        ),
        (
            "name: x\nsources: git\n",
            "paceline.yaml:2: sources: 'git' is not valid; expected a valid list",
        ),
        (
            "name: x\nsources:\n  - git\n",
            (
                "paceline.yaml:3: sources[0]: 'git' is no mapping; "
                "expected the keys every, name, type, url, webhook_secret"
            ),
        ),
        (
            "- name\n",
            "paceline.yaml:1: a list is no mapping; expected the keys extra, name, sources",
        ),
        (
            "name: 7\n",
            "paceline.yaml:1: name: 7 is not valid; expected a valid string",
        ),
        (
            "name: x\nsources:\n  - {type: git, name: 7}\n",
            "paceline.yaml:3: sources[0].name: 7 is not valid; expected a valid string (a name of your own)",
        ),
    ],
)
def test_each_mistake_says_where_what_and_what_was_expected(tmp_path: Path, text: str, sentence: str) -> None:
    """Unknown key → refused with the nearest known one; each mistake with file, key and expected form."""
    with pytest.raises(ConfigError) as error:
        validate(read(tmp_path, text), Settings)
    assert sentences(error, tmp_path) == [sentence]


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """One round of editing mends all: mistakes come together, in the order of their lines."""
    document = read(tmp_path, "nam: x\nsources:\n  - type: svn\n    every: 5x\n")
    with pytest.raises(ConfigError) as error:
        validate(document, Settings)
    found = [(m.line, m.path) for m in error.value.mistakes]
    assert found == [
        (1, "nam"),
        (1, "name"),
        (3, "sources[0].name"),
        (3, "sources[0].type"),
        (4, "sources[0].every"),
    ]


def test_a_part_is_checked_with_the_lines_of_the_whole(tmp_path: Path) -> None:
    """`at` gives the mistakes of one item the line and path they have in the file."""
    document = read(tmp_path, "name: x\nsources:\n  - type: git\n    nam: code\n")
    with pytest.raises(ConfigError) as error:
        validate(document, Item, at=("sources", 0))
    assert [(m.line, m.path) for m in error.value.mistakes] == [(3, "sources[0].name"), (4, "sources[0].nam")]


@pytest.mark.parametrize(
    "line",
    [
        "webhook_secret: hunter2",
        "url: https://u:hunter2@example.com",
        f"url: {'hunter2' * 20}",
        "url: ${URL}",
    ],
)
def test_secrets_are_never_echoed(tmp_path: Path, line: str) -> None:
    """A secret's field, an address with credentials, a long text or a variable's value shows nowhere."""
    document = read(tmp_path, f"type: git\nname: a\n{line}\n", {"URL": "hunter2"})
    with pytest.raises(ConfigError) as error:
        validate(document, Item)
    assert sentences(error, tmp_path)[0].startswith(
        f"paceline.yaml:3: {line.partition(':')[0]}: this value is not valid"
    )
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None


def test_named_secrets_are_hidden_even_from_a_validators_message(tmp_path: Path) -> None:
    """A field named in `secrets` is hidden, also where a validator's message repeats the value."""
    document = read(tmp_path, "type: git\nname: a\nevery: 5x\n")
    with pytest.raises(ConfigError) as error:
        validate(document, Item, secrets={"every"})
    assert sentences(error, tmp_path) == ["paceline.yaml:3: every: this value is not valid; expected another value"]


@given(st.text())
def test_any_text_is_a_document_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever stands in a file, reading gives documents or a ConfigError, nothing else."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert read_documents(path, environ={})
    except ConfigError as error:
        assert error.mistakes  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("length", [0, 20_000], ids=["kept", "not kept"])
def test_a_text_that_is_read_again_gives_values_of_its_own(tmp_path: Path, length: int) -> None:
    """Who changes what was read changes nothing for the next reader; each names its own file and variables."""
    path, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    for place in (path, other):
        place.write_text(f"a: [1, '${{WHO}}']\nb: {'x' * length}\n", encoding="utf-8")

    [first] = read_documents(path, environ={"WHO": "Ada"})
    first.value["a"].append(2)
    [second] = read_documents(other, environ={"WHO": "Eve"})

    assert (second.value["a"], second.file, second.line(("b",))) == ([1, "Eve"], str(other), 2)


# ---- writing

_KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
_LEAVES = st.text(max_size=20) | st.integers(-(10**20), 10**20) | st.booleans() | st.none()
_VALUES = st.recursive(
    _LEAVES | st.floats(allow_nan=False, allow_infinity=False),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_KEYS, below, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=3), min_size=1, max_size=3))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, Any]]) -> None:
    """Plain values survive the text, whatever characters, quotes and line breaks they hold."""
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    path.write_text(dump(values), encoding="utf-8")

    assert [document.value for document in read_documents(path)] == values


def test_text_is_written_for_readers_of_yaml_1_1_as_well() -> None:
    """Words that were booleans, times and dates once stand in quotes; lines stay lines; keys keep their order."""
    value = {"z": ["no", "1:30", "2026-01-01", "007"], "a": "one\ntwo\n"}

    assert dump([value]) == "z:\n- 'no'\n- '1:30'\n- '2026-01-01'\n- '007'\na: |\n  one\n  two\n"


def test_decimals_are_written_with_their_digits() -> None:
    """No exponent, no zeros at the end, and whole numbers are integers."""
    assert dump([[Decimal("0.9990"), Decimal("1E-7"), Decimal("1E+2")]]) == "- 0.999\n- 0.0000001\n- 100\n"
