"""Every refusal says in one line what is wrong and how to fix it: forty mistakes, and what the hint has to name so that it alone is enough.

Source: README, "The contract report"; the mistakes are those of people who came from other services.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract_tests.api.test_actions_runs import ADHOC
from contract_tests.support import Api, serving
from contract_tests.tutorial import ADLS, BASE, DATA_LAKE, LANDING_ZONE, S3, SFTP, SOURCE_CONNECTION, Destination

pytestmark = pytest.mark.emulator_only
NOBODY = "11111111-2222-4333-8444-555555555555"
LAKE = {"id": DATA_LAKE, "version": "1.0"}
CONFIGS = f"/connectionSpecs/{DATA_LAKE}/configs"
DISK = {**LANDING_ZONE.base_connection(), "connectionSpec": {"id": LANDING_ZONE.spec, "version": "1.0"}}


class Made:
    """A flow and all that it needs, and the mistakes that can be made with it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.flow = api.flow(S3, api.later)
        item = api.item(f"/flows/{self.flow}")
        self.etag = item["etag"]
        (self.source,), (self.target,) = item["sourceConnectionIds"], item["targetConnectionIds"]
        self.base = api.item(f"/targetConnections/{self.target}")["baseConnectionId"]
        self.spec = item["flowSpec"]["id"]

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.api.get(path.format(flow=self.flow, source=self.source), **options)

    def connect(self, destination: Destination = S3, spec: Any = None, **params: Any) -> httpx.Response:
        """A base connection with these parameters of `auth` beside or in place of the good ones; None takes one out."""
        body = deepcopy(destination.base_connection())
        body |= {"connectionSpec": spec} if spec else {}
        changed = {**body["auth"]["params"], **params}
        body["auth"]["params"] = {name: value for name, value in changed.items() if value is not None}
        return self.api.post("/connections", body)

    def read(self, dataset: Any) -> httpx.Response:
        body = {"name": "n", "connectionSpec": LAKE, "params": {"datasets": [dataset]}}
        return self.api.post("/sourceConnections", body)

    def aim(self, destination: Destination = S3, base: str = "", **params: Any) -> httpx.Response:
        body = deepcopy(destination.target_connection(base or self.base))
        changed = {**body["params"], **params}
        body["params"] = {name: value for name, value in changed.items() if value is not None}
        return self.api.post("/targetConnections", body)

    def run(self, when: dict[str, Any] | None = None, **fields: Any) -> httpx.Response:
        """A flow; None takes a field out, of the schedule too."""
        changed = {**self.api.later, **(when or {})}
        body = S3.flow(self.source, self.target)
        body |= {"scheduleParams": {name: value for name, value in changed.items() if value is not None}, **fields}
        return self.api.post("/flows", {name: value for name, value in body.items() if value is not None})

    def change(self, *operations: Any, etag: str | None = "") -> httpx.Response:
        return self.api.patch(f"/flows/{self.flow}", self.etag if etag == "" else etag, list(operations))

    def at_once(self, destination: Any) -> httpx.Response:
        return self.api.http.post(ADHOC, json={"activationInfo": {"destinations": [destination]}})

    def act(self, query: str) -> httpx.Response:
        return self.api.post(f"/flows/{self.flow}/action{query}")


def name(op: str = "replace", path: str = "/name") -> dict[str, Any]:
    return {"op": op, "path": path, "value": "x"}


MISTAKES: dict[str, tuple[Callable[[Made], httpx.Response], tuple[str, ...]]] = {
    "a parameter in other letters": (lambda made: made.get("/flows?orderBy=name"), ("mean orderby?", "GET /flows has: property, ")),
    "a parameter of pages": (lambda made: made.get("/flows?page=2"), ("Use continuationToken=<", "_links.next.href")),
    "a parameter of runs": (lambda made: made.get("/runs?flowId={flow}"), ("Use property=flowId==<value>",)),
    "a parameter of nothing": (lambda made: made.get("/flows?zzz=1"), ("orderby, limit, count",)),
    "a filter's field": (lambda made: made.get("/flows?property=nmae==x"), ("mean name?", "createdAt, ", "updatedAt")),
    "an order's field": (lambda made: made.get("/flows?orderby=craetedAt"), ("mean createdAt?",)),
    "an order's direction": (lambda made: made.get("/flows?orderby=asc:createdAt"), ("Use createdAt, or -createdAt for",)),
    "an order's field of datasets": (
        lambda made: made.get(f"{CONFIGS}?outputType=activationDatasets&outputField=datasets&orderBy=desc:creatd"),
        ("mean created?", "lastBatchId"),
    ),
    "one equals sign": (lambda made: made.get("/flows?property=name=x"), ("Use ==", "property=name==x")),
    "a limit": (lambda made: made.get("/flows?limit=1000"), ("limit", "1000", "from 1 to 100")),
    "configs without a type": (lambda made: made.get(CONFIGS), ("outputType", "activationDatasets")),
    "a path in the singular": (lambda made: made.get("/flow"), (f"mean GET {BASE}/flows?",)),
    "a path in other letters": (lambda made: made.get("/targetconnections/x"), (f"mean GET {BASE}/targetConnections/{{id}}?",)),
    "no base path": (lambda made: made.api.http.get("/flows"), (f"mean GET {BASE}/flows?",)),
    "another base path": (lambda made: made.api.http.get("/api/v1/flows"), (f"mean GET {BASE}/flows?",)),
    "a slash twice": (lambda made: made.get("//flows"), (f"mean GET {BASE}/flows?",)),
    "runs below a flow": (lambda made: made.get("/flows/{flow}/runs"), ("GET /runs?property=flowId==<id>",)),
    "PUT": (lambda made: made.api.http.put(f"{BASE}/flows/{made.flow}", json={}), ("PATCH with a JSON Patch",)),
    "an id of another kind": (lambda made: made.get("/flows/{source}"), ("the id of one of sourceConnections",)),
    "the id of a spec": (lambda made: made.get(f"/flows/{S3.spec}"), ("the id of the connection spec Amazon S3",)),
    "another sandbox": (
        lambda made: made.get("/flows/{flow}", headers={"x-sandbox-name": "dev"}),
        ("exists in sandbox prod; this request names dev",),
    ),
    "another organization": (
        lambda made: made.get("/flows/{flow}", headers={"x-gw-ims-org-id": "OTHER@AdobeOrg"}),
        ("exists in organization TEST@AdobeOrg; this request names OTHER@AdobeOrg",),
    ),
    "no headers": (lambda made: httpx.get(f"{made.api.url}{BASE}/flows"), ("Bearer <token>", "x-api-key", "x-gw-ims-org-id")),
    "a kind of credentials": (
        lambda made: made.api.post("/connections", {**S3.base_connection(), "auth": {"specName": "AccessKey", "params": {}}}),
        ("mean Access Key?",),
    ),
    "credentials for the landing zone": (
        lambda made: made.api.post("/connections", {**DISK, "auth": {"specName": "Access Key", "params": {}}}),
        ("takes no credentials: leave auth out",),
    ),
    "credentials without a kind": (
        lambda made: made.api.post("/connections", {**S3.base_connection(), "auth": {"s3AccessKey": "A"}}),
        ("auth.specName is required", '{"specName":"Access Key","params":{"s3AccessKey":"', '"s3SecretKey":"', '"}}.'),
    ),
    "no credentials": (
        lambda made: made.api.post("/connections", {"name": "n", "connectionSpec": {"id": ADLS.spec, "version": "1.0"}}),
        ("auth is required", '{"specName":"Azure Service Principal Auth","params":{', '"}}.'),
    ),
    "a host": (lambda made: made.connect(SFTP, domain=None, host="h"), ("host was sent: rename it to domain",)),
    "two names of keys": (
        lambda made: made.connect(s3AccessKey=None, s3SecretKey=None, accessKey="A", secretKey="S"),
        ("(1)", "accessKey was sent: rename it to s3AccessKey", "(2)", "secretKey was sent: rename it to s3SecretKey"),
    ),
    "a spec by its name": (lambda made: made.connect(spec={"id": "amazon s3", "version": "1.0"}), (f"Amazon S3, {S3.spec}?",)),
    "a spec's name alone": (lambda made: made.connect(spec="amazon s3"), (f'Send an object: {{"id": "{S3.spec}", "version": "1.0"}}',)),
    "a spec's id alone": (lambda made: made.connect(spec=S3.spec), (f'Send an object: {{"id": "{S3.spec}", "version": "1.0"}}',)),
    "a flow spec's id": (lambda made: made.connect(spec={"id": made.spec, "version": "1.0"}), ("id of the flow spec", S3.spec)),
    "a version that is a number": (lambda made: made.connect(spec={"id": S3.spec, "version": 1.0}), ('Send the text "1.0".',)),
    "datasetId": (lambda made: made.read({"datasetId": "x"}), ("datasetId was sent: rename it to dataSetId",)),
    "a dataset's id": (lambda made: made.read({"id": "x"}), ("id was sent: rename it to dataSetId",)),
    "no such dataset": (lambda made: made.read({"dataSetId": "x"}), (f"GET {CONFIGS} lists them", "Take one from there")),
    "a bucket's name": (lambda made: made.aim(bucketName="My_Bucket"), ("3 to 63 lower-case letters", "My_Bucket")),
    "a bucket": (lambda made: made.aim(bucketName=None, bucket="b"), ("bucket was sent: rename it to bucketName",)),
    "no name": (lambda made: made.run(name=None), ("name is required", "GET /openapi.json has the schema")),
    "a base of another kind": (lambda made: made.aim(base=made.source), ("baseConnectionId", "one of sourceConnections")),
    "another destination's base": (lambda made: made.aim(SFTP), ("made for Amazon S3", f'Send "{S3.spec}"')),
    "another destination's flow spec": (
        lambda made: made.run(flowSpec={"id": SFTP.flow_spec, "version": "1.0"}),
        ("is one to Amazon S3", f"The flow spec of Amazon S3 is {S3.flow_spec}."),
    ),
    "a file type": (lambda made: made.aim(datasetFileType="CSV"), ('must be "JSON" or "PARQUET", got "CSV"',)),
    "an interval": (lambda made: made.run({"interval": 5}), ("3, 6, 8, 9, 12 or 24", "got 5", "GET /flowSpecs/")),
    "timeunit": (lambda made: made.run({"timeUnit": None, "timeunit": "hour"}), ("timeunit was sent: rename it to timeUnit",)),
    "once": (lambda made: made.run({"interval": 0, "timeUnit": "day"}), ('"exportMode": "DAILY_FULL_EXPORT"',)),
    "once by the hour": (lambda made: made.run({"interval": 0}), ('Once is {"interval": 0, "timeUnit": "day"',)),
    "milliseconds": (lambda made: made.run({"startTime": 1767225600000}), ("in seconds it is 1767225600.",)),
    "connections swapped": (
        lambda made: made.run(sourceConnectionIds=[made.target], targetConnectionIds=[made.source]),
        ("(1) sourceConnectionIds[0]", "one of targetConnections", "(2) targetConnectionIds[0]", "one of sourceConnections"),
    ),
    "another name of the schedule": (lambda made: made.run(scheduleParams=None, schedule={}), ("rename it to scheduleParams",)),
    "state": (lambda made: made.run(state="enabled"), ("Leave state out",)),
    "no etag": (lambda made: made.change(name(), etag=None), ("If-Match", "etag, double quotes included")),
    "an etag without quotes": (lambda made: made.change(name(), etag=made.etag.strip('"')), ('If-Match: "',)),
    "a patch's op": (lambda made: made.change(name(op="update")), ("op is one of: add, replace, remove",)),
    "a patch's path": (lambda made: made.change(name(path="/scheduleparams/interval")), ("mean /scheduleParams?",)),
    "an action": (lambda made: made.act("?op=stop"), ("op is one of: enable, disable",)),
    "an action's parameter": (lambda made: made.act("?action=stop"), ("Use op=enable or op=disable", "has: op")),
    "a run's flow": (lambda made: made.api.post("/runs", {"flowid": made.flow}), ("flowid was sent: rename it to flowId",)),
    "an ad hoc run's flow": (lambda made: made.at_once({"id": made.flow, "datasets": []}), ("id was sent: rename it to flowId",)),
    "an ad hoc run's form": (lambda made: made.at_once(made.flow), ('"destinations": [{"flowId": <id>',)),
    "a token's client": (
        lambda made: made.api.http.post(
            "/ims/token/v3", data={"grant_type": "client_credentials", "clientId": "a", "client_secret": "b"}
        ),
        ("clientId was sent: rename it to client_id",),
    ),
    "no content type": (lambda made: made.api.http.post(f"{BASE}/flows", content=b"{}"), ("Content-Type: application/json",)),
    "a control call": (lambda made: made.api.http.post("/__emulator/reset?all=true"), ("all is unknown; allowed: keep, exports",)),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_fixed_from_its_hint_alone(api: Api, mistake: str) -> None:
    """The journal and the report say the same as the header, which any HTTP client can show."""
    ask, told = MISTAKES[mistake]
    answer = ask(Made(api))
    assert 400 <= answer.status_code < 500
    hint = answer.headers["x-emulator-hint"]
    assert [each for each in told if each not in hint] == [], hint
    assert len(hint) <= 600 and hint.isascii() and hint.isprintable()
    if answer.request.url.path.startswith("/__emulator"):
        return
    entry = api.requests()[-1]
    assert entry["hint"] == hint and entry["findings"]
    report = api.report()
    fixes = {finding["fix"] or rule["fix"] for rule in report["violations"] for finding in rule["findings"]}
    assert {finding["fix"] for finding in entry["findings"] if finding["severity"] == "violation"} <= fixes


def test_good_answers_have_none(api: Api) -> None:
    made = Made(api)
    answers = [made.get("/flows"), made.change(name()), made.run(), made.get("/flows/{flow}"), made.act("?op=disable")]
    assert [answer.status_code for answer in answers] == [200, 200, 201, 200, 200]
    assert not any("x-emulator-hint" in answer.headers for answer in answers)
    assert {entry["hint"] for entry in api.requests()} == {""}


def test_what_is_sent_is_never_what_is_allowed(api: Api) -> None:
    """The data lake's spec is there, and no destination's."""
    answer = Made(api).connect(spec=LAKE)
    assert DATA_LAKE not in str(answer.json()["report"]["allowed"])
    assert "activation-datalake" in answer.headers["x-emulator-hint"]


def test_no_hint_has_a_value_from_under_auth(api: Api) -> None:
    made, secret = Made(api), "MARK-of-the-secret-MARK"
    answers = [
        made.connect(s3SecretKey=secret), made.connect(s3AccessKey=secret), made.connect(s3AccessKey=None, accessKey=secret),
        made.api.post("/connections", {**S3.base_connection(), "auth": secret}),
        made.api.post("/connections", {**S3.base_connection(), "auth": {"specName": "AccessKey", "params": {"key": secret}}}),
        made.get(f"/connections?property=auth.params.s3SecretKey={secret}"),
    ]  # fmt: skip
    assert [secret for answer in answers if secret in answer.headers["x-emulator-hint"]] == []


def test_a_fault_is_told_from_a_mistake(api: Api) -> None:
    api.control("PUT", "/faults", {"kind": "error", "error": "forbidden", "id": "mine"})
    answer = api.get("/flows")
    assert "the rule of injected faults mine" in answer.headers["x-emulator-hint"]


def test_what_was_deleted_is_told_so(api: Api) -> None:
    path = f"/connections/{api.created('connections', DISK)}"
    api.delete(path)
    assert "It was deleted: forget its id." in api.get(path).headers["x-emulator-hint"]


def test_of_many_mistakes_all_can_be_seen(api: Api) -> None:
    """What has no room in the header is counted there; journal, report and JUnit have each."""
    datasets = [{"dataSetId": number} for number in range(30)]
    answer = api.post("/sourceConnections", {**SOURCE_CONNECTION, "params": {"datasets": datasets}})
    assert "more: see report.violations." in answer.headers["x-emulator-hint"]
    assert len(answer.json()["report"]["violations"]) == 30
    (entry,) = api.requests()
    assert len(entry["findings"]) == 30


def test_different_mistakes_at_one_place_are_different_findings(api: Api) -> None:
    """They are grouped by what to fix; the same mistake again is counted."""
    for path in ("nmae==x", "nmae==y", "stat==x", "name=x"):
        api.get(f"/flows?property={path}")
    for unknown in (NOBODY, api.created("connections", DISK)):
        api.get(f"/flows/{unknown}")
    counts = {name: [finding["count"] for finding in rule["findings"]] for name, rule in api.met().items()}
    assert counts == {"filter-field-invalid": [2, 1], "filter-operator-invalid": [1], "resource-not-found": [1, 1]}
    page = api.http.get("/__emulator/contract?format=junit").text
    assert page.count("<failure") == 5


def test_the_log_has_the_same_line_and_runs_say_where_their_rows_are(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        api = Api(process.url)
        made = Made(api)
        hint = made.run({"interval": 5}).headers["x-emulator-hint"]
        api.advance(3600)
        api.close()
    log = process.log.read_text()
    assert f" WARNING POST /flows 400 {hint}\n" in log
    run = rf'run \S+ of flow ".+" \({made.flow}\) at 2026-01-01T01:00:00Z: success, [\d,]+ rows in amazon-s3/your-bucket-name/folder'
    assert re.search(run, log)
