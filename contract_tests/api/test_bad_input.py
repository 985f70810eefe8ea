"""Input that is no request of the service: a 4xx in the documented shape, never a 500, and nothing is stored.

Source: reference, sections "Address and headers", "Schedule" and "Endpoints"; the error table's last column.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from contract_tests.support import Api, assert_error, replace, violations
from contract_tests.tutorial import BASE, S3

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


def refused_everywhere(api: Api, content: bytes) -> list[httpx.Response]:
    """The answers to a body at each creation; nothing is stored."""
    before = stored(api)
    answers = [post(api, f"/{collection}", content) for collection in (*COLLECTIONS, "runs")]
    assert stored(api) == before
    return answers


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.rough] if len(MALFORMED[kind]) > 10_000 else []) for kind in MALFORMED],
)
def test_body_that_is_no_json(api: Api, kind: str) -> None:
    """Guessed: the code for a body that is no JSON is published nowhere; the message says what is wrong, and stays short."""
    path = f"/connections/{api.created('connections', S3.base_connection())}"
    before = api.item(path)
    headers = {**JSON, "If-Match": before["etag"]}
    patch = api.http.patch(BASE + path, content=MALFORMED[kind], headers=headers)
    for answer in (patch, *refused_everywhere(api, MALFORMED[kind])):
        assert len(assert_error(answer, "body-malformed")["detail"]) < 300
    assert api.item(path) == before


@pytest.mark.parametrize("content", [b"", b" \n ", b"null", b"{}", b"[]"])
def test_body_that_is_empty(api: Api, content: bytes) -> None:
    """Row 1405-400: POST and PATCH."""
    path = f"/connections/{api.created('connections', S3.base_connection())}"
    headers = {**JSON, "If-Match": api.item(path)["etag"]}
    answers = [] if content == b"[]" else refused_everywhere(api, content)
    for answer in (*answers, api.http.patch(BASE + path, content=content, headers=headers)):
        assert_error(answer, "body-empty")


@pytest.mark.parametrize("body", [[], [{"name": "x"}], "x", 5, 1.5, True, False, "", 0])
def test_body_that_is_no_object(api: Api, body: Any) -> None:
    """Guessed: the code for a body that is no object is published nowhere."""
    for answer in refused_everywhere(api, json.dumps(body).encode()):
        assert "object" in violations(answer)[""]["message"]


@pytest.mark.parametrize("content_type", [
    *(None, "", "text/plain", "application/xml", "json", "application/json-patch+json"),
    "multipart/form-data; boundary=x",
])  # fmt: skip
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


IDS = [
    *("abc", "x" * 10_240, "%00", "00000000-0000-4000-8000-000000000000%00", "%FF%FE", "%20", "'%20OR%20'1'='1"),
    *("%2e%2e", "%F0%9F%90%A2", "a,b"),
]
"""No UUID, 10 KB, NUL, no UTF-8, a blank, a quote, the upper folder, beyond the BMP, a comma."""


@pytest.mark.parametrize("entity_id", IDS)
def test_id_that_cannot_be_one(api: Api, entity_id: str) -> None:
    """Row 1439-404; the answer stays short."""
    for path in ("connections/{}", "flows/{}", "runs/{}", "connectionSpecs/{}", "flowSpecs/{}", "connections/{}/test"):
        response = api.get(f"/{path}".format(entity_id))
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


QUERIES: dict[str, tuple[str, ...]] = {
    "query-value-invalid": (
        "property===x", "property=name==", "property=name==a,,b", 'property=name=="a', "property=",
        "property=name,,id", 'property=name=="a"b', "&".join(f"p{number}=x" for number in range(200)),
    ),
    "filter-operator-invalid": ("property=name===x",),
    "filter-field-invalid": (
        "property=name.first==x", "property=name[]==x", "property=" + "a." * 300 + "b==x", "property=name,colour",
        "property=lastOperation.x..y==a", "property=inheritedAttributes.targetConnections.id==a",
        "property=connectionSpec.id",
    ),
    "value-invalid": (
        "property=createdAt==yesterday", "property=inheritedAttributes.properties.isDestinationFlow==maybe",
        "orderby=name&orderby=id", "count=maybe", "count=1", "continuationToken=made-up", "continuationToken=",
        "continuationToken=" + "A" * 10_000,
    ),
    "filter-operator-unsupported-for-field": (
        "property=scheduleParams==x", "property=scheduleParams<1", "property=lastOperation.x<true",
    ),
    "filter-operator-not-implemented": ("property=name!~x",),
    "sort-order-invalid": (
        "orderby=", "orderby=*name", "orderby=name desc", "orderby=--name", "orderby=name,", "orderby=name:desc",
    ),
    "orderby-field-invalid": ("orderby=name.first", "orderby=targetConnectionIds[]", "orderby=sourceConnectionIds"),
    "query-param-unknown": ("Limit=5", "%00=x"),
}  # fmt: skip
"""Name of an error -> what brings it about."""


@pytest.mark.parametrize(
    ("query", "error"), [(query, error) for error, queries in QUERIES.items() for query in queries]
)
def test_query_that_is_malformed(api: Api, query: str, error: str) -> None:
    """Rows 1432 to 1453: each its documented error; the contract report says where."""
    assert_error(api.get(f"/flows?{query}"), error)
    if not api.foreign:
        (finding,) = api.met()[error]["findings"]
        name = unquote(query.partition("=")[0])
        assert finding["place"] == ("query" if name == "p0" else f"query.{name}")


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
    assert api.foreign or api.met()["value-invalid"]["findings"][0]["place"] == f"query.{field}"


WRONG_TYPES: list[Any] = [
    *(True, False, [], [3], {}, {"value": 3}, 1.5, -1, "", "x", "3 ", "-3", "٣", 10**30, 1e300, "9" * 30)
]
MILLISECONDS: list[Any] = [1767225600000, "1767225600000"]
SCHEDULE: dict[str, tuple[str, list[Any]]] = {
    "interval": ("3, 6, 8, 9, 12 or 24", [*WRONG_TYPES, 0, 1, 2, 4, 25, 48, "0", "7"]),
    "startTime": ("epoch seconds", [*WRONG_TYPES, *MILLISECONDS]),
    "endTime": ("epoch seconds", [*WRONG_TYPES, *MILLISECONDS]),
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
    body = api.flow_body()
    allowed, values = SCHEDULE[name]
    for value in values:
        found = violations(api.post("/flows", {**body, "scheduleParams": {**api.later, name: value}}))
        assert list(found) == [f"scheduleParams.{name}"], value
        message = found[f"scheduleParams.{name}"]["message"]
        assert message.startswith(f"scheduleParams.{name}")
        assert allowed in message
        assert (value in MILLISECONDS) == ("looks like milliseconds: in seconds it is 1767225600" in message)
        assert name.lower() == "foldernametemplate" or shown(value) in message, message
    assert api.mine("/flows") == []


@pytest.mark.parametrize("name", ["interval", "timeUnit", "startTime"])
def test_schedule_without_a_required_part(api: Api, name: str) -> None:
    body = api.flow_body()
    missing = {key: value for key, value in api.later.items() if key != name}
    for schedule in (missing, {**missing, name: None}):
        found = violations(api.post("/flows", {**body, "scheduleParams": schedule}))
        assert found[f"scheduleParams.{name}"]["message"] == f"scheduleParams.{name} is required"


@pytest.mark.parametrize("schedule", [None, [], "hourly", 3, True])
def test_schedule_that_is_no_object(api: Api, schedule: Any) -> None:
    """Guessed: the wording is published nowhere."""
    body = api.flow_body()
    found = violations(api.post("/flows", {**body, "scheduleParams": schedule}))
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


NEW_NAME = replace("/name", "x")
PATCHES: dict[str, list[Any]] = {
    "operation-unsupported": [
        *([{"op": op, "from": "/name", "path": "/description"}] for op in ("move", "copy")),
        *([{**NEW_NAME, "op": op}] for op in ("test", "", ["add"], "x" * 10_000)),
    ],
    "patch-invalid": [
        *(NEW_NAME, "x", 5, [None], [[]], ["replace"], [{}], [NEW_NAME] * 10_000, [{**NEW_NAME, "op": None}]),
        *([{"op": "replace", "value": "x"}], [{"op": "replace", "path": "/name"}]),
        *([replace("", {})], [replace("/", {})]),
        *([replace(path, "x")] for path in (None, "name", "/nothing", "/~", "/name~2", "/a" * 50_000)),
        [replace("/" + "~1" * 20_000 + "~", "x")],
        *([{"op": "remove", "path": path}] for path in ("/nothing", "/transformations/-", "/transformations/0")),
        *([{"op": "add", "path": path, "value": "x"}] for path in ("/nothing/at/all", "/name/first")),
        *(
            [{"op": "add", "path": f"/transformations/{place}", "value": {}}]
            for place in ("1", "-/x", "00", "x", "9" * 5_000)
        ),
    ],
}


@pytest.mark.parametrize(("error", "patch"), [
    pytest.param(error, patch, marks=[pytest.mark.rough] if len(str(patch)) > 10_100 else [])
    for error, patches in PATCHES.items() for patch in patches
])  # fmt: skip
def test_patch_that_cannot_be_applied(api: Api, error: str, patch: Any) -> None:
    """Rows 1434-400 and 1455-400; the flow stays as it was, and the answer short."""
    api.refused(f"/flows/{api.flow(S3, api.later)}", error, patch)


def test_patches_cannot_pile_up_depth(api: Api) -> None:
    """Guessed: each patch is as deep as a body may be, and goes deeper into what the one before left."""
    path = f"/flows/{api.flow(S3, api.later)}"
    deep: Any = {}
    for _ in range(50):
        deep = {"a": deep}
    api.patched(path, {"op": "add", "path": "/transformations/-", "value": deep})
    api.refused(path, "patch-invalid", [{"op": "add", "path": "/transformations/0" + "/a" * 51, "value": deep}])


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
    etag = api.item(path)["etag"]
    sent = IF_MATCH[kind].format(etag=etag, bare=etag.strip('"'), upper=etag.upper())
    api.refused(path, "version-mismatch", [NEW_NAME], sent, supplied=sent[:100], current=etag)


def test_if_match_that_is_missing(api: Api) -> None:
    """Row 1403-400."""
    path = f"/flows/{api.flow(S3, api.later)}"
    assert_error(api.patch(path, None, [NEW_NAME]), "if-match-missing")
    assert_error(api.patch(path, "", [NEW_NAME]), "if-match-missing")


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


@pytest.mark.parametrize("body", [
    *(None, {}, [], "x", {"activationInfo": None}),
    *({"activationInfo": {"destinations": d}} for d in DESTINATIONS),
])  # fmt: skip
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
