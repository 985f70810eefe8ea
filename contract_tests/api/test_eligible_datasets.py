"""Eligible datasets with the Catalog's parameters and fields.

Sources: the tutorial, "the standard ones of the Catalog Service API"; "Catalog Service API", GET /dataSets; the guide "Filter Catalog
data using query parameters"; API reference, `Destination_Dataset_Response`.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import httpx
import pytest

from contract_tests.support import Api, assert_error
from contract_tests.tutorial import DATA_LAKE

FIRST, SECOND = "5ef3e324052581191aa6a466", "5ef3e3259ad2a1191ab7dd7d"
CREATED = 0x5EF3E324 * 1000
pytestmark = pytest.mark.emulator_only


def asked(api: Api, **params: Any) -> httpx.Response:
    given = {"outputType": "activationDatasets", "outputField": "datasets", **params}
    return api.get(f"/connectionSpecs/{DATA_LAKE}/configs", params=given)


def found(api: Api, **params: Any) -> list[dict[str, Any]]:
    response = asked(api, **params)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def test_the_published_fields(api: Api) -> None:
    """API reference, `Destination_Dataset_Response`."""
    (dataset,) = found(api, name="AAM Authenticated Profiles Meta Data")
    assert set(dataset) == {
        *("id", "name", "description", "fileDescription", "aspect", "state", "schemaRef", "tags", "imsOrg", "sandboxId"),
        *("namespace", "version", "created", "updated", "createdClient", "createdUser", "updatedUser", "lastBatchId"),
        *("lastBatchStatus", "classification", "files"),
    }  # fmt: skip
    assert set(dataset["schemaRef"]) == {"id", "contentType"}
    assert (dataset["id"], dataset["created"], dataset["imsOrg"]) == (FIRST, CREATED, api.org)
    connection = api.created("connections", {"name": "x"})
    assert dataset["sandboxId"] == api.item(f"/connections/{connection}")["sandboxId"]


@pytest.mark.parametrize("order", ["name", "asc:name", "desc:name", "desc:created,name", "state,desc:id"])
def test_order(api: Api, order: str) -> None:
    """Catalog: `orderBy=asc:created,desc:name`; a field alone is ascending."""
    items = found(api, orderBy=order, limit=100)
    expected = found(api, limit=100)
    for part in reversed(order.split(",")):
        direction, _, field = part.rpartition(":")
        expected.sort(key=itemgetter(field), reverse=direction == "desc")
    assert items == expected
    assert {rule["id"] for rule in api.report()["violations"]} == set()


@pytest.mark.parametrize(
    ("params", "ids"),
    [
        ({"name": "AAM Devices Data"}, [SECOND]),
        *(({"name": name}, []) for name in ("nobody's", 'a"b', "~x", "x\\", "a==b", "a,b")),
        ({"property": 'name=="a~b"'}, []),
        ({"property": "name==AAM Devices Data"}, [SECOND]),
        ({"property": ["name==AAM Devices Data", "state==ENABLED"]}, []),
        ({"property": f"id=={FIRST},{SECOND}", "orderBy": "id"}, [FIRST, SECOND]),
        ({"property": f"created<={CREATED}"}, [FIRST]),
        ({"property": ["schemaRef.id", "fileDescription.format==parquet"], "limit": 1}, [FIRST]),
        ({"property": "observableSchema"}, None),
        ({"created": CREATED}, [FIRST]),
        ({"updated": CREATED, "name": "AAM Devices Data"}, []),
        ({"tags": "adobe/pqs/table:aam_devices_data"}, [SECOND]),
        ({"tags": "adobe/pqs/table:*", "name": "AAM Devices Data"}, [SECOND]),
        ({"tags": "unifiedProfile:enabled"}, []),
    ],
)
def test_filters(api: Api, params: dict[str, Any], ids: list[str] | None) -> None:
    """Catalog: name, property, created, updated and tags; several are ANDed."""
    if ids is None:
        assert_error(asked(api, **params), "filter-field-invalid")
        return
    assert [dataset["id"] for dataset in found(api, **params)] == ids


def test_pages_count_what_was_found(api: Api) -> None:
    total = len(found(api, property="name!=AAM Devices Data", limit=100))
    info = asked(api, property="name!=AAM Devices Data", limit=10, start=20).json()["pageInfo"]
    assert info == {"start": 20, "end": min(29, total - 1), "total": total, "hasNext": total > 30}


def test_a_part_of_a_field(api: Api) -> None:
    """Guide "Filter Catalog data": `properties=subItem.sampleKey`."""
    (dataset,) = found(api, name="AAM Devices Data", properties="schemaRef.contentType,name,none.x")
    assert dataset == {
        "id": SECOND,
        "name": "AAM Devices Data",
        "schemaRef": {"contentType": "application/vnd.adobe.xed-full+json;version=1"},
    }


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"property": "name~^AAM"}, "unsupported"),
        ({"orderBy": "up:name"}, "value-invalid"),
        ({"orderBy": "colour"}, "filter-field-invalid"),
        ({"tags": "enabled"}, "value-invalid"),
        ({"created": "null"}, "value-invalid"),
        ({"updated": ""}, "value-invalid"),
        ({"colour": "blue"}, "query-param-unknown"),
        ({"name": ["a", "b"]}, "value-invalid"),
    ],
)
def test_what_cannot_be_asked(api: Api, params: dict[str, Any], error: str) -> None:
    assert_error(asked(api, **params), error)
