"""A data folder over a restart, and the settings that bound what is stored: whatever a client could see before is there after.

Source: documentation, "Settings" and "Files".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error, started
from contract_tests.tutorial import FIRST_DATASET, S3, SFTP, SOURCE_CONNECTION

pytestmark = pytest.mark.emulator_only
HOUR, DAY = 3600, 86_400
HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}


def all_there_is(api: Api) -> dict[str, Any]:
    """All that is stored, and lists by an index, in order."""
    state = api.control("GET", "/state")
    found: dict[str, Any] = {name: state[name] for name in ("clock", "store")}
    for flow in api.items("/flows"):
        found[flow["id"]] = api.items("/runs", property=f"flowId=={flow['id']}")
        for target in flow["targetConnectionIds"]:
            found[target] = api.items("/flows", property=f"targetConnectionIds[]=={target}")
    found["by change"] = api.items("/sourceConnections", orderby="-updatedAt")
    found["enabled"] = api.items("/flows", property="state==enabled")
    found["exports"] = api.control("GET", "/exports")["items"]
    found["elsewhere"] = api.other(org="OTHER@AdobeOrg").items("/connections")
    return found


def rows_since(api: Api, run: dict[str, Any]) -> int:
    return sum(file["rows"] for file in api.control("GET", "/exports", params={"run": run["id"]})["items"])


def test_everything_is_there_again(tmp_path: Path) -> None:
    with started(tmp_path, "data") as (api, _):
        api.control("PUT", "/datasets/mine", {"records": [{"n": 1}, {"n": 2}], "rowsPerHour": 2})
        first, second = api.flow(S3, HOURLY, datasets=["mine"]), api.flow(SFTP, HOURLY)
        for name in "abc":
            api.created("connections", {**SFTP.base_connection(), "name": name})
            api.advance(1)
        (last, *_) = api.items("/connections")
        assert api.delete(f"/connections/{last['id']}").status_code == 202
        sources = [api.created("sourceConnections", SOURCE_CONNECTION) for _ in range(3)]
        api.advance(1)
        for _ in range(2):
            path = f"/sourceConnections/{sources[0]}"
            patch = [{"op": "replace", "path": "/name", "value": "changed"}]
            assert api.patch(path, api.item(path)["etag"], patch).status_code == 200
        api.other(org="OTHER@AdobeOrg").created("connections", SFTP.base_connection())
        assert len(api.advance(60)) == 2
        assert api.post(f"/flows/{second}/action?op=disable").status_code in (200, 202)
        before = all_there_is(api)
        assert all(before.values())
    with started(tmp_path, "data") as (api, _):
        assert all_there_is(api) == before
        assert api.get(f"/connections/{last['id']}").status_code == 404
        (run,) = api.advance(3 * HOUR)
        assert (run["flowId"], run["scheduledAt"], rows_since(api, run)) == (first, FROZEN_NOW + 60 + 3 * HOUR, 6)
        new = api.created("sourceConnections", SOURCE_CONNECTION)
        assert api.items("/sourceConnections")[0]["id"] == new
    with started(tmp_path, "data", "--now", str(FROZEN_NOW + DAY)) as (api, _):
        # what was missed is not made up for one by one: the latest instant that was due, once
        assert api.control("GET", "/clock")["now"] == FROZEN_NOW + DAY
        (run,) = api.advance(0)
        assert (run["flowId"], run["scheduledAt"]) == (first, FROZEN_NOW + 60 + 21 * HOUR)
        assert rows_since(api, run) == (24 - 3) * 2
        state = api.control("GET", "/state")
        api.control("POST", "/reset")
    with started(tmp_path, "data") as (api, _):
        assert [api.items(f"/{kind}") for kind in ("connections", "flows", "runs")] == [[], [], []]
        api.control("PUT", "/state", state)
        before = all_there_is(api)
        assert [flow["id"] for flow in before["enabled"]] == [first]
    with started(tmp_path, "data") as (api, _):
        assert all_there_is(api) == before
        assert [run["scheduledAt"] for run in api.advance(3 * HOUR)] == [FROZEN_NOW + 60 + 24 * HOUR]


def test_settings_that_bound(tmp_path: Path) -> None:
    """Runs that are kept, exports of one advance, rows of one file."""
    flags = ("--keep-runs", "3", "--max-exports", "5", "--rows-per-file", "100")
    with started(tmp_path, *flags) as (api, server):
        api.control("PUT", "/datasets/mine", {"like": FIRST_DATASET, "rows": 250, "rowsPerHour": 40})
        flow = api.flow(S3, HOURLY, datasets=["mine"])
        assert_error(api.http.post("/__emulator/clock/advance", json={"seconds": DAY}), "control-invalid")
        assert api.control("GET", "/clock")["now"] == FROZEN_NOW and api.items("/runs") == []
        assert len(api.advance(60 + 12 * HOUR)) == 5
        runs = api.items("/runs", property=f"flowId=={flow}")
        assert len(runs) == 3 and [run["id"] for run in runs] == [run["id"] for run in api.items("/runs")]
        parts = sorted(server.export_dir.rglob("part-*"))
        folders = sorted({part.parent for part in parts})
        sizes = [[part.read_bytes().count(b"\n") for part in parts if part.parent == folder] for folder in folders]
        assert sizes == [[100, 100, 50], *[[100, 20]] * 4]
        assert [part.name[:10] for part in parts if part.parent == folders[0]] == [f"part-0000{n}" for n in range(3)]
