"""The emulator's own calls that tests are written with: the clock, a reset, the exported files.

Source: documentation, "Control calls".
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error
from contract_tests.tutorial import FIRST_DATASET, S3, SECOND_DATASET, SFTP

pytestmark = pytest.mark.emulator_only
HOUR = 3600
HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}


def clock(api: Api) -> dict[str, Any]:
    answer: dict[str, Any] = api.control("GET", "/clock")
    return answer


# --- the clock ------------------------------------------------------------------------------------------------------


def test_time_stands_still_until_it_is_moved(api: Api) -> None:
    assert (clock(api)["mode"], clock(api)["now"]) == ("frozen", FROZEN_NOW)
    answer = api.control("POST", "/clock/advance", {"seconds": 1.5})
    assert answer == {"now": FROZEN_NOW + 1.5, "runs": []}
    answer = api.control("POST", "/clock/advance", {"to": "2026-01-01T01:00:00Z"})
    assert answer["now"] == clock(api)["now"] == FROZEN_NOW + HOUR
    assert api.control("POST", "/clock/advance", {"to": FROZEN_NOW + 2 * HOUR})["now"] == FROZEN_NOW + 2 * HOUR


def test_a_running_clock_exports_by_itself(api: Api) -> None:
    """A day in a tenth of a second or less; frozen again, it stands where it was."""
    flow = api.flow(S3, HOURLY)
    answer = api.control("PUT", "/clock", {"mode": "accelerated", "speed": 1_000_000})
    assert (answer["mode"], answer["speed"]) == ("accelerated", 1_000_000)
    while clock(api)["now"] < FROZEN_NOW + 24 * HOUR:
        pass
    stands = api.control("PUT", "/clock", {"mode": "frozen"})["now"]
    api.advance(0)
    assert clock(api)["now"] == stands
    assert len(api.items("/runs", property=f"flowId=={flow}", limit=100)) == min(
        100, int((stands - FROZEN_NOW - 60) // (3 * HOUR)) + 1
    )


def test_the_clock_is_put_ahead_with_what_falls_due(api: Api) -> None:
    flow = api.flow(S3, HOURLY)
    answer = api.control("PUT", "/clock", {"now": FROZEN_NOW + 4 * HOUR})
    assert (answer["mode"], answer["now"]) == ("frozen", FROZEN_NOW + 4 * HOUR)
    assert len(api.items("/runs", property=f"flowId=={flow}")) == 2
    answer = api.control("PUT", "/clock", {"now": FROZEN_NOW + 7 * HOUR, "mode": "accelerated", "speed": 2})
    assert (answer["mode"], answer["speed"]) == ("accelerated", 2) and 0 <= answer["now"] - FROZEN_NOW - 7 * HOUR < 60
    assert len(api.items("/runs", property=f"flowId=={flow}")) == 3


# --- a reset --------------------------------------------------------------------------------------------------------


def test_a_reset_forgets_everything(api: Api, export_dir: Path) -> None:
    api.control("PUT", "/datasets/mine", {"records": [{"a": 1}]})
    api.flow(S3, HOURLY, datasets=["mine"])
    api.control("POST", "/faults", {"kind": "error", "error": "service-unavailable", "nth": 9})
    assert len(api.advance(HOUR)) == 1
    (file,) = api.control("GET", "/exports")["items"]
    api.control("POST", "/reset")
    assert clock(api)["now"] == FROZEN_NOW
    assert [api.items(f"/{name}") for name in ("flows", "runs", "connections", "sourceConnections")] == [[]] * 4
    assert api.control("GET", "/faults")["rules"] == []
    assert "mine" not in [each["id"] for each in api.control("GET", "/datasets")["items"]]
    assert api.advance(24 * HOUR) == []
    assert (export_dir / file["path"]).is_file()
    api.control("POST", "/reset", {"exports": True})  # as good as ?exports=true
    assert not (export_dir / file["path"]).exists()


def test_a_reset_sets_the_clock_anew_and_keeps_what_it_is_told_to(api: Api) -> None:
    api.http.get("/data/foundation/flowservice/flows/none")
    clock_of = {"mode": "accelerated", "now": "2020-01-01T00:00:00Z", "speed": 7}
    api.control("POST", "/reset", {"clock": clock_of}, params={"keep": "requests,contract"})
    found = clock(api)
    assert (found["mode"], found["speed"]) == ("accelerated", 7) and 0 <= found["now"] - 1_577_836_800 < 60
    assert len(api.control("GET", "/requests")["items"]) == 1
    assert [rule["id"] for rule in api.control("GET", "/contract")["violations"]] == ["resource-not-found"]
    assert_error(api.http.post("/__emulator/reset", params={"keep": "everything"}), "control-invalid")
    assert_error(api.http.post("/__emulator/reset", json={"clock": {"mode": "quick"}}), "control-invalid")
    api.control("POST", "/reset")
    assert api.control("GET", "/requests")["items"] == api.control("GET", "/contract")["violations"] == []


# --- exported files -------------------------------------------------------------------------------------------------


def test_exported_files_are_listed_and_downloaded(api: Api, export_dir: Path) -> None:
    one = api.flow(S3, HOURLY, datasets=[FIRST_DATASET, SECOND_DATASET])
    two = api.flow(SFTP, HOURLY)
    api.advance(60)
    (later,) = [run for run in api.advance(3 * HOUR) if run["flowId"] == two]
    files = api.control("GET", "/exports")["items"]
    assert len(files) == 6
    for filters, number in (
        ({"flow": one}, 4),
        ({"flow": two}, 2),
        ({"dataset": SECOND_DATASET}, 2),
        ({"dataset": FIRST_DATASET, "flow": one}, 2),
        ({"run": later["id"]}, 1),
        ({"run": later["id"], "flow": one}, 0),
        ({"run": "none"}, 0),
        ({"org": api.org}, 6),
        ({"org": "OTHER@AdobeOrg"}, 0),
        ({"sandbox": "dev"}, 0),
    ):
        found = api.control("GET", "/exports", params=filters)["items"]
        assert len(found) == number and all(file in files for file in found), filters
    for file in files:
        answer = api.http.get(f"/__emulator/exports/{file['path']}")
        assert answer.status_code == 200 and answer.content == (export_dir / file["path"]).read_bytes()
        assert len(answer.content) == file["size"] and answer.content.count(b"\n") == file["rows"]
    for path in ("none.json", "amazon-s3", "../server.log", "..%2Fserver.log", "%2Fetc%2Fpasswd"):
        assert_error(api.http.get(f"/__emulator/exports/{path}"), "control-not-found")
    (export_dir / files[0]["path"]).unlink()
    assert files[0] not in api.control("GET", "/exports")["items"]


def test_an_export_that_cannot_be_written_fails_and_is_made_good(api: Api, export_dir: Path) -> None:
    """The run says why, and the next one has the rows of both."""
    api.control("PUT", "/datasets/mine", {"records": [{"n": n} for n in range(10)], "rowsPerHour": 1})
    flow = api.flow(S3, HOURLY, datasets=["mine"])
    blocked = export_dir / "amazon-s3" / "your-bucket-name"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file in place of the folder")
    assert [run["status"] for run in api.advance(60)] == ["failed"]
    (run,) = api.items("/runs", property=f"flowId=={flow}")
    (error,) = run["metrics"]["statusSummary"]["errors"]
    assert error["code"] and error["message"].endswith("Not a directory")
    assert "outputRecordCount" not in run["metrics"]["recordSummary"]
    assert api.item(f"/flows/{flow}")["lastRunDetails"]["state"] == "failed"
    blocked.unlink()
    assert [run["status"] for run in api.advance(3 * HOUR)] == ["success"]
    (file,) = api.control("GET", "/exports")["items"]
    assert file["rows"] == 13


def test_a_long_export_shows_how_far_it_is_and_a_reset_ends_it(api: Api, export_dir: Path) -> None:
    api.control("PUT", "/datasets/long", {"like": FIRST_DATASET, "rows": 20_000_000})
    flow = api.flow(S3, {**HOURLY, "startTime": FROZEN_NOW - HOUR}, datasets=["long"])
    seen = 0
    for _ in range(300):
        (run,) = api.items("/runs", property=f"flowId=={flow}") or [{"metrics": {"recordSummary": {}}}]
        seen = run["metrics"]["recordSummary"].get("outputRecordCount", 0)
        if seen:
            break
        time.sleep(0.05)
    assert 0 < seen < 20_000_000
    assert run["metrics"]["statusSummary"]["status"] == "inProgress"
    assert "completedAtUTC" not in run["metrics"]["durationSummary"]
    assert api.control("GET", "/exports")["items"] == []
    api.control("POST", "/reset")
    assert api.items("/runs") == [] and not list(export_dir.rglob("*part-*"))
