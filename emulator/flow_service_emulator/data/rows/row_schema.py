"""A dataset's JSON Schema, checked and turned into the columns that its rows have.

Only schemas whose rows are certain are taken: every property has one type, and no limits contradict each other. Rows leave
out an optional object of which no property is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

from jsonschema_rs import Draft7Validator

from flow_service_emulator.data.rows.schema_parts import ITEMS, Path, SchemaError, shown, written_out

DatasetKind = Literal["profile", "event"]
ScalarType = Literal["string", "integer", "number", "boolean"]

MAX_ITEMS: Final = 5_000
"""The most values that an array of one row may hold, those of nested arrays counted in."""
MAX_MAP_ENTRIES: Final = 3
"""The most entries that a made-up map has."""
MAX_TEXT: Final = 4_096
MAX_NUMBER: Final = 10**15
"""Numbers whose limits lie beyond this are refused: a double has no room left for their digits."""

_UNSUPPORTED: Final = (
    "anyOf", "oneOf", "not", "if", "dependencies", "patternProperties", "propertyNames", "contains"
)  # fmt: skip
_LENGTHS: Final = {"date": (10, 10), "date-time": (20, 24)}  # with and without milliseconds
_USUAL_MAX_ITEMS: Final = 4
_NEXT: Final = Fraction(1, 10**12)
"""How far a number lies from a limit that is excluded, at least."""
_INT64: Final = 2**63
_BITS: Final = {"byte": 8, "short": 16, "int": 32, "integer": 32, "long": 64}
"""`meta:xdmType` of whole numbers -> the width of their column."""
_LIMITS: Final = (
    "enum", "const", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"
)  # fmt: skip
_TYPES: Final = {bool: "boolean", str: "string", int: "integer", float: "number"}


class Scalar(NamedTuple):
    """A property that holds one plain value."""

    path: Path
    type: ScalarType
    optional: bool
    format: str = ""
    limits: Mapping[str, Any] = {}
    """What the schema says of a single value."""
    choices: tuple[Any, ...] = ()
    """The only values there are (`enum`, `const`) or the ones to take (`examples`)."""
    low: Fraction | None = None
    high: Fraction | None = None
    step: Fraction | None = None
    bits: int = 32
    """Of whole numbers."""
    min_length: int = 0
    max_length: int = MAX_TEXT

    @property
    def is_time(self) -> bool:
        """Whether it is an instant or a day."""
        return self.type == "string" and self.format in _LENGTHS and not self.choices


class Object(NamedTuple):
    """A property that holds an object; `fields` in the order of the schema."""

    path: Path
    optional: bool
    fields: tuple[tuple[str, Node], ...]


class Map(NamedTuple):
    """A property that holds an object all of whose values are alike: of the names in `fields`, or of changing ones."""

    path: Path
    optional: bool
    fields: tuple[tuple[str, Node], ...]
    value: Node


class List(NamedTuple):
    """A property that holds an array of like items."""

    path: Path
    optional: bool
    item: Node
    min_items: int
    max_items: int
    unique: bool

    @property
    def is_single(self) -> bool:
        """Whether it has one item in every row."""
        return self.min_items == self.max_items == 1


Node = Scalar | Object | List | Map


def parse_row_schema(schema: Mapping[str, Any], *, types_only: bool = False) -> tuple[Object, DatasetKind]:
    """The columns of a JSON Schema and whether its rows are people or events (`x-kind`).

    It has to be a valid one of draft 7. `allOf` and references within it are followed (`schema_parts`). Without `x-kind`, a schema
    with a property `timestamp` is one of events. Raises SchemaError where rows cannot be made from it; with `types_only`, what it
    says of values beside their type does not count.
    """
    schema = written_out(schema, types_only=types_only)
    root = _node((), schema, optional=False)
    if not isinstance(root, Object):
        raise SchemaError((), "rows are objects: give the type 'object' and properties")
    kind = schema.get("x-kind", "event" if "timestamp" in dict(root.fields) else "profile")
    if kind not in ("profile", "event"):
        raise SchemaError((), f"x-kind is {shown(kind)}; expected 'profile' or 'event'")
    return root, kind


def _node(path: Path, schema: Any, *, optional: bool) -> Node:
    if not isinstance(schema, Mapping):
        raise SchemaError(path, f"the schema of a property has to be an object, not {shown(schema)}")
    for keyword in _UNSUPPORTED:
        if keyword in schema:
            raise SchemaError(path, f"{keyword!r} is not supported here: write its properties out")
    type_ = _type(path, schema)
    if type_ == "object":
        return _object(path, schema, optional)
    return _list(path, schema, optional) if type_ == "array" else _scalar(path, schema, type_, optional)


def _type(path: Path, schema: Mapping[str, Any]) -> Any:
    """The one type of a property. `null` beside it says nothing: rows have no nulls but leave optional ones out."""
    if "type" not in schema:
        return _implied_type(path, schema)
    given = schema["type"]
    names = [type_ for type_ in ([given] if isinstance(given, str) else given) if type_ != "null"]
    if len(names) != 1:
        raise SchemaError(path, f"a column has one type (and possibly 'null'), not {shown(given)}")
    return names[0]


def _implied_type(path: Path, schema: Mapping[str, Any]) -> str:
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema:
        return "array"
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    kinds = {_TYPES.get(type(choice), "") for choice in choices if choice is not None}
    kinds -= {"integer"} if "number" in kinds else set()
    if len(kinds) != 1 or kinds == {""}:
        raise SchemaError(path, "no type is given")
    return kinds.pop()


def _object(path: Path, schema: Mapping[str, Any], optional: bool) -> Object | Map:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    for name in properties:
        if not name or "\0" in name:
            raise SchemaError(path, f"{shown(name)} cannot be a column's name")
    further = schema.get("additionalProperties")
    values = [_node((*path, ITEMS), further, optional=False)] if isinstance(further, Mapping) and further else []
    if not (properties or values):
        raise SchemaError(path, "an object needs properties, or additionalProperties that say of what type values are")
    for name in required if properties else ():
        if name not in properties:
            raise SchemaError(path, f"required names {shown(name)}, which is not among the properties")
    fields = tuple(
        (name, _node((*path, name), part, optional=name not in required)) for name, part in properties.items()
    )
    if not values and schema.get("meta:xdmType") != "map":
        return Object(path, optional, fields)
    values += [node for _, node in fields]
    if len({_form(node) for node in values}) != 1:
        reason = "a column is an object or a map: its properties and additionalProperties differ in type"
        raise SchemaError(path, reason)
    return Map(path, optional, fields, values[0])


def _form(node: Node) -> Any:
    """What the type of a node's column depends on."""
    if isinstance(node, Object):
        return tuple((name, part.optional, _form(part)) for name, part in node.fields)
    if isinstance(node, Scalar):
        return node.type, node.is_time and node.format, node.bits
    return type(node).__name__, _form(node.item if isinstance(node, List) else node.value)


def _list(path: Path, schema: Mapping[str, Any], optional: bool) -> List:
    if not isinstance(schema.get("items"), Mapping):
        raise SchemaError(path, "an array needs items: one schema for all of them")
    least = int(schema.get("minItems", 0))
    usual = max(least, _USUAL_MAX_ITEMS >> path.count(ITEMS), 1)
    most = int(schema.get("maxItems", usual))
    if least > most:
        raise SchemaError(path, f"minItems {least} is greater than maxItems {most}")
    item = _node((*path, ITEMS), schema["items"], optional=False)
    unique, most = schema.get("uniqueItems", False) is True, min(most, usual)
    if unique and isinstance(item, Scalar) and item.choices:
        most = max(least, min(most, len(item.choices)))
    node = List(path, optional, item, least, most, unique)
    if values_in(node) > MAX_ITEMS:
        raise SchemaError(path, f"minItems makes more than {MAX_ITEMS} values in a row")
    return node


def _scalar(path: Path, schema: Mapping[str, Any], type_: ScalarType, optional: bool) -> Scalar:
    limits = {"type": type_} | {key: schema[key] for key in _LIMITS if key in schema}
    node = Scalar(path, type_, optional, limits=limits)
    if type_ == "string":
        node = _with_lengths(node, schema)
    elif type_ in ("integer", "number"):
        node = _with_limits(node, schema)
    node = _with_choices(node, schema)
    return node._replace(bits=_bits(node, schema)) if type_ == "integer" else node


def _bits(node: Scalar, schema: Mapping[str, Any]) -> int:
    """The width of a column of whole numbers: as `meta:xdmType` says, or as the bounds need."""
    named = schema.get("meta:xdmType")
    low, high = (None if limit is None else int(limit) for limit in (node.low, node.high))
    known = [value for value in (low, high, *node.choices) if value is not None]
    if isinstance(named, str) and named in _BITS:
        bits = _BITS[named]
        if not all(-(2 ** (bits - 1)) <= value <= 2 ** (bits - 1) for value in known):
            raise SchemaError(node.path, f"its limits go beyond meta:xdmType {named}, which has {bits} bits")
        return bits
    for bits in (8, 16):  # the bounds that the Schema Registry writes for them, with or without the 1 that is too much
        if low == -(2 ** (bits - 1)) and high in (2 ** (bits - 1) - 1, 2 ** (bits - 1)):
            return bits
    return 32 if all(-(2**31) <= value <= 2**31 for value in known) else 64


def _with_lengths(node: Scalar, schema: Mapping[str, Any]) -> Scalar:
    least = int(schema.get("minLength", 0))
    most = int(schema.get("maxLength", max(least, MAX_TEXT)))
    form = schema.get("format", "")
    shortest, longest = _LENGTHS.get(form, (least, most))
    if not least <= shortest <= longest <= most or least > MAX_TEXT:
        reason = f"a {form or 'text'} of {least} to {most} characters cannot be made, nor any of more than {MAX_TEXT}"
        raise SchemaError(node.path, reason)
    return node._replace(format=form, min_length=least, max_length=min(most, MAX_TEXT))


def _with_limits(node: Scalar, schema: Mapping[str, Any]) -> Scalar:
    lows = [*_number(node, schema, "minimum"), *(least + _NEXT for least in _number(node, schema, "exclusiveMinimum"))]
    highs = [*_number(node, schema, "maximum"), *(most - _NEXT for most in _number(node, schema, "exclusiveMaximum"))]
    step = next(iter(_number(node, schema, "multipleOf")), None)
    if node.type == "integer":
        lows, highs = [Fraction(math.ceil(least)) for least in lows], [Fraction(math.floor(most)) for most in highs]
        step = Fraction((step or Fraction(1)).numerator)
    low, high = max(lows, default=None), min(highs, default=None)
    if low is not None and high is not None and (low > high or (step and not multiples(low, high, step)[1])):
        wanted = f"multiple of {_plain(step)}" if step and step != 1 else "number"
        raise SchemaError(node.path, f"no {wanted} lies between {_plain(low)} and {_plain(high)}")
    return node._replace(low=low, high=high, step=step)


def _with_choices(node: Scalar, schema: Mapping[str, Any]) -> Scalar:
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if choices is None and "pattern" in schema:
        choices = schema.get("examples")
        if not choices:
            raise SchemaError(node.path, "a property with a pattern needs examples (or enum) to take values from")
    if choices is None:
        return node
    taken = possible(node, choices)
    if not taken:
        raise SchemaError(
            node.path, f"none of its values {shown(choices)} fits: each is no {node.type} or beyond the limits"
        )
    if node.type in ("integer", "number"):
        taken = [int(choice) if node.type == "integer" else float(choice) for choice in taken]
    return node._replace(choices=tuple(dict.fromkeys(taken)))


def possible(node: Scalar, values: Sequence[Any]) -> list[Any]:
    """Those of some values that a property can have."""
    fits = Draft7Validator(dict(node.limits)).is_valid
    return [value for value in values if not (isinstance(value, int) and abs(value) >= _INT64) and fits(value)]


def multiples(low: Fraction, high: Fraction, step: Fraction) -> tuple[int, int]:
    """The first whole number k for which `k * step` lies from `low` to `high`, and how many there are."""
    first = math.ceil(low / step)
    return first, max(0, math.floor(high / step) - first + 1)


def _number(node: Scalar, schema: Mapping[str, Any], key: str) -> list[Fraction]:
    """The limit `key` as an exact number, in a list that is empty where it is absent."""
    if key not in schema:
        return []
    given = schema[key]
    limit = _INT64 if node.type == "integer" else MAX_NUMBER
    if not -limit <= given < limit:
        raise SchemaError(node.path, f"{key} {shown(given)} is out of range")
    return [Fraction(str(given))]


def values_in(node: Node) -> int:
    """The most plain values that one row can have below a node."""
    if isinstance(node, Map):
        return (len(node.fields) or MAX_MAP_ENTRIES) * values_in(node.value)
    if isinstance(node, List):
        return node.max_items * max(1, values_in(node.item))
    return sum(values_in(part) for _, part in node.fields) if isinstance(node, Object) else 1


def _plain(number: Fraction) -> str:
    return str(int(number)) if number.denominator == 1 else f"{float(number):g}"
