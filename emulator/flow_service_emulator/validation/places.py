"""What a JSON Schema says of one place of a value: passwords, enums, examples, and which fields it names there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from flow_service_emulator.validation.patterns import ecma_pattern
from flow_service_emulator.validation.schemas import Schema, part_at


class Place:
    """One place of the values of a schema, whose references and patterns have been checked.

    `parts` is every schema object that may concern the place, whichever way it is reached; there is none where the schema
    says nothing.
    """

    __slots__ = ("_below", "_is_closed", "_longest", "_names", "_patterns", "_root", "is_password", "parts", "words")

    def __init__(self, root: Schema, schemas: Iterable[Any]) -> None:
        self.parts = _on_same_value(root, schemas)
        self.is_password = any(part.get("format") == "password" for part in self.parts)
        """Whether a value here must never be shown."""
        options = [option for part in self.parts for option in part.get("enum", ()) if isinstance(option, str)]
        self.words = {option.casefold(): option for option in reversed(options)} | {
            option: option for option in options
        }
        """Text in any letter case -> how an enum has it."""
        named = any(part.get("properties") for part in self.parts)
        self._is_closed = named and not any(part.get("additionalProperties", False) is not False for part in self.parts)
        self._root = root
        self._names = {name for part in self.parts for key in ("properties", "required") for name in part.get(key, ())}
        self._patterns = [pattern for part in self.parts for pattern in part.get("patternProperties", ())]
        tuples = [part["items"] for part in self.parts if isinstance(part.get("items"), list)]
        self._longest = max(map(len, tuples), default=0)
        self._below: dict[str | int, Place] = {}

    def unnamed(self, value: dict[str, Any]) -> list[str]:
        """The fields of an object here that the schema does not name although it names others, and no others are allowed."""
        if not self._is_closed or value.keys() <= self._names:
            return []
        patterns = [ecma_pattern(pattern) for pattern in self._patterns]
        return [name for name in value if name not in self._names and not any(each.matches(name) for each in patterns)]

    def below(self, key: str | int) -> Place:
        """The place of a field or an item of the value here."""
        if isinstance(key, int):
            key = min(key, self._longest)
        elif self._is_closed and key not in self._names and not self._patterns:
            return NOWHERE
        place = self._below.get(key)
        if place is None:
            schemas = (schema for part in self.parts for schema in _schemas_below(part, key))
            place = Place(self._root, schemas)
            if isinstance(key, int) or key in self._names:  # of other names there is no end
                self._below[key] = place
        return place

    def at(self, keys: Iterable[str | int]) -> Place:
        """The place that the keys lead to."""
        place = self
        for key in keys:
            place = place.below(key)
        return place


def _on_same_value(root: Schema, schemas: Iterable[Any]) -> list[Schema]:
    """The schemas and all those that they apply to the same value; `not` left out."""
    found: dict[int, Schema] = {}
    waiting = list(schemas)
    while waiting:
        part = waiting.pop(0)
        if not isinstance(part, dict) or id(part) in found:
            continue
        found[id(part)] = part
        if "$ref" in part:  # in draft 7, what stands beside it is ignored
            waiting.append(part_at(root, part["$ref"]))
            continue
        waiting += [part[keyword] for keyword in ("if", "then", "else") if keyword in part]
        for keyword in ("allOf", "anyOf", "oneOf"):
            waiting += part.get(keyword, ())
        waiting += part.get("dependencies", {}).values()
    return [part for part in found.values() if "$ref" not in part]


def _schemas_below(part: Schema, key: str | int) -> list[Any]:
    if isinstance(key, int):
        items = part.get("items")
        if isinstance(items, list):
            items = items[key] if key < len(items) else part.get("additionalItems")
        return [items, part.get("contains")]
    patterned = part.get("patternProperties", {}).items()
    schemas = [schema for pattern, schema in patterned if ecma_pattern(pattern).matches(key)]
    if key in part.get("properties", ()):
        schemas.append(part["properties"][key])
    return schemas or [part.get("additionalProperties")]


NOWHERE: Final = Place({}, [])
"""A place that the schema says nothing of."""
