"""Values that every schema takes and that do not look like what they stand for: a warning, never a refusal.

Source: the specs in the reference hold these parameters to no form; what each stands for is said in the guides of the destinations.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract_tests.support import Api, replace
from contract_tests.tutorial import ADLS, AZURE_BLOB, DESTINATIONS, GOOGLE, S3, SFTP, Destination

FIXTURES = Path(__file__).parents[2] / "fixtures"
FORMS = json.loads((FIXTURES / "forms.json").read_text("utf-8"))
pytestmark = pytest.mark.emulator_only


def told(api: Api) -> dict[str, str]:
    """Place -> message of the warnings about forms; beside what the tutorial's own requests bring about nothing else was told."""
    met = api.met()
    assert met.keys() <= {"value-form", "json-uncompressed", "connection-spec-missing"}
    return {finding["place"]: finding["message"] for finding in met.get("value-form", {"findings": ()})["findings"]}


CREDENTIALS: list[tuple[Destination, int, str, str]] = [
    (SFTP, 1, "sshKey", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    (SFTP, 1, "sshKey", "a2V5"[:-1]),
    (SFTP, 1, "sshKey", ""),
    (AZURE_BLOB, 0, "connectionString", "https://example.blob.core.windows.net"),
    (AZURE_BLOB, 0, "connectionString", "AccountName=;AccountKey="),
    (AZURE_BLOB, 0, "connectionString", ""),
    (SFTP, 0, "domain", ""),
    (SFTP, 0, "domain", "sftp://sftp.example.com"),
    (SFTP, 0, "domain", "alice@sftp.example.com"),
    (SFTP, 0, "domain", "sftp.example.com:22"),
    (SFTP, 0, "domain", "sftp.example.com/exports"),
    (SFTP, 0, "username", " alice"),
    (SFTP, 0, "password", ""),
    (ADLS, 0, "url", "https://example.blob.core.windows.net"),
    (ADLS, 0, "url", "example.dfs.core.windows.net"),
    (ADLS, 0, "tenant", "my tenant"),
    (ADLS, 0, "servicePrincipalId", "exporter"),
    (ADLS, 0, "servicePrincipalKey", ""),
    (S3, 0, "s3AccessKey", "AROAIOSFODNN7EXAMPLE"),
    (S3, 0, "s3AccessKey", "ASIAIOSFODNN7EXAMPLE"),
    (GOOGLE, 0, "accessKeyId", "AKIAIOSFODNN7EXAMPLE"),
    (GOOGLE, 0, "secretAccessKey", ""),
]


@pytest.mark.parametrize(("destination", "variant", "name", "value"), CREDENTIALS)
def test_credentials_of_another_form(api: Api, destination: Destination, variant: int, name: str, value: str) -> None:
    auth = destination.auths[variant]
    body = {**destination.base_connection(variant), "auth": {**auth, "params": {**auth["params"], name: value}}}
    api.created("connections", body)
    ((place, message),) = told(api).items()
    assert place == f"auth.params.{name}"
    assert not value or value not in message, "it may be a secret"


@pytest.mark.parametrize(("destination", "value"), [
    *((S3, path) for path in ("", "/", "/folder", "a//b", "%SEGMENT_NAME%")),
    *((ADLS, path) for path in ("..", "a/../b", "./a", "a/ b")),
    *((SFTP, path) for path in ("", "a//b", "../up")),
])  # fmt: skip
def test_paths_of_another_form(api: Api, destination: Destination, value: str) -> None:
    (name,) = {"path", "remotePath"} & destination.target.keys()
    api.target(destination, **{name: value})
    assert list(told(api)) == [f"params.{name}"]


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda item: item.folder)
def test_what_the_tutorial_sends_and_common_values_are_fine(api: Api, destination: Destination) -> None:
    for variant in range(len(destination.auths)):
        api.created("connections", destination.base_connection(variant))
    name = "remotePath" if destination is SFTP else "path"
    special = {SFTP.folder: ["/home/a", "a.b"], ADLS.folder: ["v1.2/x..y"]}.get(destination.folder, ["a.b"])
    for value in ("folder", "a/b-c/d_e/", *special):
        api.target(destination, **{name: value})
    for other, changed in (
        *((SFTP, {"domain": domain}) for domain in ("10.0.0.1", "sftp", "a_b.example.com")),
        (ADLS, {"tenant": ADLS.auths[0]["params"]["servicePrincipalId"]}),
    ):
        auth = other.auths[0]
        body = {**other.base_connection(), "auth": {**auth, "params": {**auth["params"], **changed}}}
        api.created("connections", body)
    assert told(api) == {}


def test_a_patch_of_another_field_says_nothing_again(api: Api) -> None:
    path = f"/targetConnections/{api.target(S3, path='/folder', compression='GZIP')}"
    api.control("DELETE", "/contract")
    api.patched(path, replace("/name", "new"))
    assert told(api) == {}


def test_every_text_parameter_without_a_form_of_its_own_is_looked_at() -> None:
    """Of every spec: what has neither a pattern nor an enum has a row in `fixtures/forms.json`."""
    free = set()
    for file in (FIXTURES / "connection-specs").glob("*.json"):
        spec = json.loads(file.read_text("utf-8"))["spec"]
        parts = [("auth.params", auth["spec"]) for auth in spec["authSpec"]]
        parts += [("params", spec["targetSpec"]["spec"])] if "targetSpec" in spec else []
        for place, schema in parts:
            for name, declared in schema["properties"].items():
                if declared["type"] == "string" and not declared.keys() & {"pattern", "enum"}:
                    free.add(f"{place}.{name}")
    assert free <= FORMS.keys()
