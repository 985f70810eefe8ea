"""Snapshots that no emulator made: refused whole, with the record named, or taken whole; and data folders with a bad entry."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW, assert_error
from contract_tests.tutorial import BASE, DATASET, S3, SFTP
from flow_service_emulator.clock import MAX_SPEED
from flow_service_emulator.service.service import INDEXES
from flow_service_emulator.settings import Settings
from flow_service_emulator.store.store import SetMeta, Store

HOUR, DAY = 3600, 86_400
OWN, MADE_UP = "own", "made-up"
SCHEDULE = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
FLOWS, RUNS = "flows/TEST@AdobeOrg/prod", "runs/TEST@AdobeOrg/prod"
SOURCES, TARGETS = "sourceConnections/TEST@AdobeOrg/prod", "targetConnections/TEST@AdobeOrg/prod"
CONNECTIONS = "connections/TEST@AdobeOrg/prod"
RUN_ID = "0b7c1c4e-6a39-4a1b-9d0a-111111111111"


async def use(emulator: LocalEmulator) -> dict[str, Any]:
    """Leaves a record of every kind behind, and answers the snapshot."""
    await emulator.control("PUT", f"/datasets/{OWN}", {"records": [{"n": n} for n in range(3)], "rowsPerHour": 2})
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    await emulator.control("PUT", f"/datasets/{MADE_UP}", {"schema": schema, "rows": 5})
    await emulator.control("PUT", "/datasets/gone", {"records": [{"n": 1}]})
    source = await emulator.source(OWN, MADE_UP, DATASET["dataSetId"])
    for destination in (S3, SFTP):
        flow = await emulator.created("flows", destination.flow(source, await emulator.target(destination), **SCHEDULE))
    await emulator.advance(4 * HOUR)
    await emulator.control("DELETE", "/datasets/gone")
    assert (await emulator.http.post(f"{BASE}/flows/{flow}/action?op=disable")).status_code == 200
    await emulator.control("PUT", "/faults", {"kind": "error", "error": "service-unavailable", "nth": 9})
    await emulator.http.get(f"{BASE}/flows?limit=1")
    large = {"like": DATASET["dataSetId"], "rows": 300_000}
    await emulator.control("PUT", "/datasets/large", large)
    slow = S3.flow(await emulator.source("large"), await emulator.target(S3), **SCHEDULE)
    await emulator.created("flows", slow)
    while not (await emulator.control("GET", "/exports"))["inProgress"]:
        await asyncio.sleep(0.005)
    await emulator.created("runs", {"flowId": (await emulator.http.get(f"{BASE}/runs")).json()["items"][0]["flowId"]})
    state: dict[str, Any] = await emulator.control("GET", "/state")
    await emulator.control("POST", "/reset")
    return state


class Snapshot(dict[str, Any]):
    """A snapshot that no message of a failed test shows in full."""

    def __repr__(self) -> str:
        return "a snapshot"


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def emulator(loop: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEmulator]:
    folder = tmp_path_factory.mktemp("hostile")
    emulator = LocalEmulator(Settings(export_dir=folder / "exports", data_dir=folder / "data", rows_per_file=10_000))
    loop.run(emulator.__aenter__())
    yield emulator
    loop.run(emulator.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def rich(loop: asyncio.Runner, emulator: LocalEmulator) -> dict[str, Any]:
    """A snapshot with a record of every kind, a run that waits and one under way among them."""
    state = Snapshot(loop.run(use(emulator)))
    kinds = {entry["id"].partition("/")[0] for entry in state["store"]["tables"]["meta"].values()}
    assert kinds >= {"anchor", "time", "scheduled", "bookmarks", "runs-of", "running", "files", "dataset"}
    assert kinds >= {"dataset-records", "dataset-positions"}
    return state


async def put(emulator: LocalEmulator, state: Any) -> httpx.Response:
    return await emulator.http.put("/__emulator/state", json=state)


async def everything(emulator: LocalEmulator) -> list[Any]:
    """All that is there, but for what passes by itself."""
    state = await emulator.control("GET", "/state")
    return [state["clock"], state["store"], state["datasets"], state["faults"], state["requests"]]


def entity(state: Any, table: str) -> Any:
    return next(iter(state["store"]["tables"][table].values()))


def value(state: Any, kind: str) -> Any:
    """The first of the emulator's own values of a kind, as the record that holds it."""
    return next(each for each in state["store"]["tables"]["meta"].values() if each["id"].partition("/")[0] == kind)


def add(state: Any, table: str, document: Any) -> None:
    number = state["store"]["nextSeq"]
    state["store"]["nextSeq"] += 1
    state["store"]["tables"].setdefault(table, {})[str(number)] = document


def change(table: str, **fields: Any) -> Callable[[Any], None]:
    return lambda state: entity(state, table).update(fields)


def drop(table: str, field: str) -> Callable[[Any], None]:
    return lambda state: entity(state, table).pop(field)


def schedule(**fields: Any) -> Callable[[Any], None]:
    return lambda state: entity(state, FLOWS)["scheduleParams"].update(fields)


def own(kind: str, content: Any) -> Callable[[Any], None]:
    return lambda state: value(state, kind).update(value=content)


def dataset(**fields: Any) -> Callable[[Any], None]:
    return lambda state: value(state, "dataset")["value"].update(fields)


def running(key: str = RUN_ID, **fields: Any) -> Callable[[Any], None]:
    note = {"scope": ["o", "p"], "flowId": "f", "scheduledAt": 0, "folders": [["amazon-s3", "x"]], **fields}
    return lambda state: add(state, "meta", {"id": f"running/{key}", "value": note})


def part(name: str, **fields: Any) -> Callable[[Any], None]:
    return lambda state: state[name].update(fields)


HOSTILE: dict[str, tuple[str, Callable[[Any], None]]] = {
    "flow without schedule": ("flows/", drop(FLOWS, "scheduleParams")),
    "schedule a text": ("flows/", change(FLOWS, scheduleParams="x")),
    "interval 0": ("interval", schedule(interval=0)),
    "interval negative": ("interval", schedule(interval=-1)),
    "interval a fraction": ("interval", schedule(interval=0.5)),
    "interval with a point": ("whole numbers", schedule(interval=3.0)),
    "interval a text": ("stored otherwise", schedule(interval="3")),
    "unit in capitals": ("stored otherwise", schedule(timeUnit="HOUR")),
    "unit unknown": ("timeUnit", schedule(timeUnit="eon")),
    "start huge": ("startTime", schedule(startTime=1e300)),
    "start true": ("startTime", schedule(startTime=True)),
    "sources no list": ("sourceConnectionIds", change(FLOWS, sourceConnectionIds=5)),
    "sources no texts": ("sourceConnectionIds", change(FLOWS, sourceConnectionIds=[[]])),
    "inherited no object": ("inheritedAttributes", change(FLOWS, inheritedAttributes=5)),
    "inherited lists no lists": ("inheritedAttributes", change(FLOWS, inheritedAttributes={"targetConnections": 1})),
    "state unknown": ("state", change(FLOWS, state="asleep")),
    "name no text": ("name", change(FLOWS, name=5)),
    "created no number": ("createdAt", change(FLOWS, createdAt="x")),
    "created true": ("createdAt", change(FLOWS, createdAt=True)),
    "created with a point": ("whole number", change(FLOWS, createdAt=1767225600000.0)),
    "created after all time": ("createdAt", change(FLOWS, createdAt=10**18)),
    "etag no text": ("etag", change(CONNECTIONS, etag=5)),
    "etag no header": ("etag", change(CONNECTIONS, etag='"€"')),
    "version no text": ("version", change(CONNECTIONS, version=[])),
    "spec missing": ("connectionSpec", drop(CONNECTIONS, "connectionSpec")),
    "spec unknown": ("connectionSpec", change(CONNECTIONS, connectionSpec={"id": "x", "version": "1.0"})),
    "flow spec unknown": ("flowSpec", change(FLOWS, flowSpec={"id": "x", "version": "1.0"})),
    "datasets no list": ("datasets", change(SOURCES, params={"datasets": 5})),
    "datasets without ids": ("dataSetId", change(SOURCES, params={"datasets": [{}]})),
    "target without params": ("params", drop(TARGETS, "params")),
    "run bare": ("createdAt is required", lambda state: add(state, RUNS, {"id": "r", "flowId": "f"})),
    "metrics odd": ("metrics", change(RUNS, metrics={"statusSummary": 5})),
    "rows no number": ("outputRecordCount", lambda state: entity(state, RUNS)["metrics"].update(recordSummary={"outputRecordCount": "x"})),
    "activities no list": ("activities", change(RUNS, activities=5)),
    "table unknown": ("pets/o/p", lambda state: add(state, "pets/o/p", {"id": "x"})),
    "table without scope": ("'flows'", lambda state: add(state, "flows", {"id": "x"})),
    "key unknown": ("'pet/x'", lambda state: add(state, "meta", {"id": "pet/x", "value": 1})),
    "key without a name": ("'scheduled/'", lambda state: add(state, "meta", {"id": "scheduled/", "value": 1})),
    "anchor a text": ("anchor", own("anchor", "abc")),
    "time a text": ("time", own("time", "abc")),
    "time true": ("time", own("time", True)),
    "scheduled a text": ("scheduled/", own("scheduled", "abc")),
    "bookmarks a text": ("bookmarks/", own("bookmarks", "abc")),
    "bookmark negative": ("bookmarks/", own("bookmarks", {OWN: -5})),
    "bookmark huge": ("bookmarks/", own("bookmarks", {OWN: 1e30})),
    "bookmark with a point": ("bookmarks/", own("bookmarks", {OWN: 1.0})),
    "runs-of a text": ("runs-of/", own("runs-of", "abc")),
    "runs-of at the end of numbers": ("runs-of/", own("runs-of", 2**63)),
    "files a text": ("files/", own("files", "abc")),
    "files outside": ("no path", own("files", {"flowId": "f", "files": [["/etc/passwd", 1, 1, "d"]]})),
    "files above": ("no path", own("files", {"flowId": "f", "files": [["a/../../b", 1, 1, "d"]]})),
    "files endless": ("no path", own("files", {"flowId": "f", "files": [["x" * 5000, 1, 1, "d"]]})),
    "marker no object": ("running/", own("running", 5)),
    "marker of no run": ("'lock' is no id", running("lock")),
    "marker with a short scope": ("scope", running(scope=["o"])),
    "marker without folders": ("folders", running(folders=None)),
    "marker with numbers for folders": ("folders", running(folders=[[5]])),
    "marker above": ("no folder", running(folders=[[".."]])),
    "marker outside": ("no folder", running(folders=[["/tmp"]])),
    "marker with NUL": ("no folder", running(folders=[["a\0b"]])),
    "marker at no time": ("scheduledAt", running(scheduledAt=True)),
    "dataset no object": ("dataset/", own("dataset", 5)),
    "dataset of another id": ("id and name", dataset(id="other")),
    "dataset rows true": ("whole numbers", dataset(rows=True)),
    "dataset rows huge": ("rows", dataset(rows_at_anchor=10**15)),
    "dataset growth huge": ("rowsPerHour", dataset(rows_per_hour=1e300)),
    "dataset of missing records": ("not all there", dataset(texts=10**9)),
    "dataset schema odd": ("schema", dataset(schema={"type": "pet"})),
    "dataset schema no row": ("schema", dataset(schema={"type": "string"})),
    "records no text": ("dataset-records/", own("dataset-records", 5)),
    "positions a text": ("dataset-positions/", own("dataset-positions", "abc")),
    "file mark odd": ("dataset-file/", lambda state: add(state, "meta", {"id": "dataset-file/x", "value": {"base": 1}})),
    "speed huge": ("clock", part("clock", mode="accelerated", speed=1e308)),
    "speed true": ("clock", part("clock", mode="accelerated", speed=True)),
    "speed 0": ("clock", part("clock", mode="accelerated", speed=0)),
    "now true": ("clock", part("clock", now=True)),
    "datasets true": ("datasets", lambda state: state.update(datasets=True)),
    "matched at the end of numbers": ("faults", lambda state: state["faults"][0].update(matched=2**64 - 1)),
}  # fmt: skip


@pytest.mark.parametrize(("word", "mutate"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_snapshot_is_refused_and_nothing_changes(
    loop: asyncio.Runner, emulator: LocalEmulator, rich: Any, word: str, mutate: Callable[[Any], None]
) -> None:
    async def scenario() -> None:
        assert (await put(emulator, rich)).status_code == 200
        before = await everything(emulator)
        state = copy.deepcopy(rich)
        mutate(state)
        report = assert_error(await put(emulator, state), "control-invalid")
        assert word in report["detail"]
        assert await everything(emulator) == before

    loop.run(scenario())


def test_the_fault_in_a_record_is_told_with_its_table_and_number(
    loop: asyncio.Runner, emulator: LocalEmulator, rich: Any
) -> None:
    state = copy.deepcopy(rich)
    number, flow = next(iter(state["store"]["tables"][FLOWS].items()))
    flow["name"] = 5
    report = assert_error(loop.run(put(emulator, state)), "control-invalid")
    assert report["detail"].startswith(f"\"store\": table '{FLOWS}', record {number}: name must be a string")


def test_the_fastest_clock_is_taken(loop: asyncio.Runner, emulator: LocalEmulator) -> None:
    async def scenario() -> None:
        await emulator.control("POST", "/reset")
        await emulator.control("PUT", "/clock", {"mode": "accelerated", "speed": MAX_SPEED})
        assert (await put(emulator, await emulator.control("GET", "/state"))).status_code == 200
        await emulator.control("POST", "/reset")

    loop.run(scenario())


def test_what_get_answers_is_taken_again_at_every_step(
    loop: asyncio.Runner, emulator: LocalEmulator, rich: Any
) -> None:
    async def scenario() -> None:
        await emulator.control("POST", "/reset")
        steps: list[Callable[[], Any]] = [
            partial(asyncio.sleep, 0),
            partial(put, emulator, rich),
            partial(emulator.advance, 4 * HOUR),
            partial(emulator.http.get, f"{BASE}/flows?limit=1"),
            partial(emulator.advance, DAY),
            partial(emulator.control, "PUT", "/clock", {"mode": "real"}),
        ]
        for step in steps:
            await step()
            before = await everything(emulator)
            response = await put(emulator, await emulator.control("GET", "/state"))
            assert response.status_code == 200, response.text
            after = await everything(emulator)
            assert [entry["now"] - kept["now"] < 5 for kept, entry in zip(before[:1], after[:1], strict=True)]
            assert after[1]["tables"].keys() == before[1]["tables"].keys()
        await emulator.control("POST", "/reset")

    loop.run(scenario())


# --- mutations of a real snapshot ---------------------------------------------------------------------------------

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, -1, 0, 0.5, 1.0, 3, 2**63, 1e308, "", "x", "..", "a\0b", "€", [], [[]], [5], {}, {"id": 5}]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of everything in a JSON value."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def mutated(state: Any, path: tuple[Any, ...], odd: Any, way: str) -> Any:
    """A copy with something else at a place, nothing there, or its contents moved to another name."""
    state = copy.deepcopy(state)
    *outer, last = path
    holder = state
    for key in outer:
        holder = holder[key]
    if way == "drop":
        del holder[last]
    elif way == "rename" and isinstance(holder, dict):
        holder[str(odd)] = holder.pop(last)
    else:
        holder[last] = odd
    return state


PATHS = (
    *(f"{BASE}/{name}{query}" for name in ("connections", "sourceConnections", "targetConnections", "flows", "runs")
      for query in ("", "?limit=2", "?orderby=name", "?orderby=-updatedAt", "?count=true")),
    *(f"/__emulator/{name}" for name in ("overview", "exports", "datasets", "faults", "clock", "requests", "contract")),
    *("/__emulator/contract?format=html", "/__emulator/contract?format=junit", "/__emulator/requests?status=4xx"),
    "/__emulator/state",
)  # fmt: skip


async def look_at_everything(emulator: LocalEmulator) -> None:
    for path in PATHS:
        response = await emulator.http.get(path)
        assert response.status_code < 500, (path, response.text)
        if path.startswith(BASE):
            for item in response.json().get("items", []):
                if isinstance(item, dict) and path.count("?") == 0:
                    one = await emulator.http.get(f"{path}/{item['id']}")
                    assert one.status_code < 500, one.text
    for facts in (await emulator.control("GET", "/datasets"))["items"]:
        response = await emulator.http.get(f"/__emulator/datasets/{facts['id']}")
        assert response.status_code < 500, response.text


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)  # fmt: skip
@given(
    # nobody has a reason to edit the journal or the report in a snapshot
    name=st.sampled_from(["store", "store", "store", "clock", "datasets", "faults"]),
    where=st.integers(0, 10**6),
    odd=ODD,
    way=st.sampled_from(["replace", "replace", "drop", "rename"]),
)
def test_a_mutated_snapshot_is_refused_whole_or_works(
    loop: asyncio.Runner, emulator: LocalEmulator, rich: Any, name: str, where: int, odd: Any, way: str
) -> None:
    state = copy.deepcopy(rich)
    for table in state["store"]["tables"].values():  # without the large export, which would take a while each time
        for key in [key for key, entry in table.items() if entry["id"] == "dataset/large"]:
            del table[key]
    within = [(name, *path) for path in places(state[name])] or [(name,)]
    state = mutated(state, within[where % len(within)], odd, way)

    async def scenario() -> None:
        await emulator.control("POST", "/reset")
        before = await everything(emulator)
        response = await put(emulator, state)
        assert response.status_code in (200, 400), response.text
        if response.status_code == 400:
            assert await everything(emulator) == before
            return
        await emulator.control("GET", "/faults")
        await emulator.control("DELETE", "/faults")  # which would answer what is asked for next
        await look_at_everything(emulator)
        advanced = await emulator.http.post("/__emulator/clock/advance", json={"seconds": DAY})
        assert advanced.status_code in (200, 400), advanced.text
        await look_at_everything(emulator)
        again = await put(emulator, await emulator.control("GET", "/state"))
        assert again.status_code == 200, again.text

    loop.run(scenario())


# --- the start over a data folder ---------------------------------------------------------------------------------


@contextmanager
def stored(folder: Path) -> Iterator[Store]:
    store = Store(folder, indexes=INDEXES)
    yield store
    store.close()


NOTES: dict[str, Any] = {
    "anchor": "abc",
    "time": {"x": 1},
    "running/lock": {"scope": ["o", "p"], "flowId": "f", "scheduledAt": 0, "folders": [[".."]]},
    f"running/{RUN_ID}": {"scope": ["o", "p"], "flowId": "f", "scheduledAt": 0, "folders": [["..", "outside"]]},
    f"running/{RUN_ID[:-1]}2": 5,
    f"running/{RUN_ID[:-1]}3": {"scope": ["o"], "flowId": "f", "scheduledAt": 0, "folders": []},
    "dataset/own": "abc",
    "dataset/other": {"id": "own"},
    "dataset-file/orders": "abc",
}


@pytest.mark.parametrize("key", NOTES)
def test_a_server_starts_over_a_bad_note(tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str) -> None:
    """It is logged by its key, and no file outside the export folder goes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    kept = [outside / f"x-{RUN_ID}.json", tmp_path / "package-lock.json"]
    for file in kept:
        file.write_text("precious")
    fixtures = tmp_path / "fixtures" / "datasets"
    fixtures.mkdir(parents=True)
    (fixtures / "orders.ndjson").write_text('{"n": 1}\n')
    with stored(tmp_path / "data") as store:
        store.write([SetMeta(key, NOTES[key])])
    options = Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data", fixtures=tmp_path / "fixtures")

    async def scenario() -> None:
        async with LocalEmulator(options) as emulator:
            names = {facts["id"] for facts in (await emulator.control("GET", "/datasets"))["items"]}
            assert "orders" in names
            assert await emulator.advance(DAY) == []

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert any(key.removeprefix("dataset/").removeprefix("dataset-file/") in line for line in caplog.messages)
    assert [file.read_text() for file in kept] == ["precious"] * 2


FLOW = {"id": "bad", "name": "bad", "state": "enabled", "createdAt": 0, "sourceConnectionIds": [], "targetConnectionIds": []}  # fmt: skip


@pytest.mark.parametrize(
    "params",
    [None, "x", {}, {"interval": -1, "timeUnit": "hour", "startTime": 0}, {"interval": 1e-9, "timeUnit": "hour", "startTime": 0}],
)  # fmt: skip
def test_a_server_starts_over_a_flow_without_a_schedule_and_others_are_exported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, params: Any
) -> None:
    options = Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data")

    async def begin() -> None:
        async with LocalEmulator(options) as emulator:
            source, target = await emulator.source(DATASET["dataSetId"]), await emulator.target(S3)
            await emulator.created("flows", S3.flow(source, target, **SCHEDULE))

    async def go_on() -> list[dict[str, Any]]:
        async with LocalEmulator(options) as emulator:
            return await emulator.advance(HOUR)

    asyncio.run(begin())
    with stored(options.data_dir or tmp_path) as store:
        store.insert(("TEST@AdobeOrg", "prod"), "flows", FLOW if params is None else {**FLOW, "scheduleParams": params})
    with caplog.at_level(logging.WARNING):
        (run,) = asyncio.run(go_on())
    assert run["status"] == "success"
    assert any("the flow bad is left out of the schedule" in line for line in caplog.messages)


def test_a_note_of_a_run_names_only_folders_that_an_export_is_written_to(
    loop: asyncio.Runner, emulator: LocalEmulator, tmp_path: Path
) -> None:
    """Neither by a snapshot that names `../outside`: it is refused, and nothing is removed there."""
    exports = Path(emulator.export_dir)
    outside = exports.parent / "outside"
    outside.mkdir(exist_ok=True)
    kept = outside / f"manifest-{RUN_ID}.json"
    kept.write_text("precious")

    async def scenario() -> None:
        await emulator.control("POST", "/reset")
        state = await emulator.control("GET", "/state")
        for folders in ([["..", "outside"]], [["../outside"]], [[str(outside)]]):
            hostile = copy.deepcopy(state)
            running(folders=folders)(hostile)
            assert_error(await put(emulator, hostile), "control-invalid")
            assert kept.read_text() == "precious"

    loop.run(scenario())
