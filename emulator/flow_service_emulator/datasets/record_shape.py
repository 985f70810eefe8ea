"""What columns JSON records have: found by looking at every one of them.

A field has one type in all records. Whole numbers and others go together, as numbers; nulls and missing fields go with
everything; anything else that differs is a fault, told with the record's number and the field.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from arro3.core import DataType, Field, Schema

MAX_FIELDS: Final = 2_000
"""The most fields that all records of a dataset may have together, nested ones counted in."""
MAX_NAME_LENGTH: Final = 1_000
"""Characters of a field's name: a row tells all of them, however little else is in it."""
MAX_LEVELS: Final = 32
"""The most levels of objects and arrays inside each other."""

_INT64: Final = 2**63
_WORDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "an object",
    list: "an array",
}


class RecordFault(ValueError):
    """A record that cannot be taken. `number` counts from 1, `field` is such as `address.lines[]` ("" for the whole record)."""

    def __init__(self, number: int, field: str, reason: str) -> None:
        super().__init__(f"record {number}, field {field}: {reason}" if field else f"record {number}: {reason}")
        self.number = number
        self.field = field
        self.reason = reason


def name_fault(name: str) -> str | None:
    """Why no column can have this name; None where one can."""
    if "\0" in name:
        return "the name has the character NUL in it, which no column can have"
    if len(name) > MAX_NAME_LENGTH:
        return f"the name has {len(name)} characters; at most {MAX_NAME_LENGTH} are possible"
    return None


class RecordShape:
    """The fields of all records seen so far, in an order that goes with that of their names in the records."""

    def __init__(self) -> None:
        self._fields: dict[str, _Shape] = {}
        self._count = 0
        self.records = 0

    def note(self, records: Iterable[Any]) -> None:
        """Looks at further records. Raises RecordFault for the first that cannot be taken; this object is of no use then."""
        for record in records:
            self.records += 1
            if type(record) is not dict:
                raise RecordFault(self.records, "", f"a record is a JSON object, not {_shown(record)}")
            try:
                self._note_fields(self._fields, record, 1)
            except _Clash as clash:
                raise RecordFault(self.records, clash.field, clash.reason) from None

    def arrow_schema(self) -> Schema:
        """The records' columns, all of them nullable.

        A field that was always null is a text column. An object without any field in any record has no column: Parquet cannot
        carry it.
        """
        from arro3.core import Schema

        return Schema(_arrow_fields(self._fields))

    def places(self, records: int) -> int:
        """How many places for values the columns of so many records have: each record has one in every column, whatever is in it.

        The items of arrays are those of all records seen so far.
        """
        return sum(_places(shape, records) for shape in self._fields.values())

    def _note_fields(self, fields: dict[str, _Shape], record: dict[str, Any], level: int) -> None:
        for name, value in record.items():
            shape = fields.get(name)
            if shape is None:
                if fault := name_fault(name):
                    raise _Clash(name[:MAX_NAME_LENGTH], fault)
                self._count += 1
                if self._count > MAX_FIELDS:
                    raise _Clash(
                        name,
                        f"more than {MAX_FIELDS} different fields; make an array of objects of what has changing names",
                    )
                shape = _Shape()
                _insert(fields, name, shape, record)
            kind = type(value)
            if kind is shape.kind and kind in _PLAIN:
                continue
            if value is not None:
                try:
                    self._note_value(shape, value, kind, level)
                except _Clash as clash:
                    raise clash.below(name) from None

    def _note_value(self, shape: _Shape, value: Any, kind: type, level: int) -> None:
        if kind is int and value >= _INT64:  # what is below comes as a float
            raise _Clash("", f"{value} is beyond 64 bits; send it as a text")
        known = shape.kind
        if known is None or (known is int and kind is float):
            shape.kind = kind
        elif known is not kind and not (known is float and kind is int):
            raise _Clash("", f"{_shown(value)} is {_WORDS[kind]}, but the field was {_WORDS[known]} before")
        if kind is not dict and kind is not list:
            return
        if level >= MAX_LEVELS:
            raise _Clash("", f"nested deeper than {MAX_LEVELS} levels")
        if kind is dict:
            self._note_fields(shape.fields, value, level + 1)
            return
        shape.item = shape.item or _Shape()
        shape.items += len(value)
        for item in value:
            if item is not None:
                try:
                    self._note_value(shape.item, item, type(item), level + 1)
                except _Clash as clash:
                    raise clash.below("[]") from None


_PLAIN: Final = frozenset({str, float, bool})
"""Of these every value is as good as the first; a whole number can be too large."""


class _Shape:
    """One field: the type of its values (None while all are null), an object's fields, an array's items and how many these are."""

    __slots__ = ("fields", "item", "items", "kind")

    def __init__(self) -> None:
        self.kind: type | None = None
        self.fields: dict[str, _Shape] = {}
        self.item: _Shape | None = None
        self.items = 0


def _places(shape: _Shape, count: int) -> int:
    """The places in a field's columns where there are `count` of what it is a field of."""
    if shape.kind is dict:
        return sum(_places(part, count) for part in shape.fields.values())
    return count + (0 if shape.item is None else _places(shape.item, shape.items))


def _insert(fields: dict[str, _Shape], name: str, shape: _Shape, record: dict[str, Any]) -> None:
    """Puts a new field behind the one that it stands behind in the record."""
    before: str | None = None
    for other in record:
        if other == name:
            break
        before = other
    behind = list(fields.items())
    if before is not None:
        behind = behind[list(fields).index(before) + 1 :]
    for other, _ in behind:
        del fields[other]
    fields[name] = shape
    fields.update(behind)


class _Clash(Exception):
    """A value that does not go with those before it. The field's name grows on the way out."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def below(self, name: str) -> _Clash:
        separator = "" if not self.field or self.field.startswith("[]") else "."
        return _Clash(name + separator + self.field, self.reason)


def _arrow_fields(fields: dict[str, _Shape]) -> list[Field]:
    from arro3.core import Field

    typed = ((name, _arrow_type(shape)) for name, shape in fields.items())
    return [Field(name, type_, nullable=True) for name, type_ in typed if type_ is not None]


def _arrow_type(shape: _Shape | None) -> DataType | None:
    """A field's type; None where it can have no column."""
    from arro3.core import DataType, Field

    kind = None if shape is None else shape.kind
    if shape is not None and kind is dict:
        fields = _arrow_fields(shape.fields)
        return DataType.struct(fields) if fields else None
    if shape is not None and kind is list:
        item = _arrow_type(shape.item)
        return None if item is None else DataType.list(Field("item", item, nullable=True))
    if kind is bool:
        return DataType.bool()
    if kind is int:
        return DataType.int64()
    return DataType.float64() if kind is float else DataType.string()


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{...}" if value else "{}"
    if isinstance(value, list):
        return "[...]" if value else "[]"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
