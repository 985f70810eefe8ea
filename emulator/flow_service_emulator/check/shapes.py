"""The shape of JSON: which fields there are and of what type. It has nobody's data in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

TYPE, MISSING, NEW, VALUE = "type", "missing", "new", "value"
"""What can differ: a field of another type, one that is not there, one that nothing describes, and a value that is new."""
FIELD_NAME: Final = re.compile(r"[A-Za-z_$@%][A-Za-z_$@%-]{0,39}")
"""A name that a document may have given; others, such as ids, are data."""
_JSON_TYPES: Final = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
Schema = Mapping[str, Any]


class Difference(NamedTuple):
    """How a value differs from its schema. `place` is such as `items[].metrics`."""

    kind: str
    place: str
    message: str


def json_type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "null")


def shape(value: Any, place: str = "") -> dict[str, str]:
    """Place -> type, of everything within; of the items of an array together."""
    found = {place: json_type(value)} if place else {}
    for below, item in _below(value, place):
        for name, kind in shape(item, below).items():
            kinds = sorted({kind, *found.get(name, kind).split("|")})
            found[name] = "|".join(kinds)
    return found


def _below(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            known = name if FIELD_NAME.fullmatch(name) else "*"
            yield f"{place}.{known}" if place else known, item
    elif isinstance(value, list):
        for item in value:
            yield f"{place}[]", item


def differences(value: Any, schema: Schema, schemas: Mapping[str, Schema], place: str = "") -> Iterator[Difference]:
    """How a value differs from a JSON Schema of the OpenAPI description, whose components are `schemas`."""
    schema = _whole(schema, schemas)
    if "anyOf" in schema:
        each = [list(differences(value, part, schemas, place)) for part in schema["anyOf"]]
        yield from min(each, key=lambda found: sum(each.kind in (TYPE, MISSING) for each in found))
        return
    wanted = schema.get("type", ())
    types = (wanted,) if isinstance(wanted, str) else wanted
    found = json_type(value)
    if types and found not in types and not (found == "integer" and "number" in types):
        yield Difference(TYPE, place, f"{place or 'the answer'} is {found}, not {' or '.join(types)}")
        return
    if isinstance(value, dict) and "properties" in schema:
        for name in schema.get("required", ()):
            if name not in value:
                yield Difference(MISSING, f"{place}.{name}".lstrip("."), f"{place or 'the answer'} has no {name}")
        for name, item in value.items():
            below = f"{place}.{name}".lstrip(".")
            if name in schema["properties"]:
                yield from differences(item, schema["properties"][name], schemas, below)
            elif FIELD_NAME.fullmatch(name):
                yield Difference(NEW, below, f"{below} is described nowhere")
    elif isinstance(value, list):
        for item in value:
            yield from differences(item, schema.get("items", {}), schemas, f"{place}[]")
    elif ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        yield Difference(VALUE, place, f"{place} has a value that is described nowhere")


def _whole(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """A schema with what it refers to and what its `allOf` says, as one."""
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "allOf" not in schema:
        return schema
    whole: dict[str, Any] = {"properties": {}, "required": []}
    for part in (*(_whole(each, schemas) for each in schema["allOf"]), schema):
        whole["properties"] |= part.get("properties", {})
        whole["required"] += part.get("required", ())
        whole["type"] = part.get("type", whole.get("type", ()))
    return whole
