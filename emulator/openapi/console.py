"""The descriptions of the page for people, and of what it shows."""

from __future__ import annotations

from typing import Final

from emulator.control.console import DEFAULT_ROWS, PAGE_FILES
from emulator.control.previews import MAX_ROWS
from emulator.openapi.answers import CLOCK, COUNT, TEXT, Schema, array, record, ref
from emulator.openapi.description import Description, parameter

_ITEMS: Final[Schema] = array({"type": "object"})

CONSOLE_SCHEMAS: Final[dict[str, Schema]] = {
    "Overview": record(
        {
            "version": TEXT,
            "clock": CLOCK,
            "next": {"type": ["number", "null"], "description": "epoch seconds of the next export that falls due"},
            "counts": record({"flows": COUNT, "runs": COUNT, "requests": COUNT}),
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
    "overview": Description("emulator", "Clock, flows, runs, files and faults at a glance", {200: ref("Overview")}),
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
