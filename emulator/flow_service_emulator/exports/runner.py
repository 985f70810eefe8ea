"""One run: begun, written, told of and recorded.

A run is planned and recorded on the event loop, its files are written by a worker thread, and the record is finished on the event
loop again; so the store is only ever touched by one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, TypeVar

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.entities import Scope, derived_uuid
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports import pieces, runs
from flow_service_emulator.exports.after_export import AfterExport, told_of
from flow_service_emulator.exports.files import remove_files
from flow_service_emulator.exports.pieces import Aborted, noted, notes_of
from flow_service_emulator.exports.runs import RUN, Job, Run, run_record
from flow_service_emulator.exports.schedule import schedule_of
from flow_service_emulator.faults.faults import Faults
from flow_service_emulator.settings import Settings
from flow_service_emulator.store.store import Change, Delete, Put, SetMeta, Store, StoreError

log = logging.getLogger("emulator.exports")
PROGRESS_SECONDS = 0.5
"""How often (seconds of the machine) the record of a long run is brought up to date."""
LOG_SECONDS: Final = 30.0
"""How often, at the least, the log tells of a long run; in its first minute more often."""
FEW_ROWS: Final = 500
"""Exports of so few rows are written at once: giving them to a thread would take as long as writing them."""
ZONE: Final = "data-landing-zone/"
"""What the folders of the destination begin with whose files go by themselves (guide "Data Landing Zone destination")."""
ZONE_SECONDS: Final = 7 * 86_400
"""How long they stay."""
T = TypeVar("T")


class Runner:
    """Carry out runs, one at a time."""

    def __init__(
        self, settings: Settings, *, store: Store, catalog: Catalog, library: Library, clock: Clock, faults: Faults
    ) -> None:
        self._settings = settings
        self.store = store
        self._catalog = catalog
        self._library = library
        self.clock = clock
        self.faults = faults
        self.limited = settings.limits == "published"
        """Whether the published limits of exports are on."""
        self.after = AfterExport(settings.after_export, settings.after_export_timeout)
        self.current: Run | None = None
        """The run that is being written; None when none is."""
        self.passing: deque[tuple[float, str, list[str]]] = deque()
        """When (epoch seconds) files go, of which run, and in which folders; the first ones first."""
        self._waiting: asyncio.Timeout | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="export")

    def job(
        self, scope: Scope, flow_id: str, at: int, ids: list[str] | None = None, *, by_schedule: bool = False
    ) -> Job:
        """Return a flow's next job, for the instant `at` of its schedule and of all or some of its datasets.

        The run's id comes from the flow's and the number of its runs alone: runs go on beside a client's requests, and whatever both
        drew from would differ from one time to the next. Files have their names from it.
        """
        number = notes_of(self.store, flow_id).get("runs", 0) + 1
        return Job(scope, flow_id, derived_uuid(f"{flow_id}/{number}"), number, at, ids, by_schedule)

    async def ready(self) -> bool:
        """Bring the datasets up to date before a run; return whether that was not ended before its time."""
        try:
            await self._in_time(self._library.refresh())
        except (TimeoutError, ServiceError):  # the server is ending
            return False
        return True

    def start(self, job: Job, at: float, also: Sequence[SetMeta] = ()) -> Run:
        """Begin a run at the instant `at` (epoch seconds), with `also` in the same write."""
        flow = self.store.get(job.scope, "flows", job.flow_id)
        now_ms = int(at * 1000)
        entity = self.store.get(job.scope, "runs", job.run_id) or runs.new_record(job, flow or {}, now_ms)
        run = Run(job, entity, now_ms)
        try:
            if flow is None:
                raise Aborted("The flow was deleted while the run waited")
            run.pieces = list(pieces.plan(job, flow, at, self.store, self._catalog, self._library))
            if self.limited:
                pieces.check_limits(run)
            exports = [(piece.folder.partition("/")[0], piece.dataset.id) for piece in run.pieces]
            run.fault = self.faults.plan_run(job.scope, job.flow_id, exports)
        except Exception as fault:  # whatever is wrong with this flow, the others go on
            run.problem = pieces.explain(fault)
        run.entity = run_record(run, runs.IN_PROGRESS, now_ms=now_ms)
        self.store.write([*also, Put(job.scope, "runs", run.entity), runs.entry_of(run, ended=False)])
        self.current = run
        return run

    async def carry_out(self, run: Run) -> None:
        """Write the files of a run that has begun, call what is to be told of it, and record how it ended.

        Raise StoreError where that cannot be recorded: its files are gone then, and the job is to be done again.
        """
        try:
            if run.expected_rows > FEW_ROWS:
                await self._write_aside(run)
            else:
                self._write(run)
                await asyncio.sleep(0)  # other requests take their turn
            if self.after.words and not run.cut_off:
                await self._call_after(run)
            self._finish(run)
        except StoreError:
            pieces.remove(run, self._settings.export_dir)
            raise
        finally:
            self.current = None

    def end(self) -> None:
        """End the run in progress before its time, also while its rows are made ready; it is recorded as failed."""
        if self.current is not None:
            self.current.cancelled = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0)  # an instant that is over

    def close(self) -> None:
        """End the worker thread."""
        self._worker.shutdown(wait=True)

    def recover(self) -> None:
        """Mark the runs that were never finished as failed, and remove their files. Know again which files do not stay.

        A killed server leaves such runs, and a snapshot that was taken meanwhile has them.
        """
        passing = []
        for key in self.store.meta_keys(RUN):
            entry = self.store.get_meta(key)
            job = runs.job_of(entry)
            if entry["files"] is not None:
                passing += self._passing(entry)
                continue
            remove_files(self._settings.export_dir, job.run_id, entry["folders"])
            entity = self.store.get(job.scope, "runs", job.run_id)
            if entity is None:
                self.store.write([SetMeta(key, None)])
            else:
                problem = f"{runs.FAILED_MESSAGE} The server ended while the run was in progress"
                self._finish(Run(job, entity, entity["createdAt"], problem=problem, cut_off=True))
        self.passing = deque(sorted(passing))

    def let_go(self) -> None:
        """Remove the files whose time is over."""
        while self.passing and self.passing[0][0] <= self.clock.now():
            _, run_id, folders = self.passing.popleft()
            remove_files(self._settings.export_dir, run_id, folders)
            log.info("the Data Landing Zone keeps files for seven days: those of run %s are gone", run_id)

    def _passing(self, entry: Mapping[str, Any]) -> list[tuple[float, str, list[str]]]:
        """The files of an entry's run, where they do not stay; they go although its record may be forgotten before."""
        in_zone = self.limited and any(file["path"].startswith(ZONE) for file in entry["files"])
        return [(entry["at"] + ZONE_SECONDS, runs.job_of(entry).run_id, entry["folders"])] if in_zone else []

    def _write(self, run: Run) -> None:
        settings = self._settings
        pieces.write(run, settings.export_dir, rows_per_file=settings.rows_per_file, limits=self.limited)

    async def _write_aside(self, run: Run) -> None:
        """Write a run's files in the worker thread; its record and the log tell how far it is."""
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self._worker, self._write, run)
        began, told_at = loop.time(), 0.0
        while not (await asyncio.wait({writing}, timeout=PROGRESS_SECONDS))[0]:
            run.entity = run_record(run, runs.IN_PROGRESS, now_ms=self.clock.now_ms())
            with contextlib.suppress(StoreError):  # it is told again, at the latest when the run is over
                self.store.write([Put(run.job.scope, "runs", run.entity)])
            passed = loop.time() - began
            if passed >= told_at:
                told_at = passed + min(passed, LOG_SECONDS)
                rows, of, size = run.total("rows"), run.expected_rows, run.total("bytes") / 1e6
                done = f"{rows:,} of {of:,} rows ({100 * rows // of} %), {size:.1f} MB, {rows / passed:,.0f} rows/s"
                log.info("run %s of flow %s: %s", run.job.run_id, run.job.flow_id, done)

    async def _call_after(self, run: Run) -> None:
        """Call what is to be told of the run; where that fails, so has the run, and its files go."""
        self._end_record(run)
        told = told_of(run, self._settings.export_dir)
        began, (ok, answer) = asyncio.get_running_loop().time(), (False, "ended before its time")
        try:
            ok, answer = await self._in_time(self.after.tell(told), self.after.limit)
        except TimeoutError:
            run.overdue = not run.cancelled
            if run.overdue:
                answer = f"did not end within {self.after.limit:g} s"
        call, seconds = self.after.shown, round(asyncio.get_running_loop().time() - began, 3)
        log.info("after run %s: %s took %.3f s: %s", run.job.run_id, call, seconds, answer)
        run.call = {"call": call, "ok": ok, "answer": answer, "seconds": seconds}
        if not ok and run.problem is None:
            run.cut_off = run.cancelled
            run.problem = f"{runs.FAILED_MESSAGE} The call after the export failed: {answer}"
            pieces.remove(run, self._settings.export_dir)

    async def _in_time(self, work: Coroutine[Any, Any, T], limit: float | None = None) -> T:
        """Wait for work. Raise TimeoutError after `limit` seconds of the machine, and at once when `end` is called."""
        try:
            async with asyncio.timeout(limit) as self._waiting:
                return await work
        finally:
            self._waiting = None

    def _end_record(self, run: Run) -> None:
        """Bring the record to its end: the same one each time, unless a success has become a failure meanwhile."""
        status = runs.FAILED if run.problem is not None else runs.SUCCESS
        if run.status != status:
            run.entity = run_record(run, status, now_ms=self.clock.now_ms())

    def _finish(self, run: Run) -> None:
        """Record how a run ended, where the next one starts, and the flow's `lastRunDetails`."""
        self._end_record(run)
        job, scope, flow_id = run.job, run.job.scope, run.job.flow_id
        entry = runs.entry_of(run, ended=True)
        changes: list[Change] = [Put(scope, "runs", run.entity), entry]
        flow = self.store.get(scope, "flows", flow_id)
        if flow is not None:
            details = {"id": job.run_id, "state": run.status, **run.entity["metrics"]["durationSummary"]}
            changes.append(Put(scope, "flows", {**flow, "lastRunDetails": details}))
            if run.cut_off and job.by_schedule and schedule_of(flow).following(job.scheduled_at) is None:
                # no later one has its rows: it is made again
                changes.append(noted(self.store, flow_id, scheduled=None))
            if run.problem is None:
                ends = notes_of(self.store, flow_id).get("ends", {})
                for piece in run.pieces:  # never back: time may have been put back meanwhile
                    ends[piece.dataset.id] = max(piece.end, ends.get(piece.dataset.id, 0))
                changes.append(noted(self.store, flow_id, ends=ends))
        past = self.store.by_index(scope, "runs", flow_id)
        for old in islice(reversed(past), max(0, len(past) - self._settings.keep_runs)):
            changes += [Delete(scope, "runs", old.id), SetMeta(RUN + old.id, None)]
        self.store.write(changes)
        self.passing += self._passing(entry.value)
        name, at = (flow or {}).get("name", ""), f"{datetime.fromtimestamp(job.scheduled_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
        skipped, folders = run.total("skipped"), ", ".join(dict.fromkeys(run.folders))
        left_out = f", {skipped:,} skipped as they are older than 365 days" if skipped else ""
        came = run.problem or f"{run.total('rows'):,} rows in {folders}{left_out}"
        log.info('run %s of flow "%s" (%s) at %s: %s, %s', job.run_id, name, flow_id, at, run.status, came)
