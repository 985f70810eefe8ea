"""The control calls for datasets: which there are, and a user's own by PUT, POST and DELETE."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.control.inputs import ANYTHING, CONTROL, check, invalid, takes
from flow_service_emulator.data.datasets.content import UPLOADS, Found, NotJson, check_schema
from flow_service_emulator.data.datasets.dataset import Dataset
from flow_service_emulator.data.datasets.library import ID_PATTERN, Library
from flow_service_emulator.data.rows.seeded import MAX_ROWS, MAX_ROWS_PER_HOUR
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.validation.validation import MAX_DEPTH, is_shallow
from flow_service_emulator.validation.violation_text import literal

_ALL: Final = {
    "name": {"type": "string", "minLength": 1, "maxLength": 200},
    "rowsPerHour": {"type": "number", "minimum": 0, "maximum": MAX_ROWS_PER_HOUR},
}
_ROWS: Final = {"type": "integer", "minimum": 0, "maximum": MAX_ROWS}
_RECORDS: Final = {"type": "array"}
WAYS: Final = {
    "records": takes(_ALL | {"records": _RECORDS, "schema": ANYTHING}, "records"),
    "schema": takes(_ALL | {"schema": ANYTHING, "rows": _ROWS}, "schema", "rows"),
    "like": takes(_ALL | {"like": ANYTHING, "rows": _ROWS}, "like", "rows"),
}
"""The field that says in which way a dataset is given -> the body."""
FURTHER: Final = takes({"records": _RECORDS}, "records")


async def list_datasets(emulator: Emulator, exchange: Exchange) -> Reply:
    """Every dataset, and every file that cannot be one, with the reason."""
    await emulator.library.refresh()
    return Reply({"items": emulator.library.facts()})


async def get_dataset(emulator: Emulator, exchange: Exchange) -> Reply:
    """One dataset with its schema, and with the rows that it has now."""
    dataset = await _existing(emulator, exchange)
    return Reply(dataset.facts(emulator.clock.now()) | {"schema": dataset.json_schema()})


async def put_dataset(emulator: Emulator, exchange: Exchange) -> Reply:
    """A dataset of the user's own, a new one or in the place of the one of its id. `Dataset.following` says what is new then."""
    dataset_id, library = exchange.path_params["id"], emulator.library
    if not ID_PATTERN.fullmatch(dataset_id):
        raise invalid(f"a dataset's id has 1 to 64 letters, digits, - and _ only; got {literal(dataset_id)}")
    await library.refresh()
    _check_origin(library.datasets.get(dataset_id), "choose another id")
    async with _reading(library):
        found = await library.read(*_content(exchange))
        dataset = _described(library, dataset_id, found)
        _check_origin(library.datasets.get(dataset_id), "choose another id")  # it may have become a file's meanwhile
        library.put(dataset, found if dataset.table is not None else None)
    return await get_dataset(emulator, exchange)


async def append_records(emulator: Emulator, exchange: Exchange) -> Reply:
    """Further records of a dataset that was put with records: the next incremental export has just these."""
    library = emulator.library
    async with _reading(library):
        dataset = await _existing(emulator, exchange)
        _check_origin(dataset, "records can be appended to datasets that were put")
        further = await library.read_further(dataset.id, *_content(exchange))
        body = further.facts.get("body", [])
        check({"records": body} if isinstance(body, list) else body, FURTHER)
        dataset = await _existing(emulator, exchange)  # it may have been deleted while they were read
        library.append(dataset.id, further)
    facts = library.datasets[dataset.id].facts(emulator.clock.now())
    return Reply(facts | {"appended": further.table.num_rows})


async def delete_dataset(emulator: Emulator, exchange: Exchange) -> Reply:
    """Forgets a dataset that was put. Runs of flows that have it fail from now on."""
    dataset = await _existing(emulator, exchange)
    _check_origin(dataset, "only datasets that were put can be deleted")
    emulator.library.delete(dataset.id)
    return Reply({"deleted": 1})


async def _existing(emulator: Emulator, exchange: Exchange) -> Dataset:
    """The dataset that the path names."""
    dataset_id = exchange.path_params["id"]
    await emulator.library.refresh()
    dataset = emulator.library.datasets.get(dataset_id)
    if dataset is None:
        why = f"GET {CONTROL}/datasets lists them, PUT {CONTROL}/datasets/<id> makes one"
        why = emulator.library.problem(dataset_id) or why
        raise ServiceError("control-not-found", reason=f"there is no dataset {dataset_id[:100]!r}; {why}")
    return dataset


def _check_origin(dataset: Dataset | None, advice: str) -> None:
    """Raise `control-conflict` for a dataset that was not put."""
    if dataset is not None and dataset.origin != "call":
        raise ServiceError("control-conflict", reason=f"the id {dataset.id!r} is that of {dataset.owner}; {advice}")


@contextlib.asynccontextmanager
async def _reading(library: Library) -> AsyncIterator[None]:
    """Around the reading of content, one at a time: what is wrong with it is the caller's fault."""
    async with library.turn:
        try:
            yield
        except NotJson as fault:
            raise ServiceError("body-malformed", reason=str(fault)) from None
        except ValueError as fault:
            raise invalid(str(fault)) from None


def _content(exchange: Exchange) -> tuple[str, bytes]:
    """The format of a body, and the body, which the exchange has no longer."""
    body, exchange.body = exchange.body, b""
    return UPLOADS.get(exchange.headers.get("content-type", "").split(";")[0].strip().lower(), "json"), body


def _described(library: Library, dataset_id: str, found: Found) -> Dataset:
    """The dataset of a body. Raises `control-invalid` with the place and what is needed there, and FileFault."""
    body = found.facts.get("body", {"records": []})  # all but JSON has just records
    if not isinstance(body, dict):
        raise invalid(f"a JSON object is needed, got {literal(body)}")
    if not is_shallow(body, MAX_DEPTH):
        raise ServiceError("body-malformed", reason=f"it is nested deeper than {MAX_DEPTH} levels")
    ways = [way for way in WAYS if way in body]
    if len(ways) != 1 and ways != ["records", "schema"]:
        raise invalid(
            'one of "records", "schema" and "like" is needed, such as {"name": "Orders", "records": [{"id": 1}]}'
        )
    check(body, WAYS[ways[0]])
    name, growth = body.get("name", dataset_id), body.get("rowsPerHour", 0)
    if "records" in body:
        if growth and not found.table.num_rows:
            raise invalid("rowsPerHour needs records: the rows that are added repeat them in turn")
        return Dataset.own(dataset_id, name, "call", found, rows_per_hour=growth)
    schema = _like(library, body["like"]) if "like" in body else body["schema"]
    check_schema(schema)
    return Dataset(id=dataset_id, name=name, origin="call", rows=int(body["rows"]), rows_per_hour=growth, schema=schema)


def _like(library: Library, dataset_id: Any) -> dict[str, Any]:
    """The schema of another dataset; of records, whose schema is found by looking at them, with all of their fields."""
    dataset = library.datasets.get(dataset_id) if isinstance(dataset_id, str) else None
    if dataset is None:
        why = library.problem(dataset_id) if isinstance(dataset_id, str) else None
        why = why or f"GET {CONTROL}/datasets lists them"
        raise invalid(f'"like" must be the id of a dataset, got {literal(dataset_id)}; {why}')
    return dataset.json_schema(all_required=True)
