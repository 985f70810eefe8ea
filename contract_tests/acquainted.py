"""The OpenAPI description with what is really there in the place of free text, so that requests made of it get past look-ups."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from contract_tests.support import Api
from contract_tests.tutorial import DATASET, DESTINATIONS, SOURCE_CONNECTION

OTHER_DATASET: Final = "5ff749e75b636cea4c32bc07"
POINTERS: Final = [
    "/name",
    "/description",
    "/state",
    "/params",
    "/params/path",
    "/params/compression",
    "/auth",
    "/auth/params",
    "/connectionSpec",
    "/flowSpec/version",
    "/scheduleParams",
    "/scheduleParams/interval",
    "/scheduleParams/endTime",
    "/scheduleParams/foldernameTemplate",
    "/inheritedAttributes",
    "/sourceConnectionIds",
    "/sourceConnectionIds/0",
    "/targetConnectionIds/-",
    "/transformations/-",
    "/id",
    "/x/y",
]
"""Places that a patch may name, sensible or not."""
TEXTS: Final = ["", "x" * 300, *["enabled", "disabled", "initializing", "3", "hour", "GZIP", "gzip", "%DATASET_ID%"]]
VALUES: Final[list[Any]] = [
    *TEXTS,
    None,
    0,
    3,
    -1,
    1e308,
    True,
    {},
    [],
    [{}],
    {"a": {"b": [1]}},
    {"interval": 6},
    {"startTime": 1},
]
"""What a patch may put there."""
QUERIES: Final = [
    'name=="a name"',
    'name=="a',
    *[
        "state==enabled,disabled",
        "createdAt>1",
        "createdAt<=1e3",
        "createdAt==true",
        "id",
        "id,name",
        "name!=null",
        "scheduleParams.interval==3",
        "flowId==x",
        "metrics.statusSummary.status==SUCCESS",
        "inheritedAttributes.targetConnections[].id==x",
        "params.datasets[].dataSetId==x",
        "targetConnectionIds[]==x",
        "a[]b",
        "name=~x",
        "name==",
        "==x",
    ],
]
ORDERS: Final = [
    " x",
    "name desc",
    *["name", "-createdAt", "+name,-id", "createdAt", "state,name", "metrics.recordSummary.outputRecordCount"],
]

Ids = dict[str, list[str]]
"""Collection -> the ids of its entities."""


def inhabited(api: Api) -> Ids:
    """Makes entities of every kind, a flow for each destination; of the source connections the second is in no flow."""
    source, spare = (api.created("sourceConnections", SOURCE_CONNECTION) for _ in range(2))
    bases = [api.created("connections", destination.base_connection()) for destination in DESTINATIONS]
    targets = [
        api.created("targetConnections", destination.target_connection(base))
        for destination, base in zip(DESTINATIONS, bases, strict=True)
    ]
    flows = [
        api.created("flows", destination.flow(source, target))
        for destination, target in zip(DESTINATIONS, targets, strict=True)
    ]
    return {
        "connections": bases,
        "sourceConnections": [source, spare],
        "targetConnections": targets,
        "flows": flows,
        "runs": [api.created("runs", {"flowId": flow}) for flow in flows],
        "connectionSpecs": [spec["id"] for spec in api.items("/connectionSpecs")],
        "flowSpecs": [spec["id"] for spec in api.items("/flowSpecs")],
    }


def acquainted(document: Mapping[str, Any], ids: Ids) -> dict[str, Any]:
    """A copy of the description that knows the ids."""
    known: dict[str, Any] = json.loads(json.dumps(document))
    _teach_bodies(known["components"]["schemas"], ids)
    _teach_patches(
        known["components"]["schemas"]["Patch"], [*VALUES, ids["sourceConnections"], ids["targetConnections"][:1]]
    )
    for methods in known["paths"].values():
        for entry in methods.values():
            _teach_parameters(entry, ids)
    return known


def _teach_bodies(schemas: dict[str, Any], ids: Ids) -> None:
    bases = {destination.spec: base for destination, base in zip(DESTINATIONS, ids["connections"], strict=True)}
    for name, schema in schemas.items():
        if name.startswith("SourceParams."):
            dataset = schema["properties"]["datasets"]["items"]["properties"]
            dataset["dataSetId"] = {"enum": [DATASET["dataSetId"], OTHER_DATASET]}
    for body in schemas["TargetConnectionRequest"]["anyOf"]:
        spec = body["properties"]["connectionSpec"]["properties"]["id"]["const"]
        body["properties"]["baseConnectionId"] = {"const": bases[spec]}
    flow = schemas["FlowRequest"]["properties"]
    flow["flowSpec"]["properties"]["id"] = {"const": DESTINATIONS[0].flow_spec}
    flow["sourceConnectionIds"] = {**_list_of(ids["sourceConnections"][:1]), "maxItems": 2}
    flow["targetConnectionIds"] = _list_of(ids["targetConnections"][:1])
    schemas["RunRequest"]["properties"]["flowId"] = {"enum": ids["flows"]}
    adhoc = schemas["AdhocRunRequest"]["properties"]["activationInfo"]["properties"]["destinations"]["items"][
        "properties"
    ]
    adhoc["flowId"] = {"enum": ids["flows"]}
    adhoc["datasets"]["items"]["properties"]["id"] = {"enum": [DATASET["dataSetId"]]}


def _teach_patches(patch: dict[str, Any], values: Sequence[Any]) -> None:
    """Of the patches one half changes names and descriptions, which every kind has; the other half tries anything."""
    daring: dict[str, Any] = json.loads(
        json.dumps({"type": "array", "minItems": 1, "maxItems": 2, "items": patch["items"]})
    )
    for change in daring["items"]["anyOf"]:
        change["properties"]["path"] = {"enum": POINTERS}
        if "value" in change["properties"]:
            change["properties"]["value"] = {"enum": list(values)}
    text = {"type": "string", "minLength": 1}
    change = {"op": {"const": "replace"}, "path": {"enum": ["/name", "/description"]}, "value": text}
    sound = {
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "items": {"type": "object", "required": list(change), "properties": change},
    }
    patch.clear()
    patch["anyOf"] = [sound, daring]


def _teach_parameters(entry: dict[str, Any], ids: Ids) -> None:
    name = entry["operationId"]
    homes = {"testConnection": "connections", "actOnFlow": "flows", "listConfigs": "connectionSpecs"}
    there = ids.get(homes.get(name, name.partition(":")[2]))
    for parameter in entry["parameters"]:
        if parameter["name"] == "id" and there:
            parameter["schema"] = {"enum": there}
        elif parameter["name"] == "property":
            parameter["schema"]["items"] = {"enum": QUERIES}
        elif parameter["name"] == "orderby":
            parameter["schema"] = {"enum": ORDERS}


def _list_of(ids: Sequence[str]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "maxItems": 1, "items": {"enum": list(ids)}}
