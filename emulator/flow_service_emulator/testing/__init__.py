"""A running emulator as a test sees it: where it is, headers, clock, exported files, requests, faults, contract, datasets.

The pytest plugin hands a `FlowService` to tests. Without it, `start_server` starts one, and `FlowService` takes a server's address.
"""

from flow_service_emulator.instants import Instant
from flow_service_emulator.testing.answers import (
    CreatedFlow,
    Dataset,
    FaultRule,
    Finding,
    RecordedRequest,
    RuleReport,
    Run,
)
from flow_service_emulator.testing.client import FlowServiceError
from flow_service_emulator.testing.controls import ClockControl, Datasets, Faults
from flow_service_emulator.testing.exported import ExportedFile, Exports
from flow_service_emulator.testing.flow_service import FlowService, FlowServiceServer
from flow_service_emulator.testing.local_server import start_server
from flow_service_emulator.testing.requests import Contract, Requests

__all__ = [
    "ClockControl", "Contract", "CreatedFlow", "Dataset", "Datasets", "ExportedFile", "Exports", "FaultRule",
    "Faults", "Finding", "FlowService", "FlowServiceError", "FlowServiceServer", "Instant", "RecordedRequest",
    "Requests", "RuleReport", "Run", "start_server",
]  # fmt: skip
