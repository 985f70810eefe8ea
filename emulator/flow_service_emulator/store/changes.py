"""What can be changed in the store, as values that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

Scope = tuple[str, str]
"""(imsOrgId, sandboxName)"""


@dataclass(frozen=True, slots=True)
class Put:
    """An entity to be stored: a new one, or in the place of the one of its id."""

    scope: Scope
    collection: str
    entity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """An entity to be deleted, if it is there."""

    scope: Scope
    collection: str
    id: str


@dataclass(frozen=True, slots=True)
class SetMeta:
    """A value of the emulator's own to be kept; None forgets it."""

    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class SetEncodedMeta:
    """A value of the emulator's own to be kept whose JSON is made already, by `encoded_meta`."""

    key: str
    raw: bytes


Change = Put | Delete | SetMeta | SetEncodedMeta


def encoded_meta(key: str, value: Any) -> SetEncodedMeta:
    """What SetMeta does with a value that is not None, its JSON made here: a large one in a thread. Raises TypeError for no JSON."""
    return SetEncodedMeta(key, bytes(memoryview(orjson.dumps({"id": key, "value": value}))))


def value_of(raw: bytes) -> Any:
    """The value in what `Store.raw_meta` gives."""
    return orjson.loads(raw).get("value")
