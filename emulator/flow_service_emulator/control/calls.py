"""The table of control calls: one row for each. To add one, write its handler and its row, and describe it
in the reference "Control calls" of the documentation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from flow_service_emulator import __version__
from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.control import clock, datasets, exports, faults, flows, overview, pages, reports, state
from flow_service_emulator.control.inputs import CONTROL
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.settings import MAX_BODY_BYTES, MAX_CONTROL_BYTES, MAX_DATASET_BYTES

LIMITS = {"putState": MAX_CONTROL_BYTES, "putDataset": MAX_DATASET_BYTES, "appendRecords": MAX_DATASET_BYTES}
"""The calls that take large bodies, and how many bytes these may have."""
Row = tuple[str, str, str, Callable[[Emulator, Exchange], Awaitable[Reply]], str]


async def health(emulator: Emulator, exchange: Exchange) -> Reply:
    return Reply({"status": "ok", "version": __version__})


# fmt: off
CALLS: list[Row] = [
    ("health", "GET", "/health", health, "Whether the emulator is ready"),
    ("reset", "POST", "/reset", state.reset, "Forget everything and put the clock back"),
    ("getState", "GET", "/state", state.get_state, "A snapshot of everything"),
    ("putState", "PUT", "/state", state.put_state, "Put a snapshot back"),
    ("getClock", "GET", "/clock", clock.get_clock, "What time it is"),
    ("putClock", "PUT", "/clock", clock.put_clock, "Change how time passes"),
    ("advanceClock", "POST", "/clock/advance", clock.advance, "Move time on, and run every export on the way"),
    ("createFlow", "POST", "/flows", flows.create_flow, "Make a flow with valid values, and the connections it needs"),
    ("listExports", "GET", "/exports", exports.list_exports, "Every exported file that is there"),
    ("putAfterExport", "PUT", "/after-export", exports.put_after_export, "Call another address after each run"),
    ("getExport", "GET", "/exports/{path:path}", exports.get_export, "An exported file"),
    ("getFaults", "GET", "/faults", faults.get_faults, "The rules of injected faults, with how often each has fired"),
    ("putFaults", "PUT", "/faults", faults.put_faults, "Replace all rules of injected faults"),
    ("addFaults", "POST", "/faults", faults.add_faults, "Add a rule, several, or those of a scenario"),
    ("deleteFaults", "DELETE", "/faults", faults.delete_faults, "Delete all rules of injected faults"),
    ("deleteFault", "DELETE", "/faults/{id}", faults.delete_faults, "Delete one rule"),
    ("listScenarios", "GET", "/scenarios", faults.list_scenarios, "The named bundles of rules"),
    ("listRequests", "GET", "/requests", reports.list_requests, "The journal of the service's requests, newest last"),
    ("deleteRequests", "DELETE", "/requests", reports.delete_requests, "Empty the journal"),
    ("getContract", "GET", "/contract", reports.get_contract, "The contract report: violations, warnings, coverage"),
    ("deleteContract", "DELETE", "/contract", reports.delete_contract, "Empty the contract report"),
    ("dashboard", "GET", "", pages.dashboard_file, "The dashboard"),
    ("dashboardWithSlash", "GET", "/", pages.dashboard_file, "The dashboard"),
    ("dashboardFile", "GET", "/page/{file}", pages.dashboard_file, "A file of the dashboard"),
    ("docs", "GET", "/docs", pages.to_the_docs, "Leads to the documentation"),
    ("docsPage", "GET", "/docs/{path:path}", pages.docs_page, "A page of the documentation"),
    ("overview", "GET", "/overview", overview.overview, "Clock, flows, runs, files and faults at a glance"),
    ("previewExport", "GET", "/previews/{path:path}", exports.preview_export, "The first rows of an exported file"),
    ("listDatasets", "GET", "/datasets", datasets.list_datasets, "Every dataset, and every file that cannot be one"),
    ("getDataset", "GET", "/datasets/{id}", datasets.get_dataset, "A dataset and its schema"),
    ("putDataset", "PUT", "/datasets/{id}", datasets.put_dataset, "Make or replace a dataset of your own"),
    ("appendRecords", "POST", "/datasets/{id}/records", datasets.append_records, "Append records to such a dataset"),
    ("deleteDataset", "DELETE", "/datasets/{id}", datasets.delete_dataset, "Delete such a dataset"),
]
# fmt: on
"""Name, method, path below `/__emulator`, handler, summary."""


def control_calls(emulator: Emulator) -> list[Operation]:
    """The table as operations of an emulator."""
    front_door = partial(pages.to_the_dashboard, emulator)
    return [
        Operation("control:frontDoor", "GET", "/", front_door, "Leads to the dashboard"),
        *(
            Operation(
                f"control:{name}",
                method,
                CONTROL + path,
                partial(handler, emulator),
                summary,
                limit=LIMITS.get(name, MAX_BODY_BYTES),
            )
            for name, method, path, handler, summary in CALLS
        ),
    ]
