"""An entity on its way into the store: the body as sent, what is found wrong or lenient in it, and what it refers to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from flow_service_emulator.catalog import Catalog, ConnectionSpec, FlowSpec
from flow_service_emulator.entities import Entity, Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.validation.validation import ContractWarning, Violation
from flow_service_emulator.validation.violation_text import literal

MAX_NAMED: Final = 5
"""Violations that the message itself names, and unknown fields that are warned of, at most."""
MAX_REPORTED: Final = 100
"""Violations that the report lists, at most."""
MAX_NUMBER: Final = 4
"""Characters of a number that is reported as it was sent."""


@dataclass(slots=True)
class Draft:
    """An entity on its way into the store: the body as sent, and what was found wrong or lenient in it.

    `kept` is the stored entity when an existing one is patched. `find` looks up an entity of the same scope,
    `dataset_problem` why a file that would be a dataset is none.
    """

    body: Entity
    catalog: Catalog
    find: Callable[[str, str], Entity | None]
    has_dataset: Callable[[str], bool]
    dataset_problem: Callable[[str], str | None]
    scope: Scope
    created_at: int
    """When the entity was or is being created, in epoch seconds."""
    kept: Entity | None = None
    touched: frozenset[str] | None = None
    """The top-level fields that a patch changes; None where all of the body was sent."""
    in_flow: bool = False
    """Whether a flow uses the target connection that is patched."""
    whole_schedule: bool = True
    """Whether the client sent `scheduleParams` as a whole, not one part of it by a patch's path."""
    holds_secrets: bool = False
    """Whether the client sent a password, which is masked by now: its entity is another one even where it looks the same."""
    violations: list[Violation] = field(default_factory=list)
    warnings: list[ContractWarning] = field(default_factory=list)

    def refuse(self, path: str, message: str, rule: str, example: Any = None) -> None:
        """Notes a violation."""
        self.violations.append(Violation(path=path, message=message, rule=rule, pattern=None, example=example))

    def warn(self, rule: str, path: str, message: str) -> None:
        """Notes something that works here and is undocumented, deprecated or fragile."""
        self.warnings.append(ContractWarning(rule, path, message))

    def is_about(self, warning: ContractWarning) -> bool:
        """Whether a warning is about what was sent, and not about what the entity had already."""
        return self.touched is None or re.split(r"[.\[]", warning.path, maxsplit=1)[0] in self.touched


def refuse_all(draft: Draft) -> NoReturn:
    """Raises the documented error for the violations of a draft."""
    named = [violation.message for violation in draft.violations[:MAX_NAMED]]
    more = len(draft.violations) - len(named)
    detail = "; ".join(named) + (f"; and {more} more" if more else "")
    raise ServiceError(
        "provider-rejected",
        provider_error=detail,
        report={"violations": [violation.as_json() for violation in draft.violations[:MAX_REPORTED]]},
    )


def check_spec_versions(draft: Draft) -> None:
    """The documented errors of a spec reference come before all others: 1413-400 and 1413-422."""
    for name, known in (("connectionSpec", draft.catalog.connection_specs), ("flowSpec", draft.catalog.flow_specs)):
        reference = draft.body.get(name)
        if reference is None:
            continue
        spec_id = reference.get("id") if isinstance(reference, dict) else None
        spec = known.get(spec_id) if isinstance(spec_id, str) else None
        if spec is None:
            raise unknown_spec(draft.catalog, name, reference)
        version = reference.get("version")
        if version is None or version == "":
            raise ServiceError("spec-version-missing", field=name)
        if version != spec.version:
            raise ServiceError(
                "spec-id-invalid",
                report={"field": f"{name}.version", "value": as_sent(version), "allowed": [spec.version]},
            )


def unknown_spec(catalog: Catalog, name: str, reference: Any) -> ServiceError:
    """1413-400 for a `connectionSpec` or `flowSpec` as it was sent; None where there is none."""
    known: Mapping[str, ConnectionSpec | FlowSpec] = (
        catalog.connection_specs if name == "connectionSpec" else catalog.flow_specs
    )
    allowed = {spec.name: spec.id for spec in known.values()}
    field, value = (f"{name}.id", reference.get("id")) if isinstance(reference, dict) else (name, reference)
    return ServiceError("spec-id-invalid", report={"field": field, "value": as_sent(value), "allowed": allowed})


def named_connection_spec(draft: Draft, *, source: bool) -> ConnectionSpec:
    """The connection spec that the body names; it must be a source's or a destination's."""
    reference = draft.body.get("connectionSpec")
    spec = draft.catalog.connection_specs.get(reference["id"]) if reference is not None else None
    if spec is None or (spec.destination is None) != source:
        raise unknown_spec(draft.catalog, "connectionSpec", reference)
    return spec


def found(draft: Draft, collection: str, place: str, entity_id: Any) -> Entity | None:
    """The entity that a body refers to; a violation when there is none."""
    if not isinstance(entity_id, str):
        return None
    entity = draft.find(collection, entity_id)
    if entity is None:
        draft.refuse(place, f'{place}: {collection} has no entity with the id "{short(entity_id)}"', "reference")
    return entity


def as_sent(value: Any) -> Any:
    """A value for a report, so that 1.0 and "1.0" look different there."""
    if value is None or isinstance(value, bool):
        return value
    return value if isinstance(value, (int, float)) and len(literal(value)) <= MAX_NUMBER else short(value)


def short(value: Any, limit: int = 80) -> str:
    text = value if isinstance(value, str) else literal(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
