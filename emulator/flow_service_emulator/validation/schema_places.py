"""What a JSON Schema says about one place of a value: passwords, enums and examples, and copies made by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Final

from flow_service_emulator.validation.patterns import ecma_pattern
from flow_service_emulator.validation.schemas import Schema, copied, parts_on_same_value
from flow_service_emulator.validation.violation_text import path_text

MAX_DEPTH: Final = 100
"""Levels of nesting down to which a schema that contains itself is followed."""

MAX_LOOKED_INTO: Final = 1_000
"""Objects and arrays of one value in which undocumented fields are looked for."""

_MAX_REMEMBERED: Final = 2_000
"""Places of which it is remembered what the schema says there: nearly all values have the same."""
_MAX_NAME: Final = 64
"""Characters of the names of these."""

Keys = tuple[str | int, ...]
"""Where a value stands in another: names of properties and numbers of items."""


class Parts(tuple[Schema, ...]):
    """Every schema object that may concern one place, whichever way it is reached; and what was found out about the place."""

    def __init__(self, schemas: Iterable[Schema] = ()) -> None:
        self.below: dict[str | int, Parts] = {}
        """The places below it that have been looked at."""

    @cached_property
    def is_closed(self) -> bool:
        """Whether the fields of an object are named, and others are not allowed on purpose."""
        return any(part.get("properties") for part in self) and not any(
            part.get("additionalProperties") for part in self
        )


Change = Callable[[Any, Parts, Keys], Any]
"""Gives the value to put in the place of one given, or that value itself."""


def is_password(parts: Parts) -> bool:
    """Whether a value at this place must never be shown."""
    return any(part.get("format") == "password" for part in parts)


class Places:
    """The places of the values of one schema, whose references and patterns have been checked."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._whole = self._flat([schema])
        self._remembered = 0

    def parts_at(self, keys: Keys) -> Parts:
        """What the schema says about the place that the keys lead to."""
        parts = self._whole
        for key in keys:
            parts = self._below(parts, key)
        return parts

    def is_hidden(self, keys: Keys) -> bool:
        """Whether the place is a password's, or inside one."""
        return any(is_password(self.parts_at(keys[:end])) for end in range(len(keys) + 1))

    def rebuilt(self, value: Any, change: Change, *, too_deep: Callable[[Any], Any] = copied) -> Any:
        """A deep copy in which `change` was asked about every value that the schema says something about.

        Where a schema contains itself, `too_deep` makes what stands for a value beyond MAX_DEPTH levels.
        """
        return self._rebuilt(value, self._whole, (), change, too_deep)

    def undocumented(self, value: Any) -> Iterator[Keys]:
        """The fields that the schema does not name. An object of which it names no field, or that may have any, has none.

        Of a large value the outermost MAX_LOOKED_INTO objects and arrays are looked into.
        """
        waiting: list[tuple[Any, Parts, Keys]] = [(value, Parts(), ())]
        for item, above, keys in islice(waiting, MAX_LOOKED_INTO):
            parts = self._below(above, keys[-1]) if keys else self._whole
            if not parts or not isinstance(item, dict | list):
                continue
            named = isinstance(item, dict) and parts.is_closed
            members = item.items() if isinstance(item, dict) else enumerate(item)
            for key, below in members:
                if named and not self._below(parts, key) and not _is_named(parts, str(key)):
                    yield (*keys, key)
                elif isinstance(below, dict | list):
                    waiting.append((below, parts, (*keys, key)))

    def password_paths(self) -> Iterator[str]:
        """Where passwords may stand: `s3SecretKey`, `keys[].secret`; `*` for a property of any name."""
        return self._password_paths(self._whole, "", frozenset())

    def _rebuilt(self, value: Any, parts: Parts, keys: Keys, change: Change, too_deep: Callable[[Any], Any]) -> Any:
        if not parts:
            return copied(value)
        if len(keys) > MAX_DEPTH:
            return too_deep(value)
        changed = change(value, parts, keys)
        if changed is not value or not isinstance(value, dict | list):
            return changed
        members = value.items() if isinstance(value, dict) else enumerate(value)
        copies = {
            key: self._rebuilt(item, self._below(parts, key), (*keys, key), change, too_deep) for key, item in members
        }
        return copies if isinstance(value, dict) else list(copies.values())

    def _flat(self, schemas: Sequence[Any]) -> Parts:
        """The schemas and all those that they apply to the same value."""
        flat: dict[int, Schema] = {}
        waiting = list(reversed(schemas))
        while waiting:
            part = waiting.pop()
            if not isinstance(part, dict) or id(part) in flat:
                continue
            flat[id(part)] = part
            waiting += reversed(parts_on_same_value(self._schema, part))
        return Parts(flat.values())

    def _below(self, parts: Parts, key: str | int) -> Parts:
        below = parts.below.get(key)
        if below is None:
            below = self._found_below(parts, key)
            if self._remembered < _MAX_REMEMBERED and (isinstance(key, int) or len(key) <= _MAX_NAME):
                self._remembered += 1
                parts.below[key] = below
        return below

    def _found_below(self, parts: Parts, key: str | int) -> Parts:
        schemas: list[Any] = []
        for part in parts:
            schemas += _property_schemas(part, key) if isinstance(key, str) else _item_schemas(part, key)
        return self._flat(schemas)

    def _password_paths(self, parts: Parts, path: str, above: frozenset[int]) -> Iterator[str]:
        if is_password(parts):
            yield path
            return
        names = dict.fromkeys(name for part in parts for name in part.get("properties", ()))
        places = [(path_text(path, [name]), self._below(parts, name)) for name in names]
        places.append((f"{path}.*" if path else "*", self._flat([s for part in parts for s in _any_property(part)])))
        places.append((f"{path}[]", self._flat([s for part in parts for s in _any_item(part)])))
        for place, below in places:
            marks = {id(part) for part in below}
            if below and not marks & above:  # a schema inside itself has no end of places
                yield from self._password_paths(below, place, above | marks)


def _property_schemas(part: Schema, name: str) -> list[Any]:
    patterned = part.get("patternProperties", {}).items()
    schemas = [schema for pattern, schema in patterned if ecma_pattern(pattern).matches(name)]
    if name in part.get("properties", ()):
        schemas.append(part["properties"][name])
    return schemas or [part.get("additionalProperties")]


def _is_named(parts: Parts, name: str) -> bool:
    return any(
        name in part.get("properties", ())
        or name in part.get("required", ())
        or any(ecma_pattern(pattern).matches(name) for pattern in part.get("patternProperties", ()))
        for part in parts
    )


def _item_schemas(part: Schema, index: int) -> list[Any]:
    items = part.get("items")
    if isinstance(items, list):
        items = items[index] if index < len(items) else part.get("additionalItems")
    return [items, part.get("contains")]


def _any_property(part: Schema) -> list[Any]:
    return [part.get("additionalProperties"), *part.get("patternProperties", {}).values()]


def _any_item(part: Schema) -> list[Any]:
    items = part.get("items")
    return [*(items if isinstance(items, list) else [items]), part.get("additionalItems"), part.get("contains")]
