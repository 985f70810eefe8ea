"""The control calls for exported files: which there are, one of them whole, and the first rows of one in any of the four forms."""

from __future__ import annotations

import asyncio
import zlib
from itertools import islice
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.control.inputs import ANYTHING, CONTROL, invalid, taken, takes
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.settings import http_address
from flow_service_emulator.validation.violation_text import literal

DEFAULT_ROWS: Final = 20
MAX_ROWS: Final = 200
MAX_TEXT: Final = 1_000
"""Characters of a text in a row; a longer one is cut and ends in an ellipsis."""
EXPORTS: Final = takes(dict.fromkeys(("flow", "run", "dataset", "org", "sandbox"), ANYTHING))
AFTER_EXPORT: Final = takes(
    {"url": {"type": ["string", "null"]}}, "url", example={"url": "http://127.0.0.1:9000/exported"}
)
PREVIEW: Final = takes({"rows": {"type": "integer", "minimum": 1, "maximum": MAX_ROWS}})
BATCH_ROWS: Final = 16
"""Rows of Parquet that are made at a time: a long text that all have in common is stored once."""


async def list_exports(emulator: Emulator, exchange: Exchange) -> Reply:
    """Every exported file that is still there, and what is being written, of a `flow`, `run`, `dataset`, `org`, `sandbox`."""
    filters, exports, runner = taken(exchange, EXPORTS), emulator.exports, emulator.scheduler.runner
    writing = exports.in_progress(runner.current, filters)
    return Reply({"items": exports.files(filters), "inProgress": writing, "calls": exports.calls(filters)})


async def put_after_export(emulator: Emulator, exchange: Exchange) -> Reply:
    """Call the address `url` after each run from now on, until a reset; null is again what the server was started with.

    A command cannot be set: whoever reaches the port could then run anything here.
    """
    url, after = taken(exchange, AFTER_EXPORT)["url"], emulator.scheduler.runner.after
    try:
        after.set(None if url is None else http_address(url))
    except ValueError as reason:
        raise invalid(f"url: {reason}, got {literal(url)}", "url") from None
    return Reply({"call": after.shown})


async def get_export(emulator: Emulator, exchange: Exchange) -> Reply:
    return Reply(file=_find(emulator, exchange), content_type="application/octet-stream")


async def preview_export(emulator: Emulator, exchange: Exchange) -> Reply:
    """The first rows of an exported file; `rows` says how many."""
    rows = taken(exchange, PREVIEW).get("rows", DEFAULT_ROWS)
    try:
        return Reply(await asyncio.to_thread(preview, _find(emulator, exchange), rows))
    except PreviewError as reason:
        raise invalid(f"{exchange.path_params['path'][:200]!r} cannot be shown: {reason}") from None


def _find(emulator: Emulator, exchange: Exchange) -> Path:
    """The exported file that the path names."""
    path = exchange.path_params["path"]
    file = emulator.exports.find(path)
    if file is None:
        reason = f"there is no exported file {path[:200]!r}; GET {CONTROL}/exports lists them"
        raise ServiceError("control-not-found", reason=reason)
    return file


class PreviewError(ValueError):
    """The file is not what its name says; the message says why."""


def preview(file: Path, limit: int) -> dict[str, Any]:
    """`{"form", "rows": [...], "more": whether there are more}`: at most `limit` rows, their long texts cut.

    Raises PreviewError for a file that cannot be read as what it is called.
    """
    # brings a client along, which a start need not wait for
    from flow_service_emulator.testing.exported import each_row

    form = {".parquet": "parquet", ".gz": "json.gz"}.get(file.suffix, "json")
    try:
        rows = [_short(row) for row in islice(each_row(file, BATCH_ROWS), limit + 1)]
    except (OSError, EOFError, ValueError, zlib.error) as fault:
        raise PreviewError(f"it is not {form}: {str(fault)[:200]}") from fault
    return {"form": form, "rows": rows[:limit], "more": len(rows) > limit}


def _short(value: Any) -> Any:
    """The value with its long texts cut, and without nulls."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
    if isinstance(value, list):
        return [_short(item) for item in value]
    return (
        {name: _short(item) for name, item in value.items() if item is not None} if isinstance(value, dict) else value
    )
