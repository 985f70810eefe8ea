"""`GET /openapi.json`: complete, sound, and what the server really does.

Schemathesis makes requests of the description, good and bad ones, sends them to a real server and holds every answer against
the description: statuses, headers, content types, schemas, and that what the description forbids is refused.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from contract_tests.support import ERRORS, Api, ServerProcess, serving
from contract_tests.tutorial import DESTINATIONS
from flow_service_emulator.api.operations import READABLE

ORG = "OPENAPI@AdobeOrg"
API_KEY = "openapi"
REFUSING = (
    "^(list|search|patch|delete):|^create:(sourceConnections|targetConnections|flows|runs)$"
    "|^(adhocRun|actOnFlow|listConfigs|retriggerRun)$"
)
"""Operations that may refuse what fits the schema: it cannot say which ids, etags, tokens, places, states, times or clocks there are."""
SOME = (
    "^(create:runs|search:flows|patch:flows|delete:connections|get:runs|list:flowSpecs|listConfigs|adhocRun|actOnFlow"
    "|landingZone|refreshLandingZone|token)$"
)
"""One operation of each sort, for the quick look; `--slow` looks at all."""
CHECKS: dict[str, dict[str, Any]] = {
    "not_a_server_error": {"expected-statuses": ["2xx", "302", "4xx", "501"]},
    "negative_data_rejection": {"expected-statuses": ["4xx", "501"]},
    # it wants 401 where there is no Authorization; the gateway answers 403 (reference: Address and headers)
    "missing_required_header": {"enabled": False},
}


@dataclass
class Described:
    """A server, its description, and what is there to be asked for."""

    server: ServerProcess
    document: dict[str, Any]
    api: Api


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    """A server of this module's own: what schemathesis sends also moves its clock and replaces its state."""
    with serving(tmp_path_factory.mktemp("described"), "--check-auth", "--seed", "1") as server:
        form = {"grant_type": "client_credentials", "client_id": API_KEY, "client_secret": "secret"}
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            token = client.post("/ims/token/v3", data=form).json()["access_token"]
            response = client.get("/openapi.json")
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        api = Api(server.url, org=ORG, token=token, api_key=API_KEY)
        yield Described(server, response.json(), api)
        api.close()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)


def test_valid_openapi(described: Described) -> None:
    """By the meta-schema of OpenAPI 3.1, which schemathesis brings along."""
    import schemathesis  # takes half a second, and only one of the workers needs it

    schemathesis.openapi.from_dict(described.document).validate()
    for schema in described.document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for path, methods in described.document["paths"].items():
        for entry in methods.values():
            named = [each["name"] for each in entry["parameters"] if each["in"] == "path"]
            assert sorted(named) == sorted(re.findall(r"{(\w+)}", path))


def test_references_lead_somewhere_and_nothing_is_left_over(described: Described) -> None:
    components = {
        f"#/components/{kind}/{name}": component
        for kind, named in described.document["components"].items()
        if kind != "securitySchemes"
        for name, component in named.items()
    }
    reached: set[str] = set()
    waiting = set(references(described.document["paths"]))
    while waiting:
        reached |= waiting
        waiting = {found for name in waiting for found in references(components[name])} - reached
    left_over = {name.removeprefix("#/components/schemas/error.") for name in set(components) - reached}
    own = {name for name, kind in ERRORS.items() if kind["source"] == "emulator"}
    assert left_over <= own, "every error of the service is documented where it may occur"


def inhabited(api: Api) -> dict[str, list[str]]:
    """Makes entities of every kind, a flow for each destination; answers the ids of all."""
    for destination in DESTINATIONS:
        api.created("runs", {"flowId": api.flow(destination)})
    return {names: [item["id"] for item in api.items(f"/{names}")] for names in READABLE}


def closed(schema: Any) -> Any:
    """A copy in which objects have no other properties than those that are described."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {name: closed(item) for name, item in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        copy.setdefault("additionalProperties", False)
    return copy


def test_answers_have_no_undescribed_fields(described: Described) -> None:
    """Of entities of every kind, among them runs that are over, all fields are described."""
    api = described.api
    api.control("POST", "/reset")
    ids = inhabited(api)
    api.advance(0)
    components = {**described.document["components"], "schemas": closed(described.document["components"]["schemas"])}
    for collection, (entity_id, *_) in ids.items():
        whole = {"$ref": f"#/components/schemas/{READABLE[collection]}", "components": components}
        Draft202012Validator(whole).validate(api.item(f"/{collection}/{entity_id}"))
    query = "outputType=activationDatasets&outputField=datasets"
    configs = api.get(f"/connectionSpecs/{ids['connectionSpecs'][0]}/configs?{query}").json()
    Draft202012Validator({"$ref": "#/components/schemas/Configs", "components": components}).validate(configs)


def test_examples_fit_their_schemas(described: Described) -> None:
    components = described.document["components"]
    seen = 0
    for name, component in components["schemas"].items():
        whole = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})
        for part in [component, *component.get("anyOf", [])]:
            for example in part.get("examples", []):
                whole.validate(example)
                seen += 1
    assert seen > 12


def run_schemathesis(described: Described, folder: Path, *flags: str) -> None:
    """Runs schemathesis' own command, with its settings in `folder`. Fails with its report when that has failures."""
    described.api.control("POST", "/reset")
    lines = ["seed = 1"]
    for name, values in CHECKS.items():
        lines += [f"checks.{name}.{key} = {json.dumps(value)}" for key, value in values.items()]
    lines += ["[[operations]]", f"include-operation-id-regex = {json.dumps(REFUSING)}"]
    lines += ["checks.positive_data_acceptance.enabled = false"]
    (folder / "schemathesis.toml").write_text("\n".join(lines), "utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{described.server.url}/openapi.json", "--no-color"]
    for name in ("Authorization", "x-api-key", "x-gw-ims-org-id"):
        command += ["--header", f"{name}: {described.api.http.headers[name]}"]
    command += ["--generation-database", "none", *flags]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_schemathesis_on_some_operations(described: Described, tmp_path: Path) -> None:
    """Every boundary and fault of form that the description gives rise to."""
    run_schemathesis(described, tmp_path, "--phases", "coverage", "--include-operation-id-regex", SOME)


@pytest.mark.slow
def test_schemathesis_at_length(described: Described, tmp_path: Path) -> None:
    """All operations, with made-up requests and chains of operations by the links: some 17,000 requests."""
    run_schemathesis(described, tmp_path, "-n", "120", "--include-path-regex", "^/(data|ims)/")
