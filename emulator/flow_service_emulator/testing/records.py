"""Records of Python as JSON, and the types that JSON loses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any

Type = dict[str, Any]


def plain(value: Any) -> tuple[Any, Type]:
    """A value as JSON has it, and the JSON Schema of datetimes and dates in it; an empty one where there are none."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat(), _text("date-time")
    if isinstance(value, date):
        return value.isoformat(), _text("date")
    if isinstance(value, Mapping):
        parts = {name: plain(part) for name, part in value.items()}
        return {name: part for name, (part, _) in parts.items()}, _object(
            {name: part[1] for name, part in parts.items()}
        )
    if isinstance(value, list | tuple):
        items = [plain(item) for item in value]
        nothing: Type = {}
        type_ = reduce(_both, (found for _, found in items), nothing)
        return [item for item, _ in items], {"type": "array", "items": type_} if type_ else {}
    return value, {}


def _text(form: str) -> Type:
    return {"type": "string", "format": form}


def _object(types: Mapping[str, Type]) -> Type:
    found = {name: type_ for name, type_ in types.items() if type_}
    return {"type": "object", "properties": found} if found else {}


def _both(first: Type, second: Type) -> Type:
    """What two values of one place say of its type."""
    if first.get("type") == second.get("type") == "object":
        one, other = first["properties"], second["properties"]
        return _object({name: _both(one.get(name, {}), other.get(name, {})) for name in {**one, **other}})
    if first.get("type") == second.get("type") == "array":
        return {"type": "array", "items": _both(first["items"], second["items"])}
    return first or second
