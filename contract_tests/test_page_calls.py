"""The control calls behind the dashboard: its own files, the overview, and the look into an exported file."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error
from contract_tests.tutorial import LANDING_ZONE, S3
from flow_service_emulator.control.exports import MAX_ROWS, MAX_TEXT, PreviewError, preview
from flow_service_emulator.control.overview import MAX_FILES, MAX_FLOWS, MAX_RUNS

HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 600}
FOLDER = Path(__file__).parent.parent / "emulator" / "flow_service_emulator" / "control" / "page"


def another_flow(api: Api, like: str, name: str = "another", **schedule: Any) -> str:
    """A flow with the connections of one that is there."""
    flow = api.item(f"/flows/{like}")
    body = S3.flow(flow["sourceConnectionIds"][0], flow["targetConnectionIds"][0], **{**HOURLY, **schedule})
    return api.created("flows", {**body, "name": name})


def test_the_page_loads_nothing_from_elsewhere(api: Api) -> None:
    """Its own files only, with a policy that a browser holds it to; no script or style within the HTML."""
    for path in ("/__emulator", "/__emulator/"):
        answer = api.http.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    html = answer.text
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)
    for link in re.findall(r'(?:src|href)="(/[^"#?]*)', html):
        assert link.startswith("/__emulator/page/") or link in {"/__emulator/contract", "/__emulator/docs/"}
        assert api.http.get(link).status_code == 200
    for file in FOLDER.iterdir():
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\b", text), file


def test_the_bare_address_leads_to_the_page_and_is_no_call_of_the_client(api: Api) -> None:
    answer = api.http.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/__emulator/")
    assert api.control("GET", "/requests")["items"] == []
    assert api.control("GET", "/contract")["violations"] == []
    assert api.http.get("/nope").status_code == 404
    assert [request["path"] for request in api.control("GET", "/requests")["items"]] == ["/nope"]


def test_an_overview_is_bounded(api: Api) -> None:
    """It goes over every organization and sandbox, newest first, and says how many there are in all."""
    first = api.flow(S3, {**HOURLY, "endTime": FROZEN_NOW + 86_400 * 40})
    second = api.other(org="OTHER@AdobeOrg", sandbox="dev").flow(LANDING_ZONE, HOURLY)
    api.advance(86_400 * 20)
    for _ in range(MAX_FLOWS):
        another_flow(api, first, interval=1, timeUnit="day", startTime=FROZEN_NOW + 86_400 * 30)
    seen = api.control("GET", "/overview")
    assert [len(seen[name]) for name in ("flows", "runs", "files")] == [MAX_FLOWS, MAX_RUNS, MAX_FILES]
    assert (seen["counts"]["flows"], seen["counts"]["runs"]) == (MAX_FLOWS + 2, 320)
    assert seen["next"] == FROZEN_NOW + 600 + 86_400 * 20
    started = [run["startedAt"] for run in seen["runs"]]
    assert started == sorted(started, reverse=True)
    assert {run["flowId"] for run in seen["runs"]} == {first, second}
    assert None not in {run["flowName"] for run in seen["runs"]}  # they are not among the flows, but still there
    assert {run["flowNext"] for run in seen["runs"]} == {FROZEN_NOW + 600 + 86_400 * 20}
    assert {file["flow"] for file in seen["files"]} == {first, second}


def test_an_overview_tells_lives_apart(api: Api) -> None:
    """Its epoch is another one after a reset, a restored state and an emptied journal, and for another server."""
    seen, state = [], api.control("GET", "/state")
    for call in (("GET", "/clock"), ("POST", "/reset"), ("PUT", "/state", state), ("DELETE", "/requests")):
        api.control(*call)
        api.get("/flows")
        seen += [api.control("GET", "/overview")["epoch"] for _ in range(2)]
    assert seen[::2] == seen[1::2] and len(set(seen)) == 4


def test_an_overview_counts_verdicts(api: Api) -> None:
    """Over all requests, whatever the journal and the contract report still have of them; a snapshot brings them along."""
    api.get("/flows/nowhere")
    api.get("/flows")
    api.control("DELETE", "/requests")
    api.control("DELETE", "/contract")
    api.get("/flows")
    state = api.control("GET", "/state")
    api.control("POST", "/reset")
    api.control("PUT", "/state", state)
    seen = api.control("GET", "/overview")
    assert seen["verdicts"] == {"ok": 2, "warning": 0, "violation": 1, "injected": 0, "failed": 0}
    assert seen["counts"]["requests"] == 3
    assert seen["counts"]["journal"] == 1


def test_an_overview_of_some_flows(api: Api) -> None:
    """By a part of the name, large or small, however long the name is, or of the id; the counts say how many there are."""
    first = api.flow(S3, HOURLY)
    second = another_flow(api, first, "x" * 300 + "END")
    for wanted, ids in (("end", [second]), (first[3:13], [first]), ("nothing of this", []), ("", [second, first])):
        seen = api.control("GET", "/overview", params={"flow": wanted})
        assert [flow["id"] for flow in seen["flows"]] == ids
        assert seen["counts"]["flowsFound"] == len(ids)
        assert seen["counts"]["flows"] == 2
    assert_error(api.http.get("/__emulator/overview", params={"name": "x"}), "control-invalid")


def test_an_overview_shows_runs_that_wait(api: Api) -> None:
    """Of many runs asked for at once most wait for their turn, and have no times and counts yet."""
    flow = api.flow(S3, HOURLY)
    asked = [api.created("runs", {"flowId": flow}) for _ in range(8)]
    seen = {run["id"]: run for run in api.control("GET", "/overview")["runs"]}
    assert set(asked) <= set(seen)
    assert {run["status"] for run in seen.values()} <= {"waiting", "inProgress", "success"}
    assert all(run["rows"] == run["fileCount"] == 0 for run in seen.values() if run["status"] == "waiting")


FORMS: dict[str, dict[str, Any]] = {
    "json": {},
    "json.gz": {"compression": "GZIP"},
    "parquet": {"datasetFileType": "PARQUET"},
    "gz.parquet": {"datasetFileType": "PARQUET", "compression": "GZIP"},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_preview_of_each_form(api: Api, export_dir: Path, form: str) -> None:
    """The first rows, as another library reads them; the same dataset gives the same rows in every form."""
    api.flow(S3, HOURLY, **FORMS[form])
    api.advance(600)
    (file,) = api.control("GET", "/exports")["items"]
    assert file["path"].endswith(f"-c000.{form}")
    found = api.control("GET", f"/previews/{file['path']}", params={"rows": 7})
    raw = (export_dir / file["path"]).read_bytes()
    if "parquet" in form:
        for shown, row in zip(found["rows"], pq.read_table(export_dir / file["path"]).to_pylist(), strict=False):
            assert shown["_id"] == row["_id"] and set(shown) == {name for name in row if row[name] is not None}
    else:
        text = gzip.decompress(raw) if form == "json.gz" else raw
        assert found["rows"] == [json.loads(line) for line in text.splitlines()[:7]]
    assert (len(found["rows"]), found["more"]) == (7, True)
    assert found["form"] in (form, "parquet")


def test_a_preview_of_nothing(api: Api) -> None:
    for rows in ("0", str(MAX_ROWS + 1), "", "\u0661"):
        assert_error(api.http.get("/__emulator/previews/x", params={"rows": rows}), "control-invalid")
    for path in ("nowhere.json", "..%2F..%2Fetc%2Fpasswd", "amazon-s3", "a%00b"):
        assert_error(api.http.get(f"/__emulator/previews/{path}"), "control-not-found")


def test_previews_are_bounded(tmp_path: Path) -> None:
    """However long the texts are, and however many rows."""
    file = tmp_path / "long.json"
    file.write_text("\n".join(json.dumps({"text": "x" * 5_000, "list": ["y" * 5_000]}) for _ in range(MAX_ROWS)))
    found = preview(file, MAX_ROWS)
    assert found["rows"][0] == {"text": "x" * MAX_TEXT + "…", "list": ["y" * MAX_TEXT + "…"]}
    assert not found["more"]
    wide = tmp_path / "wide.parquet"
    pq.write_table(pa.table({"n": list(range(5_000))}), wide, row_group_size=100)
    assert preview(wide, 150) == {"form": "parquet", "rows": [{"n": number} for number in range(150)], "more": True}
    assert preview(wide, 5_000)["more"] is False
    empty = tmp_path / "empty.json"
    empty.touch()
    assert preview(empty, 5) == {"form": "json", "rows": [], "more": False}


def test_a_broken_file(tmp_path: Path) -> None:
    for name in ("a.json", "a.json.gz", "a.parquet", "a.gz.parquet"):
        for content in (b"no\n", b"\x1f\x8b\x08\x00broken", b"PAR1" * 5):
            file = tmp_path / name
            file.write_bytes(content)
            with pytest.raises(PreviewError, match="it is not"):
                preview(file, 5)
