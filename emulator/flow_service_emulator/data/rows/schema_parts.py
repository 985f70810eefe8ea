"""A JSON Schema made of parts written out as one: `allOf` of objects, and `$ref` into the schema itself; what is wrong in one.

That is how the Schema Registry composes schemas: `{"allOf": [{"$ref": "#/definitions/customFields"}], "definitions": …}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jsonschema_rs import ReferencingError, Registry, Resolver

Path = tuple[str, ...]
"""Names from the root on; `[]` stands for the items of an array."""

ITEMS: Final = "[]"
MAX_PARTS: Final = 5_000
"""The most schemas that one may consist of when it is written out: each reference counts as what it leads to."""
MAX_LEVELS: Final = 64
"""The most properties, references and `allOf` inside each other."""

_ANNOTATIONS: Final = frozenset(
    ("title", "description", "default", "examples", "readOnly", "writeOnly", "$id", "$schema", "$comment", "deprecated")
)
_ANNOTATING: Final = ("meta:", "x-")
_REMOTE: Final = (
    "only references into the schema itself (#/...) can be followed; the Schema Registry writes the others out for "
    "'Accept: application/vnd.adobe.xed-full+json; version=1'"
)


_OF_VALUES: Final = frozenset(
    ("pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "multipleOf", "examples", "required")
)
"""What is said of values, beside their type. (The bounds of whole numbers say how wide their column is.)"""


class SchemaError(ValueError):
    """Rows cannot be made from a schema. `path` is the property ("" for the root), `reason` says why not."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = ".".join(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"the schema{self.path and ', property ' + self.path}: {self.reason}"


def shown(value: Any) -> str:
    """A value as a reason shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def written_out(schema: Mapping[str, Any], *, types_only: bool = False) -> dict[str, Any]:
    """The schema without `allOf`, `$ref` and definitions; with `types_only`, without what it says of values, too.

    Beside a `$ref` nothing else counts (draft 7). Raises SchemaError for a reference that leads away, nowhere or back to
    itself, for parts of `allOf` that contradict each other, and for a schema that is too large.
    """
    written: dict[str, Any] = _Parts(schema, types_only).written((), schema, ("#",))
    return written


class _Parts:
    """A schema on its way to be written out."""

    def __init__(self, root: Mapping[str, Any], types_only: bool) -> None:
        self._root = root
        self._resolver: Resolver | None = None
        self._types_only = types_only
        self._count = 0

    def written(self, path: Path, schema: Any, steps: tuple[str, ...]) -> Any:
        """The part at `path`. `steps` are the references that led there and the `allOf` that it is in."""
        if not isinstance(schema, Mapping):
            return schema  # what it should be is said where its columns are made
        self._count += 1
        if self._count > MAX_PARTS or len(steps) + len(path) > MAX_LEVELS:
            raise SchemaError(path, f"more than {MAX_PARTS} parts, or nested deeper than {MAX_LEVELS} levels")
        if "$ref" in schema:
            reference = schema["$ref"]
            target = self._target(path, reference)
            if reference in steps:
                raise SchemaError(path, f"'$ref' {shown(reference)} leads back to itself, and so would have no end")
            return self.written(path, target, (*steps, reference))
        left_out = {"allOf", "definitions", "$defs"}
        if self._types_only:
            left_out |= _OF_VALUES | ({"enum", "const"} if "type" in schema else set())
        written = {key: value for key, value in schema.items() if key not in left_out}
        if "properties" in schema:
            parts = schema["properties"].items()
            written["properties"] = {name: self.written((*path, name), part, steps) for name, part in parts}
        if isinstance(schema.get("additionalProperties"), Mapping):
            written["additionalProperties"] = self.written((*path, ITEMS), schema["additionalProperties"], steps)
        if "items" in schema:
            written["items"] = self.written((*path, ITEMS), schema["items"], steps)
        for part in schema.get("allOf", ()):
            written = _merged(path, written, self.written(path, part, (*steps, "allOf")))
        return written

    def _target(self, path: Path, reference: str) -> Any:
        if not reference.startswith("#"):
            raise SchemaError(path, f"'$ref' {shown(reference)}: {_REMOTE}")
        try:
            self._resolver = self._resolver or Registry([("urn:schema", dict(self._root))]).resolver("urn:schema")
            return self._resolver.lookup(reference).contents
        except (ReferencingError, ValueError):
            raise SchemaError(path, f"'$ref' {shown(reference)} leads nowhere in the schema") from None


def _merged(path: Path, first: Any, second: Any) -> dict[str, Any]:
    """One schema that says what both say."""
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        raise SchemaError(path, f"{shown(second)} in allOf is no schema with properties")
    merged = dict(first)
    for key, value in second.items():
        known: Any = merged.get(key, value)
        if key == "properties":
            both = {name: _merged((*path, name), known[name], value[name]) for name in value if name in known}
            merged[key] = {**known, **value, **both}
        elif key == "required":
            merged[key] = [*known, *(name for name in value if name not in known)]
        elif known == value or key in _ANNOTATIONS or key.startswith(_ANNOTATING):
            merged.setdefault(key, value)
        elif key != "additionalProperties":
            raise SchemaError(path, f"in allOf, {key} is both {shown(known)} and {shown(value)}")
    return merged
