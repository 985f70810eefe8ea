"""The same real client with a server in real time that checks tokens: its token, its paging of datasets, its exporter class."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from aepp import exportDatasetToDataLandingZone

from contract_tests.aepp_client import DATASET, DAY, OTHER_DATASET, Client, configure, own_settings, point_at
from contract_tests.support import ServerProcess, serving
from contract_tests.tutorial import S3

MANY = 103
"""More than the largest page, 100, holds."""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with own_settings(monkeypatch, tmp_path):
        yield


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server in real time that checks tokens and has more datasets than one page holds."""
    folder = tmp_path_factory.mktemp("strict")
    body = {"description": "", "fileDescription": {}, "aspect": "production", "state": "DRAFT"}
    rows = {"schema": "device", "rows": 20, "rowsPerHour": 1}
    datasets = [{"id": f"{number:024x}", "name": f"Devices {number}", **body, **rows} for number in range(MANY)]
    (folder / "fixtures" / "datasets").mkdir(parents=True)
    (folder / "fixtures" / "datasets" / "more.json").write_text(json.dumps(datasets))
    with serving(folder, "--clock", "real", "--check-auth", "--fixtures", str(folder / "fixtures")) as process:
        yield process


@pytest.fixture
def strict(strict_server: ServerProcess) -> Client:
    """The client with that server."""
    requests.post(f"{strict_server.url}/__emulator/reset", timeout=10).raise_for_status()
    configure()
    point_at(strict_server.url)
    return Client()


def test_token(strict: Client) -> None:
    """It fetches a token, uses it where tokens are checked, and fetches another when its own is over."""
    flows = strict.flows
    assert flows.getFlows() == []
    assert strict.answers[0].request.headers["Authorization"] == f"Bearer {flows.connector.token}"
    flows.connector.config["date_limit"] = 0
    assert flows.getFlows() == []
    assert flows.connector.config["date_limit"] > time.time()
    assert [answer.status_code for answer in strict.answers] == [200, 200]
    flows.connector.header["Authorization"] = "Bearer made-up"
    assert flows.getConnections() == {"error_code": "401013", "message": "Oauth token is not valid"}


def test_exportable_datasets_in_pages(strict: Client) -> None:
    """It asks for 100 from `start` 0, 100, ... as long as `hasNext` says so."""
    found = [dataset["id"] for dataset in strict.flows.getExportableDatasets(S3.spec)]
    assert len(strict.answers) == 2
    assert len(found) == len(set(found)) == strict.answers[0].json()["pageInfo"]["total"] > 100
    assert {f"{number:024x}" for number in range(MANY)} < set(found)


@dataclass
class Exporter:
    """The client's exporter class with a configuration file as it wants one, and its naps made short."""

    client: Client
    folder: Path

    def __post_init__(self) -> None:
        self.file = self.folder / "exporter.ini"
        self.file.write_text("[Platform]\ndataflow_id =\n")
        self.itself = exportDatasetToDataLandingZone.ExportDatasetToDataLandingZone()
        self.client.watch(self.itself.flow_conn)

    def export(self, dataset_id: str, *, on_schedule: bool) -> str:
        flow_id: str = self.itself.createDataFlowRunIfNotExists(
            dataset_id, "gzip", "parquet", "exports", on_schedule, str(self.file), "exporter", initial_delay=0
        )
        config = ConfigParser()
        config.read(self.file)
        assert config["Platform"]["dataflow_id"] == flow_id
        return flow_id


@pytest.fixture
def exporter(strict: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exporter:
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.02)))
    return Exporter(strict, tmp_path)


def test_exporter_on_schedule(exporter: Exporter) -> None:
    """Every three hours from now on; asked again for the same dataset, it takes the flow that it made."""
    flow_id = exporter.export(DATASET, on_schedule=True)
    flows = exporter.client.flows
    flow = flows.getFlow(flow_id)
    assert flow["scheduleParams"] == {
        "interval": 3,
        "timeUnit": "hour",
        "startTime": flow["scheduleParams"]["startTime"],
    }
    assert abs(flow["scheduleParams"]["startTime"] * 1000 - flow["createdAt"]) < 600_000
    target = flows.getTargetConnection(flow["targetConnectionIds"][0])
    assert target["params"] == {
        "mode": "Server-to-server",
        "compression": "GZIP",
        "datasetFileType": "PARQUET",
        "path": "exports",
    }
    assert "auth" not in flows.getConnection(target["baseConnectionId"])
    assert exporter.export(DATASET, on_schedule=True) == flow_id
    assert exporter.export(OTHER_DATASET, on_schedule=True) != flow_id
    assert len(flows.getFlows()) == 2


def test_exporter_at_once(exporter: Exporter) -> None:
    """One run, the start a year ahead, the flow disabled; asked again, it enables the flow, exports and disables it again.

    The client looks for `["items"]` in what its `getRun` has already taken out of `items`, and would wait for ever: a caller's
    own way round that fault is taken here.
    """
    service = exporter.itself.flow_conn
    get_run = service.getRun
    service.getRun = lambda runId: {"items": get_run(runId)}
    flow_id = exporter.export(f"{0:024x}", on_schedule=False)
    flows = exporter.client.flows
    flow = flows.getFlow(flow_id)
    assert flow["state"] == "disabled"
    year_ahead = flow["createdAt"] // 1000 + 365 * DAY
    assert flow["scheduleParams"] == {
        "interval": 1,
        "timeUnit": "day",
        "startTime": flow["scheduleParams"]["startTime"],
    }
    assert abs(flow["scheduleParams"]["startTime"] - year_ahead) < 600
    assert exporter.export(f"{0:024x}", on_schedule=False) == flow_id
    assert flows.getFlow(flow_id)["state"] == "disabled"
    runs = flows.getRuns(prop=f"flowId=={flow_id}")
    assert [run["metrics"]["statusSummary"]["status"] for run in runs] == ["success", "success"]
