"""Carry out the runs that fall due, one after another; runs asked for by hand go first.

One run at a time: exports of one flow never overlap, and the order is the same every time: by the instant at which an export falls
due, then by the flow's creation.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from flow_service_emulator.clock import MODES, Mode
from flow_service_emulator.entities import ENABLED, Entity, Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.pieces import NOTES, carried_datasets, noted, notes_of
from flow_service_emulator.exports.runner import Runner
from flow_service_emulator.exports.runs import Job, Run, entry_of, new_record
from flow_service_emulator.exports.schedule import schedule_of
from flow_service_emulator.store.store import Put, SetMeta, StoreError
from flow_service_emulator.validation.validation import Finding

log = logging.getLogger("emulator.exports")
TIME_KEY: Final = "time"
"""Under which key the store has how far time was (epoch seconds)."""
MAX_REMEMBERED: Final = 10_000
"""Runs that are remembered for the answer of a later advance, at most."""
MAX_DESTINATIONS: Final = 100
"""How many destinations a sandbox may have; a destination's id is its flow's (guide "Guardrails for dataset export")."""


class Due(NamedTuple):
    """When (epoch seconds) a flow exports next, and for which instant of its schedule. The smaller one comes first."""

    at: float
    order: int
    """The flow's number in the store, which is that of its creation."""
    scheduled_at: int
    flow_id: str
    scope: Scope


class Scheduler:
    """Know what falls due next, and have the `runner` carry it out as time passes or is moved."""

    def __init__(self, runner: Runner, *, max_exports: int) -> None:
        self.runner = runner
        self._store = runner.store
        self._clock = runner.clock
        self._max_exports = max_exports
        self._asked: deque[Job] = deque()
        self._due: dict[str, Due] = {}
        self._heap: list[Due] = []
        """Those of `_due`, and others that have been replaced or removed since."""
        self._remembered: list[tuple[Scope, dict[str, Any]]] = []
        """The runs that no advance has told of yet: whose each is, and what is told of it."""
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._stopping = False
        self._claims = 0
        """How many wait, or have waited, to do something `undisturbed`."""

    # --- what is due --------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Plan everything after the store. Runs that never ended, as the server was killed, are ended as failed."""
        self.runner.recover()
        for left in (self._asked, self._remembered, self._due, self._heap):
            left.clear()
        for scope, record in self._store.everywhere("flows"):
            self.plan(scope, record.id)

    def plan(self, scope: Scope, flow_id: str, after: float | None = None) -> None:
        """Plan a flow's next export by what the store has of the flow; none where it is disabled or gone.

        A start in the past exports once at once, for the latest instant of the grid, and so does a flow that missed some while the
        server was down. With `after` (epoch seconds) it is the first export behind that, which may be past as well.
        """
        self._due.pop(flow_id, None)
        record = self._store.record(scope, "flows", flow_id)
        if record is None or (flow := record.entity())["state"] != ENABLED:
            return
        schedule, now = schedule_of(flow), self._clock.now()
        done = notes_of(self._store, flow_id).get("scheduled")
        latest = schedule.latest(now)
        if after is None and latest is not None and now <= schedule.end and (done is None or latest > done):
            at, instant = now, latest
        else:
            following = schedule.following(max(now, done or 0) if after is None else after)
            if following is None:
                return
            at, instant = following, following
        due = self._due[flow_id] = Due(at, record.seq, instant, flow_id, scope)
        heapq.heappush(self._heap, due)
        self._wake.set()

    def past_over(self, flow: Entity) -> list[SetMeta]:
        """Return what is to be stored with a patch, an enable or a disable of a flow, before it is planned again.

        The past is over, the next instant of the grid counts. Not so for a flow that never ran: its first export is still to be made.
        """
        if flow["state"] != ENABLED or notes_of(self._store, flow["id"]).get("scheduled") is None:
            return []
        return [noted(self._store, flow["id"], scheduled=int(self._clock.now()))]

    def flow_deleted(self, flow_id: str) -> list[SetMeta]:
        """End a flow's schedule; return what the store is to forget about it."""
        self._due.pop(flow_id, None)
        return [SetMeta(NOTES + flow_id, None)]

    def first(self) -> Due | None:
        """The export that is due first; None when none is ahead."""
        while self._heap and self._due.get(self._heap[0].flow_id) is not self._heap[0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def next_export(self, flow_id: str) -> int | None:
        """For which instant (epoch seconds) a flow exports next; None when it has none ahead."""
        due = self._due.get(flow_id)
        return due and due.scheduled_at

    def run_now(self, scope: Scope, flow: Entity, dataset_ids: list[str] | None = None) -> Entity:
        """Ask for a run outside the schedule; return its entity, which waits for its turn."""
        job = self.runner.job(scope, flow["id"], int(self._clock.now()), dataset_ids)
        entity = new_record(job, flow, self._clock.now_ms())
        entry = entry_of(Run(job, entity, entity["createdAt"]), ended=False)
        self._store.write([Put(scope, "runs", entity), entry, noted(self._store, job.flow_id, runs=job.number)])
        self._asked.append(job)
        self._wake.set()
        return entity

    def crowded(self, scope: Scope) -> Finding | None:
        """What the creation of one more flow in an organization and sandbox is warned of, by the published limits."""
        flows = len(self._store.records(scope, "flows"))
        if flows < MAX_DESTINATIONS or not self.runner.limited:
            return None
        message = f"the sandbox has {flows} destinations already; a real one takes {MAX_DESTINATIONS} at most"
        return Finding("destinations-limit", "", message)

    def check_adhoc(self, scope: Scope, flow: Entity, dataset_ids: Sequence[str]) -> None:
        """Raise ServiceError where datasets of a flow cannot be exported on request now.

        `adhoc-not-ready` where a fault rule says so, `adhoc-out-of-range` for datasets that the flow does not carry and after the end
        of its schedule, `adhoc-running` while a run of one of them waits or is in progress. Before the schedule's start they can: Adobe's
        own client parks flows with a start that is a year away (AEPP, exportDatasetToDataLandingZone).
        """
        now, flow_id, current = self._clock.now(), flow["id"], self.runner.current
        if self.runner.faults.not_ready(scope, flow_id, now - flow["createdAt"] / 1000):
            raise ServiceError("adhoc-not-ready", flow=flow_id)
        carried = carried_datasets(self._store, scope, flow)
        outside = dataset_ids if now > schedule_of(flow).end else [id_ for id_ in dataset_ids if id_ not in carried]
        if outside:
            raise ServiceError("adhoc-out-of-range", datasets=", ".join(outside)[:200])
        for job in (*([current.job] if current else []), *self._asked):
            for dataset_id in dataset_ids if job.flow_id == flow_id else ():
                if job.dataset_ids is None or dataset_id in job.dataset_ids:
                    raise ServiceError("adhoc-running", dataset=dataset_id, flow=flow_id, run=job.run_id)

    # --- as time passes -----------------------------------------------------------------------------------------------

    def keep_time(self, at: float | None = None) -> None:
        """Store that time is at `at` (epoch seconds; the present, when left out), so that a data folder goes on from there.

        Raises StoreError. To be called before the clock is moved: what could not be written has then not happened.
        """
        self._store.write([SetMeta(TIME_KEY, self._clock.now() if at is None else at)])

    def clock_changed(self) -> None:
        """Look again at what is due, since time passes otherwise than before."""
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
        if not self._claims and self._too_many(goal(self._clock.now())):  # a reset that waits ends the backlog
            raise ServiceError(
                "control-invalid",
                reason=f"this advance would cause more than {self._max_exports} exports; advance in smaller steps, disable or "
                "delete flows, reset, or start the server with a higher --max-exports",
            )
        async with self._turn:
            with self._clock.held(*(MODES if then else ("accelerated",))):
                at = goal(self._clock.now())
                await self._move_on(at)
                if then:
                    mode, speed = then
                    self._clock.set(mode or self._clock.mode, now=at, speed=speed)
            runs = [run for scope, run in self._remembered if tells_of(scope)]
            self._remembered = [each for each in self._remembered if not tells_of(each[0])][-MAX_REMEMBERED:]
        self._wake.set()
        return runs

    def _too_many(self, until: float) -> bool:
        """Whether more exports than one advance may cause fall due at `until` (epoch seconds) or before."""
        count = 0
        for due in self._due.values():
            if due.scheduled_at <= until and (flow := self._store.get(due.scope, "flows", due.flow_id)):
                count += 1 + schedule_of(flow).count(due.scheduled_at, until)
            if count > self._max_exports:
                return True
        return count > self._max_exports

    async def _move_on(self, to: float) -> None:
        """Advance, now that it is this advance's turn."""
        while (run := await self._next(lambda: to)) is not None:
            self._remembered.append((run.job.scope, run.told()))
            if run.overdue:
                reason = (
                    f"this advance was stopped after {len(self._remembered)} runs: the call after the last one did not end within "
                    f"{self.runner.after.limit:g} s, so that run has failed; --after-export-timeout gives more time"
                )
                raise ServiceError("control-conflict", reason=reason)
        if self._stopping:
            raise ServiceError("server-ending")
        if self._claims:
            told = f"this advance was broken off after {len(self._remembered)} runs"
            reason = f"{told}: a reset, or a snapshot that is put back, takes its place"
            raise ServiceError("control-conflict", reason=reason)
        at = max(to, self._clock.now())
        self.keep_time(at)
        self._clock.move_to(at)
        self.runner.let_go()

    async def serve(self) -> None:
        """Carry out what falls due as time passes, until `stop`."""
        while not self._stopping:
            self._wake.clear()
            try:
                await self._catch_up()
            except Exception as fault:  # of one export; the others go on
                log.error("exports wait for a second: %s", fault, exc_info=not isinstance(fault, StoreError))
                await self._pause(1.0)
                continue
            ahead = [first.at] if (first := self.first()) else []
            ahead += [at for at, *_ in islice(self.runner.passing, 1)]
            wait = self._clock.wait_for(min(ahead)) if ahead else None
            await self._pause(None if wait is None else min(wait, 3600.0))

    async def _catch_up(self) -> None:
        """Carry out whatever is due now. An accelerated clock waits for it: it could leave any number of exports behind."""
        async with self._turn:
            with self._clock.held("accelerated"):
                while (run := await self._next(self._clock.now)) is not None:
                    if self._clock.mode == "frozen":
                        self._remembered.append((run.job.scope, run.told()))
                self.runner.let_go()
            del self._remembered[:-MAX_REMEMBERED]

    async def _pause(self, seconds: float | None) -> None:
        """Wait so long, or until something happens."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout=seconds)

    async def undisturbed(self, action: Callable[[], Awaitable[None]]) -> None:
        """Do something to the store or clock while no run is under way, then plan everything again.

        A run in progress is ended first, and so is an advance. What `action` raises leaves everything else as it was.
        """
        self._claims += 1
        self.runner.end()
        try:
            async with self._turn:
                if self._stopping:
                    raise ServiceError("server-ending")
                await action()
                self.load()
        finally:
            self._claims -= 1
            self._wake.set()

    def stop(self) -> None:
        """End `serve` and the run in progress, which is recorded as failed."""
        self._stopping = True
        self.runner.end()
        self._wake.set()

    def _next_due(self, until: float) -> Job | Due | None:
        """Return the next job or scheduled export that is due at `until` or before."""
        if self._stopping or self._claims:  # something else is to be done first
            return None
        if self._asked:
            return self._asked[0]
        first = self.first()
        return first if first is not None and first.at <= until else None

    async def _next(self, until: Callable[[], float]) -> Run | None:
        """Carry out the next run that is due; None when there is none. What cannot be stored is done again later."""
        while (due := self._next_due(until())) is not None:
            if not await self.runner.ready():
                return None
            if self._next_due(until()) is not due:  # a flow may have been changed or deleted meanwhile
                continue
            run = self._begin(due)
            try:
                await self.runner.carry_out(run)
            except StoreError:
                self._asked.appendleft(run.job)
                raise
            if run.cut_off and notes_of(self._store, run.job.flow_id).get("scheduled") is None:
                self.plan(run.job.scope, run.job.flow_id)
            return run
        return None

    def _begin(self, due: Job | Due) -> Run:
        """Record that a run is in progress; the clock stands at its instant afterwards.

        If that cannot be stored, the run stays asked for or planned, and time is where it was.
        """
        if isinstance(due, Job):
            run = self.runner.start(due, self._clock.now())
            self._asked.popleft()
            return run
        at = max(due.at, self._clock.now())
        job = self.runner.job(due.scope, due.flow_id, due.scheduled_at, by_schedule=True)
        notes = noted(self._store, due.flow_id, runs=job.number, scheduled=due.scheduled_at)
        run = self.runner.start(job, at, [notes, SetMeta(TIME_KEY, at)])
        self._clock.move_to(due.at)
        self.plan(due.scope, due.flow_id, after=max(due.at, due.scheduled_at))
        return run
