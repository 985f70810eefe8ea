"""What can be changed in the store, as values that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


Change = Put | Delete | SetMeta
