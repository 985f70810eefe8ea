"""The rules for bodies: how each kind of entity is checked and completed, and what is found wrong or lenient in it.

One way for all kinds; only what really differs between them has a function of its own. Source of the rules: reference, sections
"Entities" and "Where the sources disagree", and the error table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from flow_service_emulator.catalog import DATASETS_WORKFLOW, Catalog, ConnectionSpec, FlowSpec
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.entities import AUTHORIZED, STATES, Entity, Scope, derived_uuid
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.schedule import implied_end, read_schedule
from flow_service_emulator.service.bodies import (
    MAX_NAMED,
    SERVER_FIELDS,
    Kind,
    as_sent,
    inherited,
    refuse_all,
    unknown_spec,
)
from flow_service_emulator.validation.validation import (
    MASK,
    Finding,
    Keys,
    SchemaValidator,
    Violation,
    value_at,
)
from flow_service_emulator.validation.violation_text import echo, literal, path_text

OTHER_WORKFLOW: Final = {"flowSpec": {"attributes": {"_workflow": "SEGMENTS"}}}
MODE: Final = "Server-to-server"
AUTH_FIELDS: Final = frozenset({"specName", "params"})
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
NEEDED: Final = ("interval", "timeUnit", "startTime")
"""The parts of a schedule that it must have."""


class Context(NamedTuple):
    """What the rules ask of the world around a body."""

    catalog: Catalog
    find: Callable[[str, str], Entity | None]
    """(collection, id) -> the entity of the same scope, or None."""
    datasets: Library
    warnings: list[Finding]
    """Where warnings go."""
    scope: Scope
    created_at: int
    now: float
    """When the entity was or is being created, and what time it is, in epoch seconds."""


class Change(NamedTuple):
    """What a patch changes."""

    stored: Entity
    touched: frozenset[str] = frozenset()
    """The top-level fields that it names: of others no warning is given."""
    replaced: frozenset[str] = frozenset()
    """The top-level fields that the client sent as a whole, not one part of them."""
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

    def warn(self, *finding: str) -> None:
        """Notes a warning, a Finding's fields, unless it is about what the entity had already."""
        found = Finding(*finding)
        if self.change is None or re.split(r"[.\[]", found.place)[0] in self.change.touched:
            self.context.warnings.append(found)

    def warn_of_unknown(self, place: str, keys: Keys, owner: str) -> None:
        """Warns of a field that no document names: a misspelt one has no effect, and nobody would notice."""
        name = path_text(place, keys)
        message = f"{name} is not documented for {owner}; it is stored and has no effect"
        self.warn("unknown-field", name, message)

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
        value, warnings, unknown = validator.read(given, place)
        for warning in warnings:
            self.warn(*warning)
        for keys in [keys for keys in unknown if keys not in known and value_at(stored, keys) is None][:MAX_NAMED]:
            self.warn_of_unknown(place, keys, owner)
        found = validator.violations(value, path=place, context=context, stored=stored)
        self.violations += found
        for name, given in value.items() if not found else ():
            for form in self.context.catalog.forms.get(f"{place}.{name}", ()):
                if isinstance(given, str) and given != MASK and form.violations(given):
                    self.warn("value-form", f"{place}.{name}", f"{place}.{name} {form.schema['text']}")
        return value

    def merged(self, name: str, needed: Iterable[str] | None = None) -> dict[str, Any]:
        """A field whose parts that a patch leaves out stay what they are, where one of the `needed` ones (all) is left out."""
        given, stored = self.body[name], self.stored(name) or {}
        missing = [part for part in (stored if needed is None else needed) if part in stored and part not in given]
        if self.change is None or name not in self.change.replaced or not missing:
            return dict(given)
        text = f"the new {name} has no {', '.join(missing)}; the earlier values are kept"
        rule = "schedule-partial" if name == "scheduleParams" else "params-partial"
        self.warn(rule, name, text)
        return {**stored, **given}

    def found(self, collection: str, place: str, entity_id: Any) -> Entity | None:
        """The entity that the body refers to; a violation when there is none."""
        if not isinstance(entity_id, str):
            return None
        entity = self.context.find(collection, entity_id)
        if entity is None:
            self.refuse(place, f'{place}: {collection} has no entity with the id "{echo(entity_id)}"', "reference")
        return entity


def check(kind: Kind, body: Any, context: Context, change: Change | None = None) -> Entity:
    """A body checked and completed; the one given stays as it is. Raises ServiceError, with every violation at once.

    `change` says what a patch changes; None where the entity is being created.
    """
    if not isinstance(body, dict) or not body:
        if body in ({}, None):
            raise ServiceError("body-empty")
        refuse_all(kind.envelope.violations(body))
    draft = Draft(dict(body), context, change)
    if change is not None or "state" in body:
        if change is None and kind.collection == "flows":
            raise ServiceError("state-in-create")
        if body.get("state") not in STATES:
            raise ServiceError("state-invalid", state=echo(body.get("state")))
    for name in sorted(body.keys() - kind.fields)[:MAX_NAMED]:
        draft.warn_of_unknown("", (name[:60],), kind.collection)
    if change is None:
        for name in sorted(body.keys() & (SERVER_FIELDS | kind.derived)):
            text = f"{name} is filled by the server; the value sent is not used"
            draft.warn("server-field-sent", name, text)
            del draft.body[name]
    spec = _named_spec(kind, draft)
    draft.violations += kind.envelope.violations(draft.body)
    _COMPLETE[kind.collection](draft, spec)
    if draft.violations:
        refuse_all(draft.violations)
    return draft.body


def _named_spec(kind: Kind, draft: Draft) -> Any:
    """The spec that the body names, of the kind's side. Its errors come before all others: 1413-400 and 1413-422."""
    name, catalog, body = kind.reference, draft.context.catalog, draft.body
    known: Mapping[str, Any] = catalog.flow_specs
    if name == "connectionSpec":
        is_source = kind.collection == "sourceConnections"
        known = {key: spec for key, spec in catalog.connection_specs.items() if (spec.source is not None) == is_source}
    reference = body.get(name)
    if reference is None and kind.collection == "connections" and body.get("auth") is None:
        assumed = catalog.assumed_connection_spec  # only the Data Landing Zone needs neither
        body[name] = {"id": assumed.id, "version": assumed.version}
        text = f"no connectionSpec was sent; {assumed.name} is assumed, as the tutorial's request has it"
        draft.warn("connection-spec-missing", name, text)
        return assumed
    given = reference if isinstance(reference, dict) else {}
    spec = known.get(str(given.get("id")))
    if spec is None:
        raise unknown_spec(known, name, reference)
    version = given.get("version")
    if version is None or version == "":
        raise ServiceError("spec-version-missing", field=name)
    if version != spec.version:
        report = {"field": f"{name}.version", "value": as_sent(version), "allowed": [spec.version]}
        raise ServiceError("spec-id-invalid", report=report)
    return spec


def _complete_connection(draft: Draft, spec: ConnectionSpec) -> None:
    body = draft.body
    auth = body.get("auth")
    if auth is None:
        body.pop("auth", None)
        if spec.auth:
            names = ", ".join(f'"{name}"' for name in spec.auth)
            examples = spec.examples.get("auth", {}).items()
            example = next(({"specName": name, "params": params} for name, params in examples), None)
            draft.refuse("auth", f"auth is required for {spec.name}; specName is one of {names}", "required", example)
    elif isinstance(auth, dict) and isinstance(auth.get("specName"), str):
        body["auth"] = _checked_auth(draft, spec, auth)


def _checked_auth(draft: Draft, spec: ConnectionSpec, auth: dict[str, Any]) -> dict[str, Any]:
    """`auth` with its parameters checked; they are masked before they are stored."""
    name, stored = auth["specName"], draft.stored("auth") or {}
    for key in [key for key in auth if key not in AUTH_FIELDS and key not in stored][:MAX_NAMED]:
        draft.warn_of_unknown("auth", (key,), "credentials")
    validator = spec.auth.get(name)
    if validator is None:
        report = {"field": "auth.specName", "value": echo(name), "allowed": list(spec.auth)}
        raise ServiceError("auth-spec-not-found", report=report, known=spec.auth, specName=echo(name), id=spec.id)
    params = auth.get("params")
    if not isinstance(params, dict):
        return auth
    stored_params = stored.get("params", {}) if stored.get("specName") == name else {}
    today = datetime.fromtimestamp(draft.context.now, UTC).date().isoformat()
    date = next(
        (each[AUTHORIZED] for each in (params, stored_params) if _DATE.fullmatch(str(each.get(AUTHORIZED)))), today
    )
    given, before = (
        {key: value for key, value in each.items() if key != AUTHORIZED} for each in (params, stored_params)
    )
    checked = draft.checked(given, validator, "auth.params", f'"{name}"', stored=before or None)
    return {**auth, "params": {**checked, AUTHORIZED: date}}


def _complete_source(draft: Draft, spec: ConnectionSpec) -> None:
    base_id = draft.body.get("baseConnectionId")
    if not isinstance(base_id, str):  # nobody creates the data lake's: each sandbox has one from the beginning
        base_id = derived_uuid(*draft.context.scope, spec.id)
    reference = {"id": spec.id, "version": spec.version}
    draft.body["baseConnectionId"] = base_id
    draft.body["inheritedAttributes"] = {"baseConnection": {"id": base_id, "connectionSpec": reference}}
    params, violations = draft.body.get("params"), len(draft.violations)
    if not isinstance(params, dict) or spec.source is None:
        return
    params = draft.checked(params, spec.source, "params", spec.name, stored=draft.stored("params"))
    datasets = draft.context.datasets
    if len(draft.violations) > violations:
        return
    draft.body["params"] = params
    seen: set[str] = set()
    for index, dataset in enumerate(params["datasets"]):
        place, dataset_id = f"params.datasets[{index}].dataSetId", dataset["dataSetId"]
        if dataset_id in seen:
            draft.refuse(place, f'{place}: "{echo(dataset_id)}" is there twice', "uniqueItems")
        elif dataset_id not in datasets.datasets:
            why = datasets.problem(dataset_id) or f"GET /connectionSpecs/{spec.id}/configs lists them"
            draft.refuse(place, f'{place}: no eligible dataset has the id "{echo(dataset_id)}"; {why}', "enum")
        seen.add(dataset_id)


def _complete_target(draft: Draft, spec: ConnectionSpec) -> None:
    body = draft.body
    base = draft.found("connections", "baseConnectionId", body.get("baseConnectionId"))
    if base is not None:
        base_spec = base["connectionSpec"]
        if base_spec["id"] != spec.id:
            used = draft.context.catalog.connection_specs[base_spec["id"]].name
            reason = f"connectionSpec.id is {spec.name}'s, but the base connection {base['id']} was made for {used}"
            draft.refuse("connectionSpec.id", reason, "const", base_spec["id"])
        body["inheritedAttributes"] = {"baseConnection": {"id": base["id"], "connectionSpec": base_spec}}
    if isinstance(body.get("params"), dict) and spec.target is not None:
        body["params"] = _checked_target_params(draft, spec.name, spec.target, draft.merged("params"))


def _checked_target_params(draft: Draft, owner: str, schema: SchemaValidator, params: dict[str, Any]) -> dict[str, Any]:
    workflow, stored = _workflow(params), draft.stored("params")
    params = draft.checked(
        params, schema, "params", owner, context=workflow, stored=stored, known=(("mode",), ("includeFileManifest",))
    )
    if draft.change is not None and draft.change.in_flow and workflow is OTHER_WORKFLOW:
        reason = "params.datasetFileType is required as long as a dataset flow uses the target connection"
        draft.refuse("params.datasetFileType", reason, "required", "JSON")
    mode = params.get("mode", MODE)
    if isinstance(mode, str) and mode.lower() == MODE.lower():
        if mode != MODE:
            params = {**params, "mode": MODE}
            text = f'params.mode: "{mode}" is taken as "{MODE}"'
            draft.warn("enum-letter-case", "params.mode", text)
    else:
        draft.refuse("params.mode", f'params.mode must be "{MODE}", got {literal(mode)}', "enum", MODE)
    if params.get("datasetFileType") == "JSON" and params.get("compression") == "NONE":
        text = "later editions of the documentation allow JSON only compressed; GZIP is safe"
        draft.warn("json-uncompressed", "params.compression", text)
    return params


def _workflow(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `conditional` looks at: a target connection with `fileType` alone belongs to another workflow than datasets."""
    return OTHER_WORKFLOW if "fileType" in params and "datasetFileType" not in params else DATASETS_WORKFLOW


def _complete_flow(draft: Draft, spec: FlowSpec) -> None:
    body = draft.body
    if body.get("transformations") is None:
        body["transformations"] = []
    sources = _fitting(draft, "sourceConnections", "sourceConnectionIds", spec.source_spec_ids, spec)
    targets = _fitting(draft, "targetConnections", "targetConnectionIds", spec.target_spec_ids, spec)
    for place, target in targets:
        if _workflow(target["params"]) is OTHER_WORKFLOW:
            reason = "the target connection has fileType, but a dataset flow needs one with datasetFileType"
            draft.refuse(place, f"{place}: {reason}", "required")
        if draft.context.find("connections", target["baseConnectionId"]) is None:
            reason = f"the target connection's base connection {target['baseConnectionId']} is not there any more"
            draft.refuse(place, f"{place}: {reason}", "reference")
    if isinstance(body.get("scheduleParams"), dict):
        body["scheduleParams"] = _checked_schedule(draft, draft.merged("scheduleParams", NEEDED))
    body["inheritedAttributes"] = {
        "properties": {"isDestinationFlow": True},
        "sourceConnections": [inherited(source) for _, source in sources],
        "targetConnections": [{**inherited(target), **target.get("inheritedAttributes", {})} for _, target in targets],
    }


def _checked_schedule(draft: Draft, params: dict[str, Any]) -> Any:
    """The schedule as it is stored, with the end that it has where none was sent."""
    schedule, violations, warnings = read_schedule(params)
    draft.violations += violations
    for warning in warnings:
        draft.warn(*warning)
    if violations:
        return schedule
    place, end = "scheduleParams.startTime", implied_end(draft.context.created_at)
    if schedule.get("endTime") is None and schedule["startTime"] > end:
        text = f"{place} {schedule['startTime']} comes after the end of the schedule, which is six months after the flow's creation, {end}"
        draft.warn("schedule-never-runs", place, f"{text}; the flow never runs by itself")
        return schedule
    end = schedule.setdefault("endTime", end)
    if end < draft.context.now:
        text = f"the schedule lies wholly in the past: it ended at {end}; the flow does not run by itself"
        draft.warn("schedule-past", "scheduleParams.endTime", text)
    return schedule


def _fitting(
    draft: Draft, collection: str, name: str, allowed: tuple[str, ...], spec: FlowSpec
) -> list[tuple[str, Entity]]:
    """The connections that a flow names and their places, each checked to exist and to be of the flow spec's kind."""
    ids = draft.body.get(name)
    specs = draft.context.catalog.connection_specs
    fitting = []
    for index, entity_id in enumerate(ids[:20] if isinstance(ids, list) else ()):
        place = f"{name}[{index}]"
        entity = draft.found(collection, place, entity_id)
        if entity is None:
            continue
        if entity["connectionSpec"]["id"] in allowed:
            fitting.append((place, entity))
            continue
        used = specs[entity["connectionSpec"]["id"]].name
        wanted = ", ".join(specs[spec_id].name for spec_id in allowed)
        reason = f'flow spec "{spec.name}" needs a connection to {wanted}; {entity["id"]} is one to {used}'
        draft.refuse(place, f"{place}: {reason}", "const")
    return fitting


_COMPLETE: Final[Mapping[str, Callable[[Draft, Any], None]]] = {
    "connections": _complete_connection,
    "sourceConnections": _complete_source,
    "targetConnections": _complete_target,
    "flows": _complete_flow,
}
"""Collection -> what checks and completes a draft, given the spec that it names."""
