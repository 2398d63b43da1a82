"""The reference of the HTTP API: what the app's own description says, as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

_HEAD = """\
`paceline serve` answers these; `/openapi.json` says the same to programs. Times are UTC; what cannot be said is `null`,
never 0. A refusal says in words what is wrong. The door for alerts is open where `notify` is configured."""
_PAGES = "For people: written by the server, readable without scripts. Parameters go into the address."
_SUCCESSFUL = "Successful Response"


def api_page(app: FastAPI, note: str) -> str:
    """The page of an app: its routes with parameters and answers, then the shapes of the answers, then its pages."""
    told = app.openapi()
    schemas = told["components"]["schemas"]
    lines = ["# HTTP API", "", note, _HEAD]
    for path, methods in sorted(told["paths"].items()):
        for method, operation in methods.items():
            lines += ["", f"## `{method.upper()} {path}`", "", f"{operation['summary']}."]
            lines += _operation(operation, schemas)
    lines += ["", "## Shapes"]
    for name, schema in sorted(schemas.items()):
        lines += ["", f"### {_title(name)}", "", *_shape(schema)]
    lines += ["", "## Pages and files", "", _PAGES, "", *_pages(app)]
    return "\n".join(lines) + "\n"


def paths(app: FastAPI) -> set[str]:
    """The path of every route of an app, whether its description tells of it or not."""
    return {str(route.path) for route in iter_route_contexts(app.routes)}


def _operation(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    if "parameters" in operation:
        yield from ("", "| Parameter | In | Type | Default | Meaning |", "|---|---|---|---|---|")
        for one in operation["parameters"]:
            schema = one["schema"]
            default = "must be given" if one["required"] else _default(schema.get("default"))
            words = _cell(one.get("description", ""))
            yield f"| `{one['name']}` | {one['in']} | {_type(schema)} | {default} | {words} |"
    if "requestBody" in operation:
        yield from ("", f"Body: {', '.join(f'`{t}`' for t in operation['requestBody']['content'])}.")
    yield from ("", "| Answer | Shape | Meaning |", "|---|---|---|")
    for status, answer in sorted(operation["responses"].items()):
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        meaning = answer["description"]
        if meaning == _SUCCESSFUL:
            meaning = schemas.get(_named(schema), {}).get("description", "as asked for")
        yield f"| {status} | {_type(schema) if schema else ''} | {_cell(meaning)} |"


def _shape(schema: Mapping[str, Any]) -> Iterator[str]:
    if "description" in schema:
        yield from (_cell(schema["description"]), "")
    if "enum" in schema:
        yield f"One of {', '.join(f'`{value}`' for value in schema['enum'])}."
        return
    yield from ("| Field | Type | Meaning |", "|---|---|---|")
    for name, field in schema.get("properties", {}).items():
        yield f"| `{name}` | {_type(field)} | {_cell(field.get('description', ''))} |"


def _pages(app: FastAPI) -> Iterator[str]:
    """The routes that the app's description leaves out, with what may be asked."""
    yield from ("| Path | Parameters |", "|---|---|")
    known = set(app.openapi()["paths"])
    hidden = {str(route.path): route.original_route for route in iter_route_contexts(app.routes)}
    for path in sorted(set(hidden) - known):
        asked = _asked(getattr(hidden[path], "dependant", None))
        yield f"| `{path}` | {', '.join(f'`{name}`' for name in asked)} |"


def _asked(dependant: Any) -> Sequence[str]:
    """The names of the query's parameters, those of what a route depends on among them."""
    if dependant is None:
        return ()
    own = [field.alias for field in dependant.query_params]
    return list(dict.fromkeys([*own, *(name for one in dependant.dependencies for name in _asked(one))]))


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in words that people read."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    if "$ref" in schema:
        title = _title(_named(schema))
        return f"[{title}](#{title.lower()})"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{_type(schema['additionalProperties'])} by name"
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{v}`" for v in schema.get("enum", [schema.get("const")]))
    return {"date-time": "time", "date": "date"}.get(schema.get("format", ""), str(schema.get("type", "any")))


def _named(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _title(name: str) -> str:
    """The name of a shape: two modules may each have one of the same name."""
    module, sign, short = name.rpartition("__")
    return f"{short} of {module.rpartition('__')[2]}".replace(" ", "-") if sign else name


def _default(value: Any) -> str:
    if value is None or value == "":
        return ""
    return ", ".join(f"`{v}`" for v in value) if isinstance(value, list) else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
