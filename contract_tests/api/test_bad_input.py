"""Input that is no request of the service: a 4xx in the documented shape, never a 500, and nothing is stored.

Source: reference, sections "Address and headers", "Schedule" and "Endpoints"; the error table's last column.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from contract_tests.support import Api, assert_error, violations
from contract_tests.tutorial import BASE, S3, SOURCE_CONNECTION

COLLECTIONS = ("connections", "sourceConnections", "targetConnections", "flows")
ADHOC = "/data/core/activation/disflowprovider/adhocrun"
JSON = {"Content-Type": "application/json"}
LIMIT = 1_000_000
"""Bytes of the largest body that is read."""

MALFORMED = {
    "cut short": b'{"name": "x"',
    "trailing comma": b'{"name": "x",}',
    "line comment": b'{"name": "x" // a comment\n}',
    "block comment": b'/* a comment */ {"name": "x"}',
    "single quotes": b"{'name': 'x'}",
    "two values": b'{"name": "x"} {"name": "y"}',
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
    "a number too large for any machine": b'{"name": 1e999}',
    "lone surrogate": b'{"name": "\\ud800"}',
    "control character": b'{"name": "a\nb"}',
    "NUL": b"\x00",
    "100,000 arrays that end": b"[" * 100_000 + b"]" * 100_000,
    "100,000 arrays that never end": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a little too deep": b'{"name": "x", "a": ' + b"[" * 64 + b"]" * 64 + b"}",
}


def post(api: Api, path: str, content: bytes, content_type: str | None = "application/json") -> httpx.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return api.http.post(BASE + path, content=content, headers=headers)


def stored(api: Api) -> int:
    """How many entities there are, where nobody else makes any."""
    if api.foreign:
        return 0
    return sum(api.get(f"/{collection}?count=true").json()["count"] for collection in (*COLLECTIONS, "runs"))


every_malformed_body = pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.rough] if len(MALFORMED[kind]) > 10_000 else []) for kind in MALFORMED],
)


@every_malformed_body
def test_body_that_is_no_json(api: Api, kind: str) -> None:
    """Guessed: the message says what is wrong, and stays short."""
    before = stored(api)
    for collection in (*COLLECTIONS, "runs"):
        problem = assert_error(post(api, f"/{collection}", MALFORMED[kind]), "body-malformed")
        assert len(problem["detail"]) < 300
    assert stored(api) == before


@every_malformed_body
def test_patch_that_is_no_json(api: Api, kind: str) -> None:
    """Guessed: the code for a body that is no JSON is published nowhere."""
    path = f"/connections/{api.created('connections', S3.base_connection())}"
    before = api.item(path)
    response = api.http.patch(BASE + path, content=MALFORMED[kind], headers={**JSON, "If-Match": before["etag"]})
    assert_error(response, "body-malformed")
    assert api.item(path) == before


@pytest.mark.parametrize("content", [b"", b" \n ", b"null", b"{}", b"[]"])
def test_body_that_is_empty(api: Api, content: bytes) -> None:
    """Row 1405-400: POST and PATCH."""
    path = f"/connections/{api.created('connections', S3.base_connection())}"
    before = stored(api)
    if content != b"[]":
        for collection in (*COLLECTIONS, "runs"):
            assert_error(post(api, f"/{collection}", content), "body-empty")
    response = api.http.patch(BASE + path, content=content, headers={**JSON, "If-Match": api.item(path)["etag"]})
    assert_error(response, "body-empty")
    assert stored(api) == before


@pytest.mark.parametrize("body", [[], [{"name": "x"}], "x", 5, 1.5, True, False, "", 0])
def test_body_that_is_no_object(api: Api, body: Any) -> None:
    """Guessed: the code for a body that is no object is published nowhere."""
    before = stored(api)
    for collection in (*COLLECTIONS, "runs"):
        found = violations(post(api, f"/{collection}", json.dumps(body).encode()))
        assert "object" in found[""]["message"]
    assert stored(api) == before


NO_JSON = [
    None,
    "",
    "text/plain",
    "application/xml",
    "json",
    "application/json-patch+json",
    "multipart/form-data; boundary=x",
]


@pytest.mark.parametrize("content_type", NO_JSON)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_body_without_usable_content_type(api: Api, method: str, content_type: str | None) -> None:
    """Reference, "Address and headers": status 400, "A valid content-type must be specified"."""
    connection_id = api.created("connections", S3.base_connection())
    path = "/connections" if method == "POST" else f"/connections/{connection_id}"
    headers = {"If-Match": api.item(f"/connections/{connection_id}")["etag"]}
    if content_type is not None:
        headers["Content-Type"] = content_type
    response = api.http.request(method, BASE + path, content=b'{"name": "x"}', headers=headers)
    assert_error(response, "content-type-missing")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"]
)
def test_content_type_with_a_charset(api: Api, content_type: str) -> None:
    """Reference, "Address and headers": a charset parameter is fine."""
    body = json.dumps(api.named(S3.base_connection())).encode()
    assert post(api, "/connections", body, content_type).status_code == 201


@pytest.mark.rough
def test_largest_body_that_is_read(api: Api) -> None:
    """Guessed: the real limit is published nowhere."""
    body = json.dumps({**api.named(S3.base_connection()), "description": ""}).encode()
    filled = body.replace(b'"description": ""', b'"description": "' + b"x" * (LIMIT - len(body)) + b'"')
    assert len(filled) == LIMIT
    assert post(api, "/connections", filled).status_code == 201
    assert_error(post(api, "/connections", filled + b" "), "body-too-large", limit=LIMIT)


@pytest.mark.emulator_only
@pytest.mark.parametrize("value", ["x" * 10_000, "%00", "../prod", "a b"])
def test_sandbox_of_any_name_is_its_own(api: Api, value: str) -> None:
    """Own: without `--sandboxes` every usable name is a sandbox; one of 10 KB is none."""
    response = api.get("/flows", headers={"x-sandbox-name": value})
    if len(value) > 256:
        assert_error(response, "sandbox-not-found", name=value[:100])
    else:
        assert response.json()["items"] == []


IDS = {
    "no UUID": "abc",
    "10 KB": "x" * 10_240,
    "NUL": "%00",
    "NUL in a UUID": "00000000-0000-4000-8000-000000000000%00",
    "invalid UTF-8": "%FF%FE",
    "a blank": "%20",
    "quote": "'%20OR%20'1'='1",
    "upper folder": "%2e%2e",
    "beyond the BMP": "%F0%9F%90%A2",
    "comma": "a,b",
}


@pytest.mark.parametrize("kind", IDS)
def test_id_that_cannot_be_one(api: Api, kind: str) -> None:
    """Row 1439-404; the answer stays short."""
    for path in (
        "/connections/{}",
        "/flows/{}",
        "/runs/{}",
        "/connectionSpecs/{}",
        "/flowSpecs/{}",
        "/connections/{}/test",
    ):
        response = api.get(path.format(IDS[kind]))
        assert_error(response, "resource-not-found")
        assert len(response.content) < 2_000


NOWHERE = ["/data", "/data/foundation", BASE, f"{BASE}/Flows", "/flows", f"{BASE}/flows/x/y/z", "//", "/nothing.ico"]


@pytest.mark.parametrize("path", [*NOWHERE, pytest.param("/__emulator/nothing", marks=pytest.mark.emulator_only)])
def test_unknown_path(api: Api, path: str) -> None:
    """Guessed: 404 as JSON, with a hint."""
    for method in ("GET",) if api.foreign else ("GET", "POST", "DELETE"):
        assert_error(api.http.request(method, api.url + path), "path-not-found", method=method)


@pytest.mark.parametrize("method", ["PUT", pytest.param("DELETE", marks=pytest.mark.rough), "PATCH", "TRACE"])
def test_unknown_method(api: Api, method: str) -> None:
    """Guessed: 405 as JSON, with the methods that there are."""
    response = api.http.request(method, f"{BASE}/connections")
    assert_error(response, "method-not-allowed", method=method)
    assert response.headers["allow"] == "GET, POST, HEAD"


@pytest.mark.parametrize("limit", ["0", "-1", "x", "101", "", "1.5", "1e1", "٣", " 5", "+5", "9" * 400, "5&limit=5"])
def test_limit_that_is_none(api: Api, limit: str) -> None:
    """Row 1452-400: limit; at most 100 a page."""
    for collection in (*COLLECTIONS, "runs", "connectionSpecs", "flowSpecs"):
        assert_error(api.get(f"/{collection}?limit={limit.replace('+', '%2B')}"), "value-invalid", field="limit")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("property===x", "query-value-invalid"),
        ("property=name===x", "filter-operator-invalid"),
        ("property=name==", "query-value-invalid"),
        ("property=name==a,,b", "query-value-invalid"),
        ('property=name=="a', "query-value-invalid"),
        ("property=", "query-value-invalid"),
        ("property=name.first==x", "filter-field-invalid"),
        ("property=name[]==x", "filter-field-invalid"),
        ("property=" + "a." * 300 + "b==x", "filter-field-invalid"),
        ("property=createdAt==yesterday", "value-invalid"),
        ("property=scheduleParams==x", "filter-operator-unsupported-for-field"),
        ("property=name!~x", "filter-operator-not-implemented"),
        ("property=name,colour", "filter-field-invalid"),
        ("property=name,,id", "query-value-invalid"),
        ('property=name=="a"b', "query-value-invalid"),
        ("property=lastOperation.x..y==a", "filter-field-invalid"),
        ("property=scheduleParams<1", "filter-operator-unsupported-for-field"),
        ("property=lastOperation.x<true", "filter-operator-unsupported-for-field"),
        ("property=inheritedAttributes.targetConnections.id==a", "filter-field-invalid"),
        ("property=inheritedAttributes.properties.isDestinationFlow==maybe", "value-invalid"),
        ("property=connectionSpec.id", "filter-field-invalid"),
        ("orderby=", "sort-order-invalid"),
        ("orderby=*name", "sort-order-invalid"),
        ("orderby=name desc", "sort-order-invalid"),
        ("orderby=name.first", "orderby-field-invalid"),
        ("orderby=targetConnectionIds[]", "orderby-field-invalid"),
        ("orderby=--name", "sort-order-invalid"),
        ("orderby=name,", "sort-order-invalid"),
        ("orderby=name:desc", "sort-order-invalid"),
        ("orderby=sourceConnectionIds", "orderby-field-invalid"),
        ("orderby=name&orderby=id", "value-invalid"),
        ("count=maybe", "value-invalid"),
        ("count=1", "value-invalid"),
        ("continuationToken=made-up", "value-invalid"),
        ("continuationToken=", "value-invalid"),
        ("continuationToken=" + "A" * 10_000, "value-invalid"),
        ("Limit=5", "query-param-unknown"),
        ("%00=x", "query-param-unknown"),
        ("&".join(f"p{number}=x" for number in range(200)), "query-value-invalid"),
    ],
)
def test_query_that_is_malformed(api: Api, query: str, error: str) -> None:
    """Rows 1432 to 1453: each its documented error."""
    assert_error(api.get(f"/flows?{query}"), error)


DATASETS = "outputType=activationDatasets&outputField=datasets"


@pytest.mark.parametrize(("query", "field"), [
    ("", "outputType"),
    ("outputType=activationDatasets", "outputField"),
    ("outputType=x&outputField=datasets", "outputType"),
    ("outputType=activationDatasets&outputField=x", "outputField"),
    (f"{DATASETS}&start=-1", "start"),
    (f"{DATASETS}&start=x", "start"),
    (f"{DATASETS}&limit=0", "limit"),
    (f"{DATASETS}&limit=101", "limit"),
    (f"{DATASETS}&properties=", "properties"),
])  # fmt: skip
def test_configs_query_that_is_malformed(api: Api, query: str, field: str) -> None:
    """Reference, Endpoints: `outputType` and `outputField` are required, `start` from 0, `limit` 1..100."""
    assert_error(api.get(f"/connectionSpecs/{S3.spec}/configs?{query}"), "value-invalid", field=field)


WRONG_TYPES: list[Any] = [
    *(True, False, [], [3], {}, {"value": 3}, 1.5, -1, "", "x", "3 ", "-3", "٣", 10**30, 1e300, "9" * 30)
]
SCHEDULE: dict[str, tuple[str, list[Any]]] = {
    "interval": ("3, 6, 8, 9, 12 or 24", [*WRONG_TYPES, 0, 1, 2, 4, 25, 48, "0", "7"]),
    "startTime": ("epoch seconds", WRONG_TYPES),
    "endTime": ("epoch seconds", WRONG_TYPES),
    "timeUnit": ('"hour" or "day"', [*WRONG_TYPES, 3, "week", "hours", "minute"]),
    "exportMode": ('"FIRST_FULL_THEN_INCREMENTAL"', [*WRONG_TYPES, 3, "FULL"]),
    "foldernameTemplate": ("", [True, [], {}, 3, 1.5, "", "%", "%NO_SUCH_MACRO%", "../.."]),
    "folderNameTemplate": ("", [False, [1], {"a": 1}, 3, "%DATETIME(Q)%", "a/../b"]),
}


def shown(value: Any) -> str:
    """The beginning of a value as a message repeats it; a numeric string is taken for a number."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return value
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) and value else "an array" if value else "an empty"
    return json.dumps(value, ensure_ascii=False)[:30] if value != 10**30 else "1e+30"


@pytest.mark.parametrize("name", SCHEDULE)
def test_wrong_type_in_the_schedule(api: Api, name: str) -> None:
    """400 that names the field, the value and what is allowed; nothing is stored."""
    source, target = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    allowed, values = SCHEDULE[name]
    for value in values:
        found = violations(api.post("/flows", S3.flow(source, target, **{**api.later, name: value})))
        assert list(found) == [f"scheduleParams.{name}"], value
        message = found[f"scheduleParams.{name}"]["message"]
        assert message.startswith(f"scheduleParams.{name}")
        assert allowed in message
        assert name.lower() == "foldernametemplate" or shown(value) in message, message
    assert api.mine("/flows") == []


@pytest.mark.parametrize("name", ["interval", "timeUnit", "startTime"])
def test_schedule_without_a_required_part(api: Api, name: str) -> None:
    source, target = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    missing = {key: value for key, value in api.later.items() if key != name}
    for schedule in (missing, {**missing, name: None}):
        found = violations(api.post("/flows", S3.flow(source, target, **schedule)))
        assert found[f"scheduleParams.{name}"]["message"] == f"scheduleParams.{name} is required"


@pytest.mark.parametrize("schedule", [None, [], "hourly", 3, True])
def test_schedule_that_is_no_object(api: Api, schedule: Any) -> None:
    """Guessed: the wording is published nowhere."""
    source, target = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    found = violations(api.post("/flows", {**S3.flow(source, target), "scheduleParams": schedule}))
    assert "must be an object" in found["scheduleParams"]["message"]


def test_every_violation_is_reported_at_once(api: Api) -> None:
    """Each with its place, what was expected and, for a pattern, the pattern and a valid example."""
    base = api.created("connections", S3.base_connection())
    body = S3.target_connection(base, bucketName="No Such Bucket!", datasetFileType="CSV", compression=5)
    del body["name"], body["params"]["path"]
    found = violations(api.post("/targetConnections", body))
    assert set(found) == {"name", "params.bucketName", "params.datasetFileType", "params.compression", "params.path"}
    assert found["params.bucketName"]["rule"] == "pattern"
    assert found["params.bucketName"]["pattern"]
    example = found["params.bucketName"]["example"]
    assert api.post("/targetConnections", S3.target_connection(base, bucketName=example)).status_code == 201


NEW_NAME = {"op": "replace", "path": "/name", "value": "x"}
PATCHES: list[tuple[str, Any]] = [
    ("patch-invalid", NEW_NAME),
    ("patch-invalid", "x"),
    ("patch-invalid", 5),
    ("patch-invalid", [None]),
    ("patch-invalid", [[]]),
    ("patch-invalid", ["replace"]),
    ("patch-invalid", [{}]),
    ("operation-unsupported", [{"op": "move", "from": "/name", "path": "/description"}]),
    ("operation-unsupported", [{"op": "copy", "from": "/name", "path": "/description"}]),
    ("operation-unsupported", [{"op": "test", "path": "/name", "value": "x"}]),
    ("operation-unsupported", [{"op": "", "path": "/name", "value": "x"}]),
    ("patch-invalid", [{"op": None, "path": "/name", "value": "x"}]),
    ("operation-unsupported", [{"op": ["add"], "path": "/name", "value": "x"}]),
    ("operation-unsupported", [{"op": "x" * 10_000, "path": "/name", "value": "x"}]),
    ("patch-invalid", [{"op": "replace", "value": "x"}]),
    ("patch-invalid", [{"op": "replace", "path": None, "value": "x"}]),
    ("patch-invalid", [{"op": "replace", "path": "name", "value": "x"}]),
    ("patch-invalid", [{"op": "replace", "path": "", "value": {}}]),
    ("patch-invalid", [{"op": "replace", "path": "/", "value": {}}]),
    ("patch-invalid", [{"op": "replace", "path": "/name"}]),
    ("patch-invalid", [{"op": "replace", "path": "/nothing", "value": "x"}]),
    ("patch-invalid", [{"op": "remove", "path": "/nothing"}]),
    ("patch-invalid", [{"op": "add", "path": "/nothing/at/all", "value": "x"}]),
    ("patch-invalid", [{"op": "add", "path": "/name/first", "value": "x"}]),
    ("patch-invalid", [{"op": "replace", "path": "/~", "value": "x"}]),
    ("patch-invalid", [{"op": "replace", "path": "/name~2", "value": "x"}]),
    ("patch-invalid", [{"op": "remove", "path": "/transformations/-"}]),
    ("patch-invalid", [{"op": "remove", "path": "/transformations/0"}]),
    ("patch-invalid", [{"op": "add", "path": "/transformations/1", "value": {}}]),
    ("patch-invalid", [{"op": "add", "path": "/transformations/-/x", "value": {}}]),
    ("patch-invalid", [{"op": "add", "path": "/transformations/00", "value": {}}]),
    ("patch-invalid", [{"op": "add", "path": "/transformations/x", "value": {}}]),
    ("patch-invalid", [{"op": "add", "path": "/transformations/" + "9" * 5_000, "value": {}}]),
    ("patch-invalid", [{"op": "replace", "path": "/a" * 50_000, "value": "x"}]),
    ("patch-invalid", [{"op": "replace", "path": "/" + "~1" * 20_000 + "~", "value": "x"}]),
    ("patch-invalid", [NEW_NAME] * 10_000),
]


@pytest.mark.parametrize(
    ("error", "patch"),
    [
        pytest.param(error, patch, marks=[pytest.mark.rough] if len(str(patch)) > 10_100 else [])
        for error, patch in PATCHES
    ],
)
def test_patch_that_cannot_be_applied(api: Api, error: str, patch: Any) -> None:
    """Rows 1434-400 and 1455-400; the flow stays as it was, and the answer short."""
    path = f"/flows/{api.flow(S3, api.later)}"
    before = api.item(path)
    response = api.patch(path, before["etag"], patch)
    assert_error(response, error)
    assert len(response.content) < 2_000
    assert api.item(path) == before


def test_patches_cannot_pile_up_depth(api: Api) -> None:
    """Guessed: each patch is as deep as a body may be, and goes deeper into what the one before left."""
    path = f"/flows/{api.flow(S3, api.later)}"
    deep: Any = {}
    for _ in range(50):
        deep = {"a": deep}
    first = api.patch(path, api.item(path)["etag"], [{"op": "add", "path": "/transformations/-", "value": deep}])
    assert first.status_code == 200
    before = api.item(path)
    response = api.patch(path, before["etag"], [{"op": "add", "path": "/transformations/0" + "/a" * 51, "value": deep}])
    assert_error(response, "patch-invalid")
    assert api.item(path) == before


IF_MATCH = {
    "stale": '"0000d781-0000-0200-0000-63e29f420000"',
    "unquoted": "{bare}",
    "any": "*",
    "several": '{etag}, "x"',
    "twice the same": "{etag}, {etag}",
    "weak": "W/{etag}",
    "upper case": "{upper}",
    "10 KB": '"' + "x" * 10_240 + '"',
}


@pytest.mark.parametrize("kind", IF_MATCH)
def test_if_match_that_is_not_the_etag(api: Api, kind: str) -> None:
    """Reference: If-Match is the etag with its double quotes; the same value without quotes counts as a mismatch."""
    path = f"/flows/{api.flow(S3, api.later)}"
    before = api.item(path)
    etag = before["etag"]
    sent = IF_MATCH[kind].format(etag=etag, bare=etag.strip('"'), upper=etag.upper())
    response = api.patch(path, sent, [{"op": "replace", "path": "/name", "value": "x"}])
    assert_error(response, "version-mismatch", supplied=sent[:100], current=etag)
    assert api.item(path) == before


@pytest.mark.parametrize("header", [None, ""])
def test_if_match_that_is_missing(api: Api, header: str | None) -> None:
    """Row 1403-400."""
    path = f"/flows/{api.flow(S3, api.later)}"
    response = api.patch(path, header, [{"op": "replace", "path": "/name", "value": "x"}])
    assert_error(response, "if-match-missing")


@pytest.mark.parametrize(
    "query", ["", "?op=", "?op=x", "?op=enabled", "?Op=enable", "?op=enable&x=1", "?op=" + "x" * 10_000, "?op=%00"]
)
def test_action_that_is_none(api: Api, query: str) -> None:
    """Rows 1434-400 and 1451-400."""
    path = f"/flows/{api.flow(S3, api.later)}"
    before = api.item(path)
    unknown = "Op" in query or "x=1" in query
    assert_error(api.post(f"{path}/action{query}"), "query-param-unknown" if unknown else "operation-unsupported")
    assert api.item(path) == before


DESTINATIONS: list[Any] = [
    [],
    [{}],
    [{"flowId": 5, "datasets": [{"id": "x"}]}],
    [{"flowId": "x", "datasets": []}],
    [{"flowId": "x", "datasets": [5]}],
    [{"flowId": "x", "datasets": [{"id": "y"}, {"id": "y"}]}],
    [{"flowId": f"{number}", "datasets": [{"id": "y"}]} for number in range(101)],
    [{"flowId": "x", "datasets": [{"id": "y"}]}],
]
ADHOC_BODIES: list[Any] = [
    None,
    {},
    [],
    "x",
    {"activationInfo": None},
    *({"activationInfo": {"destinations": d}} for d in DESTINATIONS),
]


@pytest.mark.parametrize("body", ADHOC_BODIES)
def test_adhoc_run_that_is_malformed(api: Api, body: Any) -> None:
    """Reference, Endpoints: 400 `{"message": …}`."""
    assert_error(api.http.post(ADHOC, json=body), "adhoc-invalid")


@pytest.mark.parametrize("query", ["", "?type=", "?type=x", "?type=DLZ_DESTINATION", "?type=" + "x" * 10_000])
@pytest.mark.parametrize("path", ["", "/credentials"])
def test_landing_zone_of_an_unknown_type(api: Api, path: str, query: str) -> None:
    """Guessed: the refusal is published nowhere."""
    response = api.http.get(f"/data/foundation/connectors/landingzone{path}{query}")
    sent = query.removeprefix("?type=") if query else "(missing)"
    report = assert_error(response, "value-invalid", field="type", value=sent if len(sent) < 100 else "x" * 97 + "...")
    assert report["allowed"] == ["dlz_destination", "user_drop_zone"]
