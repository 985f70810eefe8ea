"""The descriptions of the control calls for datasets."""

from __future__ import annotations

from typing import Final

from flow_service_emulator.control.dataset_calls import MAX_NAME
from flow_service_emulator.datasets.dataset_files import ID_PATTERN
from flow_service_emulator.datasets.library import CALL, FILE, FIXTURES
from flow_service_emulator.datasets.uploads import UPLOADS
from flow_service_emulator.openapi.answers import COUNT, TEXT, Schema, array, record
from flow_service_emulator.openapi.description import Description
from flow_service_emulator.rows.seeded import MAX_ROWS, MAX_ROWS_PER_HOUR

_ID: Final[Schema] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "the dataset's id",
    "schema": {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"},
}
_RATE: Final[Schema] = {
    "type": "number",
    "minimum": 0,
    "maximum": MAX_ROWS_PER_HOUR,
    "description": "rows that each hour adds",
}
_FACTS: Final[Schema] = {
    "id": TEXT,
    "name": TEXT,
    "origin": {"enum": [FIXTURES, CALL, FILE]},
    "rows": {**COUNT, "description": "how many there are now"},
    "rowsPerHour": _RATE,
    "file": {**TEXT, "description": "of a dataset in a file: its name in the folder"},
    "problem": {**TEXT, "description": "why the file cannot be exported"},
}
_REQUIRED: Final = ("id", "name", "origin", "rows", "rowsPerHour")
_WHOLE: Final = record(
    {**_FACTS, "schema": {"type": "object", "description": "JSON Schema of its rows"}}, required=(*_REQUIRED, "schema")
)
_NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "description": "the id when absent"}
_MADE_UP: Final[Schema] = {
    "name": _NAME,
    "rows": {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_ROWS,
        "description": "how many there are from the beginning",
    },
    "rowsPerHour": _RATE,
}
_RECORDS: Final[Schema] = array({"type": "object"})
_BODY: Final[Schema] = {
    "oneOf": [
        record(
            {"name": _NAME, "records": _RECORDS, "rowsPerHour": _RATE},
            required=("records",),
            additionalProperties=False,
            title="its records",
        ),
        record(
            {"schema": {"type": "object", "description": "JSON Schema (draft 7)"}, **_MADE_UP},
            required=("schema", "rows"),
            additionalProperties=False,
            title="rows made after a schema",
        ),
        record(
            {"like": {**TEXT, "description": "the id of a dataset"}, **_MADE_UP},
            required=("like", "rows"),
            additionalProperties=False,
            title="rows made after the schema of another dataset",
        ),
    ],
    "examples": [
        {"name": "Orders", "records": [{"id": 1, "total": 9.5, "lines": [{"sku": "A-1", "quantity": 2}]}]},
        {"name": "Many orders", "like": "5f8c585512d94b41a18dc3de", "rows": 2000000, "rowsPerHour": 500},
    ],
}

DATASET_OPERATIONS: Final[dict[str, Description]] = {
    "listDatasets": Description(
        "emulator",
        "Every dataset, and every file that cannot be one",
        {200: record({"items": array(record(_FACTS, required=_REQUIRED))})},
    ),
    "getDataset": Description(
        "emulator", "A dataset and its schema", {200: _WHOLE}, ("control-not-found", "control-invalid"), (_ID,)
    ),
    "putDataset": Description(
        "emulator",
        "Make or replace a dataset of one's own",
        {200: _WHOLE},
        ("control-invalid", "control-conflict", "control-unavailable", "server-ending", "store-unavailable"),
        (_ID,),
        body=_BODY,
        other_request_types=tuple(UPLOADS),
        notes="Replaced by the same records and further ones, just these are in the next incremental export. "
        "A body of another content type is the content of such a file.",
    ),
    "appendRecords": Description(
        "emulator",
        "Append records to a dataset of one's own",
        {200: record({**_FACTS, "appended": COUNT}, required=(*_REQUIRED, "appended"))},
        (
            "control-not-found",
            "control-invalid",
            "control-conflict",
            "control-unavailable",
            "server-ending",
            "store-unavailable",
        ),
        (_ID,),
        body={"anyOf": [_RECORDS, record({"records": _RECORDS}, required=("records",), additionalProperties=False)]},
        other_request_types=tuple(UPLOADS),
        notes="For a dataset that was put with records and without rowsPerHour. The next incremental export has just these.",
    ),
    "deleteDataset": Description(
        "emulator",
        "Delete a dataset of one's own",
        {200: record({"deleted": {"const": 1}})},
        ("control-not-found", "control-conflict", "store-unavailable"),
        (_ID,),
    ),
}
