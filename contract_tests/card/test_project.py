"""A user's pytest project of its own, which has a package called `emulator` too: the fixture, workers, and the report of the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

FAIL_ON = "--flow-service-fail-on=violation"
CLIENT = """
import httpx

LAKE = {"id": "23598e46-f560-407b-88d5-ea6207e49db0", "version": "1.0"}
S3 = {"id": "4fce964d-3f37-408f-9778-e597338a21ee", "version": "1.0"}
S3_FLOW = {"id": "269ba276-16fc-47db-92b0-c1049a3c131f", "version": "1.0"}
KEYS = {"s3AccessKey": "AKIAIOSFODNN7EXAMPLE", "s3SecretKey": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

def send(service, method, path, body=None):
    return httpx.request(method, service.base_url + path, json=body, headers=service.headers, trust_env=False)

def create(service, collection, **body):
    return send(service, "POST", f"/{collection}", {"name": "mine", **body}).raise_for_status().json()["id"]

def export(service, dataset):
    source = create(service, "sourceConnections", connectionSpec=LAKE, params={"datasets": [{"dataSetId": dataset}]})
    base = create(service, "connections", connectionSpec=S3, auth={"specName": "Access Key", "params": KEYS})
    form = {"mode": "Server-to-server", "datasetFileType": "JSON", "compression": "GZIP"}
    target = create(service, "targetConnections", connectionSpec=S3, baseConnectionId=base,
                    params={"bucketName": "my-bucket", "path": "orders", **form})
    schedule = {"interval": 3, "timeUnit": "hour", "startTime": int(service.clock.now) + 60}
    return create(service, "flows", flowSpec=S3_FLOW, sourceConnectionIds=[source], targetConnectionIds=[target],
                  transformations=[], scheduleParams=schedule)
"""
TESTS = """
import pytest
from emulator.client import export, send

def test_own_rows_are_exported_as_time_passes(flow_service):
    flow_service.datasets.put("orders", [{"orderId": 1}, {"orderId": 2}])
    flow = export(flow_service, "orders")
    (run,) = flow_service.clock.advance(minutes=1)
    assert (run["flowId"], run["status"]) == (flow, "success")
    assert [row["orderId"] for row in flow_service.exports.rows()] == [1, 2]
    flow_service.datasets.put("orders", [{"orderId": 1}, {"orderId": 2}, {"orderId": 3}])
    (run,) = flow_service.clock.advance(hours=3)
    assert [row["orderId"] for row in flow_service.exports.rows(run=run["id"])] == [3]
    (first, second) = flow_service.exports
    assert first.path.is_file() and first.path.is_relative_to(flow_service.export_dir / "amazon-s3" / "my-bucket")
    flow_service.contract.assert_clean(warnings=True)

def test_each_test_begins_clean(flow_service):
    assert send(flow_service, "GET", "/flows").json()["items"] == []
    assert len(flow_service.exports) == 0 and flow_service.clock.mode == "frozen"

@pytest.mark.flow_service(now="2026-01-01T00:00:00Z", faults="rate-limited")
def test_patience(flow_service):
    assert flow_service.clock.now == 1767225600
    answers = [send(flow_service, "GET", "/flows") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429] and answers[1].headers["retry-after"]
    assert [entry["verdict"] for entry in flow_service.requests] == ["ok", "injected"]
    flow_service.faults.clear()
    flow_service.faults.add("error", error="service-unavailable", operation="list:flows", times=1)
    assert [send(flow_service, "GET", "/flows").status_code for _ in range(2)] == [503, 200]

def test_a_state_is_put_back(flow_service):
    flow = export(flow_service, "5ef3e3259ad2a1191ab7dd7d")
    state = flow_service.state()
    assert send(flow_service, "DELETE", f"/flows/{flow}").status_code == 202
    flow_service.restore(state)
    assert send(flow_service, "GET", f"/flows/{flow}").status_code == 200

@pytest.mark.flow_service(report=False)
def test_refused_on_purpose(flow_service):
    assert send(flow_service, "GET", "/runs?limit=0").status_code == 400
    assert [rule["id"] for rule in flow_service.contract.violations] == ["value-invalid"]
"""
MISTAKES = """
from emulator.client import send

def test_a_mistake_that_nobody_asserts(flow_service):
    send(flow_service, "GET", "/flows/none")

def test_that_fails(flow_service):
    send(flow_service, "POST", "/connections", {"name": "x", "connectionSpec": {"id": "nonsense", "version": "1.0"}})
    assert False
"""


def pytest_in(folder: Path, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "emulator").mkdir()
    (folder / "emulator" / "__init__.py").touch()
    (folder / "emulator" / "client.py").write_text(CLIENT)
    (folder / "test_mine.py").write_text(tests)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FLOW_"))}
    others = [
        f"-pno:{plugin}" for plugin in ("schemathesis", "anyio", "typeguard", "hypothesispytest")
    ]  # a second each time
    command = [sys.executable, "-m", "pytest", *others, "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def test_workers_and_a_clean_report(tmp_path: Path) -> None:
    run = pytest_in(tmp_path, TESTS, "-n", "2", "--flow-service-report=contract.html", FAIL_ON)
    assert run.returncode == 0 and "5 passed" in run.stdout, run.stdout
    assert "<html" in (tmp_path / "contract.html").read_text("utf-8")


def test_mistakes_fail_the_run_and_are_shown(tmp_path: Path) -> None:
    reports = [f"--flow-service-report=contract.{ending}" for ending in ("json", "xml", "txt")]
    run = pytest_in(tmp_path, MISTAKES, *reports, FAIL_ON)
    assert run.returncode == 1 and "1 failed, 1 passed" in run.stdout, run.stdout
    shown = run.stdout.partition("- Flow Service requests -")[2].partition("short test summary")[0]
    for text in ("POST /data/foundation/flowservice/connections -> 400", "spec-id-invalid", "to fix it: "):
        assert text in shown
    rules = {rule["id"]: rule for rule in json.loads((tmp_path / "contract.json").read_text("utf-8"))["violations"]}
    assert rules.keys() == {"resource-not-found", "spec-id-invalid"}
    assert "test_a_mistake_that_nobody_asserts" in json.dumps(rules["resource-not-found"]["findings"])
    assert list(ElementTree.parse(tmp_path / "contract.xml").iter("failure"))
    assert "resource-not-found" in (tmp_path / "contract.txt").read_text("utf-8")
