"""A server, and the organization and sandbox that a test has on it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_service_emulator.testing.answers import CreatedFlow
from flow_service_emulator.testing.client import ControlClient, FlowServiceError, given
from flow_service_emulator.testing.controls import ClockControl, Datasets, Faults
from flow_service_emulator.testing.exported import Exports
from flow_service_emulator.testing.requests import Contract, Requests

if TYPE_CHECKING:
    from flow_service_emulator.testing.on_export import Receiver, ToBeCalled

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here

BASE_PATH = "/data/foundation/flowservice"
DEFAULT_ORG = "TEST@AdobeOrg"
DEFAULT_SANDBOX = "prod"
API_KEY = "test-client"


@dataclass(frozen=True, slots=True)
class FlowServiceServer:
    """A running server. `export_dir` is its export folder where this machine has it, else None: files are then downloaded.

    A `shared` server is not reset: each test has an organization or sandbox of its own on it. `log` is its log file.
    """

    url: str
    export_dir: Path | None = None
    shared: bool = False
    log: Path | None = None


def _no_folder() -> Path:
    raise FlowServiceError("a FlowService of a server elsewhere needs a folder for files: downloads=lambda: folder")


class FlowService:
    """A server, and the organization and sandbox that a test has on it."""

    def __init__(
        self,
        server: FlowServiceServer,
        *,
        org: str = DEFAULT_ORG,
        sandbox: str = DEFAULT_SANDBOX,
        downloads: Callable[[], Path] = _no_folder,
    ) -> None:
        """`downloads` gives a folder for files of a server that is not on this machine."""
        self.server = server
        self.url = server.url
        """`http://HOST:PORT`."""
        self.base_url = server.url + BASE_PATH
        """The address that a client of the Flow Service is given."""
        self.org = org
        self.sandbox = sandbox
        self.before_reset: Callable[[], None] | None = None
        """Called before the server forgets what it has seen: the pytest plugin then adds it to the run's report."""
        self._receiver: Receiver | None = None
        self._token = "test-token"
        self._token_ends = math.inf
        self._client = ControlClient(server.url, scope={"org": org, "sandbox": sandbox} if server.shared else {})
        self.clock = ClockControl(self._client)
        self.exports = Exports(self._client, server.export_dir, downloads)
        self.requests = Requests(self._client)
        self.faults = Faults(self._client)
        self.contract = Contract(self._client, self.requests if server.shared else None)
        self.datasets = Datasets(self._client)

    def __repr__(self) -> str:
        return f"<FlowService at {self.url} for {self.org}, {self.sandbox}>"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every request to the Flow Service needs; a new dict each time, with a token that has not expired."""
        if self._token_ends < math.inf and self.clock.now >= self._token_ends:
            self.fetch_token()
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

    def create_flow(
        self,
        dataset: str | Sequence[str],
        destination: str,
        *,
        every_hours: int | None = None,
        file_type: str | None = None,
        compression: str | None = None,
        path: str | None = None,
        params: Mapping[str, Any] | None = None,
        schedule: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> CreatedFlow:
        """Make a flow, and the three connections that it needs, with valid values; not as a request of the client under test.

        `destination` is the name of its export folder, such as "amazon-s3". It exports at once and then `every_hours` (3, 6, 8,
        9, 12 or 24; 0 is once), "JSON" or "PARQUET", compressed or not ("GZIP", "NONE"), to the folder `path`. What else the
        service takes goes into `params` of the target connection and `schedule`, the flow's `scheduleParams`.
        """
        ends = {"dataset": dataset, "destination": destination, "org": self.org, "sandbox": self.sandbox}
        form = given(fileType=file_type, compression=compression, path=path, params=params)
        when = given(everyHours=every_hours, schedule=schedule, name=name)
        flow: CreatedFlow = self._client.call("POST", "/flows", {**ends, **form, **when})
        return flow

    def reset(self, clock: Mapping[str, Any] | None = None) -> None:
        """Make the server forget everything and empty its export folder; on a shared server only this test's faults go.

        `clock` says how time goes on: `mode` ("real", "frozen" or "accelerated"), `now` (epoch seconds) and `speed`; without
        it, time begins as it did when the server started.
        """
        self.close()
        if not self.server.shared:
            if self.before_reset is not None:
                self.before_reset()
            self._client.call("POST", "/reset", clock and {"clock": clock}, exports="true")

    def state(self) -> dict[str, Any]:
        """A snapshot of all that the server holds, its clock included; not the exported files."""
        state: dict[str, Any] = self._client.call("GET", "/state")
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put a snapshot back, of this server or another. Raises FlowServiceError for one that is not whole."""
        self._client.call("PUT", "/state", state)

    def fetch_token(self) -> str:
        """Get an access token for `headers`, which a server with `--check-auth` asks for. Answers it."""
        form = f"grant_type=client_credentials&client_id={API_KEY}&client_secret=test-secret&scope=openid"
        answer = self._client.send(
            "POST", "/ims/token/v3", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        )
        fetched = json.loads(answer)
        self._token, self._token_ends = str(fetched["access_token"]), self.clock.now + fetched["expires_in"]
        return self._token

    def on_export(self, function: ToBeCalled) -> ToBeCalled:
        """Call a function of this process with each run that ends, once its files are on disk, until the test ends or resets.

        It gets what a call after an export is told, as a dict, and is called in a thread of its own. When it raises, the run fails,
        and `clock.advance` raises the same. Raises FlowServiceError on a shared server, whose runs are not this test's alone.
        """
        if self.server.shared:
            raise FlowServiceError("on_export needs a server of the test's own, and this one is shared")
        if self._receiver is None:
            from flow_service_emulator.testing.on_export import Receiver

            self._receiver = Receiver()
            self.clock.after_advance = self._receiver.raise_failure
            self.control("PUT", "/after-export", {"url": self._receiver.url})
        self._receiver.functions.append(function)
        return function

    def control(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Make any control call: `control("GET", "/state")`. Answers its JSON; raises FlowServiceError."""
        return self._client.call(method, path, body, **query)

    def close(self) -> None:
        """Call no function of `on_export` any more; on a shared server, take this test's faults away."""
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            self.control("PUT", "/after-export", {"url": None})
            receiver.end()
        if self.server.shared:
            self.faults.clear()
