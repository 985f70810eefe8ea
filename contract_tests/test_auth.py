"""Tokens, organizations and sandboxes where they are checked: `--check-auth`, `--orgs` and `--sandboxes`.

Source: reference, section "Address and headers" (gateway) and rows 2000-401 and 2100-404 of the error table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from urllib.parse import urlencode

import httpx
import pytest

from contract_tests.support import Api, ServerProcess, assert_error, serving
from contract_tests.tutorial import BASE

ORG, OTHER_ORG = "FIRST@AdobeOrg", "SECOND@AdobeOrg"
CLIENT = {"grant_type": "client_credentials", "client_id": "key-1", "client_secret": "s3cr3t-p8e", "scope": "openid"}
TOKEN_SECONDS = 86_399


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that checks tokens, and knows two organizations and two sandboxes."""
    folder = tmp_path_factory.mktemp("guarded")
    with serving(folder, "--check-auth", "--orgs", f"{ORG},{OTHER_ORG}", "--sandboxes", "prod,dev") as process:
        yield process


@pytest.fixture
def client(guarded: ServerProcess) -> Iterator[Api]:
    """A client with a good token, on a server that has forgotten everything."""
    api = Api(guarded.url, org=ORG, api_key="key-1")
    api.control("POST", "/reset")
    api.http.headers["Authorization"] = f"Bearer {token(api)}"
    yield api
    api.close()


def token(api: Api, **fields: str) -> str:
    """A token from the token endpoint."""
    response = api.http.post("/ims/token/v3", data={**CLIENT, **fields})
    assert response.status_code == 200, response.text
    text: str = response.json()["access_token"]
    return text


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


GUARDED: dict[str, Callable[[Api], httpx.Response]] = {
    "gateway-token-not-valid": lambda api: api.get("/flows", headers=bearer("made-up")),
    "gateway-api-key-invalid": lambda api: api.get("/flows", headers={"x-api-key": "key-2"}),
    "gateway-org-not-entitled": lambda api: api.get("/flows", headers=bearer(token(api, org_id=OTHER_ORG))),
    "org-no-access": lambda api: api.get("/flows", headers={"x-gw-ims-org-id": "THIRD@AdobeOrg"}),
    "sandbox-not-found": lambda api: api.get("/flows", headers={"x-sandbox-name": "stage"}),
}
"""The rows of the error table that only such a server answers, and what causes each."""


@pytest.mark.parametrize("name", GUARDED)
def test_error(client: Api, name: str) -> None:
    fields = {"name": "stage"} if name == "sandbox-not-found" else {}
    assert_error(GUARDED[name](client), name, **fields)


def test_token_expires_by_the_emulators_clock(client: Api) -> None:
    """Reference: an expired token is 401013; `expires_in` is in seconds."""
    client.advance(TOKEN_SECONDS - 1)
    assert client.get("/flows").status_code == 200
    client.advance(1)
    assert_error(client.get("/flows"), "gateway-token-not-valid")


@pytest.mark.parametrize("text", [0, 1, 2, "a.b.c", "..", "a" * 5_000, "é.è.ê", "a.b", "null", "{}"])
def test_token_that_is_none(client: Api, text: int | str) -> None:
    """One changed character of header, claims or signature is enough."""
    if isinstance(text, int):
        parts = token(client).split(".")
        parts[text] = ("A" if parts[text][0] != "A" else "B") + parts[text][1:]
        text = ".".join(parts)
    response = client.get("/flows", headers={"Authorization": f"Bearer {text}".encode("latin-1")})
    assert_error(response, "gateway-token-not-valid")


def test_token_of_another_server(client: Api, api: Api) -> None:
    assert_error(client.get("/flows", headers=bearer(token(api))), "gateway-token-not-valid")


@pytest.mark.parametrize(
    "form",
    [
        {},
        {**CLIENT, "client_id": ""},
        {name: value for name, value in CLIENT.items() if name != "client_secret"},
        {**CLIENT, "grant_type": "authorization_code"},
        *(b"", b"\xff\xfe", b"{}", b"&" * 1000, b"grant_type=&client_id=%zz"),
    ],
)
def test_token_request_that_is_not_complete_or_no_form(client: Api, form: dict[str, str] | bytes) -> None:
    """RFC 6749, section 5.2."""
    content = form if isinstance(form, bytes) else urlencode(form).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert_error(client.http.post("/ims/token/v3", content=content, headers=headers), "token-request-invalid")


def test_token_request_in_the_query(client: Api) -> None:
    """As Adobe's older instructions have it; the secret is masked in the journal."""
    answer = client.http.post("/ims/token/v2", params=CLIENT)
    client.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    assert client.get("/flows").status_code == 200
    assert CLIENT["client_secret"] not in client.http.get("/__emulator/requests").text
    assert "client_id" in client.http.get("/__emulator/requests").text


def test_each_known_org_and_sandbox_is_served(client: Api) -> None:
    for org, sandbox in product((ORG, OTHER_ORG), ("prod", "dev")):
        headers = {"x-gw-ims-org-id": org, "x-sandbox-name": sandbox}
        assert client.get("/connections", headers=headers).status_code == 200


def test_landing_zone_and_adhoc_are_behind_the_gateway_too(client: Api) -> None:
    """Reference: Endpoints: they are outside the base path, on the same host."""
    zone, adhoc = "connectors/landingzone?type=dlz_destination", "/data/core/activation/disflowprovider/adhocrun"
    for method, path in (("GET", f"/data/foundation/{zone}"), ("POST", adhoc), ("GET", f"{BASE}/connectionSpecs")):
        assert_error(client.http.request(method, path, headers=bearer("made-up")), "gateway-token-not-valid")
