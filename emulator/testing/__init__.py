"""A running emulator as a test sees it: where it is, headers, clock, exported files, requests, faults, contract, datasets.

The pytest plugin hands a `FlowService` to tests; any other test framework can make one of a server's address.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, cast, overload

from emulator.testing.control_client import ControlClient, FlowServiceError
from emulator.testing.journal_text import explained

__all__ = [
    "ClockControl",
    "Contract",
    "Datasets",
    "ExportedFile",
    "Exports",
    "Faults",
    "FlowService",
    "FlowServiceError",
    "FlowServiceServer",
    "Instant",
    "Requests",
    "epoch_seconds",
]

BASE_PATH = "/data/foundation/flowservice"
DEFAULT_ORG = "TEST@AdobeOrg"
DEFAULT_SANDBOX = "prod"
API_KEY = "test-client"
DAY_SECONDS = 86_400
Instant: TypeAlias = float | str | datetime
"""Epoch seconds, an ISO 8601 text such as `2026-01-01T00:00:00Z`, or a datetime; UTC where it names no zone."""


def epoch_seconds(at: Instant) -> float:
    """An instant in epoch seconds. Raises ValueError for a text that is none."""
    if isinstance(at, str):
        try:
            return float(at)
        except ValueError:
            at = datetime.fromisoformat(at)
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return float(at)


@dataclass(frozen=True, slots=True)
class FlowServiceServer:
    """A running server. `export_dir` is its export folder where this machine has it, else None: files are then downloaded.

    A `shared` server is not reset: each test has an organization or sandbox of its own on it. `log` is its log file.
    """

    url: str
    export_dir: Path | None = None
    shared: bool = False
    log: Path | None = None


class FlowService:
    """A server, and the organization and sandbox that a test has on it."""

    def __init__(
        self,
        server: FlowServiceServer,
        *,
        org: str = DEFAULT_ORG,
        sandbox: str = DEFAULT_SANDBOX,
        downloads: Callable[[], Path] | None = None,
    ) -> None:
        """`downloads` gives a folder for files of a server that is not on this machine."""
        self.server = server
        self.url = server.url
        """`http://HOST:PORT`."""
        self.base_url = server.url + BASE_PATH
        """The address that a client of the Flow Service is given."""
        self.org = org
        self.sandbox = sandbox
        self._token = "test-token"
        self._client = ControlClient(server.url)
        scope = {"org": org, "sandbox": sandbox} if server.shared else {}
        self.clock = ClockControl(self._client)
        self.exports = Exports(self._client, server.export_dir, downloads or _no_folder, scope)
        self.requests = Requests(self._client, scope)
        self.faults = Faults(self._client, scope)
        self.contract = Contract(self._client, self.requests if server.shared else None)
        self.datasets = Datasets(self._client)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every request to the Flow Service needs; a new dict each time."""
        return {
            "Authorization": f"Bearer {self._token}",
            "x-api-key": API_KEY,
            "x-gw-ims-org-id": self.org,
            "x-sandbox-name": self.sandbox,
        }

    @property
    def export_dir(self) -> Path:
        """The folder with the exported files; those of a server elsewhere come into it when their paths are asked for."""
        return self.exports.export_dir

    def reset(self, clock: Mapping[str, Any] | None = None) -> None:
        """Makes the server forget everything and empties its export folder; on a shared server only this test's faults go.

        `clock` says how time goes on: `mode` ("real", "frozen" or "accelerated"), `now` (epoch seconds) and `speed`; without
        it, time begins as it did when the server started.
        """
        if self.server.shared:
            self.faults.clear()
        else:
            body = None if clock is None else {"clock": dict(clock)}
            self._client.call("POST", "/reset", body, exports="true")

    def fetch_token(self) -> str:
        """Gets an access token for `headers`, which a server with `--check-auth` asks for. Answers it."""
        form = f"grant_type=client_credentials&client_id={API_KEY}&client_secret=test-secret&scope=openid"
        answer = self._client.send(
            "POST", "/ims/token/v3", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        )
        token: str = json.loads(answer)["access_token"]
        self._token = token
        return token

    def control(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Any control call: `control("GET", "/state")`. Answers its JSON; raises FlowServiceError."""
        return self._client.call(method, path, body, **query)

    def close(self) -> None:
        """Lets go of the connection; on a shared server, takes this test's faults away first."""
        try:
            if self.server.shared:
                self.faults.clear()
        finally:
            self.disconnect()

    def disconnect(self) -> None:
        """Lets go of the connection and leaves all else as it is; the next call opens a new one."""
        self._client.close()


class ClockControl:
    """The server's clock, in epoch seconds. On a shared server it is everybody's."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client

    @property
    def now(self) -> float:
        """The present there."""
        return float(self._client.call("GET", "/clock")["now"])

    @property
    def mode(self) -> str:
        """ "real", "frozen" or "accelerated"."""
        return str(self._client.call("GET", "/clock")["mode"])

    def freeze(self, at: Instant | None = None) -> float:
        """Stops time, now or at a later instant (what falls due until then is run first). Answers the time."""
        return self.set(mode="frozen", now=at)

    def set(self, *, mode: str | None = None, now: Instant | None = None, speed: float | None = None) -> float:
        """Changes how time passes: "real", "frozen", or "accelerated" with `speed` seconds in one. Answers the time."""
        given = {"mode": mode, "now": None if now is None else epoch_seconds(now), "speed": speed}
        body = {name: value for name, value in given.items() if value is not None}
        return float(self._client.call("PUT", "/clock", body)["now"])

    def advance(
        self,
        seconds: float = 0.0,
        *,
        minutes: float = 0.0,
        hours: float = 0.0,
        days: float = 0.0,
        to: Instant | None = None,
    ) -> list[dict[str, Any]]:
        """Moves time on by a length, or to an instant, and runs every export on the way.

        Answers the runs in their order, each with `id`, `flowId`, `scheduledAt` and `status`, when all files are on disk.
        """
        length = seconds + 60 * minutes + 3600 * hours + DAY_SECONDS * days
        if to is not None and length:
            raise ValueError("either a length of time or `to` can be given")
        body = {"seconds": length} if to is None else {"to": epoch_seconds(to)}
        return cast("list[dict[str, Any]]", self._client.call("POST", "/clock/advance", body)["runs"])


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One exported file. `relative_path` is below the export folder, `size` in bytes."""

    relative_path: str
    size: int
    row_count: int
    dataset: str
    flow: str
    run: str
    _locate: Callable[[str], Path]

    @property
    def path(self) -> Path:
        """The file on this machine; fetched first when the server is elsewhere."""
        return self._locate(self.relative_path)

    @property
    def name(self) -> str:
        return self.relative_path.rpartition("/")[2]

    def rows(self) -> list[dict[str, Any]]:
        """The file's rows. NDJSON gives them as JSON has them, Parquet with datetimes."""
        from emulator.testing.file_rows import file_rows

        return file_rows(self.path)


class Exports(Sequence[ExportedFile]):
    """The exported files that are there now, those of the oldest run first."""

    def __init__(
        self, client: ControlClient, folder: Path | None, downloads: Callable[[], Path], scope: Mapping[str, str]
    ) -> None:
        self._client = client
        self._folder = folder
        self._downloads = downloads
        self._scope = scope

    @cached_property
    def export_dir(self) -> Path:
        return self._folder or self._downloads()

    def files(
        self, *, flow: str | None = None, run: str | None = None, dataset: str | None = None
    ) -> list[ExportedFile]:
        """The files of a flow, run or dataset, by their ids."""
        items = self._client.call("GET", "/exports", flow=flow, run=run, dataset=dataset, **self._scope)["items"]
        return [
            ExportedFile(
                item["path"], item["size"], item["rows"], item["dataset"], item["flow"], item["run"], self._locate
            )
            for item in items
        ]

    def rows(
        self, *, flow: str | None = None, run: str | None = None, dataset: str | None = None
    ) -> list[dict[str, Any]]:
        """The rows of all these files together."""
        return [row for file in self.files(flow=flow, run=run, dataset=dataset) for row in file.rows()]

    def __len__(self) -> int:
        return len(self.files())

    def __iter__(self) -> Iterator[ExportedFile]:
        return iter(self.files())

    @overload
    def __getitem__(self, index: int) -> ExportedFile: ...
    @overload
    def __getitem__(self, index: slice) -> list[ExportedFile]: ...
    def __getitem__(self, index: int | slice) -> ExportedFile | list[ExportedFile]:
        return self.files()[index]

    def _locate(self, relative_path: str) -> Path:
        path = self.export_dir / relative_path
        if self._folder is None and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._client.send("GET", f"/__emulator/exports/{relative_path}"))
        return path


class Requests(Sequence[dict[str, Any]]):
    """The requests that this test has sent, as the journal has them, newest last.

    Each has `number`, `at`, `durationMs`, `method`, `path`, `query`, `operation`, `request` and `answer` (`headers`, `body`),
    `status`, `error`, `verdict` ("ok", "remark", "violation", "injected" or "failed") and `findings`.
    """

    def __init__(self, client: ControlClient, scope: Mapping[str, str]) -> None:
        self._client = client
        self._scope = scope

    def find(self, **filters: Any) -> list[dict[str, Any]]:
        """Those that fit: `method`, `path`, `status` (404 or "4xx"), `operation`, `verdict`, `since`, `limit`."""
        items = self._client.call("GET", "/requests", **{**self._scope, **filters})["items"]
        return cast("list[dict[str, Any]]", items)

    def text(self, limit: int = 50) -> str:
        """The newest of them for people: what was answered, and for each bad one why, and how to mend it."""
        return explained(self.find(limit=limit))

    def __len__(self) -> int:
        return len(self.find())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.find())

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return self.find()[index]


class Faults:
    """Faults that the server injects. On a shared server they meet this test's organization and sandbox alone.

    A rule is a dict such as `{"kind": "rate-limit", "nth": 2, "retryAfter": 1}`; a text is a scenario's name, such as
    "rate-limited". An unknown kind, field or name raises FlowServiceError with the allowed values.
    """

    def __init__(self, client: ControlClient, scope: Mapping[str, str]) -> None:
        self._client = client
        self._scope = scope
        self._added: list[str] = []

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules in their order, with how often each has `matched` and `fired`."""
        rules: list[dict[str, Any]] = self._client.call("GET", "/faults")["rules"]
        return [rule for rule in rules if rule["id"] in self._added] if self._scope else rules

    def set(self, *wanted: Mapping[str, Any] | str) -> list[dict[str, Any]]:
        """Puts rules and scenarios in the place of those that are there; none are, when one of these is refused."""
        self.clear()
        try:
            return [rule for each in wanted for rule in self._add(each)]
        except FlowServiceError:
            self.clear()
            raise

    def add(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Puts one rule behind those that are there: `add("error", error="service-unavailable", times=2)`."""
        return self._add({"kind": kind, **fields})[0]

    def scenario(self, name: str) -> list[dict[str, Any]]:
        """Puts a scenario's rules in the place of those that are there."""
        return self.set(name)

    def clear(self) -> None:
        """Takes away the rules that are there."""
        if not self._scope:
            self._client.call("DELETE", "/faults")
        while self._added:
            if self._scope:
                self._delete(self._added[-1])
            self._added.pop()

    def _add(self, wanted: Mapping[str, Any] | str) -> list[dict[str, Any]]:
        rule = {"scenario": wanted} if isinstance(wanted, str) else dict(wanted)
        added: list[dict[str, Any]] = self._client.call("POST", "/faults", {**self._scope, **rule})["rules"]
        self._added += [entry["id"] for entry in added]
        return added

    def _delete(self, rule_id: str) -> None:
        try:
            self._client.call("DELETE", f"/faults/{rule_id}")
        except FlowServiceError as refused:
            if refused.status != 404:  # taken away by a reset of the shared server
                raise


class Contract:
    """What the client under test does wrong (violations), what is fragile (remarks), and what it has met (coverage)."""

    def __init__(self, client: ControlClient, requests: Requests | None) -> None:
        """`requests` are this test's on a shared server, whose report is everybody's."""
        self._client = client
        self._requests = requests

    def report(self) -> dict[str, Any]:
        """The server's whole report, as `/__emulator/contract` gives it."""
        return cast("dict[str, Any]", self._client.call("GET", "/contract"))

    @property
    def violations(self) -> list[dict[str, Any]]:
        """The rules that were broken, each with `id`, `mend`, `count` and `findings` (`place`, `message`)."""
        return self._met("violation")

    @property
    def remarks(self) -> list[dict[str, Any]]:
        """Likewise what worked, but is undocumented, deprecated or fragile."""
        return self._met("remark")

    @property
    def coverage(self) -> dict[str, Any]:
        """What the client has met and what not, by `operations`, `parameters`, `destinations` and more; the server's own."""
        return cast("dict[str, Any]", self.report()["coverage"])

    def assert_clean(self, *, remarks: bool = False, ignore: Sequence[str] = ()) -> None:
        """Raises AssertionError when there are violations, or `remarks` where these count as well.

        `ignore` names rules that are known and accepted.
        """
        __tracebackhide__ = True  # pytest then shows the test's own line
        met = [*self.violations, *(self.remarks if remarks else ())]
        broken = [rule for rule in met if rule["id"] not in ignore]
        if broken:
            raise AssertionError("the contract is not kept:\n" + "\n".join(_rule_text(rule) for rule in broken))

    def save(self, path: Path | str) -> None:
        """Writes the report to a file: `.html`, `.json`, `.xml` (JUnit) or `.txt`."""
        path = Path(path)
        forms = {".html": "html", ".json": "json", ".xml": "junit", ".txt": "text"}
        if path.suffix not in forms:
            raise ValueError(f"a name that ends in {', '.join(forms)} is needed, got {path.name!r}")
        path.write_bytes(self._client.send("GET", "/__emulator/contract", format=forms[path.suffix]))

    def _met(self, severity: str) -> list[dict[str, Any]]:
        if self._requests is None:
            return cast("list[dict[str, Any]]", self.report()[f"{severity}s"])
        rules: dict[str, dict[str, Any]] = {}
        for entry in self._requests.find():
            for finding in entry["findings"]:
                if finding.get("severity") == severity:
                    met = {
                        "id": finding["rule"],
                        "severity": severity,
                        "mend": finding.get("mend", ""),
                        "count": 0,
                        "findings": [],
                    }
                    rule = rules.setdefault(finding["rule"], met)
                    rule["count"] += 1
                    rule["findings"].append({**finding, "operation": entry["operation"], "count": 1})
        return list(rules.values())


class Datasets:
    """Datasets of the test's own, which then can be exported as any other. On a shared server they are everybody's."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client

    def put(
        self, dataset_id: str, records: Sequence[Mapping[str, Any]] | None = None, **described: Any
    ) -> dict[str, Any]:
        """Sets a dataset: its `records`, or a `schema` or `like` (another's id) with the number of `rows` to make.

        `name` is what lists show, `rowsPerHour` how it grows. Raises FlowServiceError for what cannot be.
        """
        body = described if records is None else {**described, "records": list(records)}
        return cast("dict[str, Any]", self._client.call("PUT", f"/datasets/{dataset_id}", {"name": dataset_id, **body}))

    def get(self, dataset_id: str) -> dict[str, Any]:
        """A dataset as it is."""
        return cast("dict[str, Any]", self._client.call("GET", f"/datasets/{dataset_id}"))

    def delete(self, dataset_id: str) -> None:
        """Takes a dataset of the test's own away again."""
        self._client.call("DELETE", f"/datasets/{dataset_id}")


def _rule_text(rule: Mapping[str, Any]) -> str:
    lines = [
        f"{rule['id']} ({rule['severity']}, {rule['count']} times)"
        if rule["count"] > 1
        else f"{rule['id']} ({rule['severity']})"
    ]
    lines += [f"  {finding['message']}" for finding in rule["findings"][:5]]
    return "\n".join([*lines, f"  to mend it: {rule['mend']}"])


def _no_folder() -> Path:
    raise FlowServiceError(
        "this FlowService was made without a folder for downloads; give it one: downloads=lambda: folder"
    )
