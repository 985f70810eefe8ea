"""The one place where the parts meet: settings and a clock become an ASGI application."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.routing import Router as Lifespan
from starlette.types import ASGIApp, Receive, Scope, Send

from flow_service_emulator.api.gateway import Gateway, Tokens
from flow_service_emulator.api.injection import SERVICE_PREFIXES, Injector
from flow_service_emulator.api.landing_zone import LandingZone
from flow_service_emulator.api.middleware import Middleware
from flow_service_emulator.api.operations import Operation, operations
from flow_service_emulator.api.origins import OriginGuard
from flow_service_emulator.api.router import Router
from flow_service_emulator.api.routes import Routes
from flow_service_emulator.catalog import Catalog, load_catalog
from flow_service_emulator.clock import Clock, begin_anew, is_instant, random_source
from flow_service_emulator.contract.contract import Contract
from flow_service_emulator.contract.recorder import Recorder
from flow_service_emulator.control.calls import control_calls
from flow_service_emulator.control.clock_calls import ClockCalls
from flow_service_emulator.control.dashboard import Overview
from flow_service_emulator.control.dataset_calls import DatasetCalls
from flow_service_emulator.control.export_calls import ExportCalls
from flow_service_emulator.control.fault_calls import FaultCalls
from flow_service_emulator.control.report_calls import ReportCalls
from flow_service_emulator.control.state import ANCHOR_KEY, ClockState, LibraryState, StoreState
from flow_service_emulator.control.state_calls import Part, StateCalls
from flow_service_emulator.datasets.folder_check import strangers
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.exported_files import Exports
from flow_service_emulator.exports.exporter import Exporter
from flow_service_emulator.exports.occupancy import Occupancy
from flow_service_emulator.exports.scheduler import TIME_KEY, Scheduler
from flow_service_emulator.faults.faults import Faults, FaultsState
from flow_service_emulator.faults.rules import Vocabulary
from flow_service_emulator.masking import Masker
from flow_service_emulator.openapi import PATH, answering, description
from flow_service_emulator.plain_files import NotPlain
from flow_service_emulator.service.service import INDEXES, FlowService
from flow_service_emulator.settings import Settings, flag_name, variable_name
from flow_service_emulator.store.store import Store, StoreError

log = logging.getLogger("emulator.app")


class ExportFolderError(Exception):
    """Nothing can be written to the export folder."""

    def __init__(self, folder: Path, fault: OSError) -> None:
        reason = "it is a file" if folder.is_file() else fault.strerror or fault
        names = f"{flag_name('export_dir')} or {variable_name('export_dir')}"
        super().__init__(f"nothing can be written to the export folder {folder}: {reason}; {names} names another")


class Emulator:
    """The application, and what a server needs of it to end in good order."""

    def __init__(self, app: ASGIApp, works: Works, injector: Injector) -> None:
        self._app = app
        self._works = works
        self._injector = injector

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def look_at_files(self) -> None:
        """Looks at the user's dataset files, so that the log names what is wrong with them before anybody asks for them."""
        with suppress(ServiceError):  # the server ends
            await self._works.library.refresh()

    def stop(self) -> None:
        """Ends the export in progress, the reading of files and every delay, so that a server can shut down at once."""
        self._works.scheduler.stop()
        self._works.library.stop()
        self._injector.stop()


@dataclass(frozen=True, slots=True)
class Works:
    """What goes on without any request: entities, datasets, time, and the exports that fall due."""

    catalog: Catalog
    clock: Clock
    store: Store
    library: Library
    faults: Faults
    scheduler: Scheduler
    exports: Exports
    occupancy: Occupancy

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> Works:
        catalog = load_catalog(settings.fixtures)
        for stranger in strangers(settings.fixtures) if settings.fixtures else ():
            log.warning("%s", stranger)
        store = Store(settings.data_dir, indexes=INDEXES)
        library = Library(
            catalog,
            store=store,
            clock=clock,
            seed=settings.seed or 0,
            anchor=clock.now(),
            folder=settings.fixtures and settings.fixtures / "datasets",
        )
        faults = Faults(lambda seed, salt: random_source(seed, salt).random())
        occupancy = Occupancy(settings.export_dir)
        exporter = Exporter(
            store=store,
            catalog=catalog,
            library=library,
            clock=clock,
            export_dir=settings.export_dir,
            rows_per_file=settings.rows_per_file,
            keep_runs=settings.keep_runs,
            faults=faults,
            alone=occupancy.alone,
        )
        scheduler = Scheduler(store=store, exporter=exporter, clock=clock, max_exports=settings.max_exports)
        exports = Exports(settings.export_dir, store, catalog)
        return cls(catalog, clock, store, library, faults, scheduler, exports, occupancy)

    def begin(self, settings: Settings, library_state: LibraryState) -> None:
        """Takes up what the data folder has: since when the datasets grow, which exports are due, what a crash left.

        Raises NotPlain when the export folder cannot be marked, as a link has the marker's name for instance, and
        ExportFolderError when nothing can be written there: a server that is healthy, and whose every export fails, misleads.
        """
        try:
            self.occupancy.begin(self.exports.clear_up)
            if not os.access(settings.export_dir, os.W_OK | os.X_OK):  # it may have been marked by another user
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as fault:
            self.occupancy.end()
            self.store.close()
            if isinstance(fault, NotPlain):
                raise
            raise ExportFolderError(settings.export_dir, fault) from None
        self._resume_time(settings)
        anchor = self._kept_instant(ANCHOR_KEY)
        library_state.restore(self.clock.now() if anchor is None else anchor)
        self.scheduler.load()

    def _resume_time(self, settings: Settings) -> None:
        """Goes on from the data folder's time: else what was exported, and stored as past, would lie in the future."""
        kept = self._kept_instant(TIME_KEY)
        if kept is None:
            return
        start = self.clock.now()
        if settings.now is None and self.clock.mode != "real":
            self.clock.set_off({"now": kept})  # it stood still while the server was down
        else:
            self.clock.move_to(kept)
        if abs(self.clock.now() - start) > 1:
            at = f"{datetime.fromtimestamp(kept, UTC):%Y-%m-%d %H:%M:%S} UTC"
            if settings.now is None:
                log.info("time goes on from %s, where the data folder left it", at)
            else:
                log.warning(
                    "%s is passed over: time goes on from %s, where the data folder left it, as it cannot go backwards",
                    flag_name("now"),
                    at,
                )

    def _kept_instant(self, key: str) -> float | None:
        """An instant (epoch seconds) of the data folder; None where it has none."""
        kept = self.store.get_meta(key)
        if kept is None or is_instant(kept):
            return kept
        log.warning("what the data folder keeps as %r is passed over: it is no time", key)
        return None

    @asynccontextmanager
    async def serve(self, app: Any) -> AsyncIterator[dict[str, Any]]:
        """Runs due exports for as long as the application is served (an ASGI lifespan)."""
        serving = asyncio.create_task(self.scheduler.serve())
        try:
            yield {}
        finally:
            self.scheduler.stop()
            await serving
            with suppress(StoreError):  # the folder cannot be written to, which was said already
                self.scheduler.keep_time()
            self.scheduler.close()
            self.store.close()
            self.occupancy.end()


def _control_calls(
    works: Works, recorder: Recorder, contract: Contract, parts: dict[str, Part], words: Vocabulary
) -> list[Operation]:
    """The routes below `/__emulator`."""
    clock, scheduler, store, library, exports = works.clock, works.scheduler, works.store, works.library, works.exports
    overview = Overview(
        clock=clock,
        scheduler=scheduler,
        store=store,
        catalog=works.catalog,
        library=library,
        exports=exports,
        faults=works.faults,
        recorder=recorder,
        verdicts=contract.verdicts,
    )
    return control_calls(
        StateCalls(clock=clock, scheduler=scheduler, parts=parts, exports=exports),
        ClockCalls(clock, scheduler),
        ExportCalls(exports, scheduler),
        DatasetCalls(library),
        FaultCalls(works.faults, words),
        ReportCalls(recorder=recorder, contract=contract),
        overview,
    )


def create_app(settings: Settings, clock: Clock) -> Emulator:
    """The whole emulator.

    Raises FixtureError for a broken fixture, StoreError when the data folder cannot be opened, ExportFolderError when nothing can
    be written to the export folder, and NotPlain when that cannot be marked as the emulator's.
    """
    works = Works.of(settings, clock)
    catalog, store, library, faults = works.catalog, works.store, works.library, works.faults

    tokens = Tokens(clock, random_source(None))
    gateway = Gateway(tokens=tokens, check_auth=settings.check_auth, orgs=settings.orgs, sandboxes=settings.sandboxes)
    rng = random_source(settings.seed, salt=str(store.next_seq))
    masker = Masker(catalog)
    service = FlowService(
        store=store, catalog=catalog, library=library, clock=clock, rng=rng, scheduler=works.scheduler, masker=masker
    )
    of_service = operations(Routes(service, catalog, library), gateway, LandingZone(clock))
    destinations = [spec.destination.folder for spec in catalog.connection_specs.values() if spec.destination]
    names = [operation.name for operation in of_service if operation.path.startswith(SERVICE_PREFIXES)]
    words = Vocabulary(names, catalog.errors, destinations, seed=settings.seed or 0)
    injector = Injector(faults, gateway, service, catalog.errors)

    contract = Contract(
        catalog,
        now=clock.now,
        document=lambda: description(of_service, catalog),
        unmatched=lambda: [rule.as_json() for rule in faults.rules if not rule.matched],
    )
    recorder = Recorder(
        masker=masker,
        contract=contract,
        clock=clock,
        entries=settings.journal_entries,
        epoch=random_source(None).getrandbits(48),
    )

    def store_replaced(next_seq: int) -> None:
        injector.drop_delayed()
        begin_anew(rng, settings.seed, salt=str(next_seq))

    library_state = LibraryState(library, store, clock)
    parts: dict[str, Part] = {
        "clock": ClockState(clock),
        "store": StoreState(store, clock, begin_ids=store_replaced),
        "datasets": library_state,
        "faults": FaultsState(faults, words),
        "requests": recorder,
        "contract": contract,
    }
    works.begin(settings, library_state)

    table = [*of_service, *_control_calls(works, recorder, contract, parts, words)]
    table.append(Operation("openapi", "GET", PATH, answering(table, catalog), "This description"))
    middleware = Middleware(
        Router(table),
        Lifespan(lifespan=works.serve),
        errors=catalog.errors,
        gateway=gateway,
        rng=random_source(None),
        injector=injector,
        recorder=recorder,
        masker=masker,
        guard=OriginGuard((settings.host, *settings.allowed_hosts)),
    )
    return Emulator(middleware, works, injector)
