"""What is a secret is masked by its place, wherever it is stored or shown; whatever else a client sends stays as it is.

Source: design, "A secret is"; issue "First do no harm", defects 1 to 3.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract_tests.support import Api, replace, serving
from contract_tests.tutorial import ADLS, AZURE_BLOB, DESTINATIONS, GOOGLE, LANDING_ZONE, S3, SFTP, Destination

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"
SHA512 = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
SAS = "https://account.blob.core.windows.net/c?sv=2022-11-02&sig=c2lnbmF0dXJlLW9mLXRoZS1zYXM%3D"
PASSWORDS: dict[str, list[str]] = {
    S3.folder: ["s3SecretKey"],
    AZURE_BLOB.folder: ["connectionString"],
    ADLS.folder: ["servicePrincipalKey"],
    GOOGLE.folder: ["secretAccessKey"],
    SFTP.folder: ["password", "sshKey"],
    LANDING_ZONE.folder: [],
}


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda item: item.folder)
def test_passwords_come_back_masked_and_the_rest_as_it_was_sent(api: Api, destination: Destination) -> None:
    """Fields whose schema says `format: password`: in look-ups, lists, projections and what a patch answers."""
    for variant, auth in enumerate(destination.auths):
        path = f"/connections/{api.created('connections', destination.base_connection(variant))}"
        masked = {name: "****" for name in PASSWORDS[destination.folder] if name in auth["params"]}
        assert masked and api.item(path)["auth"]["params"].items() >= {**auth["params"], **masked}.items()
        patched = api.patch(path, api.item(path)["etag"], [replace("/name", "other")])
        for answer in (patched, api.get(path), api.get("/connections"), api.get("/connections?property=auth,id")):
            for name in masked:
                assert json.dumps(auth["params"][name])[1:-1] not in answer.text


@pytest.mark.parametrize("text", [
    *("run V1StGXR8Z5jdHi6BmyT0QrStUvWxYz0123456789 end", f"digest {SHA512}", "cursor eyJqb2IiOjd9.v1", SAS, JWT),
    "token=abc123 and https://user:pass@host/; password: see the vault",
    "-----BEGIN RSA PRIVATE KEY----- abc -----END RSA PRIVATE KEY-----",
])  # fmt: skip
def test_a_text_comes_back_as_it_was_sent(api: Api, text: str) -> None:
    """In a name and a description, after a patch too; and a filter finds it."""
    path = f"/connections/{api.created('connections', {**LANDING_ZONE.base_connection(), 'name': text})}"
    item = api.item(path)
    name = item["name"]
    assert name.endswith(text)
    assert api.patched(path, {"op": "add", "path": "/description", "value": text})["description"] == text
    found = api.items("/connections", property=f"name=={json.dumps(name)}")
    assert [each["id"] for each in found] == [item["id"]]


@pytest.mark.emulator_only
def test_fields_are_not_masked_for_their_names(api: Api) -> None:
    fields = {
        "clientId": "my-client",
        "tokenizer": "whitespace",
        "secretSanta": "Alice",
        "password": "of a base connection",
        "sasToken": SAS,
        "nested": {"apiKey": [JWT], "Auth": {"key": 5}},
    }
    path = f"/connections/{api.created('connections', {**LANDING_ZONE.base_connection(), **fields})}"
    item = api.item(path)
    assert {name: item[name] for name in fields} == fields
    assert api.requests()[0]["request"]["body"].items() >= fields.items()


@pytest.mark.emulator_only
def test_files_go_where_they_were_sent_for(api: Api, export_dir: Path) -> None:
    path = "a/eyJhIjoxfQ.eyJiIjoyfQ/c"
    api.flow(S3, path=path)
    assert api.advance(7 * 3600)
    assert [folder for folder in export_dir.rglob("c") if folder.as_posix().endswith(path)]


@pytest.mark.emulator_only
def test_organizations_stay_apart_when_the_token_is_their_id(api: Api) -> None:
    """Organization and sandbox are identifiers: never masked, whatever else equals them."""
    one, other = (Api(api.url, org=org, sandbox=org, token=org) for org in ("0123456789ABCDEF@AdobeOrg", JWT))
    created = one.created("connections", LANDING_ZONE.base_connection())
    assert one.item(f"/connections/{created}")["imsOrgId"] == one.org
    assert one.item(f"/connections/{created}")["sandboxName"] == one.org
    assert other.items("/connections") == []
    entries = api.control("GET", "/requests", params={"org": one.org, "sandbox": one.org})["items"]
    assert len(entries) == 3
    for client in (one, other):
        client.close()


@pytest.mark.emulator_only
@pytest.mark.parametrize("sent", ["simple", JWT, "test-token", "Sig=abcdefghijklmnopqrstuvwxyz", "i" * 128])
def test_the_clients_request_id_is_used(api: Api, sent: str) -> None:
    """Also in the body of an error, in the journal and in the report."""
    refused = api.get("/flows?limit=0", headers={"x-request-id": sent})
    assert refused.headers["x-request-id"] == sent
    assert refused.json()["report"]["request-id"] == sent
    assert api.requests()[0]["requestId"] == sent
    assert api.report()["violations"][0]["findings"][0]["first"]["requestId"] == sent


class Marks:
    """Secrets that can be told from everything else."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def new(self, form: str = "{}") -> str:
        """A secret; of a form, in which its mark is what is searched for."""
        self.given.append(f"MARK{len(self.given):04d}MARK")
        return form.format(self.given[-1])

    def found_in(self, text: str) -> list[str]:
        return [mark for mark in self.given if mark in text]


FORMS = {
    "s3SecretKey": "wJalrXUtnFEMI/K7MDENG+b{}EXTRA",
    "connectionString": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==;EndpointSuffix=core.windows.net",
    "password": 'quo"ted {} \\ back',
}


def secret_auth(destination: Destination, variant: int, marks: Marks) -> dict[str, Any]:
    """Credentials with secrets in all their places, keys among them that the spec does not declare."""
    auth = destination.auths[variant]
    params = {
        name: marks.new(FORMS.get(name, "{}")) if name in PASSWORDS[destination.folder] else value
        for name, value in auth["params"].items()
    }
    return {**auth, "params": {**params, "undeclared": marks.new(), "nested": {"deep": [marks.new()]}}}


def plant(api: Api, marks: Marks) -> list[str]:
    """Sends secrets wherever they have their place, taken and refused; answers all that was answered."""
    headers = {"Authorization": f"Bearer {marks.new()}", "x-api-key": marks.new(), "Cookie": f"session={marks.new()}"}
    answers = []

    def send(method: str, path: str, body: Any, if_match: str = "") -> None:
        answer = api.http.request(
            method, f"/data/foundation/flowservice{path}", json=body, headers={**headers, "If-Match": if_match}
        )
        answers.append(answer.text)

    for destination in DESTINATIONS:
        for variant in range(len(destination.auths)):
            path = f"/connections/{api.created('connections', destination.base_connection(variant))}"
            good = destination.base_connection(variant)
            send("POST", "/connections", {**good, "auth": secret_auth(destination, variant, marks)})
            send("POST", "/connections", {**good, "name": 5, "auth": secret_auth(destination, variant, marks)})
            send("POST", "/connections", {**good, "auth": marks.new()})
            send("POST", "/connections", {**good, "auth": marks.new(), "value": 1, "path": "/name"})
            send("POST", "/connections", {**good, "auth": {"specName": "no such kind", "key": marks.new()}})
            auth = secret_auth(destination, variant, marks)
            for place, value in (
                ("/auth", auth),
                ("/auth/params", auth["params"]),
                ("/auth/params/undeclared", marks.new()),
                *((f"/auth/params/{name}", marks.new()) for name in PASSWORDS[destination.folder]),
            ):
                operation = {"op": "replace", "path": place, "value": value}
                send("PATCH", path, [operation], api.item(path)["etag"])
                send("PATCH", path, [operation], '"stale"')
                send("PATCH", path, operation, api.item(path)["etag"])
    send("GET", f"/connections?property=auth.params.s3SecretKey=={marks.new()}", None)
    form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": marks.new(), "scope": "openid"}
    api.http.post("/ims/token/v3", data=form)
    api.http.post("/ims/token/v3", json={**form, "client_secret": marks.new()})
    api.http.post("/ims/token/v3", params={**form, "client_secret": marks.new()})
    return answers


@pytest.mark.emulator_only
def test_no_secret_is_stored_or_shown(tmp_path: Path) -> None:
    """Not in an answer, an error text, a list, the journal, the snapshot, a report, the data folder or the log."""
    marks, shown = Marks(), {}
    with serving(tmp_path, "--data-dir", str(tmp_path / "data")) as process:
        api = Api(process.url)
        shown["answers"] = "\n".join(plant(api, marks))
        issued = api.http.post(
            "/ims/token/v3", data={"grant_type": "client_credentials", "client_id": "me", "client_secret": "s"}
        )
        sas = api.http.get("/data/foundation/connectors/landingzone/credentials?type=dlz_destination").json()
        marks.given += [issued.json()["access_token"], sas["SASToken"], sas["SASUri"]]
        shown["list"] = api.get("/connections?limit=100").text
        for path in ("requests", "state", *(f"contract?format={form}" for form in ("json", "text", "junit", "html"))):
            shown[path] = api.http.get(f"/__emulator/{path}").text
        api.close()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    shown |= {path.name: path.read_bytes().decode("utf-8", "replace") for path in written}
    assert len(marks.given) > 50 and len(written) >= 2
    assert {name: found for name, text in shown.items() if (found := marks.found_in(text))} == {}
    assert '"s3AccessKey":"AKIAIOSFODNN7EXAMPLE"' in shown["list"]


@pytest.mark.emulator_only
def test_the_journal_shows_all_that_is_no_secret(api: Api) -> None:
    headers = {"Authorization": "Bearer abc", "x-api-key": "key", "Cookie": "a=b", "x-my-own": JWT, "If-Match": JWT}
    api.post("/connections", S3.base_connection(), headers=headers)
    (entry,) = api.requests()
    params = {"s3AccessKey": "AKIAIOSFODNN7EXAMPLE", "s3SecretKey": "****"}
    assert entry["request"]["body"] == {**S3.base_connection(), "auth": {"specName": "Access Key", "params": params}}
    masked = {"authorization": "Bearer ****", "x-api-key": "****", "cookie": "****", "x-my-own": JWT, "if-match": JWT}
    assert entry["request"]["headers"].items() >= masked.items()
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b", "scope": "openid"}
    api.http.post("/ims/token/v3", data=form)
    entry = api.requests()[-1]
    assert entry["request"]["body"] == {**form, "client_secret": "****"}
    assert entry["answer"]["body"] == {"access_token": "****", "token_type": "bearer", "expires_in": 86399}
    api.get('/flows?property=name=="a name"&orderby=-createdAt&mine=token')
    api.get("/connections?property=auth.params.username==bob&property=auth.params.sshKey==abc")
    queries = [each["query"] for each in api.requests()[-2:]]
    assert queries[0] == "property=name==%22a%20name%22&orderby=-createdAt&mine=token"
    assert queries[1] == "property=auth.params.username==bob&property=auth.params.sshKey==****"


@pytest.mark.emulator_only
def test_an_error_and_the_log_do_not_repeat_a_secret(tmp_path: Path) -> None:
    """By its value, from 8 characters on, whole or cut short: a shorter one may be any word. The journal has what was sent."""
    secret, key = "0123456789ABCDEFGHIJ0123456789KLMNOPQRST", "key-of-the-client"
    params = {"s3AccessKey": "AKIAIOSFODNN7EXAMPLE", "s3SecretKey": secret, "short": "connect"}
    auth = {"specName": "Access Key", "params": params}
    with serving(tmp_path) as process:
        api = Api(process.url, api_key=key)
        for spec_id, shown in ((secret, "****"), ("connect", "connect"), (f"{secret * 9} end", "**** end")):
            refused = api.post("/connections", {"name": "n", "auth": auth, "connectionSpec": {"id": spec_id}})
            assert refused.json()["report"]["value"].startswith(shown[:4]), refused.text
            assert secret not in refused.text
        assert api.get("/flows", params={"orderby": key}).json()["errorMessage"].count("****") == 1
        api.get(f"/nope/{key}")
        api.get(f"/flows/{key}")
        form = {"grant_type": "of-the-client-2", "client_id": "me", "client_secret": "of-the-client-2"}
        assert "of-the-client-2" not in api.http.post("/ims/token/v3", data=form).text
        api.close()
    log = process.log.read_text()
    (line,) = (line for line in log.splitlines() if key in line)
    assert f"/flows/{key} 404 The requested flows resource {key} is" in line  # the id of an entity is an identifier
    assert "/nope/**** 404" in log
