"""What is measured: each measure is taken of all servers in turn, round by round, so that what else the machine does hits all alike."""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from contract_tests.bench.load import HEADERS, Load, Outcome, request, run
from contract_tests.bench.processes import resident_bytes
from contract_tests.bench.servers import Contender, Running
from contract_tests.support import Api
from contract_tests.tutorial import BASE, DESTINATIONS, S3, SOURCE_CONNECTION

PATH = f"{BASE}/sourceConnections"
CROWD = 16
LIKE = "5ff749e75b636cea4c32bc07"
"""Loyalty Members, the dataset that is exported: fifteen columns, among them objects and arrays; 570 bytes a row as JSON."""
FORMS = ({"datasetFileType": "PARQUET", "compression": "GZIP"}, {"datasetFileType": "JSON", "compression": "GZIP"})
DAYS, EVERY = 30, 3


@dataclass
class Result:
    """One line of the table: for each server's name its values, round by round."""

    what: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def note(self, server: Running | Contender, value: float) -> None:
        self.values.setdefault(server.name, []).append(value)

    def median(self, name: str) -> float | None:
        return statistics.median(self.values[name]) if self.values.get(name) else None

    def ratio(self, other: str) -> float | None:
        """The emulator's value for each 1 of another's: the median of the rounds' own ratios."""
        pairs = zip(self.values.get("emulator", ()), self.values.get(other, ()), strict=False)
        ratios = [own / beside for own, beside in pairs if beside]
        return statistics.median(ratios) if ratios else None


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int = 5
    seconds: float = 1.5
    warmup: float = 0.3
    requests: int = 100_000
    entities: int = 100_000
    rows: int = 2_000_000
    days: float = DAYS


def start(plan: Plan, contenders: Sequence[Contender]) -> Iterator[Result]:
    """Start to the first answer of `/__emulator/health`, and memory a second later."""
    took, rest = Result("start to first answer", "ms"), Result("memory at rest", "MB")
    for attempt in range(plan.rounds + 1):
        for contender in contenders:
            with contender.started() as server:
                if attempt:  # the first one compiles
                    took.note(server, 1000 * server.started_in)
                    time.sleep(min(1.0, plan.seconds))
                    rest.note(server, server.memory)
    yield from (took, rest)


def requests(plan: Plan, contenders: Sequence[Contender]) -> Iterator[Result]:
    """Look-ups, lists with a filter and validated creations with 1 and 16 connections, and the memory after very many."""
    with ExitStack() as stack:
        servers = [stack.enter_context(contender.started()) for contender in contenders]
        ids = {server.name: fill(server.url, 100) for server in servers}
        filtered = f"{PATH}?property=name==Connecting%20to%20Data%20Lake&limit=20"
        loads: dict[str, Callable[[Running], list[str]]] = {
            "look-up": lambda server: look_ups(server.url, ids[server.name]),
            "list of 20 with a filter": lambda server: [request("GET", server.url, filtered)],
            "creation": lambda server: [request("POST", server.url, PATH, SOURCE_CONNECTION)],
        }
        for what, made in loads.items():
            for connections in (1, CROWD):
                yield from _rates(plan, servers, f"{what}, {connections} at a time", made, connections)
    with ExitStack() as stack:
        servers = [stack.enter_context(contender.started()) for contender in contenders]
        after = Result(f"memory after {plan.requests:,} look-ups", "MB")
        for server in servers:
            texts = look_ups(server.url, fill(server.url, 100))
            _run(Load(server.url, texts * (plan.requests // len(texts)), CROWD, in_order=True))
            after.note(server, server.memory)
        yield after


def _rates(
    plan: Plan, servers: Sequence[Running], what: str, made: Callable[[Running], list[str]], connections: int
) -> Iterator[Result]:
    rate, slow = Result(what, "a second"), Result(f"{what}: 99th percentile", "ms")
    work = Result(f"{what}: server's processor time", "µs")
    for _ in range(plan.rounds):
        for server in servers:
            before = server.processor
            outcome = _run(Load(server.url, made(server), connections, plan.seconds, plan.warmup))
            work.note(server, 1e6 * (server.processor - before) / sum(outcome.statuses.values()))
            rate.note(server, outcome.per_second)
            slow.note(server, outcome.p99)
    yield from (rate, slow, work)


def growth(plan: Plan, contenders: Sequence[Contender]) -> Iterator[Result]:
    """The same with 100 entities and with very many, with a data folder, and what these take of memory and of a start."""
    emulators = [contender for contender in contenders if contender.name != "floor"]
    many = f"{plan.entities:,} entities"
    with ExitStack() as stack:
        servers = [stack.enter_context(each.started("--data-dir", str(each.folder / "data"))) for each in emulators]
        few = {server.name: _work(plan, server, fill(server.url, 100)) for server in servers}
        ids, each_one = {}, Result("memory for each entity", "bytes")
        for server in servers:
            ids[server.name] = fill(server.url, min(11_000, plan.entities // 2))  # the journal is full then
            before, known = server.memory, len(ids[server.name])
            ids[server.name] += fill(server.url, plan.entities - known)
            each_one.note(server, 1e6 * (server.memory - before) / (plan.entities - known))
        yield each_one
        for what in ("look-up", "creation"):
            slower = Result(f"{what}: speed with {many}, for each 1 with 100", "")
            for server in servers:
                for small, large in zip(
                    few[server.name][what], _work(plan, server, ids[server.name])[what], strict=True
                ):
                    slower.note(server, small / large)
            yield slower
        for what, query in (
            ("first page of 20", "limit=20"),
            ("page of 20 by name", "limit=20&property=name==nobody"),
            ("page of 20, sorted by name", "limit=20&orderby=name"),
            ("page of 20 by a field without an index", "limit=20&property=description==nobody"),
        ):
            yield from _pages(plan, servers, f"{what}, {many}", query, ids)
    begun = Result(f"start with a data folder of {many}", "ms")
    for _ in range(plan.rounds):
        for contender in emulators:
            with contender.started("--data-dir", str(contender.folder / "data")) as server:
                begun.note(server, 1000 * server.started_in)
    yield begun


def _pages(
    plan: Plan, servers: Sequence[Running], what: str, query: str, ids: dict[str, list[str]]
) -> Iterator[Result]:
    """How long a page takes, and how long a look-up at the same time has to wait at most."""
    took, waited = Result(what, "ms"), Result(f"{what}: longest look-up meanwhile", "ms")
    for _ in range(plan.rounds):
        for server in servers:
            pages = Load(server.url, [request("GET", server.url, f"{PATH}?{query}")], 1, plan.seconds)
            beside = Load(server.url, look_ups(server.url, ids[server.name][:100]), 1, plan.seconds / 2)
            with ThreadPoolExecutor(2) as pool:
                page, look_up = pool.map(_run, (pages, beside))
            took.note(server, page.p50)
            waited.note(server, look_up.slowest)
    yield from (took, waited)


def _work(plan: Plan, server: Running, ids: Sequence[str]) -> dict[str, list[float]]:
    """Processor time of each look-up and creation: what says most about growth, whatever else the machine does."""
    some = look_ups(server.url, ids[:: max(1, len(ids) // 1000)])
    loads = {"look-up": some, "creation": [request("POST", server.url, PATH, SOURCE_CONNECTION)]}
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(plan.rounds):
        for what, texts in loads.items():
            before = server.processor
            outcome = _run(Load(server.url, texts, CROWD, plan.seconds / 2))
            found[what].append((server.processor - before) / sum(outcome.statuses.values()))
    return found


def exports(plan: Plan, contenders: Sequence[Contender]) -> Iterator[Result]:
    """Rows a second of one large export, the memory that it takes, and the time of very many small ones in one advance."""
    emulators = [contender for contender in contenders if contender.name != "floor"]
    for form in FORMS:
        words = f"{plan.rows:,} rows, {' '.join(form.values())}"
        fast, risen = Result(words, "rows a second"), Result(f"{words}: memory on top", "MB")
        for _ in range(plan.rounds):
            for contender in emulators:
                with contender.started() as server:
                    api = Api(server.url, org=HEADERS["x-gw-ims-org-id"])
                    api.http.timeout, rest = 3600, server.memory
                    passed = [
                        _export(api, rows, form) for rows in (min(20_000, plan.rows), plan.rows)
                    ]  # the small one loads what it needs
                    fast.note(server, plan.rows / passed[-1])
                    risen.note(server, resident_bytes(server.pid, peak=True) / 1e6 - rest)
                    api.close()
        yield from (fast, risen)
    month = Result(f"an export in an advance of {plan.days} days with {len(DESTINATIONS)} flows", "ms")
    for _ in range(plan.rounds):
        for contender in emulators:
            with contender.started() as server:
                api = Api(server.url, org=HEADERS["x-gw-ims-org-id"])
                api.http.timeout = 3600
                now = int(api.control("GET", "/clock")["now"])
                for destination in DESTINATIONS:
                    api.flow(destination, {"interval": EVERY, "timeUnit": "hour", "startTime": now + 60})
                began = time.perf_counter()
                runs = api.advance(plan.days * 86_400)
                month.note(server, 1000 * (time.perf_counter() - began) / len(runs))
                assert len(runs) == len(DESTINATIONS) * round(plan.days * 24 / EVERY), len(runs)
                api.control("POST", "/reset", params={"exports": "true"})
                api.close()
    yield month


def _export(api: Api, rows: int, form: dict[str, str]) -> float:
    """Seconds that an export of so many rows takes."""
    api.control("POST", "/reset", params={"exports": "true"})
    api.control("PUT", "/datasets/bench", {"like": LIKE, "rows": rows})
    now = int(api.control("GET", "/clock")["now"])
    once = {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT", "startTime": now}
    api.flow(S3, once, datasets=["bench"], **form)
    began = time.perf_counter()
    (done,) = api.advance(0)
    passed = time.perf_counter() - began
    assert done["status"] == "success"
    files = api.control("GET", "/exports")["items"]
    assert sum(file["rows"] for file in files) == rows
    return passed


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


def _run(load: Load) -> Outcome:
    outcome = run(load)
    if outcome.failures:
        raise RuntimeError(
            f"{load.requests[0].splitlines()[0]}: {outcome.statuses}, and {outcome.broken} connections broke"
        )
    return outcome


PARTS: dict[str, Callable[[Plan, Sequence[Contender]], Iterator[Result]]] = {
    "start": start, "requests": requests, "growth": growth, "exports": exports,
}  # fmt: skip
