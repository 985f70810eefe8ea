"""The table of entity kinds: how each is checked and completed, what a patch may change, and what keeps it from deletion.

One set of handlers works over this table; only what really differs between kinds stands here. Source of the rules:
reference, sections "Entities" and "Where the sources disagree", and the error table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flow_service_emulator.catalog import ConnectionSpec, FlowSpec
from flow_service_emulator.entities import SERVER_FIELDS, STATES, Entity, implied_id
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.schedule import implied_end, read_schedule
from flow_service_emulator.service.bodies import BODIES, FIELDS
from flow_service_emulator.service.drafts import (
    MAX_NAMED,
    Draft,
    check_spec_versions,
    found,
    named_connection_spec,
    refuse_all,
    short,
    unknown_spec,
)
from flow_service_emulator.service.undocumented import warn_of_undocumented, warn_of_undocumented_auth
from flow_service_emulator.validation.validation import SchemaValidator
from flow_service_emulator.validation.violation_text import literal

DATASETS_WORKFLOW: Final = {"flowSpec": {"attributes": {"_workflow": "DATASETS"}}}
OTHER_WORKFLOW: Final = {"flowSpec": {"attributes": {"_workflow": "SEGMENTS"}}}
MODE: Final = "Server-to-server"


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between connections, source connections, target connections and flows."""

    collection: str
    envelope: SchemaValidator
    complete: Callable[[Draft], None]
    derived: frozenset[str]
    """Fields that the server derives; a patch may not touch them."""
    fixed: Mapping[str, str]
    """Path -> why a patch may not touch it."""
    blocked_by: tuple[str, str]
    """(which flows keep an entity from deletion: `any`, `enabled` or ``, the error's name)"""
    takes_state: bool = True
    """Whether the request that creates one may say its `state`."""


def check(kind: Kind, draft: Draft) -> None:
    """Checks and completes a draft in place. Raises ServiceError; every violation of the body is reported at once."""
    if not isinstance(draft.body, dict) or not draft.body:
        if draft.body in ({}, None):
            raise ServiceError("body-empty")
        draft.violations += kind.envelope.violations(draft.body)
        refuse_all(draft)
    if draft.kept is None and "state" in draft.body and not kind.takes_state:
        raise ServiceError("state-in-create")
    if "state" in draft.body or draft.kept is not None:
        state = draft.body.get("state")
        if state not in STATES:
            raise ServiceError("state-invalid", state=short(state))
    _check_names(kind, draft)
    check_spec_versions(draft)
    draft.violations += kind.envelope.violations(draft.body)
    kind.complete(draft)
    if draft.violations:
        refuse_all(draft)


def allow_patch(kind: Kind) -> Callable[[str, str], None]:
    """The question that a patch asks of each of its operations: may this path be changed?"""

    def allow(top: str, path: str) -> None:
        if top == "connectionSpec" and kind.collection == "connections":
            raise ServiceError("connection-spec-immutable")
        for fixed, reason in kind.fixed.items():
            if path == fixed or path.startswith(fixed + "/") or fixed.startswith(path + "/"):
                raise ServiceError("patch-invalid", detail=f"{short(path)} cannot be updated: {reason}")
        if top in SERVER_FIELDS or top in kind.derived:
            raise ServiceError(
                "patch-invalid", detail=f"{short(path)} cannot be updated: {short(top)} is filled by the server"
            )
        if not top:
            raise ServiceError("patch-invalid", detail="the path must name a field, such as /name")

    return allow


def _check_names(kind: Kind, draft: Draft) -> None:
    """Warns of fields that the service does not document or fills itself."""
    known = FIELDS[kind.collection] | SERVER_FIELDS
    for name in sorted(set(draft.body) - known)[:MAX_NAMED]:
        draft.warn(
            "unknown-field",
            name[:60],
            f"{name[:60]} is not documented for {kind.collection}; it is stored and has no effect",
        )
    if draft.kept is None:
        for name in sorted(set(draft.body) & (SERVER_FIELDS | kind.derived)):
            draft.warn("server-field-sent", name, f"{name} is filled by the server; the value sent is not used")
            del draft.body[name]


def _complete_connection(draft: Draft) -> None:
    body = draft.body
    if body.get("connectionSpec") is None and body.get("auth") is None:  # only the Data Landing Zone needs neither
        assumed = draft.catalog.assumed_connection_spec
        body["connectionSpec"] = {"id": assumed.id, "version": assumed.version}
        draft.warn(
            "connection-spec-missing",
            "connectionSpec",
            f"no connectionSpec was sent; {assumed.name} is assumed, as the tutorial's request has it",
        )
    spec = named_connection_spec(draft, source=False)
    auth = body.get("auth")
    if auth is None:
        body.pop("auth", None)
        if spec.auth:
            names = ", ".join(f'"{name}"' for name in spec.auth)
            draft.refuse(
                "auth", f"auth is required for {spec.name}; specName is one of {names}", "required", _auth_example(spec)
            )
    elif isinstance(auth, dict) and isinstance(auth.get("specName"), str):
        body["auth"] = _checked_auth(draft, spec, auth)


def _auth_example(spec: ConnectionSpec) -> dict[str, Any] | None:
    for name, params in spec.examples.get("auth", {}).items():
        return {"specName": name, "params": params}
    return None


def _checked_auth(draft: Draft, spec: ConnectionSpec, auth: Mapping[str, Any]) -> dict[str, Any]:
    """`auth` with its parameters checked; they are masked before they are stored."""
    name = auth["specName"]
    warn_of_undocumented_auth(draft, auth)
    validator = spec.auth.get(name)
    if validator is None:
        shown = short(name)
        raise ServiceError(
            "auth-spec-not-found",
            specName=shown,
            id=spec.id,
            report={"field": "auth.specName", "value": shown, "allowed": list(spec.auth)},
        )
    if not isinstance(auth.get("params"), dict):
        return dict(auth)
    kept = (draft.kept or {}).get("auth") or {}
    kept_params = kept.get("params") if kept.get("specName") == name else None
    reading = validator.read(auth["params"], "auth.params")
    params = reading.value
    draft.warnings += reading.warnings
    draft.violations += validator.violations(params, path="auth.params", kept=kept_params)
    warn_of_undocumented(draft, "auth.params", reading.unknown, f'"{name}"', kept=kept_params)
    return {**auth, "params": params}


def _complete_source(draft: Draft) -> None:
    spec = named_connection_spec(draft, source=True)
    draft.body["inheritedAttributes"] = {"baseConnection": _implied_base(draft, spec)}
    params = draft.body.get("params")
    if not isinstance(params, dict) or spec.source is None:
        return
    violations = spec.source.violations(params, path="params")
    draft.violations += violations
    if violations:
        return
    unknown = spec.source.read(params, "params").unknown
    warn_of_undocumented(draft, "params", unknown, spec.name, kept=(draft.kept or {}).get("params"))
    seen: set[str] = set()
    for index, dataset in enumerate(params["datasets"]):
        place, dataset_id = f"params.datasets[{index}].dataSetId", dataset["dataSetId"]
        if dataset_id in seen:
            draft.refuse(place, f'{place}: "{short(dataset_id)}" is there twice', "uniqueItems")
        elif not draft.has_dataset(dataset_id):
            why = draft.dataset_problem(dataset_id) or f"GET /connectionSpecs/{spec.id}/configs lists them"
            draft.refuse(place, f'{place}: no eligible dataset has the id "{short(dataset_id)}"; {why}', "enum")
        seen.add(dataset_id)


def _implied_base(draft: Draft, spec: ConnectionSpec) -> dict[str, Any]:
    """The base connection of the data lake, which nobody creates: each sandbox has one from the beginning."""
    base_id = draft.body.get("baseConnectionId")
    if not isinstance(base_id, str):
        base_id = implied_id(draft.scope, spec.id)
    return {"id": base_id, "connectionSpec": {"id": spec.id, "version": spec.version}}


def _complete_target(draft: Draft) -> None:
    body = draft.body
    spec = named_connection_spec(draft, source=False)
    base = found(draft, "connections", "baseConnectionId", body.get("baseConnectionId"))
    if base is not None:
        if base["connectionSpec"]["id"] != spec.id:
            used = draft.catalog.connection_specs[base["connectionSpec"]["id"]].name
            draft.refuse(
                "connectionSpec.id",
                f"connectionSpec.id is {spec.name}'s, but the base connection {base['id']} was made for {used}",
                "const",
                base["connectionSpec"]["id"],
            )
        body["inheritedAttributes"] = {"baseConnection": {"id": base["id"], "connectionSpec": base["connectionSpec"]}}
    params = body.get("params")
    if not isinstance(params, dict) or spec.target is None:
        return
    reading = spec.target.read(params, "params")
    params = dict(reading.value)
    draft.warnings += reading.warnings
    kept = (draft.kept or {}).get("params")
    unknown = [keys for keys in reading.unknown if keys != ("mode",)]
    warn_of_undocumented(draft, "params", unknown, spec.name, kept=kept)
    draft.violations += spec.target.violations(params, path="params", context=_workflow(params), kept=kept)
    if draft.in_flow and _workflow(params) is OTHER_WORKFLOW:
        reason = "params.datasetFileType is required as long as a dataset flow uses the target connection"
        draft.refuse("params.datasetFileType", reason, "required", "JSON")
    mode = params.get("mode", MODE)
    if mode != MODE and isinstance(mode, str) and mode.lower() == MODE.lower():
        params["mode"] = MODE
        draft.warn("enum-letter-case", "params.mode", f'params.mode: "{mode}" is taken as "{MODE}"')
    elif mode != MODE:
        draft.refuse("params.mode", f'params.mode must be "{MODE}", got {literal(mode)}', "enum", MODE)
    if params.get("datasetFileType") == "JSON" and params.get("compression") == "NONE":
        draft.warn(
            "json-uncompressed",
            "params.compression",
            "later editions of the documentation allow JSON only compressed; GZIP is safe",
        )
    body["params"] = params


def _workflow(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `conditional` looks at: a target connection with `fileType` alone belongs to another workflow than datasets."""
    return OTHER_WORKFLOW if "fileType" in params and "datasetFileType" not in params else DATASETS_WORKFLOW


def _complete_flow(draft: Draft) -> None:
    body = draft.body
    reference = body.get("flowSpec")
    if reference is None:
        raise unknown_spec(draft.catalog, "flowSpec", None)
    spec = draft.catalog.flow_specs[reference["id"]]
    if body.get("transformations") is None:
        body["transformations"] = []
    sources = _fitting(draft, "sourceConnections", "sourceConnectionIds", spec.source_spec_ids, spec)
    targets = _fitting(draft, "targetConnections", "targetConnectionIds", spec.target_spec_ids, spec)
    for index, target in targets:
        place = f"targetConnectionIds[{index}]"
        if _workflow(target["params"]) is OTHER_WORKFLOW:
            reason = "the target connection has fileType, but a dataset flow needs one with datasetFileType"
            draft.refuse(place, f"{place}: {reason}", "required")
        if draft.find("connections", target["baseConnectionId"]) is None:
            reason = f"the target connection's base connection {target['baseConnectionId']} is not there any more"
            draft.refuse(place, f"{place}: {reason}", "reference")
    if isinstance(body.get("scheduleParams"), dict):
        kept = (draft.kept or {}).get("scheduleParams")
        body["scheduleParams"] = _checked_schedule(draft, body["scheduleParams"], kept)
    body["inheritedAttributes"] = {
        "properties": {"isDestinationFlow": True},
        "sourceConnections": [
            {"id": source["id"], "connectionSpec": source["connectionSpec"]} for _, source in sources
        ],
        "targetConnections": [
            {"id": target["id"], "connectionSpec": target["connectionSpec"], **target.get("inheritedAttributes", {})}
            for _, target in targets
        ],
    }


def _checked_schedule(draft: Draft, params: Any, kept: Mapping[str, Any] | None) -> Any:
    """The schedule as it is stored; a patch that leaves parts out keeps the earlier ones (a real client does that)."""
    if kept is not None and draft.whole_schedule and isinstance(params, dict) and params != kept:
        missing = [name for name in ("interval", "timeUnit", "startTime") if name not in params and name in kept]
        if missing:
            draft.warn(
                "schedule-partial",
                "scheduleParams",
                f"the new schedule has no {', '.join(missing)}; the earlier values are kept",
            )
            params = {**kept, **params}
    stored, violations, warnings = read_schedule(params)
    draft.violations += violations
    draft.warnings += warnings
    if not violations and stored.get("endTime") is None and stored["startTime"] > implied_end(draft.created_at):
        draft.warn(
            "schedule-never-runs",
            "scheduleParams.startTime",
            f"scheduleParams.startTime {stored['startTime']} comes after the end of the schedule, which is six months after the "
            f"flow's creation, {implied_end(draft.created_at)}, where there is no endTime; the flow never runs by itself",
        )
    return stored


def _fitting(
    draft: Draft, collection: str, name: str, allowed: tuple[str, ...], spec: FlowSpec
) -> list[tuple[int, Entity]]:
    """The connections that a flow names, each checked to exist and to be of the flow spec's kind."""
    ids = draft.body.get(name)
    if not isinstance(ids, list):
        return []
    fitting = []
    for index, entity_id in enumerate(ids[:20]):
        place = f"{name}[{index}]"
        entity = found(draft, collection, place, entity_id)
        if entity is None:
            continue
        if entity["connectionSpec"]["id"] not in allowed:
            used = draft.catalog.connection_specs[entity["connectionSpec"]["id"]].name
            wanted = ", ".join(draft.catalog.connection_specs[spec_id].name for spec_id in allowed)
            draft.refuse(
                place,
                f'{place}: flow spec "{spec.name}" needs a connection to {wanted}; {entity["id"]} is one to {used}',
                "const",
            )
            continue
        fitting.append((index, entity))
    return fitting


def entity_kinds() -> dict[str, Kind]:
    """Collection -> kind, with the envelopes compiled."""
    inherited = frozenset({"inheritedAttributes"})
    no_spec_change = {"/connectionSpec": "create a new one with the other spec"}
    kinds = (
        Kind(
            "connections",
            SchemaValidator(BODIES["connections"]),
            _complete_connection,
            frozenset(),
            {},
            ("any", "base-connection-in-use"),
        ),
        Kind(
            "sourceConnections",
            SchemaValidator(BODIES["sourceConnections"]),
            _complete_source,
            inherited,
            {
                **no_spec_change,
                "/params/datasets": "create a new source connection with the other datasets and put it into the flow",
            },
            ("enabled", "in-active-flow"),
        ),
        Kind(
            "targetConnections",
            SchemaValidator(BODIES["targetConnections"]),
            _complete_target,
            inherited,
            no_spec_change,
            ("enabled", "in-active-flow"),
        ),
        Kind(
            "flows",
            SchemaValidator(BODIES["flows"]),
            _complete_flow,
            frozenset({"inheritedAttributes", "runs", "lastOperation", "lastRunDetails"}),
            {"/flowSpec": "create a new flow with the other spec"},
            ("", ""),
            takes_state=False,
        ),
    )
    return {kind.collection: kind for kind in kinds}
