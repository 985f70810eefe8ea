"""Runs, ad hoc runs and limits as other references than the tutorial have them.

Source: reference, section "Beyond the tutorial"; each test names the row's own.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error, started
from contract_tests.tutorial import DESTINATIONS, S3, SFTP
from contract_tests.tutorial import FIRST_DATASET as FIRST
from contract_tests.tutorial import SECOND_DATASET as SECOND

pytestmark = pytest.mark.emulator_only
HOUR, DAY = 3600, 86_400
HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + HOUR}
ZONE = next(destination for destination in DESTINATIONS if destination.folder == "data-landing-zone")


def adhoc(api: Api, flow: str, *datasets: str) -> Any:
    wanted = {"flowId": flow, "datasets": [{"id": dataset} for dataset in datasets]}
    body = {"activationInfo": {"destinations": [wanted]}}
    return api.http.post("/data/core/activation/disflowprovider/adhocrun", json=body)


def ran(api: Api, seconds: float) -> dict[str, Any]:
    """The one run that comes while the clock moves on."""
    (run,) = api.advance(seconds)
    return api.item(f"/runs/{run['id']}")


def warnings(api: Api) -> list[str]:
    return [rule["id"] for rule in api.control("GET", "/contract")["warnings"]]


# --- runs ---------------------------------------------------------------------------------------------------------


def test_a_failed_run(api: Api) -> None:
    """API reference, `Batch_Flow_Run_Failure`: these fields and no others, ids and times apart."""
    api.control("PUT", "/faults", {"rules": [{"kind": "run"}]})
    flow = api.item(f"/flows/{api.flow(S3, HOURLY)}")
    run = ran(api, HOUR)
    errors = [{"code": "ACTIVATION_BATCH-0000-FAILED", "message": "Job aborted."}]
    counts = {"inputRecordCount": 0, "skippedRecordCount": 0}
    source = {"id": flow["sourceConnectionIds"][0], **counts, "entitySummaries": [{"id": f"dataset:{FIRST}", **counts}]}
    duration = run["metrics"]["durationSummary"]
    assert set(duration) == {"startedAtUTC", "completedAtUTC"}
    activity = "c4f238e3-7334-4933-8b56-64d7ea43ea54"
    assert run["metrics"] == {
        "durationSummary": duration,
        "recordSummary": {"sourceSummaries": [source], "failedInfo": errors},
        "statusSummary": {"status": "failed", "errors": errors, "activityRefs": [activity]},
    }
    name = "Activation Batch XdmProcessor Activity"
    empty: dict[str, Any] = {name: {} for name in ("latencySummary", "sizeSummary", "fileSummary")}
    state = {"status": "failed", "errors": errors, "extensions": {}}
    summaries = {"durationSummary": duration, "recordSummary": {"failedInfo": errors}, "statusSummary": state, **empty}
    assert run["activities"] == [{"id": activity, "name": name, "updatedAtUTC": 0, **summaries}]
    names = (
        "id createdAt updatedAt createdBy updatedBy createdClient updatedClient sandboxId sandboxName imsOrgId flowId"
    )
    assert set(run) == {*names.split(), "flowSpec", "providerRefId", "etag", "metrics", "activities"}


def test_a_run_without_rows(api: Api) -> None:
    """Tutorial, "Get dataflow runs": the sample, with the clients that create and update runs."""
    api.control("PUT", "/datasets/mine", {"records": [{"n": 1}]})
    flow = api.item(f"/flows/{api.flow(S3, HOURLY, datasets=['mine'])}")
    api.advance(HOUR)
    run = ran(api, 3 * HOUR)
    counts = {"inputRecordCount": 0, "skippedRecordCount": 0}
    source = {"id": flow["sourceConnectionIds"][0], **counts, "entitySummaries": [{"id": "dataset:mine", **counts}]}
    assert run["metrics"]["sizeSummary"] == {"inputBytes": 0}
    assert run["metrics"]["recordSummary"] == {**counts, "sourceSummaries": [source]}
    assert run["metrics"]["statusSummary"]["status"] == "success"
    actors = [run[name] for name in ("createdBy", "updatedBy", "createdClient", "updatedClient")]
    creator, updater = "aep_activation_batch", "acp_foundation_connectors"
    assert actors == [f"{creator}@AdobeID", f"{updater}@AdobeID", creator, updater]


def test_runs_are_found_by_their_state(api: Api) -> None:
    """Guide "Sorting and filtering responses": `property=state==…` is a root field of runs."""
    api.flow(S3, HOURLY)
    api.control("PUT", "/faults", {"rules": [{"kind": "run", "times": 1}]})
    failed, *others = [run["id"] for run in api.advance(7 * HOUR)]
    for condition, expected in (("==failed", [failed]), ("==SUCCESS", others), ("!=failed", others)):
        found = [run["id"] for run in api.items("/runs", property=f"state{condition}", orderby="createdAt")]
        assert (condition, found) == (condition, expected)


def test_no_manifest_where_it_is_switched_off(api: Api, export_dir: Path) -> None:
    """Guide "Connect to batch destinations": the manifest is an option of the destination, `includeFileManifest`."""
    flows = [api.flow(S3, HOURLY, path=path, includeFileManifest=path == "with") for path in ("with", "without")]
    runs = [run["id"] for run in api.advance(HOUR)]
    (manifest,) = export_dir.rglob("manifest-*")
    assert manifest.name == f"manifest-{flows[0]}-{runs[0]}.json"
    assert "unknown-field" not in warnings(api)


# --- ad hoc runs --------------------------------------------------------------------------------------------------


def test_an_ad_hoc_run_while_one_is_under_way(api: Api) -> None:
    """API reference, Ad Hoc Activation API: refused with that run's id, for its own datasets and flow only."""
    flow, other = api.flow(S3, HOURLY, datasets=[FIRST, SECOND]), api.flow(SFTP, HOURLY)
    api.control("PUT", "/datasets/long", {"like": FIRST, "rows": 2_000_000})
    api.created("runs", {"flowId": api.flow(S3, HOURLY, datasets=["long"])})  # the others wait for it
    run = adhoc(api, flow, FIRST).json()["destinations"][0]["datasets"][0]["statusURL"].rpartition("/")[2]
    assert_error(adhoc(api, flow, SECOND, FIRST), "adhoc-running", dataset=FIRST, flow=flow, run=run)
    assert [adhoc(api, *asked).status_code for asked in ((flow, SECOND), (other, FIRST))] == [200, 200]
    whole = api.created("runs", {"flowId": other})
    api.advance(0)
    assert adhoc(api, flow, FIRST).status_code == 200
    assert whole in {each["id"] for each in api.items("/runs", property="state==success")}


def test_an_ad_hoc_run_outside_the_schedule(api: Api) -> None:
    """API reference, Ad Hoc Activation API. Not before the start: Adobe's own client parks flows with a start a year away."""
    flow = api.flow(S3, {**HOURLY, "endTime": FROZEN_NOW + DAY})
    assert_error(adhoc(api, flow, FIRST, "other"), "adhoc-out-of-range", datasets="other")
    assert adhoc(api, flow, FIRST).status_code == 200
    api.advance(DAY + 1)
    assert_error(adhoc(api, flow, FIRST), "adhoc-out-of-range", datasets=FIRST)


def test_a_new_flow_is_not_ready_for_ten_minutes(api: Api) -> None:
    """aepp, `retryOnNotReadyException`: the text that it retries on."""
    api.control("PUT", "/faults", {"scenario": "adhoc-not-ready"})
    flow = api.flow(S3, HOURLY)
    api.advance(599)
    assert_error(adhoc(api, flow, FIRST), "adhoc-not-ready", flow=flow)
    assert api.items("/runs") == []
    api.advance(1)
    assert adhoc(api, flow, FIRST).status_code == 200
    (rule,) = api.control("GET", "/faults")["rules"]
    assert (rule["kind"], rule["fired"]) == ("adhoc-not-ready", 1)
    assert api.control("GET", "/contract")["violations"] == []  # asking again is all that a good client can do


# --- limits -------------------------------------------------------------------------------------------------------


def instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("limits", ["published", "off"])
def test_events_older_than_365_days_stay_out(tmp_path: Path, limits: str) -> None:
    """Guide "Guardrails for dataset export": of datasets of the Experience Event class, which have a top-level `timestamp`."""
    at = FROZEN_NOW + HOUR
    ages = [at - 366 * DAY, at - 365 * DAY - 1, at - 365 * DAY, at, at - 400 * DAY]
    properties = {"timestamp": {"type": "string", "format": "date-time"}, "n": {"type": "integer"}}
    rows = [{"timestamp": instant(each), "n": n} for n, each in enumerate(ages)]
    with started(tmp_path, "--limits", limits) as (api, server):
        schema = {"type": "object", "properties": properties}
        api.control("PUT", "/datasets/events", {"records": rows, "schema": schema})
        api.control("PUT", "/datasets/people", {"records": [{"birth": instant(0)}]})
        flow = api.flow(S3, HOURLY, datasets=["events", "people"])
        run = ran(api, HOUR)
        kept = [2, 3] if limits == "published" else [0, 1, 2, 3, 4]
        records = run["metrics"]["recordSummary"]
        skipped = len(rows) - len(kept)
        counts = {"input": 6, "created": 6 - skipped, "output": 6 - skipped, "skipped": skipped}
        assert {name: records[f"{name}RecordCount"] for name in counts} == counts
        assert [info["count"] for info in records.get("skippedInfo", [])] == ([skipped] if skipped else [])
        files = api.control("GET", "/exports", params={"flow": flow, "dataset": "events"})["items"]
        text = api.http.get(f"/__emulator/exports/{files[0]['path']}").text
        assert [int(n) for n in re.findall(r'"n":(\d)', text)] == kept
        assert ("3 skipped as they are older than 365 days" in server.log.read_text()) == (limits == "published")


def test_files_in_the_landing_zone_go_after_seven_days(tmp_path: Path) -> None:
    """Guide "Data Landing Zone destination". By the emulator's time, over a restart, and when their runs are forgotten."""
    exports = tmp_path / "exports"
    with started(tmp_path, "data") as (api, _):
        for destination in (ZONE, S3):
            api.flow(destination, {**HOURLY, "interval": 24})
        api.advance(HOUR + 2 * DAY)
        assert len(list(exports.rglob("data-landing-zone/**/part-*"))) == 3
    with started(tmp_path, "data", "--keep-runs", "4") as (api, server):
        api.advance(5 * DAY)
        left = list(exports.rglob("data-landing-zone/**/*.json"))
        assert len(left) == 2 * 7 and len(list(exports.rglob("amazon-s3/**/part-*"))) == 8
        listed = [item["path"].partition("/")[0] for item in api.control("GET", "/exports")["items"]]
        assert listed.count("data-landing-zone") == 4
        assert "the Data Landing Zone keeps files for seven days: those of run" in server.log.read_text()


def test_the_101st_destination_of_a_sandbox_is_warned_of(api: Api) -> None:
    """Guide "Guardrails for dataset export": at most 100; each flow is one (API reference, Ad Hoc Activation API)."""
    flow = api.item(f"/flows/{api.flow(S3, api.later)}")
    body = S3.flow(flow["sourceConnectionIds"][0], flow["targetConnectionIds"][0], **api.later)
    for _ in range(99):
        api.created("flows", body)
    assert "destinations-limit" not in warnings(api)
    api.created("flows", body)
    api.other(sandbox="dev").created("connections", S3.base_connection())
    (rule,) = [rule for rule in api.control("GET", "/contract")["warnings"] if rule["id"] == "destinations-limit"]
    assert rule["count"] == 1


@pytest.mark.parametrize(("rows", "compression", "status"), [
    (1_000_001, "NONE", "failed"),
    (1_000_000, "NONE", "success"),
    (1_000_001, "GZIP", "success"),
])  # fmt: skip
def test_a_million_rows_of_uncompressed_parquet(tmp_path: Path, rows: int, compression: str, status: str) -> None:
    """Guide "Guardrails for dataset export": the first export of more fails."""
    with started(tmp_path) as (api, _):
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
        api.control("PUT", "/datasets/long", {"schema": schema, "rows": rows, "rowsPerHour": 0.3})
        flow = api.flow(S3, HOURLY, datasets=["long"], datasetFileType="PARQUET", compression=compression)
        run = ran(api, HOUR)
        assert (run["flowId"], run["metrics"]["statusSummary"]["status"]) == (flow, status)
        errors = run["metrics"]["statusSummary"].get("errors", [])
        assert [f"has {rows} rows" in error["message"] for error in errors] == ([True] if status == "failed" else [])
        assert ran(api, 3 * HOUR)["metrics"]["statusSummary"]["status"] == status  # a later export has a few rows only
