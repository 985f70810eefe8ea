"""The parts of the emulator, made from settings and a clock. Wiring, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.api.gateway import Gateway, OriginGuard
from flow_service_emulator.api.injection import Injector
from flow_service_emulator.api.middleware import Middleware, Router
from flow_service_emulator.api.operations import Operation, operations
from flow_service_emulator.api.routes import Routes
from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.clock import Clock, random_source
from flow_service_emulator.contract.contract import Contract
from flow_service_emulator.contract.recorder import Recorder
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.exported_files import Exports
from flow_service_emulator.exports.runner import Runner
from flow_service_emulator.exports.scheduler import Scheduler
from flow_service_emulator.faults.faults import Faults
from flow_service_emulator.masking import Masker
from flow_service_emulator.openapi import description
from flow_service_emulator.service.service import INDEXES, FlowService
from flow_service_emulator.settings import Settings
from flow_service_emulator.store.store import Store, StoreError


class Emulator:
    """Operations over a store, what exports by itself, and what watches their client.

    Raises FixtureError for a broken fixture, and StoreError when the data folder cannot be opened.
    """

    app: ASGIApp
    """The application, once there is one."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.catalog = catalog = load_catalog(settings.fixtures)
        self.store = store = Store(settings.data_dir, indexes=INDEXES)
        folder = settings.fixtures and settings.fixtures / "datasets"
        self.library = library = Library(
            catalog.datasets, store=store, clock=clock, seed=settings.seed or 0, anchor=clock.now(), folder=folder
        )
        self.faults = faults = Faults(lambda seed, salt: random_source(seed, salt).random())
        runner = Runner(settings, store=store, catalog=catalog, library=library, clock=clock, faults=faults)
        self.scheduler = Scheduler(runner, max_exports=settings.max_exports)
        self.gateway = Gateway(settings, clock, random_source(None))
        self.masker = Masker(catalog)
        self.ids = random_source(settings.seed, salt=str(store.next_seq))
        self.entities = FlowService(
            store=store,
            catalog=catalog,
            library=library,
            clock=clock,
            rng=self.ids,
            scheduler=self.scheduler,
            masker=self.masker,
        )
        routes = Routes(self.entities, catalog, library, clock, settings.landing_zone)
        self.table = operations(routes, self.gateway, catalog.unsupported["operations"])
        self.injector = Injector(faults, self.gateway, self.entities, catalog.errors, clock)
        self.contract = Contract(
            catalog,
            now=clock.now,
            table=self.table,
            whereabouts=store.whereabouts,
            document=lambda: description(self.table, catalog),
            unmatched=lambda: [rule.as_json() for rule in faults.rules if not rule.matched],
        )
        self.exports = Exports(settings.export_dir, store, catalog)
        self.recorder = Recorder(
            masker=self.masker,
            contract=self.contract,
            clock=clock,
            entries=settings.journal_entries,
            epoch=random_source(None).getrandbits(48),
        )

    def application(
        self, table: Sequence[Operation], record: Callable[[Exchange], None], tell: Callable[[int, str], None]
    ) -> Middleware:
        """The operations of a table as an ASGI application."""
        return Middleware(
            router=Router(table, self.catalog.unsupported["apis"]),
            lifespan=self.lifespan,
            errors=self.catalog.errors,
            gateway=self.gateway,
            guard=OriginGuard((self.settings.host, *self.settings.allowed_hosts)),
            injector=self.injector,
            masker=self.masker,
            clock=self.clock,
            rng=random_source(None),
            explain=self.contract.explain,
            record=record,
            tell=tell,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    async def lifespan(self, receive: Receive, send: Send) -> None:
        """Run due exports for as long as the application is served."""
        await receive()
        serving = asyncio.create_task(self.scheduler.serve())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.scheduler.stop()
        await serving
        with suppress(StoreError):  # the folder cannot be written to, which was said already
            self.scheduler.keep_time()
        self.scheduler.runner.close()
        self.store.close()
        await send({"type": "lifespan.shutdown.complete"})

    def begin_ids(self, next_seq: int) -> None:
        """The store was replaced: end what waits from before, and draw ids from the entity of this number, counted from 1, on."""
        self.injector.end_delays(dropped=True)
        self.ids.setstate(random_source(self.settings.seed, salt=str(next_seq)).getstate())

    async def look_at_files(self) -> None:
        """Look at the user's dataset files, so that the log names what is wrong with them before anybody asks for them."""
        with suppress(ServiceError):  # the server ends
            await self.library.refresh()

    def stop(self) -> None:
        """End the export in progress, the reading of files and every delay, so that a server can shut down at once."""
        self.scheduler.stop()
        self.library.stop()
        self.injector.stop()
