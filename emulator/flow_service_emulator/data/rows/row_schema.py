"""A dataset's JSON Schema, checked and turned into the columns that its rows have.

Only schemas whose rows are certain are taken: every property has one type, and no limits contradict each other. Rows leave
out an optional object of which no property is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

from flow_service_emulator.data.rows.schema_error import ITEMS, Path, SchemaError, shown
from flow_service_emulator.data.rows.schema_parts import is_map, written_out

DatasetKind = Literal["profile", "event"]
ScalarType = Literal["string", "integer", "number", "boolean"]

MAX_PROPERTIES: Final = 500
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
_INT64: Final = 2**63
_BITS: Final = {"byte": 8, "short": 16, "int": 32, "integer": 32, "long": 64}
"""`meta:xdmType` of whole numbers -> the width of their column."""
_XDM_BOUNDS: Final = {(-(2**7), 2**7): 8, (-(2**15), 2**15): 16}
"""The bounds that the Schema Registry writes for bytes and shorts, with or without the 1 that is too much."""
_MISSING: Final = object()


class Scalar(NamedTuple):
    """A property that holds one plain value."""

    path: Path
    type: ScalarType
    optional: bool
    format: str = ""
    choices: tuple[Any, ...] = ()
    """The only values there are (`enum`, `const`) or the ones to take (`examples`)."""
    low: Fraction | None = None
    high: Fraction | None = None
    low_excluded: bool = False
    high_excluded: bool = False
    step: Fraction | None = None
    bits: int = 32
    """Of whole numbers."""
    min_length: int = 0
    max_length: int = MAX_TEXT


class Object(NamedTuple):
    """A property that holds an object; `fields` in the order of the schema. As a map, it is a column of names and values."""

    path: Path
    optional: bool
    fields: tuple[tuple[str, Node], ...]
    is_map: bool = False


class Map(NamedTuple):
    """A property that holds an object of changing names, all of whose values are alike."""

    path: Path
    optional: bool
    value: Node


class List(NamedTuple):
    """A property that holds an array of like items."""

    path: Path
    optional: bool
    item: Node
    min_items: int
    max_items: int
    unique: bool


Node = Scalar | Object | List | Map


def parse_row_schema(schema: Mapping[str, Any], *, types_only: bool = False) -> tuple[Object, DatasetKind]:
    """The columns of a JSON Schema and whether its rows are people or events (`x-kind`).

    It has to be a valid one of draft 7. `allOf` and references within it are followed (`schema_parts`). Without `x-kind`, a schema
    with a property `timestamp` is one of events. Raises SchemaError where rows cannot be made from it.
    """
    schema = written_out(schema, types_only=types_only)
    root = _node((), schema, optional=False)
    if not isinstance(root, Object):
        raise SchemaError((), "rows are objects: give the type 'object' and properties")
    if _count(root) > MAX_PROPERTIES:
        raise SchemaError((), f"more than {MAX_PROPERTIES} properties in all")
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
    if type_ == "object" and is_map(schema):
        return _map(path, schema, optional)
    if type_ == "object":
        return _object(path, schema, optional)
    if type_ == "array":
        return _list(path, schema, optional)
    return _scalar(path, schema, type_, optional)


def _type(path: Path, schema: Mapping[str, Any]) -> Any:
    """The one type of a property. `null` beside it says nothing: rows have no nulls but leave optional ones out."""
    given = schema.get("type", _MISSING)
    if given is _MISSING:
        given = _implied_type(path, schema)
    types = [given] if isinstance(given, str) else given
    names = [type_ for type_ in types if type_ != "null"]
    if len(names) != 1:
        raise SchemaError(path, f"a column has one type (and possibly 'null'), not {shown(given)}")
    return names[0]


def _implied_type(path: Path, schema: Mapping[str, Any]) -> str:
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema:
        return "array"
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    kinds = {_type_of(choice) for choice in choices if choice is not None}
    if kinds == {"integer", "number"}:
        return "number"
    if len(kinds) == 1:
        return kinds.pop()
    raise SchemaError(path, "no type is given")


def _object(path: Path, schema: Mapping[str, Any], optional: bool) -> Object:
    properties = schema.get("properties")
    if not properties:
        raise SchemaError(path, "an object needs properties")
    required = schema.get("required", [])
    for name in required:
        if name not in properties:
            raise SchemaError(path, f"required names {shown(name)}, which is not among the properties")
    for name in properties:
        if not name or "\0" in name or not _is_text(name):
            raise SchemaError(path, f"{shown(name)} cannot be a column's name")
    fields = tuple(
        (name, _node((*path, name), part, optional=name not in required)) for name, part in properties.items()
    )
    further = schema.get("additionalProperties")
    as_map = schema.get("meta:xdmType") == "map"
    if as_map and not path:
        raise SchemaError(path, "rows are objects, not maps")
    if (as_map or (isinstance(further, Mapping) and further)) and not _alike(path, fields, further):
        raise SchemaError(
            path, "a column is an object or a map: its properties and additionalProperties differ in type"
        )
    return Object(path, optional, fields, as_map or bool(isinstance(further, Mapping) and further))


def _alike(path: Path, fields: tuple[tuple[str, Node], ...], further: Any) -> bool:
    """Whether all values of an object have one type."""
    nodes = [node for _, node in fields]
    if isinstance(further, Mapping) and further:
        nodes.append(_node((*path, ITEMS), further, optional=False))
    return len({_form(node) for node in nodes}) == 1


def _form(node: Node) -> Any:
    """What the type of a node's column depends on."""
    if isinstance(node, Object):
        return "map" if node.is_map else "object", tuple(
            (name, part.optional, _form(part)) for name, part in node.fields
        )
    if isinstance(node, Scalar):
        instant = node.format in ("date-time", "date") and not node.choices
        return node.type, instant and node.format, node.bits
    return type(node).__name__, _form(node.item if isinstance(node, List) else node.value)


def _map(path: Path, schema: Mapping[str, Any], optional: bool) -> Map:
    further = schema["additionalProperties"]
    if not path:
        raise SchemaError(path, "rows are objects: give the type 'object' and properties")
    if not isinstance(further, Mapping) or not further:
        raise SchemaError(path, "additionalProperties has to say of what type the values are")
    return Map(path, optional, _node((*path, ITEMS), further, optional=False))


def _list(path: Path, schema: Mapping[str, Any], optional: bool) -> List:
    if not isinstance(schema.get("items"), Mapping):
        raise SchemaError(path, "an array needs items: one schema for all of them")
    least = _size(schema, "minItems", 0)
    usual = max(least, _USUAL_MAX_ITEMS >> path.count(ITEMS), 1)
    most = _size(schema, "maxItems", usual)
    if least > most:
        raise SchemaError(path, f"minItems {least} is greater than maxItems {most}")
    item = _node((*path, ITEMS), schema["items"], optional=False)
    unique = schema.get("uniqueItems", False) is True
    node = List(path, optional, item, least, min(most, usual), unique)
    if values_in(node) > MAX_ITEMS:
        raise SchemaError(path, f"minItems makes more than {MAX_ITEMS} values in a row")
    if unique:
        capacity = _variety(item)
        if capacity < least:
            raise SchemaError(path, f"minItems {least} with uniqueItems, but there are only {capacity} different items")
        node = node._replace(max_items=int(min(node.max_items, capacity)))
    return node


def _scalar(path: Path, schema: Mapping[str, Any], type_: ScalarType, optional: bool) -> Scalar:
    node = Scalar(path, type_, optional)
    if type_ == "string":
        node = _with_lengths(node, schema)
    elif type_ in ("integer", "number"):
        node = _with_limits(node, schema)
    node = _with_choices(node, schema)
    if type_ == "integer":
        node = node._replace(bits=_bits(node, schema))
    shortest, longest = _LENGTHS.get(node.format, (node.min_length, node.max_length))
    if not node.choices and (node.min_length > shortest or node.max_length < longest):
        reason = f"a {node.format} of {node.min_length} to {node.max_length} characters cannot be made"
        raise SchemaError(path, reason)
    return node


def _bits(node: Scalar, schema: Mapping[str, Any]) -> int:
    """The width of a column of whole numbers: as `meta:xdmType` says, or as the bounds need."""
    named = schema.get("meta:xdmType")
    low, high = (None if limit is None else int(limit) for limit in (node.low, node.high))
    known = [value for value in (low, high, *node.choices) if value is not None]
    if isinstance(named, str) and named in _BITS:
        bits = _BITS[named]
        edges = {-(2 ** (bits - 1)), 2 ** (bits - 1)}
        if not all(-(2 ** (bits - 1)) <= value < 2 ** (bits - 1) or value in edges for value in known):
            raise SchemaError(node.path, f"its limits go beyond meta:xdmType {named}, which has {bits} bits")
        return bits
    if low is not None and high is not None:
        for (least, most), bits in _XDM_BOUNDS.items():
            if low == least and high in (most - 1, most):
                return bits
    return 32 if all(-(2**31) <= value <= 2**31 for value in known) else 64


def _with_lengths(node: Scalar, schema: Mapping[str, Any]) -> Scalar:
    least = _size(schema, "minLength", 0)
    most = _size(schema, "maxLength", max(least, MAX_TEXT))
    if least > most:
        raise SchemaError(node.path, f"minLength {least} is greater than maxLength {most}")
    if least > MAX_TEXT:
        raise SchemaError(node.path, f"minLength {least} is more than {MAX_TEXT} characters")
    return node._replace(format=schema.get("format", ""), min_length=least, max_length=min(most, MAX_TEXT))


def _with_limits(node: Scalar, schema: Mapping[str, Any]) -> Scalar:
    lows = [
        (limit, key == "exclusiveMinimum")
        for key in ("minimum", "exclusiveMinimum")
        for limit in _number(node, schema, key)
    ]
    highs = [
        (limit, key == "exclusiveMaximum")
        for key in ("maximum", "exclusiveMaximum")
        for limit in _number(node, schema, key)
    ]
    steps = _number(node, schema, "multipleOf")
    low, low_excluded = max(lows, default=(None, False))
    high, high_excluded = min(highs, key=lambda found: (found[0], not found[1]), default=(None, False))
    step = steps[0] if steps else None
    if node.type == "integer":
        step = Fraction((step or Fraction(1)).numerator)
    node = node._replace(low=low, high=high, low_excluded=low_excluded, high_excluded=high_excluded, step=step)
    if low is not None and high is not None:
        if low > high:
            raise SchemaError(node.path, f"minimum {_plain(low)} is greater than maximum {_plain(high)}")
        if low == high and (low_excluded or high_excluded):
            raise SchemaError(node.path, f"no number is left between the limits {_plain(low)} and {_plain(high)}")
        if step is not None and not multiples(node, low, high, step):
            raise SchemaError(node.path, f"no multiple of {_plain(step)} lies between {_plain(low)} and {_plain(high)}")
    return node


def _with_choices(node: Scalar, schema: Mapping[str, Any]) -> Scalar:
    choices = schema.get("enum")
    if choices == []:
        raise SchemaError(node.path, "enum is empty")
    if "const" in schema:
        if choices is not None and schema["const"] not in choices:
            raise SchemaError(node.path, f"const {shown(schema['const'])} is not in enum")
        choices = [schema["const"]]
    wanted = "enum or const"
    if choices is None and "pattern" in schema:
        choices = schema.get("examples")
        wanted = "examples"
        if not choices:
            raise SchemaError(node.path, "a property with a pattern needs examples (or enum) to take values from")
    if choices is None:
        return node
    kept = [choice for choice in choices if choice is not None]
    for choice in kept:
        _check_choice(node, choice, wanted)
    if not kept:
        raise SchemaError(node.path, "enum holds nothing but null")
    if node.type == "number":
        kept = [float(choice) for choice in kept]
    elif node.type == "integer":
        kept = [int(choice) for choice in kept]
    return node._replace(choices=tuple(dict.fromkeys(kept)))


def _check_choice(node: Scalar, choice: Any, wanted: str) -> None:
    type_ = _type_of(choice)
    fits = type_ == node.type or (node.type == "number" and type_ == "integer")
    if node.type == "integer" and isinstance(choice, float) and choice.is_integer():
        fits = True
    if not fits:
        raise SchemaError(node.path, f"{wanted} holds {shown(choice)}, which is no {node.type}")
    if isinstance(choice, str):
        if not _is_text(choice):
            raise SchemaError(node.path, f"{wanted} holds {shown(choice)}, which is not valid Unicode")
        good = node.min_length <= len(choice) <= node.max_length
    elif node.type == "boolean":
        good = True
    else:
        good = abs(choice) <= _INT64 - 1 and allows(node, Fraction(choice))
    if not good:
        raise SchemaError(node.path, f"{wanted} holds {shown(choice)}, which the other limits rule out")


def allows(node: Scalar, value: Fraction) -> bool:
    """Whether a number keeps to the limits of a property."""
    if node.low is not None and (value < node.low or (node.low_excluded and value == node.low)):
        return False
    if node.high is not None and (value > node.high or (node.high_excluded and value == node.high)):
        return False
    return node.step is None or Fraction(str(float(value))) % node.step == 0 or value % node.step == 0


def multiples(node: Scalar, low: Fraction, high: Fraction, step: Fraction) -> range:
    """The whole numbers k for which `k * step` lies from `low` to `high` and within the property's own limits."""
    first, last = math.ceil(low / step), math.floor(high / step)
    if node.low_excluded and node.low is not None and first * step == node.low:
        first += 1
    if node.high_excluded and node.high is not None and last * step == node.high:
        last -= 1
    return range(first, last + 1) if last >= first else range(0)


def _number(node: Scalar, schema: Mapping[str, Any], key: str) -> list[Fraction]:
    """The limit `key` as an exact number, in a list that is empty where it is absent."""
    if key not in schema:
        return []
    given = schema[key]
    limit = _INT64 if node.type == "integer" else MAX_NUMBER
    if not -limit <= given < limit:
        raise SchemaError(node.path, f"{key} {shown(given)} is out of range")
    return [Fraction(str(given))]


def _size(schema: Mapping[str, Any], key: str, usual: int) -> int:
    return int(schema.get(key, usual))


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", dict: "object", list: "array"}
    return names.get(type(value), "null")


def _variety(node: Node) -> float:
    """How many different values there can be; infinity where it does not matter."""
    if isinstance(node, Object):
        return math.prod(_variety(part) + part.optional for _, part in node.fields)
    if isinstance(node, Map):
        return math.inf
    if isinstance(node, List):
        return math.inf if node.max_items else 1
    if node.choices:
        return len(node.choices)
    if node.type == "boolean":
        return 2
    if node.low is None or node.high is None:
        return math.inf
    if node.step is None:
        return math.inf if node.low < node.high else 1
    found = multiples(node, node.low, node.high, node.step)
    return found.stop - found.start


def values_in(node: Node) -> int:
    """The most plain values that one row can have below a node."""
    if isinstance(node, Map):
        return MAX_MAP_ENTRIES * values_in(node.value)
    if isinstance(node, List):
        return node.max_items * max(1, values_in(node.item))
    return sum(values_in(part) for _, part in node.fields) if isinstance(node, Object) else 1


def _count(node: Node) -> int:
    if isinstance(node, List | Map):
        return 1 + _count(node.item if isinstance(node, List) else node.value)
    return 1 + sum(_count(part) for _, part in node.fields) if isinstance(node, Object) else 1


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(number: Fraction) -> str:
    return str(int(number)) if number.denominator == 1 else f"{float(number):g}"
