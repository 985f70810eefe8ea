"""A running emulator as a test sees it: where it is, headers, clock, exported files, requests, faults, contract, datasets.

The pytest plugin hands a `FlowService` to tests; any other test framework can make one of a server's address.
"""

from flow_service_emulator.instants import Instant, epoch_seconds
from flow_service_emulator.testing.client import FlowServiceError
from flow_service_emulator.testing.controls import ClockControl, Datasets, Faults
from flow_service_emulator.testing.exported import ExportedFile, Exports
from flow_service_emulator.testing.flow_service import FlowService, FlowServiceServer
from flow_service_emulator.testing.requests import Contract, Requests

__all__ = [
    "ClockControl",
    "Contract",
    "Datasets",
    "ExportedFile",
    "Exports",
    "Faults",
    "FlowService",
    "FlowServiceError",
    "FlowServiceServer",
    "Instant",
    "Requests",
    "epoch_seconds",
]
