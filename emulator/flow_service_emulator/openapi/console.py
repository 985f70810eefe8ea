"""The descriptions of the page for people, and of what it shows."""

from __future__ import annotations

from typing import Final

from flow_service_emulator.contract.contract import VERDICTS
from flow_service_emulator.control.console import DEFAULT_ROWS, MAX_WANTED, PAGE_FILES
from flow_service_emulator.control.previews import MAX_ROWS
from flow_service_emulator.openapi.answers import CLOCK, COUNT, TEXT, Schema, array, record, ref
from flow_service_emulator.openapi.description import Description, parameter

_ITEMS: Final[Schema] = array({"type": "object"})

CONSOLE_SCHEMAS: Final[dict[str, Schema]] = {
    "Overview": record(
        {
            "version": TEXT,
            "epoch": {**COUNT, "description": "another one after a start, a reset, and when the journal was emptied"},
            "clock": CLOCK,
            "next": {"type": ["number", "null"], "description": "epoch seconds of the next export that falls due"},
            "counts": record(
                {
                    "flows": COUNT,
                    "flowsFound": {**COUNT, "description": "those that have the text asked for"},
                    "runs": COUNT,
                    "requests": COUNT,
                    "journal": {**COUNT, "description": "requests that the journal still has"},
                }
            ),
            "verdicts": record(dict.fromkeys(VERDICTS, COUNT)),
            **dict.fromkeys(("flows", "runs", "files", "faults"), _ITEMS),
        }
    ),
    "Preview": record(
        {
            "form": {"enum": ["json", "json.gz", "parquet"]},
            "rows": _ITEMS,
            "more": {"type": "boolean", "description": "whether the file has more rows"},
        }
    ),
}
"""Name -> schema of a component."""

CONSOLE_OPERATIONS: Final[dict[str, Description]] = {
    "overview": Description(
        "emulator",
        "Clock, flows, runs, files and faults at a glance",
        {200: ref("Overview")},
        ("control-invalid", "query-value-invalid"),
        (
            parameter(
                "flow", {"type": "string", "maxLength": MAX_WANTED}, "leaves the flows with this in their name or id"
            ),
        ),
    ),
    "frontDoor": Description("emulator", "Leads to the page for people", {302: None}),
    "previewExport": Description(
        "emulator",
        "The first rows of an exported file",
        {200: ref("Preview")},
        ("control-invalid", "control-not-found", "query-value-invalid"),
        (
            parameter(
                "rows", {"type": "integer", "minimum": 1, "maximum": MAX_ROWS, "default": DEFAULT_ROWS}, "how many"
            ),
        ),
    ),
    **{
        name: Description("emulator", f"The page for people: {file}", {200: TEXT}, answer_type=form.partition(";")[0])
        for name, _, file, form in PAGE_FILES
    },
}
