"""The emulator as an ASGI application: the operations of the service, the control calls and the description, in one table."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flow_service_emulator.api.middleware import request_log
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.clock import Clock
from flow_service_emulator.control.calls import control_calls
from flow_service_emulator.control.state import resume
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.exports.exported_files import prepare_folder
from flow_service_emulator.folder_check import strangers
from flow_service_emulator.openapi import PATH, answering
from flow_service_emulator.settings import Settings

log = logging.getLogger("emulator.app")


def create_app(settings: Settings, clock: Clock, tell: Callable[[int, str], None] = request_log.log) -> Emulator:
    """The whole emulator; `tell` takes the lines of the log that are about requests.

    Raises FixtureError for a broken fixture, ExportFolderError when nothing can be written to the export folder, and StoreError
    when the data folder cannot be opened.
    """
    for stranger in strangers(settings.fixtures) if settings.fixtures else ():
        log.warning("%s", stranger)
    prepare_folder(settings.export_dir)
    emulator = Emulator(settings, clock)
    resume(emulator)
    emulator.scheduler.load()
    table = [*emulator.table, *control_calls(emulator)]
    table.append(Operation("openapi", "GET", PATH, answering(table, emulator.catalog), "This description"))
    emulator.app = emulator.application(table, emulator.recorder.record, tell)
    return emulator
