"""A body on its way into the store: what the rules ask of the world around it, and what they find wrong or lenient in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Protocol

import orjson

from flow_service_emulator.catalog import Catalog, ConnectionSpec, FlowSpec
from flow_service_emulator.entities import Entity, Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.validation.validation import ContractWarning, Keys, SchemaValidator, Violation, value_at
from flow_service_emulator.validation.violation_text import literal, path_text

MAX_NAMED: Final = 5
"""Violations that the message itself names, and unknown fields that are warned of, at most."""
MAX_REPORTED: Final = 100
"""Violations that the report lists, at most."""
MAX_NUMBER: Final = 4
"""Characters of a number that is reported as it was sent."""


class Datasets(Protocol):
    """Which datasets are eligible."""

    def has(self, dataset_id: str) -> bool: ...
    def problem(self, dataset_id: str) -> str | None:
        """Why a file that would be a dataset is none."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the rules ask of the world around a body. The catalog and a look-up are enough to judge a recorded request."""

    catalog: Catalog
    find: Callable[[str, str], Entity | None]
    """(collection, id) -> the entity of the same scope, or None."""
    datasets: Datasets | None = None
    """None where it is not known which datasets are eligible: then any is."""
    warnings: list[ContractWarning] = field(default_factory=list)
    """Where warnings go: what works here and is undocumented, deprecated or fragile."""
    scope: Scope = ("", "prod")
    created_at: int = 0
    """When the entity was or is being created, in epoch seconds."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a patch changes."""

    stored: Entity
    touched: frozenset[str] = frozenset()
    """The top-level fields that it names: of others no warning is given."""
    whole_schedule: bool = True
    """Whether the client sent `scheduleParams` as a whole, not one part of it."""
    in_flow: bool = False
    """Whether a flow uses the target connection that is changed."""


@dataclass(slots=True)
class Draft:
    """A body while it is checked and completed: a copy of its outermost level, and its violations so far."""

    body: Entity
    context: Context
    change: Change | None
    violations: list[Violation] = field(default_factory=list)

    def stored(self, name: str) -> Any:
        """What the entity has under a field now; None where it is being created."""
        return None if self.change is None else self.change.stored.get(name)

    def refuse(self, path: str, message: str, rule: str, example: Any = None) -> None:
        """Notes a violation."""
        self.violations.append(Violation(path, message, rule, example=example))

    def warn(self, warning: ContractWarning) -> None:
        """Notes a warning, unless it is about what the entity had already."""
        if self.change is None or warning.path.partition(".")[0].partition("[")[0] in self.change.touched:
            self.context.warnings.append(warning)

    def warn_of_unknown(self, place: str, keys: Keys, owner: str) -> None:
        """Warns of a field that no document names: a misspelt one has no effect, and nobody would notice."""
        name = path_text(place, keys)
        message = f"{name} is not documented for {owner}; it is stored and has no effect"
        self.warn(ContractWarning("unknown-field", name, message))

    def checked(
        self,
        given: Mapping[str, Any],
        validator: SchemaValidator,
        place: str,
        owner: str,
        *,
        context: Mapping[str, Any] | None = None,
        stored: Any = None,
        known: tuple[Keys, ...] = (),
    ) -> Any:
        """Parameters as they are meant, checked against the schema of `owner`.

        `context` is for the schema's conditions. Unknown fields that `stored` has as well were warned of when they were sent;
        `known` are documented elsewhere.
        """
        if validator.has_passwords and stored is not None and orjson.dumps(given) == orjson.dumps(stored):
            return given  # it was checked when it was sent, before its passwords were masked
        reading = validator.read(given, place)
        for warning in reading.warnings:
            self.warn(warning)
        if reading.unknown:
            unknown = [keys for keys in reading.unknown if keys not in known and value_at(stored, keys) is None]
            for keys in unknown[:MAX_NAMED]:
                self.warn_of_unknown(place, keys, owner)
        self.violations += validator.violations(reading.value, path=place, context=context, stored=stored)
        return reading.value

    def found(self, collection: str, place: str, entity_id: Any) -> Entity | None:
        """The entity that the body refers to; a violation when there is none."""
        if not isinstance(entity_id, str):
            return None
        entity = self.context.find(collection, entity_id)
        if entity is None:
            self.refuse(place, f'{place}: {collection} has no entity with the id "{short(entity_id)}"', "reference")
        return entity


def refuse_all(violations: list[Violation]) -> NoReturn:
    """Raises the documented error for the violations of a body."""
    named = [violation.message for violation in violations[:MAX_NAMED]]
    more = len(violations) - len(named)
    detail = "; ".join(named) + (f"; and {more} more" if more else "")
    raise ServiceError(
        "provider-rejected",
        provider_error=detail,
        report={"violations": [violation.as_json() for violation in violations[:MAX_REPORTED]]},
    )


def unknown_spec(known: Mapping[str, ConnectionSpec | FlowSpec], name: str, reference: Any) -> ServiceError:
    """1413-400 for a `connectionSpec` or `flowSpec` as it was sent; None where there is none."""
    place, value = (f"{name}.id", reference.get("id")) if isinstance(reference, dict) else (name, reference)
    allowed = {spec.name: spec.id for spec in known.values()}
    return ServiceError("spec-id-invalid", report={"field": place, "value": as_sent(value), "allowed": allowed})


def as_sent(value: Any) -> Any:
    """A value for a report, so that 1.0 and "1.0" look different there."""
    if value is None or isinstance(value, bool):
        return value
    return value if isinstance(value, (int, float)) and len(literal(value)) <= MAX_NUMBER else short(value)


def short(value: Any, limit: int = 80) -> str:
    text = value if isinstance(value, str) else literal(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
