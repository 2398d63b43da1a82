"""Expressions are checked when they are read, say where they are wrong, and never quote what they were given."""

from __future__ import annotations

from typing import Any

import pytest

from collector.expressions import Expression, NoResultError, Template


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b[0]", 1),
        ("a.b[?@ > `1`]", [2]),
        ("missing.of.it", None),
        ("not_null(missing, name)", "x"),
        ("join('/', [name, name])", "x/x"),
    ],
)
def test_an_expression_finds_what_stands_there(text: str, found: Any) -> None:
    """Fields, places in lists, filters and functions, as JMESPath has them; nothing where nothing stands."""
    assert Expression(text).of({"a": {"b": [1, 2]}, "name": "x"}) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "an empty expression; expected one such as `fields.status.name`"),
        ("a.b[", "'a.b[' is no expression at character 5; expected JMESPath"),
        ("a-b", "'a-b' is no expression at character 2; expected JMESPath"),
        ("a || lenght(b)", "'a || lenght(b)' calls lenght(); expected one of abs, avg"),
        ("length(a, b)", "'length(a, b)' gives length() 2 arguments; expected 1"),
        ("a" * 1001, "an expression of 1001 characters; expected at most 1000"),
        ("(" * 900 + "a" + ")" * 90, "nested too deeply"),
    ],
)
def test_what_is_no_expression_says_where(text: str, says: str) -> None:
    """A wrong expression is a mistake with its place when it is read, not when data comes."""
    with pytest.raises(ValueError, match="expected") as refused:
        Expression(text)

    assert says in str(refused.value)


def test_a_value_of_another_type_is_not_quoted() -> None:
    """A function that does not take what stands there says so without the value, which may name somebody."""
    with pytest.raises(NoResultError) as refused:
        Expression("length(owner)").of({"owner": 5})

    assert str(refused.value) == "`length(owner)` does not take what stands there"
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "holds"), [("a", True), ("zero", True), ("empty", False), ("none", False), ("no", False), ("!a", False)]
)
def test_what_is_true_is_what_jmespath_calls_so(text: str, *, holds: bool) -> None:
    """False, null and what is empty are not true; 0 is."""
    assert Expression(text).holds({"a": "x", "zero": 0, "empty": [], "none": None, "no": False}) is holds


@pytest.mark.parametrize(
    ("value", "text"),
    [({"id": 5, "a": {"b": "x/y"}}, "run/5/X/Y"), ({"id": True, "a": {"b": 0.5}}, "run/TRUE/0.5"), ({"id": 5}, None)],
)
def test_a_template_holds_what_its_expressions_find(value: Any, text: str | None) -> None:
    """Each part is written as it is told to be; without one of them there is no text."""
    assert Template("run/{id}/{a.b}").of(value, str.upper) == text


def test_a_list_is_no_part_of_a_text() -> None:
    """A list or an object in a text would be a text that nobody meant."""
    with pytest.raises(NoResultError, match="`ids` is a list or an object"):
        Template("run/{ids}").of({"ids": [1]})


@pytest.mark.parametrize("text", ["run/{id", "run/}id", "{a b}", "{}"])
def test_what_is_no_template_is_refused(text: str) -> None:
    """A brace without its partner, and what is no expression between two."""
    with pytest.raises(ValueError, match="expected"):
        Template(text)
