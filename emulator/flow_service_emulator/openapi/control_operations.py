"""The descriptions of the control calls: one row for each, by the operation's name without `control:`."""

from __future__ import annotations

from typing import Final

from flow_service_emulator.clock import MAX_SPEED, MODES
from flow_service_emulator.openapi.answers import TEXT, Schema, record, ref
from flow_service_emulator.openapi.console import CONSOLE_OPERATIONS
from flow_service_emulator.openapi.datasets import DATASET_OPERATIONS
from flow_service_emulator.openapi.description import BINARY, Description, parameter
from flow_service_emulator.openapi.reports import REPORT_OPERATIONS
from flow_service_emulator.settings import LATEST_TIME

_CLOCK_NOW: Final[Schema] = {
    "type": ["number", "string"],
    "pattern": r"^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$",
    "minimum": 0,
    "maximum": LATEST_TIME,
    "description": "epoch seconds or ISO 8601, not in the past",
}
_SPEED: Final[Schema] = {
    "type": "number",
    "minimum": 0,
    "maximum": MAX_SPEED,
    "description": "for the mode accelerated, which needs one; of the others only the one that GET answers: 1, and 0 when frozen",
}
_WHOSE: Final[Schema] = {"org": TEXT, "sandbox": TEXT}

CONTROL_OPERATIONS: Final[dict[str, Description]] = {
    "health": Description("emulator", "Whether the emulator is ready", {200: ref("Health")}),
    "reset": Description(
        "emulator",
        "Forget everything and put the clock back",
        {200: ref("Done")},
        ("control-invalid", "query-value-invalid", "server-ending", "store-unavailable", "exports-unremoved"),
        (parameter("exports", {"type": "boolean", "default": False}, "also empty the export folder"),),
        body=record(
            {
                "clock": record(
                    {
                        "mode": {"enum": list(MODES)},
                        "now": {**_CLOCK_NOW, "description": "epoch seconds or ISO 8601, in the past too"},
                        "speed": _SPEED,
                    },
                    required=(),
                    additionalProperties=False,
                )
            },
            required=(),
            additionalProperties=False,
        ),
        body_required=False,
        notes="Without a body the clock starts as the server's did.",
    ),
    "getState": Description("emulator", "A snapshot of everything", {200: ref("State")}, ("snapshot-too-large",)),
    "putState": Description(
        "emulator",
        "Put a snapshot back",
        {200: ref("Done")},
        ("control-invalid", "server-ending", "store-unavailable"),
        body=ref("State"),
    ),
    "getClock": Description("emulator", "What time it is", {200: ref("Clock")}),
    "putClock": Description(
        "emulator",
        "Change how time passes",
        {200: ref("Clock")},
        ("control-invalid", "control-conflict", "server-ending", "store-unavailable"),
        body=record(
            {
                "mode": {"enum": list(MODES)},
                "now": {**_CLOCK_NOW, "type": ["number", "string", "null"]},
                "speed": {**_SPEED, "type": ["number", "null"]},
            },
            required=(),
            additionalProperties=False,
        ),
    ),
    "advanceClock": Description(
        "emulator",
        "Move time on, and run every export on the way",
        {200: ref("Advanced")},
        ("control-invalid", "control-conflict", "server-ending", "store-unavailable"),
        body={
            "oneOf": [
                record(
                    {"seconds": {"type": "number", "minimum": 0, "maximum": LATEST_TIME}, **_WHOSE},
                    required=("seconds",),
                    additionalProperties=False,
                ),
                record({"to": _CLOCK_NOW, **_WHOSE}, required=("to",), additionalProperties=False),
            ]
        },
        notes="It answers when the exports' files are on disk, and tells of the runs on the way, as well as of those that a frozen "
        "clock has run by itself since the last advance. With `org` or `sandbox` it tells of theirs only; of the others, the "
        "next advance that is asked for them does.",
    ),
    **CONSOLE_OPERATIONS,
    "listExports": Description(
        "emulator",
        "Every exported file that is there",
        {200: ref("Exports")},
        ("control-invalid", "query-value-invalid"),
        tuple(parameter(name, TEXT, f"only of this {name}") for name in ("flow", "run", "dataset", "org", "sandbox")),
    ),
    "getFaults": Description(
        "emulator", "The rules of injected faults, and how often each has matched and fired", {200: ref("Faults")}
    ),
    "putFaults": Description(
        "emulator",
        "Replace all rules of injected faults",
        {200: ref("Faults")},
        ("control-invalid",),
        body={"oneOf": [ref("FaultRule"), ref("FaultRules"), ref("FaultScenario")]},
        notes="Rules are asked in their order: delays add up, the first other rule that fires decides.",
    ),
    "addFaults": Description(
        "emulator",
        "Add a rule, several, or a scenario's behind those that are there",
        {200: ref("Faults")},
        ("control-invalid",),
        body={"anyOf": [ref("FaultRule"), ref("FaultRules"), ref("FaultScenario")]},
    ),
    "deleteFaults": Description("emulator", "Delete all rules of injected faults", {200: ref("FaultsDeleted")}),
    "deleteFault": Description("emulator", "Delete one rule", {200: ref("FaultsDeleted")}, ("control-not-found",)),
    "listScenarios": Description("emulator", "The named bundles of rules", {200: ref("Scenarios")}),
    **DATASET_OPERATIONS,
    **REPORT_OPERATIONS,
    "getExport": Description("emulator", "An exported file", {200: {}}, ("control-not-found",), answer_type=BINARY),
}
