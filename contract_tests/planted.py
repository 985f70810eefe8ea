"""Secrets of the shapes that destinations give out, and the places of a request where a client may put one by mistake."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import httpx

from contract_tests.support import Api
from contract_tests.tutorial import BASE, S3, SFTP, SOURCE_CONNECTION

ADHOC: Final = "/data/core/activation/disflowprovider/adhocrun"
TOKENS: Final = "/ims/token/v3"
OTHER_PATHS: Final = ("/data/", "/ims/", "/__emulator/")
SECRET: Final = "<secret>"
RANDOM: Final = "secret key of Amazon S3, or of Google's HMAC"
PRIVATE_KEY: Final = "private key"
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"


MARK: Final = re.compile(r"Zq7[A-Za-z0-9]{13}")
"""What the part of a secret begins with that nobody else may ever see, and as much of it as would give it away."""


@dataclass(frozen=True)
class Secret:
    """A secret as it is sent, and its mark."""

    sent: str
    mark: str


def _core(seed: str, size: int) -> str:
    """Characters of base64, `/` and `+` among them, the first 16 of which are a mark."""
    told = base64.b64encode(hashlib.shake_256(seed.encode()).digest(size * 2)).decode()
    return ("Zq7" + re.sub("[/+=]", "", told)[:13] + told)[:size]


def _secret(seed: str, form: str, size: int) -> Secret:
    core = _core(seed, size)
    return Secret(form.format(core), core[:16])


def _ssh_key(seed: str) -> Secret:
    core = _core(seed, 200)
    begin = base64.b64encode(b"-----BEGIN RSA PRIVATE KEY-----\n123").decode()
    return Secret(begin + core, core[:16])


_ACCOUNT: Final = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==;EndpointSuffix=core.windows.net"
SHAPES: Final[Mapping[str, Callable[[str], Secret]]] = {
    # one in 400 keys has too few single letters and digits to be told from a path; these have enough
    RANDOM: partial(_secret, form="{}a1B2c3D4", size=32),
    "connection string of Azure": partial(_secret, form=_ACCOUNT, size=86),
    "SAS URI": partial(_secret, form="https://a.blob.core.windows.net/c?sv=2022-11-02&sp=rl&sig={}%3D", size=43),
    "JSON web token": partial(_secret, form="eyJhbGciOiJIUzI1NiJ9.eyJ{}-_x.c2lnbmF0dXJl", size=16),
    PRIVATE_KEY: partial(_secret, form="-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", size=64),
    "sshKey": _ssh_key,
    "key of a service principal": partial(_secret, form="abc8Q~{}.-_~abcdefABCDEF", size=16),
}
"""What can be told by its looks."""
ANY_SHAPE: Final[Mapping[str, Callable[[str], Secret]]] = {
    **SHAPES,
    "password": partial(_secret, form="{} monkey", size=16),
}


@dataclass(frozen=True)
class World:
    """What is there to be asked for and changed; a form names it as `<connection>`, and the secret as `<secret>`."""

    api: Api
    names: Mapping[str, str]

    @classmethod
    def of(cls, api: Api) -> World:
        flow = api.flow(S3, api.later)
        body = api.item(f"/flows/{flow}")
        connection = api.created("connections", S3.base_connection())
        (target,), (source,) = body["targetConnectionIds"], body["sourceConnectionIds"]
        return cls(api, {"<connection>": connection, "<target>": target, "<source>": source, "<flow>": flow})


@dataclass(frozen=True)
class Place:
    """A request with a secret in it. `body` is JSON as a form, or a text as it is sent; a PATCH has the right etag.

    `known` places hold secrets by their name: there any word is one. What stands in `used` places the service acts on, so
    that 40 random characters are as good a name as any other.
    """

    name: str
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    known: bool = False
    used: bool = False

    def shapes(self) -> list[str]:
        """The shapes of the secrets that are told from other words here, and that can be sent here."""
        in_header = SECRET in "".join(self.headers.values())
        left_out = {*([RANDOM] if self.used else []), *([PRIVATE_KEY] if in_header else [])}
        return [shape for shape in (ANY_SHAPE if self.known else SHAPES) if shape not in left_out]

    def send(self, world: World, secret: str) -> httpx.Response:
        path = _filled(self.path, {**world.names, SECRET: quote(secret, safe="")})
        path = BASE + path if path.startswith("/") and not path.startswith(OTHER_PATHS) else path.removeprefix("~")
        headers = {name: _filled(value, {SECRET: secret}) for name, value in self.headers.items()}
        if self.method == "PATCH" and "If-Match" not in headers:
            headers["If-Match"] = world.api.get(path.removeprefix(BASE)).headers.get("etag", '"none"')
        content = None
        if isinstance(self.body, str):
            escaped = quote(secret, safe="") if headers.get("Content-Type") == FORM else json.dumps(secret)[1:-1]
            content = _filled(self.body, {SECRET: escaped})
        elif self.body is not None:
            content = json.dumps(_filled(self.body, {**world.names, SECRET: secret}))
        if content is not None:
            headers.setdefault("Content-Type", JSON)
        return world.api.http.request(self.method, path, content=content, headers=headers)


def _filled(form: Any, names: Mapping[str, str]) -> Any:
    """A form with what its names in angle brackets stand for, in texts and in the names of fields."""
    if isinstance(form, str):
        for name, value in names.items():
            form = form.replace(name, value)
        return form
    if isinstance(form, dict):
        return {_filled(name, names): _filled(item, names) for name, item in form.items()}
    return [_filled(item, names) for item in form] if isinstance(form, list) else form


def places() -> Iterator[Place]:
    """All of them."""
    yield from _headers()
    yield from _paths()
    yield from _queries()
    yield from _fields()
    yield from _credentials()
    yield from _patches()
    yield from _odd_bodies()


def _headers() -> Iterator[Place]:
    known = ("Authorization", "x-api-key", "Cookie", "x-unknown", "Referer", "If-Match", "Proxy-Authorization")
    shown = ("x-gw-ims-org-id", "x-sandbox-name", "x-request-id", "User-Agent", "Accept", "Content-Type", "Origin")
    rename = [{"op": "replace", "path": "/name", "value": "n"}]
    requests = (
        ("GET", "/flows", None),
        ("GET", "/flows/nope", None),
        ("POST", "/sourceConnections", SOURCE_CONNECTION),
        ("PATCH", "/connections/<connection>", rename),
    )
    for name in (*known, *shown, "Accept-Language", "Cache-Control", "If-None-Match", "Traceparent", "Prefer"):
        for method, path, body in requests:
            for form in (SECRET, f"Bearer {SECRET}"):
                yield Place(f"header {name}: {form}", method, path, body, {name: form}, known=name in known)
    repeated = {"Authorization": f"Bearer {SECRET}", "x-request-id": SECRET, "x-sandbox-name": SECRET}
    yield Place("token in other headers, too", "GET", "/flows", None, repeated, known=True)


def _paths() -> Iterator[Place]:
    for method, path in (
        ("GET", "/connections/<secret>"),
        ("GET", "/connections/<secret>/test"),
        ("DELETE", "/flows/<secret>"),
        ("PUT", "/connections/<secret>"),
        ("GET", "/connectionSpecs/<secret>/configs"),
        ("GET", "/data/foundation/<secret>"),
        ("GET", "/data/foundation/catalog/<secret>"),
        ("GET", "~/<secret>"),
        ("GET", "/__emulator/exports/<secret>"),
        ("GET", "/__emulator/datasets/<secret>"),
        ("DELETE", "/__emulator/faults/<secret>"),
    ):
        yield Place("path", method, path)


def _queries() -> Iterator[Place]:
    for query in (
        *("<secret>=1", "property=name==<secret>", "property=description==<secret>", "property=<secret>"),
        *("property=name~^<secret>", "property=<secret>==1", "orderby=<secret>", "orderby=-<secret>"),
        *("count=<secret>", "limit=<secret>", "continuationToken=<secret>", "properties=<secret>"),
    ):
        yield Place("query", "GET", f"/connections?{query}")
    for query in ("x=<secret>", "access_token=<secret>", "sig=<secret>", "property=auth.params.sshKey==<secret>"):
        yield Place("query", "GET", f"/connections?{query}", known=True)
    yield Place("query", "POST", "/flows/<flow>/action?op=<secret>")
    yield Place("query", "GET", "/data/foundation/connectors/landingzone/credentials?type=<secret>")


def _fields() -> Iterator[Place]:
    bodies: dict[str, dict[str, Any]] = {
        "connections": S3.base_connection(),
        "sourceConnections": SOURCE_CONNECTION,
        "targetConnections": S3.target_connection("<connection>"),
        "flows": S3.flow("<source>", "<target>"),
    }
    below: Any
    for collection, body in bodies.items():

        def place(changes: dict[str, Any], *, known: bool = False, used: bool = False) -> Place:
            whole = {**body, **changes}  # noqa: B023 - called at once
            return Place(f"field {changes}", "POST", f"/{collection}", whole, known=known, used=used)  # noqa: B023

        for name in (
            *("name", "description", "connectionSpec", "state", "params", "data", "baseConnectionId", "unknown"),
            *("flowSpec", "sourceConnectionIds", "targetConnectionIds", "transformations", "scheduleParams"),
        ):
            for below in (SECRET, [SECRET], {"below": [SECRET]}, {**_members(body, name), SECRET: 1}):
                yield place({name: below}, used=name in ("name", "params", "scheduleParams"))
        yield place({SECRET: 1})
        yield place({"unknown": [{"a": {SECRET: {"b": 1}}}]})
        for name in ("s3SecretKey", "sasToken", "password", "my_client-secret", "connectionString", "sshKey"):
            for below in (SECRET, [SECRET], {"a": {"b": SECRET}}):
                yield place({name: below}, known=True)
                yield place({"unknown": [{name: below}]}, known=True)
                yield place({"params": {**_members(body, "params"), name: below}}, known=True)
        for below in (SECRET, [SECRET], {"params": {"token": SECRET}}, {"token": SECRET}, {"specName": SECRET}):
            yield place({"auth": below}, known=True)
            yield place({"unknown": {"Auth": below}}, known=True)
        for name in ("path", "bucketName", "compression", "datasetFileType", "mode", "unknown", "datasets"):
            yield place({"params": {**_members(body, "params"), name: SECRET}}, used=True)
        yield place({"params": {"datasets": [{"dataSetId": SECRET, "name": SECRET}]}}, used=True)


def _members(body: dict[str, Any], name: str) -> dict[str, Any]:
    """The members of a field that is an object; none of any other."""
    members = body.get(name)
    return members if isinstance(members, dict) else {}


def _credentials() -> Iterator[Place]:
    """In `auth`: where they belong and under other names, in bodies that are good, refused, and refused and large."""
    large = {"name": 5, "description": "d" * 70_000}
    ways: dict[str, dict[str, Any]] = {"good": {}, "refused": {"name": 5}, "large": large}
    for told, broken in ways.items():
        for destination in (S3, SFTP):
            body = {**destination.base_connection(), **broken}
            params: dict[str, Any] = destination.auths[0]["params"]
            names = ("s3SecretKey", "s3AccessKey", "password", "unknown", "sessionToken")
            texts: list[dict[str, Any]] = [{name: SECRET} for name in names]
            for changes in (*texts, *({name: [{"a": SECRET}]} for name in params)):
                auth = {**destination.auths[0], "params": {**params, **changes}}
                yield Place(
                    f"{told}: auth.params {changes}", "POST", "/connections", {**body, "auth": auth}, known=True
                )
            auth = {**destination.auths[0], "params": {**params, SECRET: "v"}}
            yield Place(f"{told}: name in auth.params", "POST", "/connections", {**body, "auth": auth})
            for auth in (
                {"specName": SECRET, "params": params},
                {**destination.auths[0], "params": SECRET},
                {**destination.auths[0], "unknown": SECRET},
            ):
                yield Place(f"{told}: auth {auth}", "POST", "/connections", {**body, "auth": auth}, known=True)


def _patches() -> Iterator[Place]:
    def place(operation: Any, *, collection: str = "connection", known: bool = False, used: bool = False) -> Place:
        path = f"/{collection}s/<{collection}>" if collection != "target" else "/targetConnections/<target>"
        return Place(f"patch {operation}", "PATCH", path, [operation], known=known, used=used)

    for key in ("value", "Value", "VALUE", "val"):
        for path in (
            *("/auth", "/auth/params", "/auth/params/s3SecretKey", "/auth/params/s3AccessKey", "/auth/params/new"),
            *("/auth/specName", "/auth/new", "/s3SecretKey", "/new/token", "auth.params.sshKey"),
        ):
            for op in ("add", "replace", "remove", "test"):
                yield place({"op": op, "path": path, key: SECRET}, known=True)
    for path in ("/name", "/description", "/new", "/connectionSpec/id", "", "/state"):
        for key in ("value", "Value"):
            yield place({"op": "add", "path": path, key: SECRET}, used=path == "/name")
    yield place({"op": SECRET, "path": "/name", "value": "n"})
    yield place({"op": "add", "path": f"/{SECRET}", "value": "n"})
    yield place({"op": "add", "path": f"/auth/params/{SECRET}", "value": "n"})
    yield place({"op": "copy", "from": SECRET, "path": "/name"})
    yield place({"op": "add", "path": "/name", SECRET: "n"})
    yield place({"op": "add", "value": SECRET}, known=True)
    yield place(SECRET, known=True)
    yield place({"op": "add", "path": "/params/path", "value": SECRET}, collection="target", used=True)
    yield place({"op": "add", "path": "/scheduleParams/x", "value": SECRET}, collection="flow", used=True)
    yield place({"op": "add", "path": "/transformations", "value": [{"a": SECRET}]}, collection="flow")


def _odd_bodies() -> Iterator[Place]:
    forms = ('{"auth":{"params":{"s3SecretKey":"<secret>"}},,', '{"s3SecretKey": <secret>', "<secret>", '"<secret>"')
    for method, path in (("POST", "/connections"), ("DELETE", "/connections/nope"), ("PATCH", "/connections/nope")):
        for content_type in (JSON, "text/plain", FORM):
            for form in (*forms, '["<secret>"]'):
                yield Place(f"body {form}", method, path, form, {"Content-Type": content_type}, known=True)
            form = '{"description":"<secret>"}'
            yield Place(f"body {form}", method, path, form, {"Content-Type": content_type})
    parts = '--x\r\nContent-Disposition: form-data; name="f"; filename="<secret>"\r\n\r\n<secret>\r\n--x--\r\n'
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    yield Place("multipart", "POST", "/connections", parts, multipart, known=True)
    oversized = {"description": SECRET, "more": "d" * 1_100_000}
    yield Place("more than a body may have", "POST", "/connections", oversized, known=True)
    for name in ("client_id", "client_secret", "code", "unknown", "grant_type", "scope"):
        given = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "s", name: SECRET}
        form = "&".join(f"{key}={value}" for key, value in given.items())
        known = name not in ("grant_type", "scope")
        yield Place(f"token form: {name}", "POST", TOKENS, form, {"Content-Type": FORM}, known=known)
    yield Place("token as JSON", "POST", TOKENS, {"client_secret": SECRET}, known=True)
    yield Place("run", "POST", "/runs", {"flowId": SECRET})
    for destination in (
        {"flowId": SECRET, "datasets": [{"id": "x"}]},
        {"flowId": "<flow>", "datasets": [{"id": SECRET}]},
    ):
        yield Place(f"ad hoc {destination}", "POST", ADHOC, {"activationInfo": {"destinations": [destination]}})
    yield Place("clock: mode", "PUT", "/__emulator/clock", {"mode": SECRET})
    yield Place("clock: a name", "PUT", "/__emulator/clock", {SECRET: 1})
