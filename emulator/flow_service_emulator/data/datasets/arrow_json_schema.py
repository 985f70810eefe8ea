"""Arrow columns told as a JSON Schema (draft 7): of rows whose schema is not known otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from arro3.core import DataType, Field, Schema

from flow_service_emulator.data.datasets.records import map_value

_WIDTHS: Final = {8: "byte", 16: "short", 32: "int", 64: "long"}


def json_schema_of(schema: Schema) -> dict[str, Any]:
    """The JSON Schema of rows that have these columns. Any column may be null, and is then left out of a row."""
    return _object(schema.field(index) for index in range(len(schema)))


def _object(fields: Iterable[Field]) -> dict[str, Any]:
    return {"type": "object", "properties": {field.name: _of_type(field.type) for field in fields}}


def _of_type(type_: DataType) -> dict[str, Any]:
    if DataType.is_struct(type_):
        return _object(type_.fields)
    if DataType.is_map(type_):
        return {"type": "object", "additionalProperties": _of_type(map_value(type_)), "meta:xdmType": "map"}
    if type_.value_field is not None:
        return {"type": "array", "items": _of_type(type_.value_field.type)}
    if DataType.is_boolean(type_):
        return {"type": "boolean"}
    if DataType.is_integer(type_):
        return {"type": "integer", "meta:xdmType": _WIDTHS[type_.bit_width or 64]}
    if DataType.is_floating(type_) or DataType.is_decimal(type_):
        return {"type": "number"}
    if DataType.is_timestamp(type_):
        return {"type": "string", "format": "date-time"}
    return {"type": "string", "format": "date"} if DataType.is_date(type_) else {"type": "string"}
