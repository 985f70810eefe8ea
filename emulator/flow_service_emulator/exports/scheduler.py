"""Carries out the runs that fall due, one after another, in the planner's order; runs asked for by hand go first.

One run at a time: exports of one flow never overlap, and the order is the same every time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flow_service_emulator.clock import MODES, Clock, Mode
from flow_service_emulator.entities import Entity, Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.endable import Endable
from flow_service_emulator.exports.export_limit import ExportLimit
from flow_service_emulator.exports.exporter import ENDED, REPLACED, Exporter, explain
from flow_service_emulator.exports.flow_planner import FlowPlanner
from flow_service_emulator.exports.progress import ProgressReport, run_ended, told
from flow_service_emulator.exports.runs import EXITS, FAILED, Job, Run
from flow_service_emulator.exports.schedule import schedule_of
from flow_service_emulator.store.store import SetMeta, Store, StoreError

log = logging.getLogger("emulator.scheduler")
PROGRESS_SECONDS = 0.5
"""How often (seconds of the machine) the record of a long run is brought up to date."""
TIME_KEY = "time"
"""Under which key the store keeps how far time was (epoch seconds)."""
MAX_REMEMBERED = 10_000
"""Runs that are remembered for the answer of a later advance, at most."""

Told = tuple[Scope, dict[str, Any]]
"""Whose a run is, and what an advance tells of it."""


class Scheduler:
    """Runs what falls due by the timetable of its `planner`."""

    def __init__(self, *, store: Store, exporter: Exporter, clock: Clock, max_exports: int) -> None:
        self._store = store
        self._exporter = exporter
        self._clock = clock
        self._asked: deque[Job] = deque()
        self._preparing = Endable()
        self._current: Run | None = None
        self._remembered: deque[Told] = deque(maxlen=MAX_REMEMBERED)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="export")
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self.planner = FlowPlanner(store=store, clock=clock, wake=self._wake.set)
        self._timetable = self.planner.timetable
        self._limit = ExportLimit(max_exports, timetable=self._timetable, store=store)
        self._stopping = False
        self._claims = 0
        """How many wait, or have waited, to do something `undisturbed`."""

    def load(self) -> None:
        """Makes the timetable from the store.

        Runs that never ended, as the server was killed or the snapshot taken meanwhile, are ended as failed.
        """
        unfinished = self._exporter.recover()
        if unfinished:
            log.warning(
                "%d runs never ended; they are marked as failed, and the next ones carry their rows", unfinished
            )
        self._asked.clear()
        self._remembered.clear()
        self.planner.load()

    def keep_time(self, at: float | None = None) -> None:
        """Writes down that time is at `at` (epoch seconds; the present, when left out), so that a data folder goes on from there.

        Raises StoreError. To be called before the clock is moved: what could not be written has then not happened.
        """
        self._store.write([SetMeta(TIME_KEY, self._clock.now() if at is None else at)])

    @property
    def current(self) -> Run | None:
        """The run that is being written; None when none is."""
        return self._current

    def run_now(self, scope: Scope, flow: Entity, dataset_ids: frozenset[str] | None = None) -> Entity:
        """Asks for a run outside the schedule; answers its entity, which waits for its turn."""
        job, entity = self._exporter.request(scope, flow, int(self._clock.now()), dataset_ids)
        self._asked.append(job)
        self._wake.set()
        return entity

    def clock_changed(self) -> None:
        """Looks at the timetable anew, since time passes otherwise than before."""
        self._remembered.clear()
        self._wake.set()

    async def advance(
        self, goal: Callable[[float], float], *, tells_of: Callable[[Scope], bool] = lambda scope: True
    ) -> list[dict[str, Any]]:
        """Moves the clock to its goal (epoch seconds) and carries out whatever falls due on the way.

        `goal` is given the present, and asked only when this advance's turn has come: so each adds to the one before, and none
        sets out from a time before a reset. What it raises ends the advance before anything was done.

        Answers the runs in order, with what a frozen clock ran at once since the last advance: those of the organizations and
        sandboxes that `tells_of` says yes to. The others are told by the next advance that is asked for them. Raises ServiceError when the
        way holds more exports than are allowed at once, or when the server ends or something is done `undisturbed` meanwhile:
        then time stands at the last run that was carried out.
        """
        self._check_backlog()
        async with self._turn:
            with self._clock.held("accelerated"):
                runs = await self._move_on(goal(self._clock.now()))
        self._remembered.extend(told for told in runs if not tells_of(told[0]))
        self._wake.set()
        return [run for scope, run in runs if tells_of(scope)]

    async def advance_and_set(
        self, goal: Callable[[float], float], *, mode: Mode | None = None, speed: float | None = None
    ) -> None:
        """Moves the clock on as `advance` does, and lets time pass in another mode from exactly there.

        Time stands still meanwhile, whatever the mode. Where the advance is refused or broken off, the mode stays.
        """
        self._check_backlog()
        async with self._turn:
            with self._clock.held(*MODES):
                at = goal(self._clock.now())
                await self._move_on(at)
                self._clock.set(mode or self._clock.mode, now=at, speed=speed)
        self.clock_changed()

    def _check_backlog(self) -> None:
        """Refuses an advance that would wait very long for its turn; not where a reset comes first, and ends the backlog."""
        if not self._claims:
            self._limit.check_backlog(len(self._asked), self._clock.now())

    async def _move_on(self, to: float) -> list[Told]:
        """An advance whose turn has come."""
        self._limit.check_way(len(self._asked), to)
        runs = list(self._remembered)
        self._remembered.clear()
        try:
            while not self._disturbed and (job := self._take(until=to)) is not None:
                runs.append((job.scope, await self._carry_out(job)))
            self.check_going_on()
            if self._claims:
                raise ServiceError(
                    "control-conflict",
                    reason=f"this advance was broken off after {len(runs)} runs: a reset, or a snapshot that is put "
                    "back, takes its place",
                )
            at = max(to, self._clock.now())
            self.keep_time(at)
            self._clock.move_to(at)
        except (ServiceError, StoreError):
            self._remembered.extend(runs)  # they happened; the next advance tells of them
            raise
        return runs

    async def serve(self) -> None:
        """Carries out what falls due as time passes, until `stop`."""
        while not self._stopping:
            self._wake.clear()
            try:
                await self._catch_up()
            except StoreError as reason:
                log.error("exports wait until the data folder can be written to: %s", reason)
                await self._pause()
                continue
            except EXITS:
                raise
            except BaseException:  # of one export; the others go on
                log.exception("an export failed in a way that it must not")
                await self._pause()
                continue
            first = self._timetable.first()
            wait = self._clock.wait_for(first[0]) if first else None
            try:
                await asyncio.wait_for(self._wake.wait(), timeout=None if wait is None else min(wait, 3600.0))
            except TimeoutError:
                continue

    async def _catch_up(self) -> None:
        """Carries out whatever is due now. An accelerated clock waits for it: it could leave any number of exports behind."""
        async with self._turn:
            with self._clock.held("accelerated"):
                while not self._disturbed and (job := self._take(until=self._clock.now())) is not None:
                    summary = await self._carry_out(job)
                    if self._clock.mode == "frozen":
                        self._remembered.append((job.scope, summary))

    async def _pause(self) -> None:
        """A second, or until something happens."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout=1.0)

    async def undisturbed(self, action: Callable[[], Awaitable[None]]) -> None:
        """Does something to the store or clock while no run is under way, then makes the timetable anew.

        A run in progress is ended first, and so is an advance. What `action` raises leaves everything else as it was.
        """
        self._claims += 1
        self._end_run()
        try:
            async with self._turn:
                self.check_going_on()
                await action()
                self.load()
        finally:
            self._claims -= 1
            self._wake.set()

    @property
    def _disturbed(self) -> bool:
        """Whether what is under way is to be ended."""
        return self._stopping or self._claims > 0

    def check_going_on(self) -> None:
        """Raises `server-ending` once `stop` was called. May be called in any thread."""
        if self._stopping:
            raise ServiceError("server-ending")

    def stop(self) -> None:
        """Ends `serve` and the run in progress, which is recorded as failed."""
        self._stopping = True
        self._end_run()
        self._wake.set()

    def close(self) -> None:
        """Lets go of the worker thread."""
        self._worker.shutdown(wait=True)

    def _take(self, *, until: float) -> Job | None:
        """The next job due at `until` or before; the clock stands at its instant afterwards."""
        if self._asked:
            return self._asked.popleft()
        while (first := self._timetable.first()) is not None and first[0] <= until:
            due, flow_id, scope, scheduled_at = first
            flow = self._store.get(scope, "flows", flow_id)
            if flow is None:
                self._timetable.remove(flow_id)
                continue
            at = max(due, self._clock.now())
            job, changes = self._exporter.planned(scope, flow, scheduled_at, at)
            # if they cannot be written, the export stays planned, and time where it is
            self._store.write([*changes, SetMeta(TIME_KEY, at)])
            self._clock.move_to(due)
            self._timetable.remove(flow_id)
            self.planner.plan_following(scope, flow_id, schedule_of(flow), max(due, scheduled_at))
            return job
        return None

    def _end_run(self) -> None:
        """Lets the run in progress end before its time, also while its rows are made ready."""
        if self._current is not None:
            self._current.cancelled = True
        self._preparing.end()

    async def _carry_out(self, job: Job) -> dict[str, Any]:
        """One run from plan to record. What the store could not take is done anew later: the job stays asked for."""
        run = None
        try:
            if not await self._preparing.wait(self._exporter.prepare(job)) or self._disturbed:
                return self._cut_off(job)
            run = self._exporter.start(job)
            return await self._write_and_record(job, run)
        except StoreError:
            if run is not None:
                self._exporter.take_away(run)
            self._asked.appendleft(job)
            raise
        except EXITS:
            raise
        except BaseException as fault:  # nothing will come of it, so it is not to wait for ever
            if run is not None:
                self._exporter.take_away(run)
            self._exporter.fail(job, explain(fault))
            raise

    def _cut_off(self, job: Job) -> dict[str, Any]:
        """Records that a run ended before it was started, and answers what there is to tell of it."""
        problem = ENDED if self._stopping else REPLACED
        self._exporter.fail(job, problem, cut_off=True)
        self.planner.take_up_again(job.scope, job.flow_id)
        return run_ended(job, FAILED, problem)

    async def _write_and_record(self, job: Job, run: Run | None) -> dict[str, Any]:
        if run is None:
            return told(job, "dropped")
        self._current = run
        try:
            loop = asyncio.get_running_loop()
            writing = loop.run_in_executor(self._worker, self._exporter.write, run)
            report = ProgressReport(run, loop.time())
            while not (await asyncio.wait({writing}, timeout=PROGRESS_SECONDS))[0]:
                with contextlib.suppress(StoreError):  # it is told again, at the latest when the run is over
                    self._exporter.progress(run)
                report.at(loop.time())
        finally:
            self._current = None
        entity = self._exporter.finish(run)
        if run.cut_off:
            self.planner.take_up_again(job.scope, job.flow_id)
        return run_ended(job, entity["metrics"]["statusSummary"]["status"], run.problem)
