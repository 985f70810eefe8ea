"""A running emulator as a test sees it: where it is, headers, clock, exported files, requests, faults, contract, datasets.

The pytest plugin hands a `FlowService` to tests; any other test framework can make one of a server's address.
"""

from emulator.instants import Instant, epoch_seconds
from emulator.testing.clock_control import ClockControl
from emulator.testing.contract_view import Contract
from emulator.testing.control_client import FlowServiceError
from emulator.testing.datasets import Datasets
from emulator.testing.exported import ExportedFile, Exports
from emulator.testing.fault_control import Faults
from emulator.testing.flow_service import FlowService, FlowServiceServer
from emulator.testing.requests import Requests

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
