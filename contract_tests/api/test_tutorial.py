"""The tutorial's requests, as printed, on all six destinations.

Source: tutorial "Export datasets using the Flow Service API"; shapes: API reference "Flow Service API - Destinations".
"""

from __future__ import annotations

import re

import pytest

from contract_tests.support import Api
from contract_tests.tutorial import DATA_LAKE, DESTINATIONS, SOURCE_CONNECTION, Destination

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ETAG = re.compile(r'"[0-9a-f]{8}-0000-0200-0000-[0-9a-f]{8}0000"')
each_destination = pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda destination: destination.folder)


@each_destination
def test_connection_spec(api: Api, destination: Destination) -> None:
    """Step 0: the spec as the tutorial shows it, in `items`."""
    spec = api.item(f"/connectionSpecs/{destination.spec}")
    assert spec["id"] == destination.spec
    assert spec["version"] == "1.0"
    assert [auth["name"] for auth in spec["authSpec"]] == [auth["specName"] for auth in destination.auths]
    assert {"datasetFileType", "compression", "fileType"} <= set(spec["targetSpec"]["spec"]["required"])


def test_eligible_datasets(api: Api) -> None:
    """Step 1: `properties=name,state` cuts each item down to those fields, with `id`."""
    query = "outputType=activationDatasets&outputField=datasets&start=0&limit=20&properties=name,state"
    response = api.get(f"/connectionSpecs/{DATA_LAKE}/configs?{query}")
    assert response.status_code == 200
    body = response.json()
    total = body["pageInfo"]["total"]
    end = min(total, 20) - 1
    assert body["pageInfo"] == {"start": 0, "end": end, "total": total, "hasNext": total > 20}
    assert all(set(item) == {"id", "name", "state"} for item in body["items"])
    if not api.foreign:
        assert total >= 30
        assert body["items"][1] == {"id": "5ef3e3259ad2a1191ab7dd7d", "name": "AAM Devices Data", "state": "DRAFT"}


@pytest.mark.emulator_only
def test_eligible_datasets_in_full(api: Api) -> None:
    """Step 1 without `properties`: the fields of the tutorial's sample; `end` is the index of the last item."""
    query = "outputType=activationDatasets&outputField=datasets&limit=5"
    body = api.get(f"/connectionSpecs/{DATA_LAKE}/configs?{query}").json()
    assert body["items"][0].items() >= {
        "id": "5ef3e324052581191aa6a466", "name": "AAM Authenticated Profiles Meta Data",
        "description": "Activation profile export dataset", "aspect": "production", "state": "DRAFT",
        "fileDescription": {"persisted": True, "containerFormat": "parquet", "format": "parquet"},
    }.items()  # fmt: skip
    assert [body["pageInfo"][name] for name in ("start", "end")] == [0, 4]
    assert [(item["id"], item["name"]) for item in body["items"]] == [
        ("5ef3e324052581191aa6a466", "AAM Authenticated Profiles Meta Data"),
        ("5ef3e3259ad2a1191ab7dd7d", "AAM Devices Data"),
        ("5ef3e325582424191b1beb42", "AAM Devices Profile Meta Data"),
        ("5ef3e328582424191b1beb44", "AAM Realtime"),
        ("5ef3e328fe742a191b2b3ea5", "AAM Realtime Profile Updates"),
    ]


@each_destination
def test_six_steps(api: Api, destination: Destination) -> None:
    """Steps 2 to 6: source, base and target connection, flow, runs; a startTime in 2023 exports once at once."""
    source_id = api.created("sourceConnections", SOURCE_CONNECTION)
    target_id = api.target(destination)
    schedule = api.later if api.foreign else {}
    response = api.post("/flows", destination.flow(source_id, target_id, **schedule))
    assert response.status_code == 201
    created = response.json()
    assert set(created) == {"id", "etag"}
    assert UUID.fullmatch(created["id"])
    assert ETAG.fullmatch(created["etag"])
    if api.foreign:
        assert api.items("/runs", property=f"flowId=={created['id']}") == []
        return
    (at_once,) = api.advance(0)
    assert at_once["flowId"] == created["id"]
    assert at_once["status"] == "success"
    (run,) = api.items("/runs", property=f"flowId=={created['id']}")
    assert run["metrics"]["statusSummary"]["status"] == "success"
    assert run["metrics"]["recordSummary"]["outputRecordCount"] > 0
    (source_summary,) = run["metrics"]["recordSummary"]["sourceSummaries"]
    assert source_summary["id"] == source_id
    assert [entity["id"] for entity in source_summary["entitySummaries"]] == ["dataset:5ef3e3259ad2a1191ab7dd7d"]
    (target_summary,) = run["metrics"]["recordSummary"]["targetSummaries"]
    assert target_summary["id"] == target_id
    (file,) = api.control("GET", "/exports")["items"]
    folders = [destination.folder, *([destination.container] if destination.container else []), "folder", "subfolder"]
    assert file["path"].startswith("/".join([*folders, "5ef3e3259ad2a1191ab7dd7d", "exportTime="]))


def test_landing_zone_connection_is_only_a_name(api: Api) -> None:
    """Step 3 for the Data Landing Zone sends only a name; the connection is one to the Data Landing Zone."""
    response = api.post("/connections", {"name": "Data Landing Zone(DLZ) Base Connection"})
    assert response.status_code == 201
    connection = api.item(f"/connections/{response.json()['id']}")
    assert connection["connectionSpec"] == {"id": "10440537-2a7b-4583-ac39-ed38d4b848e8", "version": "1.0"}
    assert "auth" not in connection
