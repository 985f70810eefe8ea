"""What tests share: a server process, a client for it, and the one helper that guards every error body."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpcore  # noqa: F401  httpx does it late: within a run of pytest in a test, it would be forgotten again
import httpx
import pytest

from contract_tests.tutorial import BASE, S3, SOURCE_CONNECTION, Destination

FROZEN_NOW = 1_767_225_600
"""2026-01-01T00:00:00Z: where the tests' frozen clock starts."""
COMMAND = shlex.split(os.environ.get("FLOW_TEST_COMMAND", "")) or [sys.executable, "-m", "flow_service_emulator"]
"""The command that is tested, so that it can be `docker run …` of an image as well."""
ERRORS: dict[str, dict[str, Any]] = {
    row["name"]: row
    for row in json.loads((Path(__file__).parent.parent / "fixtures" / "errors.json").read_text("utf-8"))
}
RunReport = Callable[..., tuple[int, str, str]]
"""The fixture `run_report`: the command's arguments -> exit status, standard output, standard error."""
MESSAGE = {
    "flow": "errorMessage",
    "gateway": "message",
    "problem": "detail",
    "message": "message",
    "ims": "error_description",
}
"""Family of errors -> where the message stands."""


@dataclass
class ServerProcess:
    """A running server."""

    url: str
    export_dir: Path
    process: subprocess.Popen[str]
    log: Path

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 10) -> int:
        """Ends it with a signal; answers the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


@contextmanager
def serving(
    folder: Path, *flags: str, export_dir: Path | None = None, program: Sequence[str] = (*COMMAND, "serve")
) -> Iterator[ServerProcess]:
    """A server process on a free port, with its files and log in `folder`. Frozen at FROZEN_NOW unless flags say otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    export_dir = export_dir or folder / "exports"
    log = folder / "server.log"
    clock = () if "--clock" in flags else ("--clock", "frozen", "--now", str(FROZEN_NOW))
    command = [*program, "--port", "0", "--export-dir", str(export_dir), *clock, *flags]
    with (
        log.open("a") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith("listening on http://"), log.read_text()
            yield ServerProcess(line.split()[-1], export_dir, process, log)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


class KeptConnections(httpx.HTTPTransport):
    """Connections that outlive the clients which use them, since a new one for each test takes longer than a reset."""

    def close(self) -> None:
        """Nothing: `end` closes them."""

    def end(self) -> None:
        super().close()


class Api:
    """A client of the service with good headers, and the few steps that most tests begin with."""

    foreign = False
    """Whether this is another implementation: of unknown time, and with entities of others (`contract_tests.elsewhere`)."""
    prefix = ""
    """What every name begins with that this client creates."""

    def __init__(
        self,
        url: str,
        *,
        org: str = "TEST@AdobeOrg",
        sandbox: str | None = "prod",
        token: str = "test-token",
        api_key: str = "test-key",
        connections: KeptConnections | None = None,
    ) -> None:
        """`connections` are used instead of new ones."""
        self.url = url
        self.org = org
        self.sandbox = sandbox
        self.others: list[Api] = []
        headers = {"Authorization": f"Bearer {token}", "x-api-key": api_key, "x-gw-ims-org-id": org}
        if sandbox is not None:
            headers["x-sandbox-name"] = sandbox
        # loading certificates takes longer than most tests
        verify = url.startswith("https:")
        self._connections = connections
        self.http = self._client(
            base_url=url, headers=headers, timeout=60, trust_env=False, verify=verify, transport=connections
        )

    def _client(self, **options: Any) -> httpx.Client:
        return httpx.Client(**options)

    @property
    def now(self) -> int:
        """The instant (epoch seconds) that schedules reckon from; nothing that starts later runs by itself."""
        return FROZEN_NOW

    @property
    def later(self) -> dict[str, Any]:
        """A schedule whose first export is an hour away."""
        return {"interval": 3, "timeUnit": "hour", "startTime": self.now + 3600}

    def happened_now(self, milliseconds: int) -> bool:
        """Whether an instant is that of the server's clock, which has not been moved."""
        return milliseconds == FROZEN_NOW * 1000

    def pass_a_moment(self) -> None:
        """So that what is created next is newer."""
        self.advance(1)

    def named(self, body: Any) -> Any:
        """A body as it is sent: its name begins with `prefix`."""
        name = body.get("name") if isinstance(body, dict) else None
        if not isinstance(name, str) or not name or name.startswith(self.prefix):
            return body
        return {**body, "name": self.prefix + name}

    def own(self, collection: str) -> list[str]:
        """Conditions that leave what this client created there; none where there is nothing else."""
        return []

    def mine(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Those of a list that this client created."""
        return self.items(path, **params)

    def other(self, **scope: str | None) -> Api:
        """A client for another `org` or `sandbox`; None sends no sandbox. It ends with this one."""
        org, sandbox = scope.get("org") or self.org, scope.get("sandbox", self.sandbox)
        self.others.append(Api(self.url, org=org, sandbox=sandbox, connections=self._connections))
        return self.others[-1]

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(BASE + path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.http.post(BASE + path, json=body, **options)

    def patch(self, path: str, etag: str | None, body: Any, **options: Any) -> httpx.Response:
        headers = {"If-Match": etag} if etag is not None else {}
        return self.http.patch(BASE + path, json=body, headers={**headers, **options.pop("headers", {})}, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.http.delete(BASE + path, **options)

    def control(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """A control call's answer; fails when it is no success."""
        response = self.http.request(method, f"/__emulator{path}", json=body, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def advance(self, seconds: float) -> list[dict[str, Any]]:
        """Moves the clock on; answers the runs on the way."""
        runs: list[dict[str, Any]] = self.control("POST", "/clock/advance", {"seconds": seconds})["runs"]
        return runs

    def item(self, path: str) -> dict[str, Any]:
        """The one entity that a look-up answers."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        (item,) = response.json()["items"]
        assert isinstance(item, dict)
        return item

    def items(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """All entities of one page."""
        response = self.get(path, params=params or None)  # no parameters would take away the path's own
        assert response.status_code == 200, response.text
        items: list[dict[str, Any]] = response.json()["items"]
        return items

    def created(self, collection: str, body: Any) -> str:
        """Creates an entity and answers its id."""
        response = self.post(f"/{collection}", body)
        assert response.status_code == 201, response.text
        entity_id: str = response.json()["id"]
        return entity_id

    def target(self, destination: Destination, **params: Any) -> str:
        """A base and a target connection; answers the target's id."""
        base = self.created("connections", destination.base_connection())
        return self.created("targetConnections", destination.target_connection(base, **params))

    def flow(
        self,
        destination: Destination,
        schedule: dict[str, Any] | None = None,
        *,
        datasets: list[str] | None = None,
        **params: Any,
    ) -> str:
        """Everything up to a flow; answers its id. `schedule` and `params` replace the tutorial's."""
        body = (
            SOURCE_CONNECTION
            if datasets is None
            else {**SOURCE_CONNECTION, "params": {"datasets": [{"dataSetId": name} for name in datasets]}}
        )
        source = self.created("sourceConnections", body)
        return self.created("flows", destination.flow(source, self.target(destination, **params), **(schedule or {})))

    def flow_body(self, destination: Destination = S3, **fields: Any) -> dict[str, Any]:
        """The body of a flow to a new target connection, whose first export is an hour away."""
        source, target = self.created("sourceConnections", SOURCE_CONNECTION), self.target(destination)
        return {**destination.flow(source, target, **self.later), **fields}

    def patched(self, path: str, *operations: dict[str, Any]) -> dict[str, Any]:
        """The entity after a patch that is accepted."""
        response = self.patch(path, self.item(path)["etag"], list(operations))
        assert response.status_code == 200, response.text
        return self.item(path)

    def refused(self, path: str, error: str, patch: Any, etag: str | None = "", **fields: object) -> dict[str, Any]:
        """The report of a patch that is refused and changes nothing; with the entity's etag unless another is given."""
        before = self.item(path)
        response = self.patch(path, before["etag"] if etag == "" else etag, patch)
        assert len(response.content) < 2_000
        assert self.item(path) == before
        return assert_error(response, error, **fields)

    def requests(self, **filters: Any) -> list[dict[str, Any]]:
        """The recorded requests."""
        items: list[dict[str, Any]] = self.control("GET", "/requests", params=filters)["items"]
        return items

    def report(self) -> dict[str, Any]:
        """The contract report."""
        report: dict[str, Any] = self.control("GET", "/contract")
        return report

    def met(self) -> dict[str, dict[str, Any]]:
        """The rules that the contract report has something to say about, by id."""
        report = self.report()
        return {rule["id"]: rule for rule in (*report["violations"], *report["warnings"])}

    def clean_up(self) -> None:
        """Deletes what was created, where the server is not reset anyway."""

    def close(self) -> None:
        for client in (*self.others, self):
            client.http.close()


def replace(path: str | None, value: Any) -> dict[str, Any]:
    """An operation of a JSON Patch."""
    return {"op": "replace", "path": path, "value": value}


@contextmanager
def started(folder: Path, *flags: str) -> Iterator[tuple[Api, ServerProcess]]:
    """A server as `serving` has it, and a client of it; `data` among the flags is a data folder in `folder`."""
    given = [flag for each in flags for flag in (("--data-dir", str(folder / "data")) if each == "data" else (each,))]
    with serving(folder, *given) as server, closing(Api(server.url)) as api:
        yield api, server


def assert_error(response: httpx.Response, name: str, /, **fields: object) -> dict[str, Any]:
    """Guards an error's status, headers and whole body, and answers its `report` (or the body where it has none).

    `name` is the error's name in `fixtures/errors.json`. `fields` fill its message; a field left out may be anything.
    """
    row = ERRORS[name]
    assert response.status_code == row["status"], response.text
    assert response.headers["content-type"] == "application/json"
    request_id, body = response.headers["x-request-id"], response.json()
    if "elsewhere" in response.extensions and row["source"].startswith("emulator"):
        return dict(body)  # what the real service says then, nobody has published
    pattern = re.escape(row["message"]).replace("\\{", "{").replace("\\}", "}")
    pattern = re.sub(r"\{(\w+)\}", lambda part: re.escape(str(fields[part[1]])) if part[1] in fields else ".*", pattern)
    family = row["family"]
    message = body[MESSAGE[family]]
    flow_type = f"https://ns.adobe.com/aep/errors/FLOW-{row['code']}"
    report: dict[str, Any] = body.get("report", body)
    whole: dict[str, dict[str, Any]] = {
        "flow": {"type": flow_type, "title": row["title"], "status": row["status"], "report": report,
                 "errorMessage": message, "errorDetails": message},
        "gateway": {"error_code": row["code"], "message": message},
        "message": {"message": message},
        "ims": {"error": row["code"], "error_description": message},
        # a control call's has its own fields beside these
        "problem": {**body, "type": "/placeholder/type/uri", "title": row["title"], "status": row["status"], "detail": message},
    }  # fmt: skip
    assert body == whole[family]
    if family == "flow":
        assert (report["detailed-message"], report["request-id"]) == (message, request_id)
    assert re.fullmatch(pattern, message, re.DOTALL), f"{message!r} is not {row['message']!r} with {fields}"
    return report


def violations(response: httpx.Response) -> dict[str, dict[str, Any]]:
    """The violations of a refused body, by place."""
    report = assert_error(response, "provider-rejected")
    if "elsewhere" in response.extensions and "violations" not in report:
        pytest.skip("refused as documented, without the list of places, which is the emulator's own")
    return {violation["path"]: violation for violation in report["violations"]}
