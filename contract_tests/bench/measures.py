"""What is measured: each measure is taken of all servers in turn, so that what else the machine does hits all alike."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract_tests.bench.load import HEADERS, Load, Outcome, request, run
from contract_tests.bench.processes import processor_seconds, resident_bytes
from contract_tests.bench.servers import FLOOR, Running, emulator_command, started
from contract_tests.support import Api
from contract_tests.tutorial import BASE, S3, SOURCE_CONNECTION

PATH = f"{BASE}/sourceConnections"
CROWD = 16
JOURNAL = 11_000
"""So many requests fill the journal, whose size is no entity's."""
EXPORTED = "0000000000000000000bench"
"""The dataset that is exported to measure how fast that is."""
FIRST_NAME = "the one that is looked for"


@dataclass
class Result:
    """One line of the table. Values are by the server's name."""

    what: str
    unit: str
    values: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def ratio(self) -> float | None:
        """The emulator's value for each 1 of the floor's."""
        floor = self.values.get("floor")
        return self.values["emulator"] / floor if floor and "emulator" in self.values else None


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int = 3
    seconds: float = 2.0
    warmup: float = 0.3
    starts: int = 7
    rows: int = 300_000
    entities: int = 100_000


def starts(plan: Plan, folder: Path) -> list[Result]:
    """Start to first answer, and memory at rest."""
    times: dict[str, list[float]] = {"emulator": [], "floor": []}
    memory: dict[str, float] = {}
    for attempt in range(plan.starts + 1):
        for name, command in (("emulator", emulator_command(folder)), ("floor", FLOOR)):
            with started(name, command, folder) as running:
                if attempt:  # the first one compiles
                    times[name].append(1000 * running.started_in)
                if attempt == plan.starts and running.process_id is not None:
                    time.sleep(1)
                    memory[name] = resident_bytes(running.process_id) / 1e6
    return [
        Result("start to first answer", "ms", {name: statistics.median(values) for name, values in times.items()}),
        Result("memory at rest", "MB", memory),
    ]


REQUESTS = ("look-ups", "listings", "creations")


def requests(plan: Plan, servers: Sequence[Running], only: str | None = None) -> Iterator[Result]:
    """Look-ups, validated creations and a listing with a filter, with 1 and 16 connections; or `only` one of REQUESTS."""
    for server in servers:
        body = {**SOURCE_CONNECTION, "name": FIRST_NAME}
        _send_all(server.url, [request("POST", server.url, PATH, body)])
    ids = {server.name: fill(server.url, 100) for server in servers}
    loads: dict[str, Callable[[Running], list[str]]] = {
        "look-ups": lambda server: look_ups(server.url, ids[server.name]),
        "listings of 20 with a filter": lambda server: [
            request("GET", server.url, f"{PATH}?property=name==Connecting%20to%20Data%20Lake&limit=20")
        ],
        "validated creations": lambda server: [request("POST", server.url, PATH, SOURCE_CONNECTION)],
    }
    for kind, (what, made) in zip(REQUESTS, loads.items(), strict=True):
        for connections in (1, CROWD) if only in (None, kind) else ():
            yield from _rates(
                plan, servers, f"{what}, {connections} connection{'s' * (connections > 1)}", made, connections
            )


def _rates(
    plan: Plan, servers: Sequence[Running], what: str, made: Callable[[Running], list[str]], connections: int
) -> list[Result]:
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    slow: dict[str, list[float]] = {server.name: [] for server in servers}
    work: dict[str, list[float]] = {server.name: [] for server in servers if server.process_id}
    for _ in range(plan.rounds):
        for server in servers:
            load = Load(server.url, made(server), connections, plan.seconds, plan.warmup)
            before = processor_seconds(server.process_id) if server.process_id else 0.0
            outcome = _run(load)
            if server.process_id:
                used = processor_seconds(server.process_id) - before
                work[server.name].append(1e6 * used / sum(outcome.statuses.values()))
            rates[server.name].append(outcome.per_second)
            slow[server.name].append(outcome.p99)
    return [
        Result(what, "a second", {name: statistics.median(values) for name, values in rates.items()}),
        Result(f"{what}: 99th percentile", "ms", {name: statistics.median(values) for name, values in slow.items()}),
        Result(
            f"{what}: processor time of each", "µs", {name: statistics.median(values) for name, values in work.items()}
        ),
    ]


def growth(plan: Plan, folder: Path) -> Iterator[Result]:
    """The same with 100 entities and with very many, and what these take of memory and of a start."""
    flags = ("--data-dir", str(folder / "data"))
    with started("emulator", emulator_command(folder, *flags), folder) as server:
        assert server.process_id is not None
        few = _work(plan, server, fill(server.url, 100))
        empty = resident_bytes(server.process_id)
        ids = fill(server.url, JOURNAL)
        before = resident_bytes(server.process_id)
        ids += fill(server.url, plan.entities - len(ids))
        each = (resident_bytes(server.process_id) - before) / max(1, plan.entities - JOURNAL)
        many = _work(plan, server, ids[:: max(1, len(ids) // 1000)])
        for what in few:
            note = f"{few[what]:.0f} µs with 100: {few[what] / many[what]:.2f} of the speed"
            yield Result(f"processor time of {what}, {plan.entities:,} entities", "µs", {"emulator": many[what]}, note)
        for what, query in (
            ("the first page of 20", "limit=20"),
            ("a page of 20 by name", "limit=20&property=name==nobody"),
            ("a page of 20, sorted", "limit=20&orderby=name"),
        ):
            load = Load(server.url, [request("GET", server.url, f"{PATH}?{query}")], 1, plan.seconds)
            yield Result(f"{what} of {plan.entities:,}", "ms", {"emulator": _run(load).p50})
        yield Result(
            f"memory for the first {JOURNAL:,} entities and a full journal", "MB", {"emulator": (before - empty) / 1e6}
        )
        yield Result("memory for each further entity", "bytes", {"emulator": each})
    with started("emulator", emulator_command(folder, *flags), folder) as server:
        yield Result(f"start with a data folder of {plan.entities:,}", "ms", {"emulator": 1000 * server.started_in})


def _work(plan: Plan, server: Running, ids: list[str]) -> dict[str, float]:
    """Processor time (microseconds) of each look-up and creation: what says most about growth, whatever else the machine does."""
    assert server.process_id is not None
    loads = {"look-ups": look_ups(server.url, ids), "creations": [request("POST", server.url, PATH, SOURCE_CONNECTION)]}
    found: dict[str, list[float]] = {what: [] for what in loads}
    for _ in range(plan.rounds):
        for what, texts in loads.items():
            before = processor_seconds(server.process_id)
            outcome = _run(Load(server.url, texts, CROWD, plan.seconds / 2))
            used = processor_seconds(server.process_id) - before
            found[what].append(1e6 * used / sum(outcome.statuses.values()))
    return {what: statistics.median(values) for what, values in found.items()}


def exports(plan: Plan, folder: Path) -> Iterator[Result]:
    """Rows a second of one large export, beside the file writer alone, the best round of each; and small exports a second in one advance."""
    fixtures = folder / "fixtures"
    (fixtures / "datasets").mkdir(parents=True)
    like = next(
        entry
        for entry in json.loads((Path("fixtures") / "datasets" / "aep.json").read_text())
        if entry["schema"] == "device"
    )
    dataset = {**like, "id": EXPORTED, "name": "Bench", "rows": plan.rows}
    (fixtures / "datasets" / "bench.json").write_text(json.dumps([dataset]))
    with started("emulator", emulator_command(folder, "--fixtures", str(fixtures)), folder) as server:
        api = Api(server.url, org=HEADERS["x-gw-ims-org-id"])
        now = int(api.control("GET", "/clock")["now"])
        for form in (
            {"datasetFileType": "JSON"},
            {"datasetFileType": "JSON", "compression": "GZIP"},
            {"datasetFileType": "PARQUET"},
        ):
            found: dict[str, list[float]] = {"emulator": [], "floor": []}
            for _ in range(plan.rounds):
                flow = api.flow(
                    S3, {"interval": 3, "timeUnit": "hour", "startTime": now + 1}, datasets=[EXPORTED], **form
                )
                began = time.perf_counter()
                (run_done,) = api.advance(1)
                passed = time.perf_counter() - began
                api.post(f"/flows/{flow}/action", params={"op": "disable"})
                now += 1
                rows = api.item(f"/runs/{run_done['id']}")["metrics"]["recordSummary"]["outputRecordCount"]
                found["emulator"].append(rows / passed)
                found["floor"].append(_writer_alone(form, plan.rows))
            yield Result(
                f"exported rows, {' '.join(form.values())}",
                "a second",
                {name: max(values) for name, values in found.items()},
                "floor: the file writer alone; the best of each",
            )
        api.control("POST", "/reset")
        now = int(api.control("GET", "/clock")["now"])
        for _ in range(10):
            api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": now + 10})
        api.advance(10)
        began = time.perf_counter()
        runs = api.advance(86_400)
        yield Result(
            "exports in one advance",
            "a second",
            {"emulator": len(runs) / (time.perf_counter() - began)},
            f"{len(runs)} exports of about 60 rows",
        )
        api.close()


def _writer_alone(form: dict[str, Any], count: int) -> float:
    """Rows a second of the writer, fed with rows that are there already."""
    import random

    from flow_service_emulator.catalog import load_catalog
    from flow_service_emulator.files.folders import open_folder
    from flow_service_emulator.files.writers import FileForm, write_parts
    from flow_service_emulator.rows.seeded import GeneratedRows

    dataset = next(entry for entry in load_catalog(None).datasets.values() if entry.id == "5ef3e3259ad2a1191ab7dd7d")
    rows = GeneratedRows(
        dataset_id=EXPORTED, schema=dataset.schema, seed=0, rows=count, rows_per_hour=1, anchor=1_767_225_600
    )
    batches = list(rows.batches(0, count))
    with tempfile.TemporaryDirectory() as place, open_folder(Path(place), ()) as folder:
        began = time.perf_counter()
        write_parts(
            folder,
            batches,
            schema=rows.arrow_schema,
            form=FileForm(form["datasetFileType"], form.get("compression") == "GZIP"),
            rows_per_file=500_000,
            rng=random.Random(1),
        )
        return count / (time.perf_counter() - began)


def fill(url: str, count: int) -> list[str]:
    """Creates so many entities and answers their ids."""
    text = request("POST", url, PATH, SOURCE_CONNECTION)
    ids: list[str] = []
    while len(ids) < count:
        outcome = _run(Load(url, [text] * min(20_000, count - len(ids)), CROWD, in_order=True, keep_bodies=True))
        ids += [json.loads(body)["id"] for body in outcome.bodies]
    return ids


def look_ups(url: str, ids: Sequence[str]) -> list[str]:
    """A look-up of each entity."""
    return [request("GET", url, f"{PATH}/{entity_id}") for entity_id in ids]


class Unfit(RuntimeError):
    """A server does not answer as the Flow Service's API asks for."""


def check(server: Running) -> None:
    """Raises Unfit when a server is not there, or does not create and find what will be asked of it."""
    try:
        (made,) = fill(server.url, 1)
        _send_all(server.url, look_ups(server.url, [made]))
    except OSError as reason:
        raise Unfit(f"{server.url} cannot be reached: {reason}") from None


def _send_all(url: str, texts: list[str]) -> None:
    _run(Load(url, texts, in_order=True))


def _run(load: Load) -> Outcome:
    outcome = run(load)
    if outcome.failures:
        raise Unfit(
            f"{load.url} answers {load.requests[0].splitlines()[0]} with {outcome.statuses}, and {outcome.broken} connections broke"
        )
    return outcome
