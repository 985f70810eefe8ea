"""What a client sends, as JSON Schemas: the outer forms of `bodies.py` filled in with the specs of the fixtures.

The forms and the specs are the very ones that requests are checked against; only how they go together is said here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from flow_service_emulator.catalog import Catalog, ConnectionSpec, FlowSpec
from flow_service_emulator.openapi.answers import Schema, array, record, ref
from flow_service_emulator.service.bodies import ADHOC_BODY, BODIES, RUN_BODY
from flow_service_emulator.service.kinds import DATASETS_WORKFLOW, MODE
from flow_service_emulator.service.patching import MAX_OPERATIONS, OPERATIONS
from flow_service_emulator.validation.schemas import PreparedSchema, copied, every_part

_OWN_KEYWORDS: Final = ("conditional", "uiAttributes")
"""What stands in the specs' schemas beside JSON Schema."""

_POINTER: Final[Schema] = {
    "type": "string",
    "pattern": "^/",
    "description": "JSON Pointer (RFC 6901)",
    "examples": ["/name"],
}
_SOME_ID: Final = "11111111-2222-4333-8444-555555555555"
"""Stands in examples for the id of an entity that was made before."""
_SOME_SCHEDULE: Final = {"interval": 3, "timeUnit": "hour", "startTime": 1_675_901_210}


def request_schemas(catalog: Catalog) -> dict[str, Schema]:
    """Name -> schema of a request body, and the parts of it that differ from spec to spec."""
    schemas = dict(_patch_schemas())
    schemas["RunRequest"] = RUN_BODY
    schemas["AdhocRunRequest"] = _adhoc_run()
    names = component_names(catalog)
    for spec in catalog.connection_specs.values():
        schemas |= _spec_parts(spec, names)
    destinations = [spec for spec in catalog.connection_specs.values() if spec.target is not None]
    sources = [spec for spec in catalog.connection_specs.values() if spec.source is not None]
    bases = [
        *(_connection(spec, names, named=True) for spec in destinations),
        _connection(catalog.assumed_connection_spec, names, named=False),
    ]
    schemas["ConnectionRequest"] = _one_of(bases)
    schemas["SourceConnectionRequest"] = _one_of(
        [_with_params("sourceConnections", spec, names["SourceParams", spec.id]) for spec in sources]
    )
    schemas["TargetConnectionRequest"] = _one_of(
        [_with_params("targetConnections", spec, names["TargetParams", spec.id]) for spec in destinations]
    )
    flows: list[Schema] = []
    for alike in _alike(catalog.flow_specs.values()):
        name = names["Schedule", alike[0].id]
        schemas[name] = _plain(_schedule(alike[0]), name)
        flows.append(_flow(alike, name))
    schemas["FlowRequest"] = _one_of(flows)
    return schemas


def _adhoc_run() -> Schema:
    """The ad hoc run's body, with the number of destinations in words.

    As a keyword beside `uniqueItems` it makes testers such as schemathesis look for a hundred different destinations of a
    hundred different datasets, for minutes.
    """
    body: Schema = copied(ADHOC_BODY)
    destinations = body["properties"]["activationInfo"]["properties"]["destinations"]
    destinations["description"] = f"at most {destinations.pop('maxItems')}"
    return body


def component_names(catalog: Catalog) -> dict[tuple[str, ...], str]:
    """(what, id of the spec, name of its authSpec if that is what) -> name of a component, such as `TargetParams.Amazon-S3`.

    Specs of one name, which a user's fixtures may have, are numbered.
    """
    wanted: list[tuple[tuple[str, ...], str]] = [
        (("Schedule", spec.id), spec.name) for spec in catalog.flow_specs.values()
    ]
    for spec in catalog.connection_specs.values():
        wanted += [((what, spec.id), spec.name) for what in ("SourceParams", "TargetParams")]
        wanted += [(("Auth", spec.id, auth), f"{spec.name} {auth}") for auth in spec.auth]
    names: dict[tuple[str, ...], str] = {}
    taken: Counter[str] = Counter()
    for key, text in wanted:
        name = f"{key[0]}.{re.sub(r'[^A-Za-z0-9]+', '-', text).strip('-')}"
        taken[name] += 1
        names[key] = name if taken[name] == 1 else f"{name}.{taken[name]}"
    return names


def _spec_parts(spec: ConnectionSpec, names: Mapping[tuple[str, ...], str]) -> Iterator[tuple[str, Schema]]:
    for auth, validator in spec.auth.items():
        name = names["Auth", spec.id, auth]
        yield name, _plain(validator.schema, name)
    if spec.source is not None:
        name = names["SourceParams", spec.id]
        yield name, _plain(spec.source.schema, name)
    if spec.target is not None:
        name = names["TargetParams", spec.id]
        params = _plain(spec.target.schema, name)
        params["properties"] = {"mode": {"const": MODE}, **params.get("properties", {})}
        yield name, params


def _connection(spec: ConnectionSpec, names: Mapping[tuple[str, ...], str], *, named: bool) -> Schema:
    """The body that creates a base connection; `named` says whether it names the connection spec."""
    form = BODIES["connections"]
    properties, required = dict(form["properties"]), list(form["required"])
    example: dict[str, Any] = {"name": f"{spec.name} base connection"}
    if named:
        properties["connectionSpec"] = _exactly(spec)
        required.append("connectionSpec")
        example |= _reference(spec)
    else:
        properties["connectionSpec"] = False  # of a body that names one, only the other branches say what is right
    if spec.auth:
        kinds = [
            record({"specName": {"const": auth}, "params": ref(names["Auth", spec.id, auth])}) for auth in spec.auth
        ]
        properties["auth"] = _one_of(kinds)
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
    example: dict[str, Any] = {"name": f"{spec.name} connection", **_reference(spec)}
    if "baseConnectionId" in form["required"]:
        example["baseConnectionId"] = _SOME_ID
    example["params"] = spec.examples["source" if spec.source is not None else "target"]
    return {**form, "title": spec.name, "properties": {**form["properties"], **changed}, "examples": [example]}


def _reference(spec: ConnectionSpec) -> dict[str, Any]:
    return {"connectionSpec": {"id": spec.id, "version": spec.version}}


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
        "scheduleParams": _SOME_SCHEDULE,
    }
    properties = {**form["properties"], "flowSpec": flow_spec, "scheduleParams": ref(schedule)}
    return {**form, "title": title, "properties": properties, "examples": [example]}


def _alike(specs: Iterable[FlowSpec]) -> list[list[FlowSpec]]:
    """Flow specs with the same version and schedule together."""
    groups: list[list[FlowSpec]] = []
    for spec in specs:
        for group in groups:
            if spec.version == group[0].version and _schedule(spec) == _schedule(group[0]):
                group.append(spec)
                break
        else:
            groups.append([spec])
    return groups


def _schedule(spec: FlowSpec) -> Schema:
    schedule: Schema = spec.body.get("scheduleSpec", {}).get("spec", {"type": "object"})
    return schedule


def _exactly(spec: ConnectionSpec) -> Schema:
    """A reference to this very spec."""
    return record({"id": {"const": spec.id}, "version": {"const": spec.version}})


def _one_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _patch_schemas() -> Iterator[tuple[str, Schema]]:
    writing = record({"op": {"enum": [op for op in OPERATIONS if op != "remove"]}, "path": _POINTER, "value": {}})
    removing = record({"op": {"const": "remove"}, "path": _POINTER})
    yield (
        "Patch",
        array(
            {"anyOf": [writing, removing]},
            minItems=1,
            maxItems=MAX_OPERATIONS,
            description="JSON Patch (RFC 6902), all or nothing. The letter case of op does not matter.",
            examples=[[{"op": "replace", "path": "/name", "value": "a new name"}]],
        ),
    )


def _plain(schema: Mapping[str, Any], component: str) -> Schema:
    """A spec's schema as a component of the description: for datasets, without the specs' own keywords."""
    prepared = PreparedSchema(schema)
    decided = tuple(outcome is True for outcome in prepared.outcomes(DATASETS_WORKFLOW))
    plain: Schema = prepared.resolved(decided)
    for _, part in list(every_part(plain)):
        for keyword in _OWN_KEYWORDS:
            part.pop(keyword, None)
        reference = part.get("$ref")
        if isinstance(reference, str):
            part["$ref"] = f"#/components/schemas/{component}{reference[1:]}"
    if "properties" in plain:
        plain["properties"] = {name: part for name, part in plain["properties"].items() if part is not True}
    return plain
