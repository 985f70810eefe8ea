"""The state as a whole: no part of it outlives a reset, and all of it comes along with a snapshot, or none.

Each part has tests of its own; here it is shown that no part can be forgotten. A new part comes to notice by itself: it
stands in the snapshot, and `use` then has to leave a trace in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error, serving
from contract_tests.tutorial import DATASET, DESTINATIONS, S3, SFTP

HOUR, DAY = 3600, 86_400
OWN = "own"
MINUTE_ON = FROZEN_NOW + 60


def use(api: Api) -> None:
    """Leaves something behind in every part of the state."""
    api.control("PUT", f"/datasets/{OWN}", {"records": [{"n": number} for number in range(5)], "rowsPerHour": 2})
    schedule = {"interval": 3, "timeUnit": "hour", "startTime": MINUTE_ON}
    flows = [
        api.flow(destination, schedule, datasets=[OWN, DATASET["dataSetId"]], compression="GZIP")
        for destination in DESTINATIONS
    ]
    api.advance(4 * HOUR)
    api.post(f"/flows/{flows[0]}/action?op=disable")
    api.created("runs", {"flowId": flows[1]})
    api.advance(0)
    path = f"/connections/{api.created('connections', SFTP.base_connection())}"
    api.patch(path, '"stale"', [{"op": "replace", "path": "/name", "value": "x"}])
    assert api.delete(path).status_code == 202
    api.get("/flows?limit=0")
    api.control("PUT", "/faults", {"rules": [{"kind": "error", "error": "service-unavailable", "nth": 3, "times": 2}]})
    api.get("/flows?limit=2")


def test_a_reset_leaves_what_a_new_server_has(api: Api) -> None:
    new = api.control("GET", "/state")
    use(api)
    used = api.control("GET", "/state")
    parts = set(new) - {"format", "version"}
    untouched = {part for part in parts if used[part] == new[part]}
    assert untouched == set(), "these parts were not used, so that this test would not show whether they are forgotten"
    api.control("POST", "/reset")
    left = api.control("GET", "/state")
    kept = [entries.pop("store")["tables"] for entries in (new, left)]
    assert left == new
    assert [list(tables) for tables in kept] == [["meta"]] * 2
    values = [{entry["id"]: entry["value"] for entry in tables["meta"].values()} for tables in kept]
    assert values[1] == {**values[0], "time": FROZEN_NOW}  # to which a restart would go back


def held(api: Api) -> Any:
    """The whole state, without what is another one for each request or server: its id, how long it took, and the server's address."""

    def settled(value: Any) -> Any:
        if isinstance(value, dict):
            names = value.keys() - {"request-id", "requestId", "durationMs", "x-request-id", "host"}
            return {name: settled(value[name]) for name in names}
        return [settled(item) for item in value] if isinstance(value, list) else value

    return settled(api.control("GET", "/state"))


def test_a_snapshot_goes_on_alike_in_another_server(tmp_path: Path) -> None:
    """The state is the same there, and what happens from there on: the runs of a day, their files, and new entities."""
    with (
        serving(tmp_path / "one", "--seed", "3") as one,
        serving(tmp_path / "other", "--seed", "3", "--now", str(FROZEN_NOW - 5 * DAY)) as another,
    ):
        api, other = clients = Api(one.url), Api(another.url)
        use(api)
        other.flow(S3)  # goes with all that was there
        state = api.control("GET", "/state")
        for each in clients:
            each.control("PUT", "/state", state)
        assert held(api) == held(other)
        runs = [each.advance(DAY) for each in clients]
        assert runs[0] == runs[1] and len(runs[0]) == 5 * 8
        created = [each.created("connections", SFTP.base_connection()) for each in clients]
        assert created[0] == created[1]
        assert held(api) == held(other)
        for each in clients:
            each.close()


CUT = {
    "no snapshot": ("GET /__emulator/state is needed", lambda state: state.clear()),
    "an older one": ('"format" must be', lambda state: state.update(format=2, version="0.1")),
    "a newer one": ("from the emulator 9.9", lambda state: state.update(format=99, version="9.9")),
    "cut short": ('no "contract"', lambda state: state.pop("contract")),
    "no clock": ('"clock"', lambda state: state.update(clock=None)),
    "a clock without time": ('"clock"', lambda state: state["clock"].pop("now")),
    "a store of another version": ('"store": it has version 99', lambda state: state["store"].update(version=99)),
    "no tables": ('"store"', lambda state: state["store"].pop("tables")),
    "a table of texts": ('"store"', lambda state: state["store"]["tables"].update({"flows/o/p": ["x"]})),
    "an entity without id": ('"store"', lambda state: state["store"]["tables"].update({"flows/o/p": {"9": {}}})),
    "faults without rules": ('"faults"', lambda state: state.update(faults=[5])),
    "requests without entries": ('"requests"', lambda state: state["requests"].clear()),
    "a contract without counts": ('"contract"', lambda state: state["contract"].clear()),
}


@pytest.mark.parametrize(("word", "cut"), CUT.values(), ids=CUT)
def test_what_is_no_snapshot_is_refused_and_nothing_changes(api: Api, word: str, cut: Any) -> None:
    api.created("connections", SFTP.base_connection())
    api.control("PUT", "/faults", {"kind": "delay", "seconds": 0.001, "operation": "list:runs"})
    before, state = (api.control("GET", "/state") for _ in range(2))
    cut(state)
    assert word in assert_error(api.http.put("/__emulator/state", json=state), "control-invalid")["detail"]
    assert api.control("GET", "/state") == before
