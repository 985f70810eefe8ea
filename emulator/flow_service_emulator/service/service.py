"""What a client can do with entities: create, read, list, change, delete, act. Knows no web framework.

One set of operations over the table of kinds. Every method raises ServiceError with the service's own error.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

import orjson

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.entities import (
    DISABLED,
    ENABLED,
    Entity,
    Scope,
    changed_entity,
    new_entity,
    operation_record,
)
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.runs import FAILED, SUCCESS
from flow_service_emulator.exports.scheduler import Scheduler
from flow_service_emulator.masking import Masker
from flow_service_emulator.query.query import ListQuery, Page, Params, Records, parse, run
from flow_service_emulator.service.bodies import BODIES, FIELDS, KINDS, inherited, refuse_all
from flow_service_emulator.service.kinds import Change, Context, check
from flow_service_emulator.service.patching import apply_patch
from flow_service_emulator.store.store import Delete, Put, SetMeta, Store
from flow_service_emulator.validation.validation import Finding, SchemaValidator

INDEXES: Final[Mapping[str, tuple[str, ...]]] = {
    "runs": ("flowId",),
    "flows": ("state", "sourceConnectionIds", "targetConnectionIds"),
    "targetConnections": ("baseConnectionId",),
}
"""By which fields the store finds entities: those that references go by, and those that clients filter by."""
LONG_LIST: Final = 1_000
"""Up to how many entities are decoded at once; a page of 100,000 may take a second, for which others are not to wait."""
_RUN, _ADHOC, _SEARCH = (SchemaValidator(BODIES[name]) for name in ("runs", "adhocRuns", "searches"))
ACTIONS: Final = {"enable": ENABLED, "disable": DISABLED}
ACTION_PARAMETERS: Final = ("op", "subOp")
RETRIGGERS: Final = ("RE_TRIGGER", "re-trigger")
UNBUILT_ACTIONS: Final = ("FINALIZE", "FINALIZE_UPDATE", "PUBLISH", "APPLY", "ROLLBACK", "PROGRESS")
"""Actions and sub-actions that the service has beside these (Flow Service API 3.0.1)."""


class Caller(NamedTuple):
    """Who asks, and where warnings about lenience go."""

    scope: Scope
    warnings: list[Finding]


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
        self._long_list = asyncio.Lock()

    def create(self, caller: Caller, collection: str, body: Any) -> Entity:
        """A new entity; answers it as stored."""
        now_ms = self._clock.now_ms()
        checked = check(KINDS[collection], body, self._context(caller, now_ms))
        entity = new_entity(
            {"state": ENABLED} | self._masker.entity(checked), scope=caller.scope, rng=self._rng, now_ms=now_ms
        )
        if collection == "flows":
            if warning := self._scheduler.crowded(caller.scope):
                caller.warnings.append(warning)
            entity["runs"] = f"/runs?property=flowId=={entity['id']}"
            entity["lastOperation"] = operation_record("create", now_ms)
        self._store.write([Put(caller.scope, collection, entity)])
        if collection == "flows":
            self._scheduler.plan(caller.scope, entity["id"])
        return entity

    def etag(self, scope: Scope, collection: str, entity_id: str) -> str | None:
        """An entity's present etag, with its double quotes; None when there is no such entity."""
        entity = self._store.get(scope, collection, entity_id)
        return None if entity is None else str(entity["etag"])

    def touch(self, scope: Scope, collection: str, entity_id: str) -> None:
        """Gives an entity a new etag, as if somebody else had just saved it unchanged; nothing if it is gone."""
        entity = self._store.get(scope, collection, entity_id)
        if entity is not None:
            changed = changed_entity(entity, {}, rng=self._rng, now_ms=self._clock.now_ms())
            self._store.write([Put(scope, collection, changed)])

    def raw(self, caller: Caller, collection: str, entity_id: str) -> bytes:
        """An entity's JSON as bytes."""
        record = self._store.record(caller.scope, collection, entity_id)
        if record is None:
            raise not_found(collection, entity_id)
        return record.raw

    def entity(self, caller: Caller, collection: str, entity_id: str) -> Entity:
        entity: Entity = orjson.loads(self.raw(caller, collection, entity_id))
        return entity

    async def page(self, collection: str, caller: Caller, params: Params, most: int) -> Page:
        """A page of a collection, of `most` items at most, or its count, as the query asks."""
        query = parse(params, collection, FIELDS[collection], most=most, warnings=caller.warnings)
        records = self._candidates(caller.scope, collection, query)
        if not (query.filters or query.order) or len(records) <= LONG_LIST:
            return run(query, records)
        async with self._long_list:  # more at once would only take turns, and leave less to the other requests
            return await asyncio.to_thread(run, query, list(records))

    def _candidates(self, scope: Scope, collection: str, query: ListQuery) -> Records:
        """The entities that may match: by their id or an index where a filter says so, else all of the collection."""
        entity_id = query.exact("id")
        if entity_id is not None:
            record = self._store.record(scope, collection, entity_id)
            return [] if record is None else [record]
        keys = (query.exact(field) for field in INDEXES.get(collection, ()))
        key = next((key for key in keys if key is not None), None)
        return self._store.records(scope, collection) if key is None else self._store.by_index(scope, collection, key)

    def to_change(self, caller: Caller, collection: str, entity_id: str, if_match: str | None) -> Entity:
        """The entity that a patch is for; the patch goes to `patch` before anything is waited for."""
        entity = self.entity(caller, collection, entity_id)
        if if_match is None or not if_match.strip():
            raise ServiceError("if-match-missing")
        if if_match.strip() != entity["etag"]:
            raise ServiceError("version-mismatch", supplied=if_match[:100], current=entity["etag"])
        return entity

    def patch(self, caller: Caller, collection: str, stored: Entity, patch: Any) -> Entity:
        """The entity of `to_change` after a JSON Patch; all or nothing."""
        if patch in (None, [], {}):
            raise ServiceError("body-empty")
        kind, entity_id = KINDS[collection], stored["id"]
        body = self.entity(caller, collection, entity_id)
        touched = apply_patch(kind, body, patch, caller.warnings)
        in_flow = collection == "targetConnections" and any(self._flows_naming(caller.scope, collection, entity_id))
        replaced = frozenset(each["path"][1:] for each in patch if each["op"].lower() != "remove")
        change = Change(stored, touched, replaced, in_flow)
        checked = check(kind, body, self._context(caller, stored["createdAt"]), change)
        masked = self._masker.entity(checked)
        if (
            masked == stored and masked == checked
        ):  # a password that was sent is another one, even where it looks the same
            return stored
        entity = self._replace(caller, collection, stored, masked, "update", ops=patch)
        if collection == "targetConnections" and entity["baseConnectionId"] != stored["baseConnectionId"]:
            self._renew_inherited(caller, entity)
        return entity

    def act(self, caller: Caller, flow_id: str, params: Params) -> Entity:
        """Enables or disables a flow."""
        op, sub_op = _action(params)
        flow = self.entity(caller, "flows", flow_id)
        for asked in (op, sub_op or ""):
            if asked.upper() in UNBUILT_ACTIONS:
                raise ServiceError("unsupported", feature=f"The flow action {asked}")
        action = op.lower()
        if action not in ACTIONS:
            kind = "" if op else "required"
            raise ServiceError("operation-unsupported", place="query.op", kind=kind, known=ACTIONS, op=op[:100])
        if sub_op is not None:
            raise ServiceError("sub-action-unsupported", subOp=sub_op[:100])
        if flow["state"] == ACTIONS[action]:
            raise ServiceError("action-not-applicable", action=action, state=flow["state"])
        if action == "enable":  # what it uses may have been deleted while it was disabled
            check(KINDS["flows"], flow, self._context(caller, flow["createdAt"]), Change(flow))
        return self._replace(caller, "flows", flow, {**flow, "state": ACTIONS[action]}, action)

    def retrigger(self, caller: Caller, run_id: str, params: Params) -> Entity:
        """The datasets of a failed run, or of one without rows, once more; answers the new run.

        Source: guide "Retry failed dataflow runs"; Flow Service API 3.0.1, POST /runs/{id}/action.
        """
        op, _ = _action(params)
        run = self.entity(caller, "runs", run_id)
        if op.lower().replace("_", "-") != "re-trigger":
            raise ServiceError("operation-unsupported", known=RETRIGGERS, op=op[:100])
        status = run["metrics"]["statusSummary"]["status"]
        records = run["metrics"].get("recordSummary", {})
        if status != FAILED and (status != SUCCESS or records.get("inputRecordCount")):
            raise ServiceError("action-not-applicable", action="re-trigger", state=status)
        entities = [each for source in records.get("sourceSummaries", ()) for each in source["entitySummaries"]]
        ids = list(dict.fromkeys(each["id"].removeprefix("dataset:") for each in entities))
        return self._scheduler.run_now(caller.scope, self._runnable(caller.scope, run["flowId"]), ids or None)

    def delete(self, caller: Caller, collection: str, entity_id: str) -> None:
        """Deletes an entity that nothing needs any more."""
        self.raw(caller, collection, entity_id)
        which, error = KINDS[collection].blocked_by
        if which:
            for flow in self._flows_naming(caller.scope, collection, entity_id):
                if which == "any" or flow["state"] == ENABLED:
                    raise ServiceError(error, id=entity_id)
        forgotten = self._scheduler.flow_deleted(entity_id) if collection == "flows" else []
        self._store.write([Delete(caller.scope, collection, entity_id), *forgotten])

    def run_now(self, caller: Caller, body: Any) -> Entity:
        """A run of a flow outside its schedule."""
        if body is None or body == {}:
            raise ServiceError("body-empty")
        if isinstance(body, dict) and body.get("flowId") in (None, ""):
            raise ServiceError("flow-id-empty")
        violations = _RUN.violations(body)
        if violations:
            refuse_all(violations)
        return self._scheduler.run_now(caller.scope, self._runnable(caller.scope, body["flowId"]))

    def _runnable(self, scope: Scope, flow_id: str) -> Entity:
        """A flow that can run."""
        flow = self._store.get(scope, "flows", flow_id)
        if flow is None:
            raise ServiceError("run-flow-not-found", id=flow_id[:100])
        if flow["state"] != ENABLED:
            raise ServiceError("action-not-applicable", action="run", state=flow["state"])
        return flow

    def run_adhoc(self, caller: Caller, body: Any) -> list[dict[str, Any]]:
        """Runs of single datasets of flows, now; answers `destinations` with the id of each dataset's run.

        Raise `adhoc-invalid` for a body of another form and a flow that is not there or disabled, and as `check_adhoc` does; no run
        has been asked for then.
        """
        violations = _ADHOC.violations(body)
        if violations:
            first, told = violations[0], "; ".join(violation.message for violation in violations[:5])
            raise ServiceError("adhoc-invalid", place=first.path, kind=first.rule, reason=told)
        wanted = []
        for destination in body["activationInfo"]["destinations"]:
            flow = self._store.get(caller.scope, "flows", destination["flowId"])
            if flow is None:
                flow_id = destination["flowId"][:100]
                raise ServiceError("adhoc-invalid", reason=f"No flow has the id {flow_id}", id=flow_id)
            if flow["state"] != ENABLED:
                told = f"The flow {flow['id']} is {flow['state']}; a flow must be enabled to run"
                raise ServiceError("adhoc-invalid", reason=told)
            ids = [dataset["id"] for dataset in destination["datasets"]]
            self._scheduler.check_adhoc(caller.scope, flow, ids)
            wanted.append((flow, ids))
        run = partial(self._scheduler.run_now, caller.scope)
        return [
            {
                "flowId": flow["id"],
                "datasets": [{"id": each, "runId": run(flow, [each])["id"]} for each in ids],
            }
            for flow, ids in wanted
        ]

    def refreshed(self, scope: Scope, container: str, *, again: bool = False) -> int:
        """How often the credentials of a landing zone's container were refreshed, with `again` once more."""
        key = "/".join(("landing-zone", *scope, container))
        times = (self._store.get_meta(key) or 0) + again
        if again:
            self._store.write([SetMeta(key, times)])
        return int(times)

    def _context(self, caller: Caller, created_ms: int) -> Context:
        return Context(
            self._catalog,
            partial(self._store.get, caller.scope),
            self._library,
            caller.warnings,
            caller.scope,
            created_ms // 1000,
            self._clock.now(),
        )

    def _replace(
        self, caller: Caller, collection: str, stored: Entity, changed: Entity, operation: str, ops: Any = None
    ) -> Entity:
        now_ms = self._clock.now_ms()
        entity = changed_entity(changed, {}, rng=self._rng, now_ms=now_ms)
        if collection == "flows":
            entity["lastOperation"] = operation_record(operation, now_ms, ops)
        planned_again = collection == "flows" and _timing(stored) != _timing(entity)
        noted = self._scheduler.past_over(entity) if planned_again else []
        # `stored` is still what the store has, since nothing was waited for after it was read
        self._store.write([Put(caller.scope, collection, entity), *noted])
        if planned_again:
            self._scheduler.plan(caller.scope, entity["id"])
        return entity

    def _renew_inherited(self, caller: Caller, target: Entity) -> None:
        """Lets the flows of a target connection inherit its new base connection; nobody changed them, so their etags stay."""
        renewed = {**inherited(target), **target["inheritedAttributes"]}
        changes = []
        for flow in self._flows_naming(caller.scope, "targetConnections", target["id"]):
            targets = flow["inheritedAttributes"]["targetConnections"]
            targets[:] = [renewed if each["id"] == target["id"] else each for each in targets]
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


def search_params(body: Any, warnings: list[Finding]) -> list[tuple[str, str]]:
    """The body of a search as the parameters of a list.

    `queryString` may be a list's query string or its conditions alone, with `&` between them. Raises ServiceError: 1405 or
    1100, or `unsupported` for groupByProperty.
    """
    if body is None:
        raise ServiceError("body-empty")
    if violations := _SEARCH.violations(body):
        refuse_all(violations)
    if "groupByProperty" in body:
        raise ServiceError("unsupported", feature="groupByProperty, a field of searches,")
    params = []
    for part in filter(None, body.get("queryString", "").split("&")):
        name, _, value = part.partition("=")
        params.append(("property", unquote_plus(value if name == "property" else part)))
    if "projectionFields" in body:
        params.append(("property", body["projectionFields"]))
    for name in sorted(body.keys() - BODIES["searches"]["properties"].keys()):
        warnings.append(Finding("unknown-field", name[:60], f"{name[:60]} is not documented for searches"))
    if "limit" in body:
        params.append(("limit", str(int(body["limit"]))))  # JSON Schema takes 2.0 for a whole number
    return params + [(name, str(body[name])) for name in ("orderby", "count") if name in body]


def _action(params: Params) -> tuple[str, str | None]:
    """`op`, and `subOp` if there is one."""
    given = dict(params)
    for name in given:
        if name not in ACTION_PARAMETERS:
            raise ServiceError(
                "query-param-unknown", place=f"query.{name[:100]}", known=ACTION_PARAMETERS, param=name[:100]
            )
    return given.get("op", ""), given.get("subOp")


def not_found(collection: str, entity_id: str) -> ServiceError:
    """1439-404 for an id."""
    return ServiceError("resource-not-found", collection=collection, id=entity_id[:100])


def _timing(flow: Entity) -> tuple[Any, Any]:
    return flow.get("scheduleParams"), flow.get("state")
