"""The one place where the parts meet: settings and a clock become an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from emulator.catalog import load_catalog
from emulator.clock import Clock, random_source
from emulator.control import Control, Part
from emulator.exporter import Exporter
from emulator.exports import Exports, mark_export_dir
from emulator.gateway import Gateway, Tokens
from emulator.landing_zone import LandingZone
from emulator.library import Library
from emulator.middleware import Middleware
from emulator.openapi import OpenApi
from emulator.routes import Routes, no_route, starlette_routes
from emulator.scheduler import Scheduler
from emulator.service import INDEXES, FlowService
from emulator.settings import Settings
from emulator.state import ClockState, LibraryState, StoreState
from emulator.store import Store
from emulator.writers import remove_leftovers

log = logging.getLogger("emulator.app")


class Emulator:
    """The application, and what a server needs of it to end in good order."""

    def __init__(self, app: ASGIApp, scheduler: Scheduler) -> None:
        self._app = app
        self._scheduler = scheduler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def stop(self) -> None:
        """Ends the export in progress, so that a server can shut down at once."""
        self._scheduler.stop()


def create_app(settings: Settings, clock: Clock) -> Emulator:
    """The whole emulator.

    Raises FixtureError for a broken fixture, and StoreError when the data folder cannot be opened.
    """
    catalog = load_catalog(settings.fixtures)
    store = Store(settings.data_dir, indexes=INDEXES)
    rng = random_source(settings.seed, salt=str(store.next_seq))
    library = Library(catalog, seed=settings.seed or 0, anchor=clock.now())
    exporter = Exporter(
        store=store,
        catalog=catalog,
        library=library,
        clock=clock,
        rng=rng,
        export_dir=settings.export_dir,
        rows_per_file=settings.rows_per_file,
        keep_runs=settings.keep_runs,
    )
    scheduler = Scheduler(store=store, exporter=exporter, clock=clock, max_exports=settings.max_exports)
    tokens = Tokens(clock, random_source(None))
    gateway = Gateway(tokens=tokens, check_auth=settings.check_auth, orgs=settings.orgs, sandboxes=settings.sandboxes)
    service = FlowService(store=store, catalog=catalog, library=library, clock=clock, rng=rng, scheduler=scheduler)
    routes = Routes(service=service, catalog=catalog, library=library, gateway=gateway, landing_zone=LandingZone(clock))
    exports = Exports(settings.export_dir, store, catalog)
    parts: dict[str, Part] = {
        "clock": ClockState(clock),
        "store": StoreState(store),
        "datasets": LibraryState(library, store, clock),
    }
    control = Control(clock=clock, scheduler=scheduler, parts=parts, exports=exports)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        serving = asyncio.create_task(scheduler.serve())
        try:
            yield {}
        finally:
            scheduler.stop()
            await serving
            scheduler.close()
            store.close()

    try:
        mark_export_dir(settings.export_dir)
    except OSError as fault:
        log.warning("the export folder %s cannot be written to (%s); every export will fail", settings.export_dir, fault.strerror)
    parts["datasets"].restore(store.get_meta("anchor"))
    if settings.data_dir is not None:
        remove_leftovers(settings.export_dir)
        recovered = exporter.recover()
        if recovered:
            log.warning("%d runs were under way when the server last ended; they are marked as failed", recovered)
    scheduler.load()
    table = [*routes.operations(), *control.operations()]
    table.append(OpenApi(catalog, table).operation())
    router = Router(starlette_routes(table), redirect_slashes=False, default=no_route, lifespan=lifespan)
    return Emulator(Middleware(router, errors=catalog.errors, gateway=gateway, rng=random_source(None)), scheduler)
