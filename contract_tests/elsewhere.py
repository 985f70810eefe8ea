"""Another implementation than this emulator, or the real service: how the black-box tests get on with it.

Nothing is known of its time, its store is not empty, and others use it. So a test makes entities of its own under a name that
can be recognised, flows that start in a month, and deletes all of it; where it is asked to wait, it waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from contract_tests.support import Api
from contract_tests.tutorial import BASE, Destination

MARK = "flow-service-contract-test-"
"""Begins every name that is created elsewhere."""
NOTED = ("flows", "targetConnections", "sourceConnections", "connections", "runs")
"""Collections, in the order in which their entities can be deleted; runs cannot."""
DELETABLE = NOTED[:-1]
A_MONTH = 30 * 86_400
LONGEST_WAIT = 120
ATTEMPTS = 10


@dataclass(frozen=True)
class Address:
    """Where the other implementation is, and as whom to speak to it."""

    url: str
    org: str = "TEST@AdobeOrg"
    sandbox: str = "prod"
    token: str = "test-token"
    api_key: str = "test-key"
    other_org: str | None = None
    other_sandbox: str | None = None

    @classmethod
    def read(cls, url: str, variables: Mapping[str, str]) -> Address:
        """With what the environment's variables say, such as `FLOW_TEST_API_KEY`."""
        names = {field.name: f"FLOW_TEST_{field.name.upper()}" for field in fields(cls)[1:]}
        return cls(url.rstrip("/"), **{name: variables[told] for name, told in names.items() if told in variables})

    def client(self) -> ForeignApi:
        """A client with a prefix of its own for names."""
        return ForeignApi(self, self.org, self.sandbox)

    def clients_everywhere(self) -> list[ForeignApi]:
        """One for each organization and sandbox that the tests create something in."""
        return [
            ForeignApi(self, org, sandbox)
            for org in (self.org, self.other_org)
            for sandbox in (self.sandbox, self.other_sandbox)
            if org and sandbox
        ]


class _PatientClient(httpx.Client):
    """Waits as long as it is told to, and notes what it creates."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.created: list[str] = []

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        response = super().send(request, **options)
        attempts = 1
        while response.status_code == 429 and attempts < ATTEMPTS and isinstance(request.stream, httpx.ByteStream):
            told = response.headers.get("Retry-After", "")
            time.sleep(min(int(told) if told.isdigit() else 2**attempts, LONGEST_WAIT))
            response = super().send(request, **options)
            attempts += 1
        response.extensions["elsewhere"] = True
        collection = request.url.path.removeprefix(f"{BASE}/").rstrip("/")
        if request.method == "POST" and response.status_code == 201 and collection in NOTED:
            self.created.append(f"/{collection}/{response.json()['id']}")
        return response


class ForeignApi(Api):
    """A client of the other implementation."""

    foreign = True

    def __init__(self, address: Address, org: str, sandbox: str | None) -> None:
        self._address = address
        self._started = int(time.time())
        self.prefix = f"{MARK}{uuid4().hex[:8]}-"
        super().__init__(address.url, org=org, sandbox=sandbox, token=address.token, api_key=address.api_key)

    def _client(self, **options: Any) -> httpx.Client:
        there = urlsplit(self.url).hostname not in ("127.0.0.1", "localhost", "::1")
        self._patient = _PatientClient(**{**options, "trust_env": there})
        return self._patient

    @property
    def now(self) -> int:
        return self._started + A_MONTH

    def happened_now(self, milliseconds: int) -> bool:
        """By this machine's clock, give or take five minutes."""
        return abs(milliseconds / 1000 - time.time()) < 300

    def pass_a_moment(self) -> None:
        time.sleep(0.01)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return super().post(path, self.named(body), **options)

    def patch(self, path: str, etag: str | None, body: Any, **options: Any) -> httpx.Response:
        if isinstance(body, list):
            body = [self._renaming(operation) for operation in body]
        return super().patch(path, etag, body, **options)

    def _renaming(self, operation: Any) -> Any:
        if not isinstance(operation, dict) or operation.get("path") != "/name":
            return operation
        named = self.named({"name": operation.get("value")})["name"]
        return {**operation, "value": named} if "value" in operation else operation

    def flow(self, destination: Destination, schedule: dict[str, Any] | None = None, **options: Any) -> str:
        return super().flow(destination, schedule or self.later, **options)

    def own(self, collection: str) -> list[str]:
        ids = [place.split("/")[2] for place in self._patient.created if place.startswith(f"/{collection}/")]
        return [f"id=={','.join(ids)}"]

    def mine(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Those of all pages that this client created."""
        created = {place.split("/")[2] for place in self._patient.created}
        return [item for item in self._all(path, **params) if item["id"] in created]

    def _all(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        response = self.get(path, params=params or None)
        while True:
            assert response.status_code == 200, response.text
            body = response.json()
            yield from body["items"]
            href = body["_links"].get("next", {}).get("href")
            if href is None:
                return
            response = self.get(href)

    def other(self, **scope: str | None) -> ForeignApi:
        """A client for the other organization or sandbox that the environment names; without one the test is skipped."""
        address = self._address
        org, sandbox = self.org, self.sandbox
        if "org" in scope:
            org = address.other_org or pytest.skip("needs another organization: FLOW_TEST_OTHER_ORG")
        if scope.get("sandbox", "prod") not in (None, "", "prod"):
            sandbox = address.other_sandbox or pytest.skip("needs another sandbox: FLOW_TEST_OTHER_SANDBOX")
        elif "sandbox" in scope:
            sandbox = scope["sandbox"] if address.sandbox == "prod" else pytest.skip("needs the sandbox prod")
        self.others.append(other := ForeignApi(address, org, sandbox))
        return other

    def control(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        pytest.fail("needs control of the emulator; mark the test `emulator_only`")

    def clean_up(self) -> None:
        """Deletes what this client and its others created. Fails where something cannot be deleted."""
        for other in self.others:
            other.clean_up()
        left = self.deleted([place for place in self._patient.created if not place.startswith("/runs/")])
        assert not left, f"could not be deleted: {left}"

    def deleted(self, places: list[str]) -> list[str]:
        """Deletes entities (`/flows/<id>`), flows first, since they hold the rest; answers what could not be deleted."""
        ordered = sorted(places, key=lambda place: DELETABLE.index(place.split("/")[1]))
        return [place for place in ordered if self.delete(place).status_code not in (200, 202, 204, 404)]

    def marked(self) -> list[str]:
        """Everything in this sandbox whose name says that it is such a test's."""
        return [
            f"/{collection}/{item['id']}"
            for collection in DELETABLE
            for item in self._all(f"/{collection}", limit=100)
            if str(item.get("name", "")).startswith(MARK)
        ]
