"""The eligible datasets as `/connectionSpecs/{id}/configs` lists them: their fields, and the Catalog's parameters.

Sources: the tutorial ("the standard ones of the Catalog Service API"); "Catalog Service API", GET /dataSets, and the guide "Filter
Catalog data using query parameters"; API reference, `Destination_Dataset_Response`, for the fields beside the tutorial's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.entities import CLIENT, USER, Scope, derived_uuid
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.filters import MISSING, FieldPath, parse_filter, value_invalid
from flow_service_emulator.query.query import MAX_LIMIT, Params, single_values, sort_key, whole
from flow_service_emulator.service import bodies
from flow_service_emulator.validation.violation_text import echo

DEFAULT_LIMIT: Final = 20
_WANTED: Final = {"outputType": "activationDatasets", "outputField": "datasets"}
FIELDS: Final = bodies.FIELDS["datasets"]
_EQUAL: Final = ("name", "created", "updated")
"""Parameters that are compared with the field of their name."""
_KNOWN: Final = (*_WANTED, "start", "limit", "properties", "orderBy", *_EQUAL, "tags", "property")
_NAME: Final = re.compile(r"[\w$@-]{1,100}(\.[\w$@-]{1,100})*")
_OBJECT_ID: Final = re.compile(r"[0-9a-f]{24}")
"""Ids of the Catalog begin with the instant of their creation: epoch seconds as eight hex digits."""

Dataset = Mapping[str, Any]
Condition = Callable[[Dataset], bool]


def page(library: Library, scope: Scope, params: Params) -> dict[str, Any]:
    """What is answered to a query. Raises ServiceError: 1443, 1448 to 1453, or `unsupported` for the Catalog's operator `~`."""
    single = single_values(params, _KNOWN, several="property")
    for name, wanted in _WANTED.items():
        if single.get(name) != wanted:
            raise value_invalid(single.get(name, MISSING), name, [wanted])
    start = whole(single.get("start", "0"), "start", least=0)
    limit = whole(single.get("limit", str(DEFAULT_LIMIT)), "limit", least=1, most=MAX_LIMIT)
    properties = single["properties"].split(",") if "properties" in single else None
    if properties is not None and not all(_NAME.fullmatch(name.strip()) for name in properties):
        raise value_invalid(single["properties"], "properties", "names of fields, with commas between them")
    for name in ("created", "updated"):
        if not re.fullmatch("[0-9]+", single.get(name, "0")):
            raise value_invalid(single[name], name, "epoch milliseconds")
    equal = {name: single[name] for name in _EQUAL if name in single}
    conditions: list[Condition] = [lambda dataset: all(str(dataset[name]) == equal[name] for name in equal)]
    conditions += [_condition(value) for name, value in params if name == "property"]
    conditions += [_tagged(tag) for tag in single["tags"].split(",")] if "tags" in single else []
    order = _order(single["orderBy"]) if "orderBy" in single else []
    found = [_whole(body, scope, library.anchor) for body in library.bodies()]
    found = [dataset for dataset in found if all(holds(dataset) for holds in conditions)]
    for path, falls in reversed(order):
        found.sort(key=lambda dataset, path=path: sort_key(path.values(dataset)), reverse=falls)  # type: ignore[misc]
    items = found[start : start + limit]
    end = start + len(items)
    return {
        "items": items if properties is None else [_picked(item, ["id", *properties]) for item in items],
        "pageInfo": {"start": start, "end": max(end - 1, 0), "total": len(found), "hasNext": end < len(found)},
    }


def _whole(body: Dataset, scope: Scope, anchor: float) -> dict[str, Any]:
    """A dataset with the fields that the Catalog gives every one."""
    id_, name = body["id"], body["name"]
    created = int(id_[:8], 16) * 1000 if _OBJECT_ID.fullmatch(id_) else int(anchor) * 1000
    batch = derived_uuid(id_).replace("-", "").upper()
    return {
        **body,
        "schemaRef": {
            "id": f"https://ns.adobe.com/emulator/schemas/{derived_uuid(f'schema/{id_}').replace('-', '')}",
            "contentType": "application/vnd.adobe.xed-full+json;version=1",
        },
        "tags": {"adobe/pqs/table": [re.sub(r"\W+", "_", name.lower()).strip("_")]},
        "imsOrg": scope[0],
        "sandboxId": derived_uuid(*scope),
        "namespace": "ACP",
        "version": "1.0.0",
        "created": created,
        "updated": created,
        "createdClient": CLIENT,
        "createdUser": USER,
        "updatedUser": USER,
        "lastBatchId": f"01{batch[:24]}",
        "lastBatchStatus": "success",
        "classification": {"managedBy": "CUSTOMER"},
        "files": f"@/dataSetFiles?dataSetId={id_}",
    }


def _condition(text: str) -> Condition:
    """A filter as in lists; without an operator it asks whether the field is there."""
    try:
        condition = parse_filter(text, collection="datasets", fields=FIELDS)
    except ServiceError as error:
        if error.name == "filter-operator-not-implemented":
            raise ServiceError("unsupported", feature="The Catalog's operator ~") from None
        raise
    if condition is not None:
        return condition.matches
    path = _path(text.strip())
    return lambda dataset: bool(path.values(dataset))


def _tagged(text: str) -> Condition:
    """`tags=<name>:<value>`, the value `*` standing for any."""
    name, _, wanted = text.rpartition(":")
    if not name:
        raise value_invalid(text, "tags", "name:value, with * for any value")
    return lambda dataset: any(wanted in ("*", value) for value in dataset["tags"].get(name, ()))


def _order(text: str) -> list[tuple[FieldPath, bool]]:
    """(field, whether it falls) for each part of `asc:created,desc:name`; a field alone rises."""
    order = []
    for part in text.split(","):
        direction, _, name = part.strip().rpartition(":")
        if direction not in ("", "asc", "desc"):
            raise value_invalid(text, "orderBy", "asc:field or desc:field, with commas between them")
        order.append((_path(name, "query.orderBy"), direction == "desc"))
    return order


def _path(name: str, place: str = "") -> FieldPath:
    path = FieldPath.parse(name, FIELDS)
    if path is None:
        raise ServiceError("filter-field-invalid", place=place, field=echo(name))
    return path


def _picked(item: Dataset, names: Iterable[str]) -> dict[str, Any]:
    """Some fields of a dataset; `schemaRef.id` is a part of one."""
    picked: dict[str, Any] = {}
    for name in names:
        here, there, keys = item, picked, name.strip().split(".")
        while len(keys) > 1 and isinstance(here.get(keys[0]), dict):
            here, there = here[keys[0]], there.setdefault(keys.pop(0), {})
        if len(keys) == 1 and keys[0] in here:
            there[keys[0]] = here[keys[0]]
    return picked
