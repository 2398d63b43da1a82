"""Checks an exchange with an API against the API's own description: OpenAPI 3 or Swagger 2.

What is asked must exist: path, method, parameters and their types. What is answered must fit the response's schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from replay import Request

_URN = "urn:described"
_SHOWN = 200
_NOT_MODIFIED = 304
_SCHEMAS = ("components/schemas", "definitions")
_MAPS, _LISTS, _SINGLES = ("properties",), ("allOf", "anyOf", "oneOf"), ("items", "additionalProperties", "not")
_KEPT = (
    *("type", "enum", "const", "format", "required", "minimum", "maximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "uniqueItems"),
)
_TEXTS = {"integer": re.compile(r"-?\d+"), "number": re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")}
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or (_DATE_TIME.fullmatch(value) is not None and _is_date(value[:10]))


def _is_date(value: object) -> bool:
    try:
        return not isinstance(value, str) or (len(value) == len("2026-01-01") and bool(date.fromisoformat(value)))
    except ValueError:
        return False


def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or _UUID.fullmatch(value) is not None


_FORMATS = FormatChecker(formats=())
for _name, _fits in {"date-time": _is_date_time, "date": _is_date, "uuid": _is_uuid}.items():
    _FORMATS.checks(_name)(_fits)


def check(document: Path | Mapping[str, Any], asked: Request, status: int, body: bytes, base: str = "") -> list[str]:
    """What of an exchange is not as a description has it; empty where all is.

    `base` stands before the path that was asked, where the description's paths begin further up.
    """
    description = described(document) if isinstance(document, Path) else Description(document)
    return description.check(asked, status, body, base)


@lru_cache(maxsize=16)
def described(path: Path) -> Description:
    """The description in a file, read once."""
    return Description(json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Operation:
    """An operation that a request belongs to: its path as the description has it, and the values that stand in it."""

    template: str
    path: str
    definition: Mapping[str, Any]
    parameters: Sequence[Mapping[str, Any]]
    values: Mapping[str, str]


@dataclass(frozen=True)
class Description:
    """A description of an API. Only `$ref`s inside the document are known."""

    document: Mapping[str, Any]
    _validators: dict[str, Any] = field(default_factory=dict, repr=False)
    _registry: list[Any] = field(default_factory=list, repr=False)

    @property
    def _is_old(self) -> bool:
        """Swagger 2 has no way to say that a value may be null."""
        return "swagger" in self.document

    def check(self, asked: Request, status: int, body: bytes, base: str = "") -> list[str]:
        """What of an exchange is not as described."""
        operation = self.operation(asked, base)
        if isinstance(operation, str):
            return [operation]
        said = f"{asked.method} {operation.template}"
        found = [*self._asked(operation, asked), *self._sent(operation, asked)]
        return [f"{said}: {what}" for what in [*found, *self._answered(operation, status, body)]]

    def operation(self, asked: Request, base: str = "") -> Operation | str:
        """The operation of a request; of several templates the one with more words of its own. Or why there is none."""
        path = "/".join(["", *(part for part in f"{base}/{asked.path}".split("/") if part)])
        own = self._own_base()
        path = path[len(own) :] if own and path.startswith(f"{own}/") else path
        fitting = [(t, values) for t in self.document["paths"] if (values := _fitting(t, path)) is not None]
        if not fitting:
            return f"{asked.method} {path}: there is no such path"
        template, values = min(fitting, key=lambda one: [part.startswith("{") for part in one[0].split("/")])
        item = self.document["paths"][template]
        if asked.method.lower() not in item:
            return f"{asked.method} {template}: there is no such method"
        definition = item[asked.method.lower()]
        return Operation(template, path, definition, self._parameters(item, definition), values)

    def _own_base(self) -> str:
        servers = self.document.get("servers") or [{"url": ""}]
        return str(self.document.get("basePath") or urlsplit(servers[0]["url"]).path).rstrip("/")

    def _parameters(self, item: Mapping[str, Any], definition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        listed = [self._resolved(p) for p in (*item.get("parameters", ()), *definition.get("parameters", ()))]
        return list({(p["in"], p["name"]): p for p in listed}.values())

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            found: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[unquote(part).replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    # ---- what is asked

    def _asked(self, operation: Operation, asked: Request) -> Iterator[str]:
        known = {p["name"]: p for p in operation.parameters if p["in"] == "query"}
        for name, values in asked.query.items():
            if name not in known:
                yield f"the query parameter {name!r} is unknown"
            else:
                yield from self._mistyped(known[name], values)
        yield from (
            f"the query parameter {name!r} is missing"
            for name, parameter in known.items()
            if parameter.get("required") and name not in asked.query
        )
        for parameter in operation.parameters:
            if parameter["in"] == "path" and parameter["name"] in operation.values:
                yield from self._mistyped(parameter, [operation.values[parameter["name"]]])

    def _mistyped(self, parameter: Mapping[str, Any], values: Sequence[str]) -> Iterator[str]:
        schema = self._resolved(parameter.get("schema", parameter))
        texts, one = _items(parameter, schema, values)
        for text in texts:
            value = _typed(text, self._resolved(one).get("type"))
            for what in self._violations(one, value):
                yield f"the {parameter['in']} parameter {parameter['name']!r}: {what}"

    def _sent(self, operation: Operation, asked: Request) -> Iterator[str]:
        if not asked.body:
            return
        described = next((p for p in operation.parameters if p["in"] == "body"), None)
        content = self._resolved(operation.definition.get("requestBody", {})).get("content", {})
        schema = described.get("schema") if described else _of_json(content)
        if schema is None:
            yield "no body is expected"
            return
        yield from (f"what is sent{what}" for what in self._violations(schema, asked.json()))

    # ---- what is answered

    def _answered(self, operation: Operation, status: int, body: bytes) -> Iterator[str]:
        if status == _NOT_MODIFIED and not body:
            return
        known = operation.definition["responses"]
        response = known.get(str(status)) or known.get(f"{status // 100}XX") or known.get("default")
        if response is None:
            yield f"the status {status} is not described"
            return
        resolved = self._resolved(response)
        schema = resolved.get("schema") or _of_json(resolved.get("content", {}))
        if not schema:
            return
        try:
            value = json.loads(body)
        except ValueError:
            yield "the answer is no JSON"
            return
        if self._resolved(schema).get("type") == "array" and isinstance(value, dict) and {"count", "value"} == {*value}:
            value = value["value"]  # what some describe as a list is sent in an envelope
        yield from (f"the answer{what}" for what in self._violations(schema, value))

    def _violations(self, schema: Mapping[str, Any], value: object) -> Iterator[str]:
        for error in self._validator(schema).iter_errors(value):
            closest = best_match([error])
            place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in closest.absolute_path)
            yield f"{place}: {closest.message[:_SHOWN]}"

    def _validator(self, schema: Mapping[str, Any]) -> Any:
        plain = _plain(schema, optional_null=self._is_old)
        key = json.dumps(plain)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator(plain, registry=self._schemas(), format_checker=_FORMATS)
        return self._validators[key]

    def _schemas(self) -> Any:
        """All named schemas, where the `$ref`s of plain ones point."""
        if not self._registry:
            whole: dict[str, Any] = {}
            for place in _SCHEMAS:
                named: Any = self.document
                for part in place.split("/"):
                    named = named.get(part, {})
                plain = {name: _plain(schema, optional_null=self._is_old) for name, schema in named.items()}
                whole[place.partition("/")[0]] = {"schemas": plain} if "/" in place else plain
            resource = Resource.from_contents(whole, default_specification=DRAFT202012)
            self._registry.append(Registry().with_resource(_URN, resource))
        return self._registry[0]


def _fitting(template: str, path: str) -> dict[str, str] | None:
    """The values of a template's names where a path fits it."""
    names = re.findall(r"\{([^}]+)\}", template)
    pattern = "([^/]+)".join(map(re.escape, re.split(r"\{[^}]+\}", template.rstrip("/"))))
    found = re.fullmatch(pattern, path)
    return None if found is None else dict(zip(names, map(unquote, found.groups()), strict=True))


def _items(
    parameter: Mapping[str, Any], schema: Mapping[str, Any], values: Sequence[str]
) -> tuple[list[str], Mapping[str, Any]]:
    """The single values of a parameter, and the schema of each."""
    if schema.get("type") != "array":
        return list(values), schema
    joined = "schema" not in parameter and parameter.get("collectionFormat", "csv") == "csv"
    joined = joined or parameter.get("explode") is False
    texts = [part for value in values for part in value.split(",")] if joined else list(values)
    return texts, schema["items"]


def _typed(text: str, kind: object) -> object:
    """A parameter's text as its type; the text itself where it is none of that type."""
    kinds = kind if isinstance(kind, list) else [kind]
    if "boolean" in kinds and text in {"true", "false"}:
        return text == "true"
    for name, pattern in _TEXTS.items():
        if name in kinds and pattern.fullmatch(text):
            return json.loads(text)
    return text


def _of_json(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a body in JSON."""
    return next((one.get("schema") for kind, one in content.items() if "json" in kind), None)


def _plain(schema: Mapping[str, Any], *, optional_null: bool) -> dict[str, Any]:
    """A schema as JSON Schema has it, with nothing but what is validated.

    `optional_null`: a property that is not required may be null.
    """
    if "$ref" in schema:
        plain: dict[str, Any] = {"$ref": f"{_URN}{schema['$ref']}"}
        return _or_null(plain) if schema.get("nullable") or schema.get("x-nullable") else plain
    plain = {key: schema[key] for key in _KEPT if key in schema}
    for end in ("minimum", "maximum"):
        exclusive = schema.get(f"exclusive{end.title()}")
        if exclusive is True:
            plain[f"exclusive{end.title()}"] = plain.pop(end)
        elif not isinstance(exclusive, bool) and exclusive is not None:
            plain[f"exclusive{end.title()}"] = exclusive
    if plain.get("type") == "file":
        del plain["type"]
    if not isinstance(plain.get("required", []), list):
        del plain["required"]  # of a Swagger parameter
    plain |= _inside(schema, optional_null=optional_null)
    if optional_null:
        required = plain.get("required", ())
        properties = plain.get("properties", {})
        plain |= {"properties": {n: p if n in required else _or_null(p) for n, p in properties.items()}}
    return _or_null(plain) if schema.get("nullable") or schema.get("x-nullable") else plain


def _inside(schema: Mapping[str, Any], *, optional_null: bool) -> dict[str, Any]:
    """The schemas inside one."""
    found: dict[str, Any] = {}
    for key in _MAPS:
        if key in schema:
            found[key] = {name: _plain(one, optional_null=optional_null) for name, one in schema[key].items()}
    for key in _LISTS:
        if key in schema:
            found[key] = [_plain(one, optional_null=optional_null) for one in schema[key]]
    for key in _SINGLES:
        if isinstance(schema.get(key), dict):
            found[key] = _plain(schema[key], optional_null=optional_null)
        elif key in schema:
            found[key] = schema[key]
    return found


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that also takes null. A type among types says better what is wrong than one schema among two."""
    kind = schema.get("type")
    if not schema or (isinstance(kind, list) and "null" in kind):
        return schema
    if isinstance(kind, str) and not schema.keys() & {*_LISTS, "const"}:
        taken = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        return {**schema, "type": [kind, "null"], **taken}
    return {"anyOf": [schema, {"type": "null"}]}
