"""What columns JSON records have: given by a schema, or found by looking at every record.

A field has one type in all records. Whole numbers and others go together, as numbers; nulls and missing fields go with
everything; anything else that differs is a fault, told with the record's number and the field.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

from arro3.core import DataType, Field, Schema

from flow_service_emulator.data.datasets.content import FileFault
from flow_service_emulator.data.datasets.tables import map_value

MAX_FIELDS: Final = 2_000
"""The most fields that all records of a dataset may have together, nested ones counted in."""
MAX_LEVELS: Final = 32
"""The most levels of objects and arrays inside each other."""
_EXACT: Final = 2**53
"""Up to here every whole number is a number of 64 bits with a point, too."""
_PLAIN: Final = {bool: DataType.bool(), int: DataType.int64(), float: DataType.float64(), str: DataType.string()}
"""The columns of values that are neither objects nor arrays."""
_WORDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "an object",
    list: "an array",
}


@dataclass(slots=True)
class _Shape:
    """One field: the kind of its values (None while all are null), an object's fields, and an array's items or a map's values."""

    kind: type | None = None
    fields: dict[str, _Shape] = field(default_factory=dict)
    item: _Shape | None = None
    large: int | None = None
    """The first whole number that no float is equal to."""
    of_texts: bool = False
    """Whether what differs from the other values makes all of them texts."""
    type: DataType | None = None
    """A given one that JSON does not have: `needed` says in words what its values are, and `fits` whether one is."""
    needed: str = ""
    fits: Callable[[Any], bool] = bool


class RecordShape:
    """The fields of all records seen so far, in the order in which they came.

    `given` are columns that are there from the beginning; further ones are added. In those, with `of_texts`, values that do not
    go together are texts, and no fault.
    """

    def __init__(self, given: Schema | None = None, *, of_texts: bool = False) -> None:
        self._fields = {} if given is None else _shapes_of(map(given.field, range(len(given))))
        self._count = len(self._fields)
        self._of_texts = of_texts
        self._records = 0

    def note(self, records: Iterable[Any]) -> None:
        """Look at further records. Raises FileFault for the first that cannot be taken; this object is of no use then."""
        for record in records:
            self._records += 1
            try:
                if type(record) is not dict:
                    raise _Clash("", f"a record is a JSON object, not {_shown(record)}")
                self._note_fields(self._fields, record, 1)
            except _Clash as clash:
                place = clash.field and f", field {clash.field}"
                raise FileFault(f"record {self._records}{place}: {clash.reason}") from None

    def arrow_schema(self) -> Schema:
        """The records' columns, all of them nullable. Raises FileFault for records that have none.

        A field that was always null is a text column. An object without any field in any record has no column: Parquet cannot
        carry it.
        """
        fields = _arrow_fields(self._fields)
        if self._records and not fields:
            raise FileFault("record 1: no record has a field with a value; at least one column is needed")
        return Schema(fields)

    def _note_fields(self, fields: dict[str, _Shape], record: dict[str, Any], level: int) -> None:
        for name, value in record.items():
            shape = fields.get(name)
            if shape is None:
                if "\0" in name:
                    raise _Clash(name, "the name has the character NUL in it, which no column can have")
                self._count += 1
                if self._count > MAX_FIELDS:
                    reason = f"more than {MAX_FIELDS} different fields; put what has changing names into a map"
                    raise _Clash(name, reason)
                shape = fields[name] = _Shape(of_texts=self._of_texts)
            # Of texts and truth values every one is as good as the first.
            if value is not None and not (type(value) is shape.kind and (shape.kind is str or shape.kind is bool)):
                self._note_below(name, shape, value, level)

    def _note_below(self, name: str, shape: _Shape, value: Any, level: int) -> None:
        try:
            self._note_value(shape, value, type(value), level)
        except _Clash as clash:
            if shape.of_texts:
                shape.kind = str
                return
            separator = "" if not clash.field or clash.field.startswith("[]") else "."
            raise _Clash(name + separator + clash.field, clash.reason) from None

    def _note_value(self, shape: _Shape, value: Any, kind: type, level: int) -> None:
        if shape.type is not None:
            if not shape.fits(value):
                raise _Clash("", f"{_shown(value)} is {_WORDS[kind]}, but the field is {shape.needed}")
            return
        if kind is float and not math.isfinite(value):
            raise _Clash("", f"{value} is no number that JSON has; leave it out, or send null")
        if kind is int and not -(2**63) <= value < 2**63:
            raise _Clash("", f"{value} is beyond 64 bits; send it as a text")
        known = shape.kind
        if known is None or (known is int and kind is float):
            shape.kind = kind
        elif known is not kind and not (known is float and kind is int):
            raise _Clash("", f"{_shown(value)} is {_WORDS[kind]}, but the field is {_WORDS[known]}")
        if kind is int and abs(value) > _EXACT and shape.large is None:
            shape.large = value
        if shape.kind is float and shape.large is not None:
            reason = "is among numbers with a point, and would be another one as such; send it as a text"
            raise _Clash("", f"{shape.large} {reason}")
        if kind is not dict and kind is not list:
            return
        if level >= MAX_LEVELS:
            raise _Clash("", f"nested deeper than {MAX_LEVELS} levels")
        if kind is dict and shape.item is None:
            self._note_fields(shape.fields, value, level + 1)
            return
        shape.item = shape.item or _Shape()
        for place, item in (("[]", item) for item in value) if kind is list else value.items():
            if item is not None:
                self._note_below(place, shape.item, item, level + 1)


class _Clash(Exception):
    """A value that does not go with those before it. The field's name grows on the way out."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason


# --- columns of shapes, and shapes of columns -------------------------------------------------------------------------


def _arrow_fields(fields: dict[str, _Shape]) -> list[Field]:
    typed = ((name, _arrow_type(shape)) for name, shape in fields.items())
    return [Field(name, type_, nullable=True) for name, type_ in typed if type_ is not None]


def _arrow_type(shape: _Shape) -> DataType | None:
    """A field's type; None where it can have no column."""
    if shape.type is not None:
        return shape.type
    if shape.kind is dict and shape.item is not None:
        value = Field("value", _arrow_type(shape.item) or DataType.string(), nullable=True)
        return DataType.map(Field("key", DataType.string(), nullable=False), value, False)
    if shape.kind is dict:
        fields = _arrow_fields(shape.fields)
        return DataType.struct(fields) if fields else None
    if shape.kind is list:
        item = _arrow_type(shape.item or _Shape())
        return None if item is None else DataType.list(Field("item", item, nullable=True))
    return _PLAIN[shape.kind or str]


def _shapes_of(fields: Iterable[Field]) -> dict[str, _Shape]:
    return {field.name: _shape_of(field.type) for field in fields}


def _shape_of(type_: DataType) -> _Shape:
    shape = _Shape(next((kind for kind, plain in _PLAIN.items() if plain == type_), None))
    if DataType.is_struct(type_):
        shape.kind, shape.fields = dict, _shapes_of(type_.fields)
    elif DataType.is_map(type_):
        shape.kind, shape.item = dict, _shape_of(map_value(type_))
    elif DataType.is_list(type_) and type_.value_field is not None:
        shape.kind, shape.item = list, _shape_of(type_.value_field.type)
    elif shape.kind is None:
        shape.type, (shape.needed, shape.fits) = type_, _values_of(type_)
    return shape


def _values_of(type_: DataType) -> tuple[str, Callable[[Any], bool]]:
    """What the values are of a type that JSON does not have: in words, and as a check."""
    if DataType.is_integer(type_):
        bits = type_.bit_width or 64
        low, high = (0, 2**bits) if DataType.is_unsigned_integer(type_) else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        return f"a whole number from {low} to {high - 1}", lambda value: type(value) is int and low <= value < high
    if DataType.is_floating(type_):
        return "a number", lambda value: type(value) in (int, float) and math.isfinite(value)
    if DataType.is_date(type_):
        return "a date such as 2026-01-31", lambda value: _is_instant(value) and len(value) == 10
    if DataType.is_timestamp(type_):
        return "a time such as 2026-01-31T12:00:00Z", _is_instant
    if DataType.is_decimal(type_):
        precision, scale = map(int, re.findall(r"-?\d+", str(type_).partition("(")[2])[:2])
        needed = f"a number of {precision - scale} digits before and {scale} behind the point"
        needed += "; one of many digits goes into a text"
        return needed, lambda value: _is_decimal(value, precision, scale)
    return "a text", lambda value: type(value) is str


def _is_instant(value: Any) -> bool:
    """Whether it is in ISO 8601. (Of the forms that only Python reads, arro3 says so.)"""
    try:
        datetime.datetime.fromisoformat(value.upper())
    except (ValueError, AttributeError):
        return False
    return True


def _is_decimal(value: Any, precision: int, scale: int) -> bool:
    """Whether a decimal takes a number, or the text of one, as it is."""
    try:
        number = Decimal(str(value))
        exact = number.quantize(Decimal(1).scaleb(-scale), context=Context(prec=precision))
    except InvalidOperation:  # it is none, or has more digits
        return False
    return exact == number


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{...}" if value else "{}"
    if isinstance(value, list):
        return "[...]" if value else "[]"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
