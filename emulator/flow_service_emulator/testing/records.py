"""The types of a test's own records that JSON loses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any


def types_of(values: Iterable[Any]) -> dict[str, Any]:
    """The JSON Schema of datetimes and dates in values that stand in one place; an empty one where there are none."""
    values = list(values)
    for value in values:
        if isinstance(value, date):
            return {"type": "string", "format": "date-time" if isinstance(value, datetime) else "date"}
    lists = [value for value in values if isinstance(value, list | tuple)]
    if lists:
        items = types_of(item for each in lists for item in each)
        return {"type": "array", "items": items} if items else {}
    objects = [value for value in values if isinstance(value, Mapping)]
    names = dict.fromkeys(name for each in objects for name in each)
    parts = {name: types_of(each[name] for each in objects if name in each) for name in names}
    found = {name: part for name, part in parts.items() if part}
    return {"type": "object", "properties": found} if found else {}
