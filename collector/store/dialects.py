"""What SQLite and PostgreSQL say differently, in one place: the rest of the store writes each statement once.

Lists of numbers go to the database as one JSON value: their number has no limit, and the statement is always one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # what it says after ON CONFLICT both databases understand
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

__all__ = [
    "INDEXED_WHEN_FILLED",
    "TEXT",
    "all_of",
    "among",
    "element",
    "elements",
    "greatest",
    "in_order",
    "insert",
    "listed",
    "plain",
    "whole",
]

POSTGRESQL = "postgresql"

INDEXED_WHEN_FILLED = "indexed when filled"
"""What says of a table that in PostgreSQL its indexes are made by the transaction that brings its first rows."""

TEXT = sa.Text().with_variant(sa.Text(collation="C"), POSTGRESQL)
"""Text of every table: compared and ordered by its characters' numbers, as SQLite does, never as a language does."""


@cache
def plain(driver: str) -> Any:
    """The dialect of a driver, such as `sqlite+pysqlite`, whose statements take their values by position."""
    kind: Any = sa.make_url(f"{driver}://").get_dialect()
    return kind(paramstyle="format") if driver.startswith(POSTGRESQL) else kind()


def in_order(connection: Any, query: Any, *columns: Any) -> Any:
    """The query, ordered where that is not how its rows come anyway.

    SQLite reads a list and then an index, both in their order; it would sort again what it was told to order.
    """
    return query.order_by(*columns) if connection.dialect.name == POSTGRESQL else query


class elements(FunctionElement[Any]):  # noqa: N801 - a function in a statement
    """The elements of a JSON list, a row each."""

    inherit_cache = True
    name = "elements"


class whole(FunctionElement[int]):  # noqa: N801 - a function in a statement
    """An element that is a number."""

    inherit_cache = True
    type = sa.BigInteger()
    name = "whole"


class element(FunctionElement[int]):  # noqa: N801 - a function in a statement
    """The number at a place of an element that is a list itself."""

    inherit_cache = True
    type = sa.BigInteger()
    name = "element"


class greatest(FunctionElement[Any]):  # noqa: N801 - a function in a statement
    """The greatest of some values."""

    inherit_cache = True
    name = "greatest"


class listed(FunctionElement[Any]):  # noqa: N801 - a function in a statement
    """The values of a column as a JSON list, in the order of the other columns."""

    inherit_cache = True
    name = "listed"


class all_of(FunctionElement[str]):  # noqa: N801 - a function in a statement
    """Some JSON values as the text of one list."""

    inherit_cache = True
    type = sa.Text()
    name = "all_of"


class among(FunctionElement[Any]):  # noqa: N801 - a function in a statement
    """Whether a key is among those of a query: each is looked up by the key's index, however few rows there seem.

    It has no type, because a true one would be compared with 1, and SQLite reads every row for that.
    """

    inherit_cache = True
    name = "among"


def _said(function: type[FunctionElement[Any]], sqlite: str, postgresql: str) -> None:
    """Say how a function is written: `{0}`, `{1}`… are its arguments, `{all}` all, `{rest}` all but the first."""

    def said(form: str) -> Any:
        def compiled(called: Any, compiler: Any, **options: Any) -> str:
            arguments = [compiler.process(clause, **options) for clause in called.clauses]
            return form.format(*arguments, all=", ".join(arguments), rest=", ".join(arguments[1:]))

        return compiled

    compiles(function)(said(sqlite))
    compiles(function, POSTGRESQL)(said(postgresql))


_said(elements, "json_each({0})", "json_array_elements_text(CAST({0} AS json))")
_said(whole, "{0}", "CAST({0} AS BIGINT)")
_said(element, "json_extract({0}, '$[{1}]')", "CAST(CAST({0} AS json) ->> {1} AS BIGINT)")
_said(greatest, "max({all})", "greatest({all})")
_said(listed, "json_group_array({0})", "coalesce(json_agg({0} ORDER BY {rest}), '[]')")
_said(all_of, "json_array({all})", "CAST(json_build_array({all}) AS TEXT)")
_said(among, "{0} IN {1}", "{0} = ANY (ARRAY{1})")
