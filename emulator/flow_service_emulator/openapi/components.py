"""What a client sends and what is answered, as JSON Schemas: components of the OpenAPI description.

Bodies are the outer forms of `service/bodies.py` filled in with the specs of the fixtures: the very ones that requests are checked
against; only how they go together is said here. Source of the answers: reference, sections "Endpoints" and "Entities".
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import Any, Final

import orjson

from flow_service_emulator.api.gateway import GRANTS
from flow_service_emulator.api.operations import READABLE
from flow_service_emulator.catalog import DATASETS_WORKFLOW, Catalog, ConnectionSpec, FlowSpec
from flow_service_emulator.service.bodies import ANSWERS, BODIES, ENTITIES, Schema, schema_of
from flow_service_emulator.service.kinds import MODE
from flow_service_emulator.service.patching import MAX_OPERATIONS, OPERATIONS

_OWN_KEYWORDS: Final = ("conditional", "uiAttributes", "contentEncoding")
"""What stands in the specs' schemas beside JSON Schema."""


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(properties: Schema, *, required: tuple[str, ...] | None = None, **more: Any) -> Schema:
    """An object; every property is required unless `required` says which are."""
    names = list(properties) if required is None else list(required)
    return {"type": "object", **({"required": names} if names else {}), "properties": properties, **more}


_POINTER: Final[Schema] = {"type": "string", "pattern": "^/", "description": "JSON Pointer (RFC 6901)"}
_OPERATIONS: Final = [
    record({"op": {"enum": [op for op in OPERATIONS if op != "remove"]}, "path": _POINTER, "value": {}}),
    record({"op": {"const": "remove"}, "path": _POINTER}),
]
_PATCH: Final[Schema] = {
    "type": "array",
    "items": {"anyOf": _OPERATIONS},
    "minItems": 1,
    "maxItems": MAX_OPERATIONS,
    "description": "JSON Patch (RFC 6902), all or nothing. The letter case of op does not matter.",
    "examples": [[{"op": "replace", "path": "/name", "value": "a new name"}]],
}
_SOME_ID: Final = "11111111-2222-4333-8444-555555555555"  # in examples, of an entity that was made before


def answer_schemas() -> dict[str, Schema]:
    """Name -> component. Of each kind `<Kind>Fields`, which a projection may cut down, `<Kind>`, which is whole, and the answers."""
    schemas = {name: schema_of(shape) for name, shape in ANSWERS.items()}
    for collection, kind in READABLE.items():
        entity = dict(ENTITIES[collection])
        schemas[kind] = {"allOf": [ref(f"{kind}Fields")], "required": entity.pop("required")}
        schemas[f"{kind}Fields"] = entity
        schemas[f"{kind}Item"] = record({"items": {"type": "array", "items": ref(kind), "minItems": 1, "maxItems": 1}})
        href = {"type": "string", "pattern": rf"^/{collection}\?continuationToken=[A-Za-z0-9_-]+$"}
        links = record({"next": record({"href": href})}, required=())
        items = {"type": "array", "items": ref(f"{kind}Fields"), "maxItems": 100}
        page = record({"items": items, "_links": links}, title="A page")
        count = record({"count": schema_of("count")}, title="With count=true")
        schemas[f"{kind}Page"] = {"anyOf": [page, count]}
    return schemas


def request_schemas(catalog: Catalog) -> dict[str, Schema]:
    """Name -> schema of a request body, and the parts of it that differ from spec to spec."""
    schemas: dict[str, Schema] = {
        "Patch": _PATCH,
        "RunRequest": BODIES["runs"],
        "SearchRequest": BODIES["searches"],
        "AdhocRunRequest": _adhoc_run(),
        "TokenRequest": _token(),
    }
    labels = _labels([*catalog.connection_specs.values(), *catalog.flow_specs.values()])
    bases, sources, targets, flows = [], [], [], []
    for spec in catalog.connection_specs.values():
        label = labels[spec.id]
        for auth, validator in spec.auth.items():
            name = _auth(label, auth)
            schemas[name] = _plain(validator.applicable(DATASETS_WORKFLOW), name)
        if spec.source is not None:
            name = f"SourceParams.{label}"
            schemas[name] = _plain(spec.source.applicable(DATASETS_WORKFLOW), name)
            sources.append(_with_params("sourceConnections", spec, name))
        if spec.target is not None:
            name = f"TargetParams.{label}"
            params = _plain(spec.target.applicable(DATASETS_WORKFLOW), name)
            schemas[name] = {**params, "properties": {"mode": {"const": MODE}, **params.get("properties", {})}}
            targets.append(_with_params("targetConnections", spec, name))
            bases.append(_connection(spec, label, named=True))
    assumed = catalog.assumed_connection_spec
    bases.append(_connection(assumed, labels[assumed.id], named=False))
    alike: dict[bytes, list[FlowSpec]] = {}
    for flow_spec in catalog.flow_specs.values():
        alike.setdefault(orjson.dumps([flow_spec.version, _schedule(flow_spec)]), []).append(flow_spec)
    for specs in alike.values():
        name = f"Schedule.{labels[specs[0].id]}"
        schemas[name] = _plain(_schedule(specs[0]), name)
        flows.append(_flow(specs, name))
    return schemas | {
        "ConnectionRequest": _any_of(bases),
        "SourceConnectionRequest": _any_of(sources),
        "TargetConnectionRequest": _any_of(targets),
        "FlowRequest": _any_of(flows),
    }


def _adhoc_run() -> Schema:
    """The body, with the number of destinations in words: as a keyword beside `uniqueItems` it keeps testers busy for minutes."""
    body: Schema = copy.deepcopy(BODIES["adhocRuns"])
    destinations = body["properties"]["activationInfo"]["properties"]["destinations"]
    destinations["description"] = f"at most {destinations.pop('maxItems')}"
    return body


def _token() -> Schema:
    """The token endpoint's form."""
    forms = []
    for grant, fields in GRANTS.items():
        needed: Schema = {name: {"type": "string", "minLength": 1} for name in fields}
        form = {"grant_type": {"const": grant}, **needed, "scope": schema_of("text"), "org_id": schema_of("text")}
        forms.append(record(form, required=("grant_type", *fields)))
    return {"anyOf": forms}


def _labels(specs: list[ConnectionSpec | FlowSpec]) -> dict[str, str]:
    """Id of a spec -> its name as the names of components have it; specs of one name and kind are told apart by their ids."""
    taken = Counter((type(spec), spec.name) for spec in specs)
    unique = {spec.id for spec in specs if taken[type(spec), spec.name] == 1}
    return {spec.id: _label(spec.name if spec.id in unique else f"{spec.name} {spec.id}") for spec in specs}


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")


def _auth(label: str, auth: str) -> str:
    """The name of the component of an `auth.params`."""
    return f"Auth.{label}-{_label(auth)}"


def _connection(spec: ConnectionSpec, label: str, *, named: bool) -> Schema:
    """The body that creates a base connection; `named` says whether it names the connection spec."""
    form = BODIES["connections"]
    properties, required = dict(form["properties"]), list(form["required"])
    example: dict[str, Any] = {"name": f"{spec.name} base connection"}
    if named:
        properties["connectionSpec"] = _exactly(spec)
        required.append("connectionSpec")
        example["connectionSpec"] = {"id": spec.id, "version": spec.version}
    else:
        properties["connectionSpec"] = False  # of a body that names one, only the other branches say what is right
    if spec.auth:
        kinds = [record({"specName": {"const": auth}, "params": ref(_auth(label, auth))}) for auth in spec.auth]
        properties["auth"] = _any_of(kinds)
        required.append("auth")
    else:
        properties["auth"] = {"type": "null"}
    examples = [
        {**example, "auth": {"specName": name, "params": params}}
        for name, params in spec.examples.get("auth", {}).items()
    ]
    title = spec.name if named else f"{spec.name}, assumed where no connectionSpec is sent"
    return {**form, "title": title, "properties": properties, "required": required, "examples": examples or [example]}


def _with_params(collection: str, spec: ConnectionSpec, params: str) -> Schema:
    """The body that creates a source or target connection; `params` is the component of its `params`."""
    form = BODIES[collection]
    changed = {"connectionSpec": _exactly(spec), "params": ref(params)}
    reference = {"id": spec.id, "version": spec.version}
    example: dict[str, Any] = {"name": f"{spec.name} connection", "connectionSpec": reference}
    if "baseConnectionId" in form["required"]:
        example["baseConnectionId"] = _SOME_ID
    example["params"] = spec.examples["source" if spec.source is not None else "target"]
    return {**form, "title": spec.name, "properties": {**form["properties"], **changed}, "examples": [example]}


def _flow(alike: list[FlowSpec], schedule: str) -> Schema:
    """The body that creates a flow of one of the specs that have a schedule alike."""
    form = BODIES["flows"]
    flow_spec = record({"id": {"enum": [spec.id for spec in alike]}, "version": {"const": alike[0].version}})
    title = ", ".join(spec.name for spec in alike)
    example = {
        "name": f"Datasets to {alike[0].name}",
        "flowSpec": {"id": alike[0].id, "version": alike[0].version},
        "sourceConnectionIds": [_SOME_ID],
        "targetConnectionIds": [_SOME_ID],
        "transformations": [],
        "scheduleParams": {"interval": 3, "timeUnit": "hour", "startTime": 1_675_901_210},
    }
    properties = {**form["properties"], "flowSpec": flow_spec, "scheduleParams": ref(schedule)}
    return {**form, "title": title, "properties": properties, "examples": [example]}


def _schedule(spec: FlowSpec) -> Schema:
    schedule: Schema = spec.body.get("scheduleSpec", {}).get("spec", {"type": "object"})
    return schedule


def _exactly(spec: ConnectionSpec) -> Schema:
    """A reference to this very spec."""
    return record({"id": {"const": spec.id}, "version": {"const": spec.version}})


def _any_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _plain(schema: Schema, component: str) -> Schema:
    """A spec's schema as a component of the description: without the specs' own keywords and what does not apply."""
    plain: Schema = _without_own_keywords(schema, f"#/components/schemas/{component}")
    plain.pop("$schema", None)
    if "properties" in plain:
        plain["properties"] = {name: part for name, part in plain["properties"].items() if part is not True}
    return plain


def _without_own_keywords(part: Any, home: str, *, named: bool = False) -> Any:
    """A copy whose references lead to `home`; `named` says that the keys are names of properties, not keywords."""
    if isinstance(part, list):
        return [_without_own_keywords(item, home) for item in part]
    if not isinstance(part, dict):
        return part
    plain = {
        key: _without_own_keywords(value, home, named=not named and key in ("properties", "definitions"))
        for key, value in part.items()
        if named or key not in _OWN_KEYWORDS
    }
    if not named and isinstance(part.get("$ref"), str):
        plain["$ref"] = home + part["$ref"][1:]
    return plain
