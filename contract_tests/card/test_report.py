"""A contract report of a client with ten mistakes: each is named by its rule, and how to fix it is said."""

from __future__ import annotations

import json
import subprocess
import sys

from contract_tests.support import FROZEN_NOW, Api
from contract_tests.tutorial import S3, SOURCE_CONNECTION

VIOLATIONS = {"gateway-api-key-missing", "provider-rejected", "spec-id-invalid", "state-in-create", "if-match-missing"}
VIOLATIONS |= {"if-match-form", "base-connection-in-use", "filter-field-invalid"}
WARNINGS = {"sandbox-header-missing", "numeric-string"}


def test_ten_mistakes_are_named(api: Api) -> None:
    later = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 3600}
    flow = api.item(f"/flows/{api.flow(S3, later, compression='GZIP')}")
    (source,), (target,), path = flow["sourceConnectionIds"], flow["targetConnectionIds"], f"/flows/{flow['id']}"
    base = api.item(f"/targetConnections/{target}")["baseConnectionId"]
    change = [{"op": "add", "path": "/name", "value": "other"}]
    answers = [
        api.http.request("GET", "/data/foundation/flowservice/flows", headers={"x-api-key": ""}),
        api.post("/targetConnections", S3.target_connection(base, bucketName="Not_a_bucket", compression="GZIP")),
        api.post("/sourceConnections", {**SOURCE_CONNECTION, "connectionSpec": {"id": S3.spec, "version": "2.0"}}),
        api.post("/flows", {**S3.flow(source, target, **later), "state": "enabled"}),
        api.patch(path, None, change),
        api.patch(path, flow["etag"].strip('"'), change),
        api.delete(f"/connections/{base}"),
        api.get("/flows", params={"property": "nmae==x"}),
        api.other(sandbox=None).get("/flows"),
        api.post("/flows", S3.flow(source, target, **{**later, "interval": "3"})),
    ]
    assert [answer.status_code for answer in answers] == [403, 400, 400, 400, 400, 412, 400, 400, 200, 201]
    command = [sys.executable, "-m", "flow_service_emulator", "report", "--url", api.url, "--format"]
    told = {form: subprocess.run([*command, form], capture_output=True, text=True) for form in ("json", "text")}
    assert [run.returncode for run in told.values()] == [1, 1]
    report = json.loads(told["json"].stdout)
    assert {rule["id"] for rule in report["violations"]} == VIOLATIONS
    assert {rule["id"] for rule in report["warnings"]} == WARNINGS
    for rule in (*report["violations"], *report["warnings"]):
        assert rule["title"] and rule["fix"] and rule["source"] and rule["findings"] and rule["count"] == 1
        assert rule["id"] in told["text"].stdout and rule["fix"].split()[0] in told["text"].stdout
