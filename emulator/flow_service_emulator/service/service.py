"""What a client can do with entities: create, read, list, change, delete, act. Knows no web framework.

One set of operations over the table of kinds. Every method raises ServiceError with the service's own error.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.entities import (
    DISABLED,
    ENABLED,
    SERVER_FIELDS,
    Entity,
    Scope,
    changed_entity,
    new_entity,
    operation_record,
)
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.plan import dataset_ids
from flow_service_emulator.exports.scheduler import Scheduler
from flow_service_emulator.masking import Masker
from flow_service_emulator.query.pages import Page, run
from flow_service_emulator.query.query import parse
from flow_service_emulator.service.bodies import ADHOC_BODY, FIELDS, RUN_BODY
from flow_service_emulator.service.drafts import Draft
from flow_service_emulator.service.kinds import Kind, allow_patch, check, entity_kinds
from flow_service_emulator.service.patching import apply_patch, replaces, touched_fields
from flow_service_emulator.store.store import Delete, Put, Store
from flow_service_emulator.validation.validation import ContractWarning, SchemaValidator

INDEXES: Mapping[str, tuple[str, ...]] = {
    "runs": ("flowId",),
    "flows": ("state", "sourceConnectionIds", "targetConnectionIds"),
    "targetConnections": ("baseConnectionId",),
}
"""By which fields the store finds entities: those that references go by, and those that clients filter by."""
LONG_LIST = 1_000
"""Up to how many entities are decoded at once; a page of 100,000 may take a second, for which others are not to wait."""
ACTIONS = {"enable": ENABLED, "disable": DISABLED}
ACTION_PARAMETERS = ("op", "subOp")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and where warnings about lenience go."""

    scope: Scope
    warn: Callable[[ContractWarning], None]


class FlowService:
    """The operations of the service on its entities."""

    def __init__(
        self,
        *,
        store: Store,
        catalog: Catalog,
        library: Library,
        clock: Clock,
        rng: random.Random,
        scheduler: Scheduler,
        masker: Masker,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._library = library
        self._clock = clock
        self._rng = rng
        self._scheduler = scheduler
        self._masker = masker
        self._kinds = entity_kinds()
        self._run_body = SchemaValidator(RUN_BODY)
        self._adhoc_body = SchemaValidator(ADHOC_BODY)
        self._long_list = asyncio.Lock()

    def create(self, caller: Caller, collection: str, body: Any) -> Entity:
        """A new entity; answers it as stored."""
        kind = self._kinds[collection]
        draft = self._draft(caller, body)
        self._check(caller, kind, draft)
        entity = new_entity(
            {"state": ENABLED} | draft.body, scope=caller.scope, rng=self._rng, now_ms=self._clock.now_ms()
        )
        if collection == "flows":
            entity["runs"] = f"/runs?property=flowId=={entity['id']}"
            entity["lastOperation"] = operation_record("create", entity["createdAt"])
        self._store.insert(caller.scope, collection, entity)
        if collection == "flows":
            self._scheduler.planner.flow_created(caller.scope, entity)
        return entity

    def etag(self, scope: Scope, collection: str, entity_id: str) -> str | None:
        """An entity's present etag, with its double quotes; None when there is no such entity."""
        entity = self._store.get(scope, collection, entity_id)
        return None if entity is None else str(entity["etag"])

    def touch(self, scope: Scope, collection: str, entity_id: str) -> None:
        """Gives an entity a new etag, as if somebody else had just saved it unchanged; nothing if it is gone."""
        entity = self._store.get(scope, collection, entity_id)
        if entity is not None:
            self._store.replace(
                scope, collection, changed_entity(entity, {}, rng=self._rng, now_ms=self._clock.now_ms())
            )

    def raw(self, caller: Caller, collection: str, entity_id: str) -> bytes:
        """An entity's JSON as bytes."""
        raw = self._store.raw(caller.scope, collection, entity_id)
        if raw is None:
            raise not_found(collection, entity_id)
        return raw

    def entity(self, caller: Caller, collection: str, entity_id: str) -> Entity:
        entity = self._store.get(caller.scope, collection, entity_id)
        if entity is None:
            raise not_found(collection, entity_id)
        return entity

    async def page(self, caller: Caller, collection: str, params: Sequence[tuple[str, str]]) -> Page:
        """A page of a collection, or its count, as the query asks."""
        query = parse(params, collection=collection, fields=FIELDS[collection] | SERVER_FIELDS)
        keys = (query.exact(field) for field in INDEXES.get(collection, ()))
        key = next((key for key in keys if key is not None), None)
        if key is None:
            records = self._store.records(caller.scope, collection)
        else:
            records = self._store.by_index(caller.scope, collection, key)
        if not (query.filters or query.order.fields) or len(records) <= LONG_LIST:
            return run(query, records)
        async with self._long_list:  # more at once would only take turns, and leave less to the other requests
            return await asyncio.to_thread(run, query, list(records))

    def patch(
        self, caller: Caller, collection: str, entity_id: str, if_match: str | None, read_body: Callable[[], Any]
    ) -> Entity:
        """The entity after a JSON Patch; all or nothing."""
        kind = self._kinds[collection]
        kept = self.entity(caller, collection, entity_id)
        self._check_if_match(kept, if_match)
        body = read_body()
        if body in (None, [], {}):
            raise ServiceError("body-empty")
        patched, warnings = apply_patch(kept, body, allow=allow_patch(kind))
        for warning in warnings:
            caller.warn(warning)
        draft = self._draft(caller, patched, kept=kept)
        draft.touched = touched_fields(body)
        draft.whole_schedule = replaces(body, "/scheduleParams")
        if collection == "targetConnections":
            draft.in_flow = any(self._flows_naming(caller.scope, collection, entity_id))
        self._check(caller, kind, draft)
        if draft.body == kept and not draft.holds_secrets:
            return kept
        entity = self._replace(caller, collection, kept, draft.body, "update")
        if collection == "targetConnections" and entity["baseConnectionId"] != kept["baseConnectionId"]:
            self._renew_inherited(caller, entity)
        return entity

    def act(self, caller: Caller, flow_id: str, params: Sequence[tuple[str, str]]) -> Entity:
        """Enables or disables a flow."""
        given = dict(params)
        for name in given:
            if name not in ACTION_PARAMETERS:
                raise ServiceError("query-param-unknown", param=name[:100])
        flow = self.entity(caller, "flows", flow_id)
        action = given.get("op", "").lower()
        if action not in ACTIONS:
            raise ServiceError("operation-unsupported", op=given.get("op", "")[:100])
        if "subOp" in given:
            raise ServiceError("sub-action-unsupported", subOp=given["subOp"][:100])
        if flow["state"] == ACTIONS[action]:
            raise ServiceError("action-not-applicable", action=action, state=flow["state"])
        if action == "enable":
            draft = self._draft(caller, flow, kept=flow)
            draft.touched = frozenset()
            self._check(caller, self._kinds["flows"], draft)  # what it uses may have been deleted while it was disabled
        return self._replace(caller, "flows", flow, {**flow, "state": ACTIONS[action]}, action)

    def delete(self, caller: Caller, collection: str, entity_id: str) -> None:
        """Deletes an entity that nothing needs any more."""
        self.entity(caller, collection, entity_id)
        kind = self._kinds[collection]
        which, error = kind.blocked_by
        if which:
            for flow in self._flows_naming(caller.scope, collection, entity_id):
                if which == "any" or flow["state"] == ENABLED:
                    raise ServiceError(error, id=entity_id)
        forgotten = self._scheduler.planner.flow_deleted(entity_id) if collection == "flows" else []
        self._store.write([Delete(caller.scope, collection, entity_id), *forgotten])

    def run_now(self, caller: Caller, body: Any) -> Entity:
        """A run of a flow outside its schedule."""
        if body is None or body == {}:
            raise ServiceError("body-empty")
        flow_id = body.get("flowId") if isinstance(body, dict) else None
        if isinstance(body, dict) and (flow_id is None or flow_id == ""):
            raise ServiceError("flow-id-empty")
        self._check_body(self._run_body, body)
        flow = self._store.get(caller.scope, "flows", body["flowId"])
        if flow is None:
            raise ServiceError("run-flow-not-found", id=body["flowId"][:100])
        if flow["state"] != ENABLED:
            raise ServiceError("action-not-applicable", action="run", state=flow["state"])
        return self._scheduler.run_now(caller.scope, flow)

    def run_adhoc(self, caller: Caller, body: Any) -> list[dict[str, Any]]:
        """Runs of single datasets of flows, now; answers `destinations` with the id of each dataset's run.

        Raises `adhoc-invalid` for a body of another form, a flow that is not there or disabled, and a dataset that a flow does
        not carry; no run has been asked for then.
        """
        violations = self._adhoc_body.violations(body)
        if violations:
            raise ServiceError("adhoc-invalid", reason="; ".join(violation.message for violation in violations[:5]))
        wanted = []
        for destination in body["activationInfo"]["destinations"]:
            flow = self._store.get(caller.scope, "flows", destination["flowId"])
            if flow is None:
                raise ServiceError("adhoc-invalid", reason=f"No flow has the id {destination['flowId'][:100]}")
            if flow["state"] != ENABLED:
                raise ServiceError(
                    "adhoc-invalid", reason=f"The flow {flow['id']} is {flow['state']}; a flow must be enabled to run"
                )
            carried = set(dataset_ids(self._store, caller.scope, flow))
            for dataset in destination["datasets"]:
                if dataset["id"] not in carried:
                    reason = f"The dataset {dataset['id'][:100]} is not part of the flow {flow['id']}; it has {', '.join(sorted(carried))}"
                    raise ServiceError("adhoc-invalid", reason=reason)
            wanted.append((flow, [dataset["id"] for dataset in destination["datasets"]]))
        return [
            {
                "flowId": flow["id"],
                "datasets": [
                    {
                        "id": dataset_id,
                        "runId": self._scheduler.run_now(caller.scope, flow, frozenset({dataset_id}))["id"],
                    }
                    for dataset_id in dataset_ids
                ],
            }
            for flow, dataset_ids in wanted
        ]

    def _draft(self, caller: Caller, body: Any, kept: Entity | None = None) -> Draft:
        return Draft(
            body=dict(body) if isinstance(body, dict) else body,
            catalog=self._catalog,
            find=lambda collection, entity_id: self._store.get(caller.scope, collection, entity_id),
            has_dataset=self._library.has,
            dataset_problem=self._library.problem,
            scope=caller.scope,
            created_at=(self._clock.now_ms() if kept is None else kept["createdAt"]) // 1000,
            kept=kept,
        )

    def _check(self, caller: Caller, kind: Kind, draft: Draft) -> None:
        """Checks and completes a draft; what is to be stored of it has no secret any more. Raises ServiceError."""
        try:
            check(kind, draft)
        finally:
            for warning in draft.warnings:
                if draft.is_about(warning):
                    caller.warn(warning)
        masked = self._masker.entity(draft.body)
        draft.holds_secrets = masked is not draft.body and masked != draft.body
        draft.body = masked

    @staticmethod
    def _check_body(validator: SchemaValidator, body: Any) -> None:
        violations = validator.violations(body)
        if violations:
            raise ServiceError(
                "provider-rejected",
                provider_error="; ".join(violation.message for violation in violations[:5]),
                report={"violations": [violation.as_json() for violation in violations]},
            )

    @staticmethod
    def _check_if_match(entity: Entity, if_match: str | None) -> None:
        if if_match is None or not if_match.strip():
            raise ServiceError("if-match-missing")
        if if_match.strip() != entity["etag"]:
            raise ServiceError("version-mismatch", supplied=if_match[:100], current=entity["etag"])

    def _replace(self, caller: Caller, collection: str, kept: Entity, changes: Entity, operation: str) -> Entity:
        now_ms = self._clock.now_ms()
        # the changes may lack fields that the patch removed, so they stand alone
        entity = changed_entity({**changes, "etag": kept["etag"]}, {}, rng=self._rng, now_ms=now_ms)
        if collection == "flows":
            entity["lastOperation"] = operation_record(operation, now_ms)
        planned_anew = collection == "flows" and _timing(kept) != _timing(entity)
        noted = self._scheduler.planner.past_over(entity) if planned_anew else []
        # `kept` is still what the store has, since nothing was waited for after it was read
        self._store.write([Put(caller.scope, collection, entity), *noted])
        if planned_anew:
            self._scheduler.planner.flow_changed(caller.scope, entity)
        return entity

    def _renew_inherited(self, caller: Caller, target: Entity) -> None:
        """Lets the flows of a target connection inherit its new base connection; nobody changed them, so their etags stay."""
        inherited = {"id": target["id"], "connectionSpec": target["connectionSpec"], **target["inheritedAttributes"]}
        changes = []
        for flow in self._flows_naming(caller.scope, "targetConnections", target["id"]):
            targets = [
                inherited if each["id"] == target["id"] else each
                for each in flow["inheritedAttributes"]["targetConnections"]
            ]
            flow["inheritedAttributes"] = {**flow["inheritedAttributes"], "targetConnections": targets}
            changes.append(Put(caller.scope, "flows", flow))
        self._store.write(changes)

    def _flows_naming(self, scope: Scope, collection: str, entity_id: str) -> Iterator[Entity]:
        """The flows that use a connection, a source or a target connection; a connection also by way of a target that is gone."""
        if collection != "connections":
            for record in self._store.by_index(scope, "flows", entity_id):
                yield record.entity()
            return
        needle = entity_id.encode()
        for record in self._store.records(scope, "flows"):
            if needle in record.raw:
                flow = record.entity()
                targets = flow["inheritedAttributes"]["targetConnections"]
                if any(target.get("baseConnection", {}).get("id") == entity_id for target in targets):
                    yield flow


def not_found(collection: str, entity_id: str) -> ServiceError:
    """1439-404 for an id."""
    return ServiceError("resource-not-found", collection=collection, id=entity_id[:100])


def _timing(flow: Entity) -> tuple[Any, Any]:
    return flow.get("scheduleParams"), flow.get("state")
