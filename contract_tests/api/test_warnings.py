"""What is accepted and yet told: each request that works here and may not elsewhere is named in the contract report, with its place.

Source: reference, "Where the sources disagree"; documentation, "Rules of the contract report".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error, replace
from contract_tests.tutorial import BASE, DATA_LAKE, FIRST_DATASET, LANDING_ZONE, S3, SFTP, SOURCE_CONNECTION

pytestmark = pytest.mark.emulator_only
HOUR, DAY = 3600, 86_400
SOON = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + HOUR}
CONFIGS = "configs?outputType=activationDatasets&outputField=datasets&limit=1"


def told(api: Api) -> dict[str, set[str]]:
    """The places of what the report says, by rule."""
    return {name: {finding["place"] for finding in rule["findings"]} for name, rule in api.met().items()}


def flow(api: Api, **schedule: Any) -> str:
    return api.flow(S3, {**SOON, **schedule}, compression="GZIP")


def base(api: Api, **fields: Any) -> None:
    api.created("connections", {**SFTP.base_connection(), **fields})


def source(api: Api, **params: Any) -> None:
    body = {**SOURCE_CONNECTION, "params": {**SOURCE_CONNECTION["params"], **params}}
    api.created("sourceConnections", body)


def target(api: Api, **params: Any) -> None:
    api.target(S3, **{"compression": "GZIP", **params})


def sent(**options: Any) -> Callable[[Api], Any]:
    return lambda api: api.http.request(**{"method": "GET", "url": f"{BASE}/flows", **options})


SPEC = {"id": LANDING_ZONE.spec, "version": "1.0"}
PARTLY = replace("/scheduleParams", {"startTime": FROZEN_NOW + 2 * HOUR})
MISSPELT = [{"dataSetId": FIRST_DATASET, "nmae": "x"}]
CREDENTIALS = {**SFTP.base_connection()["auth"], "x": 1}
WARNINGS: list[tuple[Callable[[Api], Any], str, set[str]]] = [
    (lambda api: base(api, colour="red"), "unknown-field", {"colour"}),
    (lambda api: base(api, auth=CREDENTIALS), "unknown-field", {"auth.x"}),
    (lambda api: source(api, foo=1, datasets=MISSPELT), "unknown-field", {"params.foo", "params.datasets[].nmae"}),
    (lambda api: target(api, Path="x", Compression="GZIP"), "unknown-field", {"params.Path", "params.Compression"}),
    (lambda api: flow(api, zz=1), "unknown-field", {"scheduleParams.zz"}),
    (lambda api: api.patched(f"/flows/{flow(api)}", {"op": "add", "path": "/scheduleParams/zz", "value": 1}), "unknown-field", {"scheduleParams.zz"}),
    (lambda api: target(api, fileType="CSV"), "field-without-effect", {"params.fileType"}),
    (lambda api: target(api, compression="gzip"), "enum-letter-case", {"params.compression"}),
    (lambda api: flow(api, timeUnit="HOUR"), "enum-letter-case", {"scheduleParams.timeUnit"}),
    (lambda api: api.patched(f"/flows/{flow(api)}", {"op": "Replace", "path": "/name", "value": "x"}), "patch-op-letter-case", {"[].op"}),
    (lambda api: flow(api, interval="3"), "numeric-string", {"scheduleParams.interval"}),
    (lambda api: base(api, createdAt=1, id="x"), "server-field-sent", {"createdAt", "id"}),
    (lambda api: flow(api, frequency="hour"), "frequency-sent", {"scheduleParams.frequency"}),
    (lambda api: api.patched(f"/flows/{flow(api)}", PARTLY), "schedule-partial", {"scheduleParams"}),
    (lambda api: api.created("connections", LANDING_ZONE.base_connection()), "connection-spec-missing", {"connectionSpec"}),
    (lambda api: api.target(S3), "json-uncompressed", {"params.compression"}),
    (lambda api: api.created("connections", {"name": "n", "auth": None, "connectionSpec": SPEC}), "auth-null", {"auth"}),
    (
        lambda api: flow(api, folderNameTemplate="%DATASET_ID%"),
        "folder-template-spelling",
        {"scheduleParams.folderNameTemplate"},
    ),
    (lambda api: flow(api, startTime=FROZEN_NOW + 200 * DAY), "schedule-never-runs", {"scheduleParams.startTime"}),
    (lambda api: flow(api, startTime=FROZEN_NOW - 2 * HOUR), "start-time-past", {"scheduleParams.startTime"}),
    (lambda api: api.get(f"/connectionSpecs/{LANDING_ZONE.spec}/{CONFIGS}"), "configs-of-destination", {"id"}),
    (sent(url=f"{BASE}/flows/"), "trailing-slash", {"path"}),
    (sent(headers=[("x-sandbox-name", "prod")] * 2), "header-repeated", {"headers.x-sandbox-name"}),
    (sent(headers={"x-sandbox-name": ""}), "sandbox-header-missing", {"headers.x-sandbox-name"}),
    (sent(url=f"{BASE}/connections/x/explore"), "unsupported", {""}),
    (sent(method="POST", content=b" " * 1_100_000), "body-too-large", {""}),
]  # fmt: skip
"""(what is sent, the rule that warns of it, the places)"""


@pytest.mark.parametrize(("ask", "rule", "places"), WARNINGS)
def test_it_alone_is_warned_of_at_its_place(api: Api, ask: Callable[[Api], Any], rule: str, places: set[str]) -> None:
    ask(api)
    assert told(api) == {rule: places}


def test_a_good_client_is_told_nothing(api: Api) -> None:
    api.get(f"/connectionSpecs/{DATA_LAKE}/{CONFIGS.replace('limit=1', 'limit=100')}")
    api.patched(f"/flows/{flow(api)}", replace("/scheduleParams/startTime", FROZEN_NOW + 2 * HOUR))
    api.advance(DAY)
    api.get("/runs")
    assert told(api) == {}


def test_a_patch_is_blamed_for_what_it_changes_only(api: Api) -> None:
    flow_id = api.flow(S3, {**SOON, "frequency": "hour", "zz": 1}, csvOptions={})
    (target_id,) = api.item(f"/flows/{flow_id}")["targetConnectionIds"]
    before = told(api)
    assert set(before) == {"frequency-sent", "unknown-field", "json-uncompressed", "field-without-effect"}
    counts = [rule["count"] for rule in api.report()["warnings"]]
    for path in (f"/flows/{flow_id}", f"/targetConnections/{target_id}"):
        api.patched(path, replace("/name", "x"))
    assert told(api) == before and [rule["count"] for rule in api.report()["warnings"]] == counts


@pytest.mark.parametrize("version", [1.0, 1, True, None, "2.0", 1234567890123, "x" * 200], ids=repr)
def test_a_version_is_answered_as_it_was_sent(api: Api, version: Any) -> None:
    """Own: 1.0 and "1.0" look different; long ones are cut."""
    body = {**SFTP.base_connection(), "connectionSpec": {"id": SFTP.spec, "version": version}}
    if version is None:
        assert_error(api.post("/connections", body), "spec-version-missing")
        return
    value = assert_error(api.post("/connections", body), "spec-id-invalid")["value"]
    assert str(value)[:13] == str(version)[:13] and len(str(value)) <= 100
    assert type(value) in (type(version), str)
    assert type(value) is type(version) or len(str(version)) > 10


@pytest.mark.parametrize(("path", "allowed"), [
    ("/flows?limit=0", "a whole number from 1 to 100"), ("/flows?limit=101", "a whole number from 1 to 100"),
    (f"/connectionSpecs/{DATA_LAKE}/{CONFIGS}&start=-1", "a whole number from 0 on"),
    ("/flows?limit=5&limit=6", "one value"), ("/flows?count=perhaps", "true, false"),
    ("/flows?property=createdAt==soon", "a number"),
])  # fmt: skip
def test_a_refused_value_is_told_with_what_is_allowed(api: Api, path: str, allowed: str) -> None:
    """Own: it is about the emulator itself."""
    assert_error(api.get(path), "value-invalid")
    (rule,) = api.report()["violations"]
    assert rule["findings"][0]["message"].endswith(f"Allowed: {allowed}")
