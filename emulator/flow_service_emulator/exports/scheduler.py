"""Carry out the runs that fall due, one after another, in the planner's order; runs asked for by hand go first.

One run at a time: exports of one flow never overlap, and the order is the same every time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.clock import MODES, Clock, Mode
from flow_service_emulator.entities import Entity, Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.after_export import AfterExport, told_of
from flow_service_emulator.exports.limits import MAX_DESTINATIONS, ZONE
from flow_service_emulator.exports.planner import Due, Planner
from flow_service_emulator.exports.runner import EXITS, Runner, carried_datasets, explain, noted, notes_of
from flow_service_emulator.exports.runs import FILES, Job, Run
from flow_service_emulator.exports.schedule import schedule_of
from flow_service_emulator.store.store import SetMeta, Store, StoreError
from flow_service_emulator.validation.validation import ContractWarning

log = logging.getLogger("emulator.scheduler")
PROGRESS_SECONDS = 0.5
"""How often (seconds of the machine) the record of a long run is brought up to date."""
LOG_SECONDS: Final = 30.0
"""How often, at the least, the log tells of a long run; in its first minute more often."""
FEW_ROWS: Final = 500
"""Exports of so few rows are written at once: giving them to a thread would take as long as writing them."""
TIME_KEY: Final = "time"
"""Under which key the store has how far time was (epoch seconds)."""
MAX_REMEMBERED: Final = 10_000
"""Runs that are remembered for the answer of a later advance, at most."""

Told = tuple[Scope, dict[str, Any]]
"""Whose a run is, and what an advance tells of it."""


class Scheduler:
    """Run what falls due by its `planner`."""

    def __init__(
        self, *, store: Store, runner: Runner, clock: Clock, max_exports: int, after: AfterExport | None = None
    ) -> None:
        self._store = store
        self._runner = runner
        self._clock = clock
        self._max_exports = max_exports
        self.after = after or AfterExport((), 0)
        self._overdue = False
        """Whether a call after an export has run into its time limit since an advance set out."""
        self._asked: deque[Job] = deque()
        self._waiting: asyncio.Timeout | None = None
        self.current: Run | None = None
        """The run that is being written; None when none is."""
        self._remembered: deque[Told] = deque(maxlen=MAX_REMEMBERED)
        self._passing: deque[tuple[float, list[Path]]] = deque()
        """Files that do not stay, and when (epoch seconds) they go; the first ones first."""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="export")
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self.planner = Planner(store=store, clock=clock, wake=self._wake.set)
        self._stopping = False
        self._claims = 0
        """How many wait, or have waited, to do something `undisturbed`."""

    def load(self) -> None:
        """Plan everything after the store.

        Runs that never ended, as the server was killed or the snapshot taken meanwhile, are ended as failed.
        """
        if unfinished := self._runner.recover():
            log.warning("%d runs never ended; they have failed, and the next ones carry their rows", unfinished)
        self._asked.clear()
        self._remembered.clear()
        self.planner.load()
        passing = (self._runner.passing(key.removeprefix(FILES)) for key in self._store.meta_keys(FILES))
        self._passing = deque(sorted(each for each in passing if each[1]))

    def keep_time(self, at: float | None = None) -> None:
        """Store that time is at `at` (epoch seconds; the present, when left out), so that a data folder goes on from there.

        Raises StoreError. To be called before the clock is moved: what could not be written has then not happened.
        """
        self._store.write([SetMeta(TIME_KEY, self._clock.now() if at is None else at)])

    def run_now(self, scope: Scope, flow: Entity, dataset_ids: list[str] | None = None) -> Entity:
        """Ask for a run outside the schedule; return its entity, which waits for its turn."""
        job = self._runner.job(scope, flow["id"], int(self._clock.now()), dataset_ids)
        entity = self._runner.request(job, flow)
        self._asked.append(job)
        self._wake.set()
        return entity

    def crowded(self, scope: Scope) -> ContractWarning | None:
        """What the creation of one more flow in an organization and sandbox is warned of, by the published limits."""
        flows = len(self._store.records(scope, "flows"))
        if flows < MAX_DESTINATIONS or not self._runner.limits:
            return None
        message = f"the sandbox has {flows} destinations already; a real one takes {MAX_DESTINATIONS} at most"
        return ContractWarning("destinations-limit", "", message)

    def check_adhoc(self, scope: Scope, flow: Entity, dataset_ids: Sequence[str]) -> None:
        """Raise ServiceError where datasets of a flow cannot be exported on request now.

        `adhoc-not-ready` where a fault rule says so, `adhoc-out-of-range` for datasets that the flow does not carry and after the end
        of its schedule, `adhoc-running` while a run of one of them waits or is in progress. Before the schedule's start they can: Adobe's
        own client parks flows with a start that is a year away (AEPP, exportDatasetToDataLandingZone).
        """
        now, flow_id = self._clock.now(), flow["id"]
        if self._runner.faults.not_ready(scope, flow_id, now - flow["createdAt"] / 1000):
            raise ServiceError("adhoc-not-ready", flow=flow_id)
        carried = carried_datasets(self._store, scope, flow)
        outside = dataset_ids if now > schedule_of(flow).end else [id_ for id_ in dataset_ids if id_ not in carried]
        if outside:
            raise ServiceError("adhoc-out-of-range", datasets=", ".join(outside)[:200])
        for job in (*([self.current.job] if self.current else []), *self._asked):
            for dataset_id in dataset_ids if job.flow_id == flow_id else ():
                if job.dataset_ids is None or dataset_id in job.dataset_ids:
                    raise ServiceError("adhoc-running", dataset=dataset_id, flow=flow_id, run=job.run_id)

    def clock_changed(self) -> None:
        """Look again at what is due, since time passes otherwise than before."""
        self._remembered.clear()
        self._wake.set()

    async def advance(
        self,
        goal: Callable[[float], float],
        *,
        then: tuple[Mode | None, float | None] | None = None,
        tells_of: Callable[[Scope], bool] = lambda scope: True,
    ) -> list[dict[str, Any]]:
        """Move the clock to its goal (epoch seconds) and carry out whatever falls due on the way.

        `goal` is given the present when this advance's turn has come: so each adds to the one before, and none sets out from a time
        before a reset. `then` is the mode and the speed in which time passes from exactly there, None for the present ones; time stands
        still meanwhile, whatever the mode. Return the runs in order, with what a frozen clock ran at once since the last advance: those
        that `tells_of` says yes to; the others are told by a later advance. Raise ServiceError when there are too many exports on the
        way, or when the server ends or something is done `undisturbed` meanwhile: then time stands at the last run that was carried
        out, and the mode stays.
        """
        most = self._max_exports - len(self._asked)
        if not self._claims and self.planner.exceeds(
            most, goal(self._clock.now())
        ):  # a reset that waits ends the backlog
            raise ServiceError(
                "control-invalid",
                reason=f"this advance would cause more than {self._max_exports} exports; advance in smaller steps, disable or "
                "delete flows, reset, or start the server with a higher --max-exports",
            )
        runs = list[Told]()
        async with self._turn:
            with self._clock.held(*(MODES if then else ("accelerated",))):
                at = goal(self._clock.now())
                try:
                    await self._move_on(at, runs)
                except (ServiceError, StoreError):
                    self._remembered.extend(runs)  # they happened; the next advance tells of them
                    raise
                if then:
                    mode, speed = then
                    self._clock.set(mode or self._clock.mode, now=at, speed=speed)
        self._remembered.extend(told for told in runs if not tells_of(told[0]))
        self._wake.set()
        return [run for scope, run in runs if tells_of(scope)]

    async def _move_on(self, to: float, runs: list[Told]) -> None:
        """Advance, now that it is this advance's turn; fill in the `runs` that it tells of."""
        runs += self._remembered
        self._remembered.clear()
        self._overdue = False
        while (told := await self._next(lambda: to)) is not None:
            runs.append(told)
            if self._overdue:
                reason = (
                    f"this advance was stopped after {len(runs)} runs: the call after the last one did not end within "
                    f"{self.after.limit:g} s, so that run has failed; --after-export-timeout gives more time"
                )
                raise ServiceError("control-conflict", reason=reason)
        if self._stopping:
            raise ServiceError("server-ending")
        if self._claims:
            reason = f"this advance was broken off after {len(runs)} runs: a reset, or a snapshot that is put back, takes its place"
            raise ServiceError("control-conflict", reason=reason)
        at = max(to, self._clock.now())
        self.keep_time(at)
        self._clock.move_to(at)
        self._let_go()

    async def serve(self) -> None:
        """Carry out what falls due as time passes, until `stop`."""
        while not self._stopping:
            self._wake.clear()
            try:
                await self._catch_up()
            except StoreError as reason:
                log.error("exports wait until the data folder can be written to: %s", reason)
                await self._pause(1.0)
                continue
            except EXITS:
                raise
            except BaseException:  # of one export; the others go on
                log.exception("an export failed in a way that it must not")
                await self._pause(1.0)
                continue
            ahead = [first.at] if (first := self.planner.first()) else []
            ahead += [at for at, _ in islice(self._passing, 1)]
            wait = self._clock.wait_for(min(ahead)) if ahead else None
            await self._pause(None if wait is None else min(wait, 3600.0))

    async def _catch_up(self) -> None:
        """Carry out whatever is due now. An accelerated clock waits for it: it could leave any number of exports behind."""
        async with self._turn:
            with self._clock.held("accelerated"):
                while (told := await self._next(self._clock.now)) is not None:
                    if self._clock.mode == "frozen":
                        self._remembered.append(told)
                self._let_go()

    def _let_go(self) -> None:
        """Remove the files whose time is over."""
        while self._passing and self._passing[0][0] <= self._clock.now():
            _, paths = self._passing.popleft()
            for path in paths:
                with contextlib.suppress(OSError):
                    path.unlink()
            log.info(
                "the Data Landing Zone keeps files for seven days: %s and %d more go", paths[0].name, len(paths) - 1
            )

    async def _pause(self, seconds: float | None) -> None:
        """Wait so long, or until something happens."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout=seconds)

    async def undisturbed(self, action: Callable[[], Awaitable[None]]) -> None:
        """Do something to the store or clock while no run is under way, then plan everything again.

        A run in progress is ended first, and so is an advance. What `action` raises leaves everything else as it was.
        """
        self._claims += 1
        self._end_run()
        try:
            async with self._turn:
                if self._stopping:
                    raise ServiceError("server-ending")
                await action()
                self.load()
        finally:
            self._claims -= 1
            self._wake.set()

    @property
    def _disturbed(self) -> bool:
        """Whether what is under way is to be ended."""
        return self._stopping or self._claims > 0

    def stop(self) -> None:
        """End `serve` and the run in progress, which is recorded as failed."""
        self._stopping = True
        self._end_run()
        self._wake.set()

    def close(self) -> None:
        """End the worker thread."""
        self._worker.shutdown(wait=True)

    def _end_run(self) -> None:
        """End the run in progress before its time, also while its rows are made ready."""
        if self.current is not None:
            self.current.cancelled = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0)  # an instant that is over

    def _due(self, until: float) -> Job | Due | None:
        """Return the next job or scheduled export that is due at `until` or before."""
        if self._asked:
            return self._asked[0]
        first = self.planner.first()
        return first if first is not None and first.at <= until else None

    async def _next(self, until: Callable[[], float]) -> Told | None:
        """Carry out the next run that is due. None when there is none, or something else is to be done first."""
        while not self._disturbed and (due := self._due(until())) is not None:
            try:
                async with asyncio.timeout(None) as self._waiting:  # no limit, until `_end_run` sets one
                    await self._runner.library.refresh()
            except (TimeoutError, ServiceError):  # the server is ending
                return None
            finally:
                self._waiting = None
            if not self._disturbed and self._due(until()) is due:  # a flow may have been changed or deleted meanwhile
                return due.scope, await self._carry_out(due)
        return None

    async def _carry_out(self, due: Job | Due) -> dict[str, Any]:
        """Carry out one run; return what an advance tells of it. What cannot be stored is done again later."""
        run = self.current = self._begin(due)
        job = run.job
        try:
            if run.expected_rows > FEW_ROWS:
                await self._write_aside(run)
            else:
                self._runner.write(run)
                await asyncio.sleep(0)  # other requests take their turn
            if self.after.words and not run.cut_off:
                await self._call_after(run)
            status = self._runner.finish(run)
        except EXITS:
            raise
        except BaseException as fault:
            self._runner.remove_files(run)
            if isinstance(fault, StoreError):
                self._asked.appendleft(job)
            else:  # nothing will come of it, so it is not to wait for ever
                self._runner.fail(job, explain(fault))
            raise
        finally:
            self.current = None
        in_zone = any(piece.folder.startswith(ZONE) for piece in run.pieces)
        if in_zone and (passing := self._runner.passing(job.run_id))[1]:
            self._passing.append(passing)
        if run.cut_off and notes_of(self._store, job.flow_id).get("scheduled") is None:
            self.planner.plan(job.scope, job.flow_id)
        name = (self._store.get(job.scope, "flows", job.flow_id) or {}).get("name", "")
        at = datetime.fromtimestamp(job.scheduled_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        folders = ", ".join(dict.fromkeys(piece.folder for piece in run.pieces))
        skipped = f", {run.skipped:,} skipped as they are older than 365 days" if run.skipped else ""
        came = run.problem or f"{run.rows:,} rows in {folders}{skipped}"
        log.info('run %s of flow "%s" (%s) at %s: %s, %s', job.run_id, name, job.flow_id, at, status, came)
        told = {"id": job.run_id, "flowId": job.flow_id, "scheduledAt": job.scheduled_at, "status": status}
        return told if run.problem is None else {**told, "error": run.problem}

    async def _call_after(self, run: Run) -> None:
        """Call what is to be told of the run; where that fails, so has the run, and its files go."""
        told = told_of(run, self._runner.ended(run), self._runner.export_dir)
        began, (ok, answer) = asyncio.get_running_loop().time(), (False, "ended before its time")
        try:
            async with asyncio.timeout(self.after.limit) as self._waiting:  # `_end_run` may set it to now
                ok, answer = await self.after.tell(told)
        except TimeoutError:
            self._overdue = not run.cancelled
            if self._overdue:
                answer = f"did not end within {self.after.limit:g} s"
        finally:
            self._waiting = None
        call, seconds = self.after.shown, round(asyncio.get_running_loop().time() - began, 3)
        log.info("after run %s: %s took %.3f s: %s", run.job.run_id, call, seconds, answer)
        run.call = {"call": call, "ok": ok, "answer": answer, "seconds": seconds}
        if not ok and run.problem is None:
            run.cut_off = run.cancelled
            run.problem = f"Job aborted. The call after the export failed: {answer}"
            self._runner.remove_files(run)

    def _begin(self, due: Job | Due) -> Run:
        """Record that a run is in progress; the clock stands at its instant afterwards.

        If that cannot be stored, the run stays asked for or planned, and time is where it was.
        """
        if isinstance(due, Job):
            run = self._runner.start(due, self._clock.now())
            self._asked.popleft()
            return run
        at = max(due.at, self._clock.now())
        job = self._runner.job(due.scope, due.flow_id, due.scheduled_at, by_schedule=True)
        notes = noted(self._store, due.flow_id, runs=job.number, scheduled=due.scheduled_at)
        run = self._runner.start(job, at, [notes, SetMeta(TIME_KEY, at)])
        self._clock.move_to(due.at)
        self.planner.plan(due.scope, due.flow_id, after=max(due.at, due.scheduled_at))
        return run

    async def _write_aside(self, run: Run) -> None:
        """Write a run's files in the worker thread; its record and the log tell how far it is."""
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self._worker, self._runner.write, run)
        began = loop.time()
        told_at = 0.0
        while not (await asyncio.wait({writing}, timeout=PROGRESS_SECONDS))[0]:
            with contextlib.suppress(StoreError):  # it is told again, at the latest when the run is over
                self._runner.progress(run)
            passed = loop.time() - began
            if passed < told_at:
                continue
            told_at = passed + min(passed, LOG_SECONDS)
            rows, of = run.rows, run.expected_rows
            text = (
                f"{rows:,} of {of:,} rows ({100 * rows // of} %), {run.bytes / 1e6:.1f} MB, {rows / passed:,.0f} rows/s"
            )
            log.info("run %s of flow %s: %s", run.job.run_id, run.job.flow_id, text)
