"""The exported files, as those read them who get them: four forms on six destinations, and what the real client exports."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.json
import pyarrow.parquet
import pytest

from contract_tests.aepp_client import DATASET, Client, configure, own_settings, point_at
from contract_tests.support import FROZEN_NOW, Api
from contract_tests.tutorial import DESTINATIONS, FIRST_DATASET

FORMS = {("JSON", "NONE"): ".json", ("JSON", "GZIP"): ".json.gz"}
FORMS |= {("PARQUET", "NONE"): ".parquet", ("PARQUET", "GZIP"): ".gz.parquet"}
ORDERS = [
    {"orderId": 1, "total": 9.5, "customer": "Zoë", "paid": True, "note": None},
    {"orderId": 2, "total": 20.25, "customer": 'O\'Neil, "Pat"\n', "paid": False, "note": "twice"},
    {"orderId": 2**40, "total": -0.125, "customer": "", "paid": True, "note": None},
]


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        file = pyarrow.parquet.ParquetFile(path)
        packed = {file.metadata.row_group(0).column(n).compression for n in range(file.metadata.num_columns)}
        assert packed == {"GZIP"} if path.name.endswith(".gz.parquet") else "GZIP" not in packed
        table = file.read()
    else:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        table = pyarrow.json.read_json(pyarrow.BufferReader(content))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_four_forms_on_six_destinations(api: Api, export_dir: Path) -> None:
    """Everything first, later what was added; the same rows in each form, and a run's figures are those of its files."""
    api.control("PUT", "/datasets/orders", {"name": "Orders", "records": ORDERS})
    hourly = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
    flows, built_in = {}, []
    for destination in DESTINATIONS:
        for kind, compression in FORMS:
            form = {"datasetFileType": kind, "compression": compression}
            path = {"remotePath" if "remotePath" in destination.target else "path": f"{kind}-{compression}"}
            flow = api.flow(destination, hourly, datasets=["orders", FIRST_DATASET], **form, **path)
            flows[flow] = destination, kind, compression
    assert [run["status"] for run in api.advance(60)] == ["success"] * 24
    files = api.control("GET", "/exports")["items"]
    instant = datetime.fromtimestamp(FROZEN_NOW + 60, UTC).strftime("exportTime=%Y%m%d%H%M")
    for file in files:
        destination, kind, compression = flows[file["flow"]]
        path = export_dir / file["path"]
        place = (destination.folder, destination.container, f"{kind}-{compression}", file["dataset"], instant)
        assert path.parent == export_dir.joinpath(*place)
        assert path.name.startswith("part-00000-tid-") and "." + path.name.partition(".")[2] == FORMS[kind, compression]
        rows = rows_of(path)
        assert len(rows) == file["rows"] and path.stat().st_size == file["size"]
        if file["dataset"] == "orders":
            assert rows == ORDERS
        else:
            built_in.append([row["_id"] for row in rows])
    assert len(built_in) == 24 and len(built_in[0]) > 100 and all(ids == built_in[0] for ids in built_in)
    for flow in flows:
        (run,) = api.items("/runs", property=f"flowId=={flow}")
        own = [file for file in files if file["flow"] == flow]
        assert run["metrics"]["recordSummary"]["outputRecordCount"] == sum(file["rows"] for file in own)
        assert run["metrics"]["sizeSummary"]["outputBytes"] == sum(file["size"] for file in own)
        assert run["metrics"]["fileSummary"]["outputFileCount"] == 2
    api.control("PUT", "/datasets/orders", {"name": "Orders", "records": [*ORDERS, {**ORDERS[0], "orderId": 3}]})
    api.advance(3 * 3600)
    orders = api.control("GET", "/exports", params={"dataset": "orders"})["items"]
    later = [rows_of(export_dir / file["path"]) for file in orders if file not in files]
    assert [[row["orderId"] for row in rows] for rows in later] == [[3]] * 24


def test_the_real_client_exports(api: Api, export_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with own_settings(monkeypatch, tmp_path):
        configure()
        point_at(api.url)
        client = Client()
        flow = client.flow(compression="GZIP", fileType="PARQUET")
        assert flow["id"] in [each["id"] for each in client.flows.getFlows()]
        (at_once,) = api.advance(0)
        (run,) = client.flows.getRuns(prop=f"flowId=={flow['id']}")
        assert run["id"] == at_once["id"] and run["metrics"]["statusSummary"]["status"] == "success"
        folder = export_dir / "data-landing-zone" / "aepp" / f"data-landing-zone_{DATASET}_20260101_000000"
        (path,) = folder.glob("part-*.gz.parquet")
        assert len(rows_of(path)) == run["metrics"]["recordSummary"]["outputRecordCount"] > 0
        client.flows.deleteFlow(flow["id"])
        assert client.flows.getFlows() == []
        assert {answer.status_code for answer in client.answers} <= {200, 201, 202}
