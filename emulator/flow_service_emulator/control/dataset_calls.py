"""The control calls for datasets: which there are, and a user's own by PUT, POST and DELETE."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from flow_service_emulator.api.exchange import Exchange, Reply, decode_json
from flow_service_emulator.control.inputs import CONTROL, invalid, number, shown
from flow_service_emulator.datasets import json_pieces
from flow_service_emulator.datasets.bounds import check_values
from flow_service_emulator.datasets.content import Content, read_made_up, read_records
from flow_service_emulator.datasets.dataset_files import ID_PATTERN
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.datasets.panics import FileFault, panics_as_faults
from flow_service_emulator.datasets.parquet_process import Unread
from flow_service_emulator.datasets.record_rows import emptied
from flow_service_emulator.datasets.uploads import UPLOADS
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.fixture_files import Entry, FixtureError
from flow_service_emulator.rows.seeded import MAX_ROWS, MAX_ROWS_PER_HOUR

WAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "records": ("name", "records", "rowsPerHour"),
    "schema": ("name", "schema", "rows", "rowsPerHour"),
    "like": ("name", "like", "rows", "rowsPerHour"),
}
"""The field that says in which way a dataset is given -> the fields that go with it."""
MAX_NAME: Final = 200
RETRY_SECONDS: Final = "1"

Read = TypeVar("Read")


class DatasetCalls:
    """The handlers."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._reading = asyncio.Lock()
        """One upload is read and stored at a time: each can take a few hundred megabytes until it is."""

    async def list_datasets(self, exchange: Exchange) -> Reply:
        """Every dataset, and every file that cannot be one, with the reason."""
        await self._library.refresh()
        return Reply({"items": [facts.as_json() for facts in self._library.facts()]})

    async def get_dataset(self, exchange: Exchange) -> Reply:
        """One dataset with its schema, and with the rows that it has now."""
        return Reply(await self._whole(exchange.path_params["id"]))

    async def put_dataset(self, exchange: Exchange) -> Reply:
        """A dataset of the user's own, a new one or in the place of the one of its id. `user_datasets` says what is new then."""
        dataset_id = exchange.path_params["id"]
        if not ID_PATTERN.fullmatch(dataset_id):
            raise invalid(f"a dataset's id has 1 to 64 letters, digits, - and _ only; got {shown(dataset_id)}")
        await self._library.refresh()
        check_owner = partial(self._check_owner, dataset_id, "choose another id")
        check_owner()
        async with self._reading:
            content = await self._content(dataset_id, await self._read(exchange))
            with _faults_told():
                await self._library.put(dataset_id, content, check_owner)
        return Reply(await self._whole(dataset_id))

    async def append_records(self, exchange: Exchange) -> Reply:
        """Further records of a dataset that was put with records: the next incremental export has just these."""
        dataset_id = exchange.path_params["id"]
        await self._find(dataset_id, f"PUT {CONTROL}/datasets/<id> makes one")
        self._check_owner(dataset_id, "records can be appended to datasets that were put")
        try:
            async with self._reading:
                records = _further(await self._read(exchange))
                with _faults_told():
                    appended = await self._library.append(dataset_id, records)
            facts = self._library.facts_of(dataset_id)
        except KeyError:  # deleted while it was read
            raise self._not_found(dataset_id) from None
        return Reply(facts.as_json() | {"appended": appended})

    async def delete_dataset(self, exchange: Exchange) -> Reply:
        """Forget a dataset that was put. Runs of flows that have it fail from now on."""
        dataset_id = exchange.path_params["id"]
        await self._find(dataset_id)
        self._check_owner(dataset_id, "only datasets that were put can be deleted")
        self._library.delete(dataset_id)
        return Reply({"deleted": 1})

    async def _whole(self, dataset_id: str) -> dict[str, Any]:
        await self._find(dataset_id)
        with _faults_told():
            await self._library.prepare([dataset_id])
            return self._library.facts_of(dataset_id).as_json() | {"schema": self._library.schema(dataset_id)}

    async def _find(self, dataset_id: str, advice: str = f"GET {CONTROL}/datasets lists them") -> None:
        await self._library.refresh()
        if not self._library.has(dataset_id):
            raise self._not_found(dataset_id, advice)

    def _not_found(self, dataset_id: str, advice: str = f"GET {CONTROL}/datasets lists them") -> ServiceError:
        why = self._library.problem(dataset_id) or advice
        return ServiceError("control-not-found", reason=f"there is no dataset {dataset_id[:100]!r}; {why}")

    def _check_owner(self, dataset_id: str, advice: str) -> None:
        owner = self._library.owner(dataset_id)
        if owner is not None:
            raise ServiceError("control-conflict", reason=f"the id {dataset_id!r} is that of {owner}; {advice}")

    async def _content(self, dataset_id: str, body: Any) -> Content:
        """What a body says. Raises `control-invalid` with the place and what is needed there."""
        if not isinstance(body, dict):
            raise invalid(f"a JSON object is needed, got {shown(body)}")
        ways = [way for way in WAYS if way in body]
        if len(ways) != 1:
            example = '{"name": "Orders", "records": [{"id": 1}]}'
            raise invalid(f'one of "records", "schema" and "like" is needed, such as {example}')
        for field in body:
            if field not in WAYS[ways[0]]:
                raise invalid(f'"{field[:60]}" does not go with "{ways[0]}"; known are {", ".join(WAYS[ways[0]])}')
        name = body.get("name", dataset_id)
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
            raise invalid(f'"name" must be a text of 1 to {MAX_NAME} characters, got {shown(name)}')
        growth = number({"rowsPerHour": 0, **body}, "rowsPerHour", 0, MAX_ROWS_PER_HOUR)
        if ways[0] == "records":
            records = _one_by_one(body["records"], '"records" must be an array of objects')
            return await self._in_thread(partial(read_records, name, records, growth, self._library.go_on))
        schema = await self._like(body["like"]) if ways[0] == "like" else body["schema"]
        if ways[0] == "schema":
            await self._in_thread(partial(_check_schema, schema))
        rows = int(number(body, "rows", 0, MAX_ROWS, whole=True))
        return await self._in_thread(partial(read_made_up, name, schema, rows, growth))

    async def _read(self, exchange: Exchange) -> Any:
        """The body as JSON or, where its content type says so, `{"records": …}` of a file; the exchange has it no longer.

        A file's records are an Iterator, and what is wrong with it is raised when they are read.
        """
        body, exchange.body = exchange.body, b""
        read = UPLOADS.get(exchange.headers.get("content-type", "").split(";")[0].strip().lower())
        if read is None:
            return await self._in_thread(partial(_decoded, body))
        return {"records": read(body, self._library.go_on)}

    async def _in_thread(self, read: Callable[[], Read]) -> Read:
        """Read content in a thread. What is wrong with it is the caller's fault."""
        with _faults_told():
            return await asyncio.to_thread(_without_panics, read)

    async def _like(self, dataset_id: Any) -> dict[str, Any]:
        """The schema of another dataset; of records, whose schema is found by looking at them, with all of their fields."""
        if not isinstance(dataset_id, str) or not self._library.has(dataset_id):
            why = self._library.problem(dataset_id) if isinstance(dataset_id, str) else None
            why = why or f"GET {CONTROL}/datasets lists them"
            raise invalid(f'"like" must be the id of a dataset, got {shown(dataset_id)}; {why}')
        await self._library.prepare([dataset_id])
        schema = self._library.schema(dataset_id)
        return _all_required(schema) if self._library.is_recorded(dataset_id) else schema


def _one_by_one(records: Any, needed: str) -> Iterator[Any]:
    """The records, each of which is let go of when it was read."""
    if not isinstance(records, list | Iterator):
        raise invalid(f"{needed}, got {shown(records)}")
    return emptied(records) if isinstance(records, list) else records


def _further(body: Any) -> Iterator[Any]:
    """The records in the body of a POST."""
    if isinstance(body, dict):
        for field in body:
            if field != "records":
                raise invalid(f'"{field[:60]}" is unknown; only "records" goes with a POST')
        body = body.get("records")
    return _one_by_one(body, 'an array of records, or {"records": [...]}, is needed')


def _decoded(body: bytes) -> Any:
    check_values(body)
    return decode_json(body, loads=json_pieces.loads)


@contextlib.contextmanager
def _faults_told() -> Iterator[None]:
    """Around the reading of content: what is wrong with it is the caller's fault; what prevents the reading is not."""
    try:
        yield
    except ValueError as fault:
        raise invalid(str(fault)) from None
    except InterruptedError:
        raise ServiceError("server-ending") from None
    except Unread as fault:
        raise ServiceError("control-unavailable", reason=str(fault), headers={"Retry-After": RETRY_SECONDS}) from None


def _without_panics(read: Callable[[], Read]) -> Read:
    with panics_as_faults(FileFault, "it cannot be read"):
        return read()


def _check_schema(schema: Any) -> None:
    """Refuse what is no JSON Schema of draft 7."""
    if not isinstance(schema, dict):
        example = '{"type": "object", "properties": {}}'
        raise invalid(f'"schema" must be a JSON Schema (draft 7), such as {example}; got {shown(schema)}')
    try:
        Entry(Path("schema"), "", schema).check_schema("", schema)
    except FixtureError as fault:
        raise invalid(f'"schema"{fault.place and " at " + fault.place}: {fault.reason}') from None


def _all_required(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema all of whose properties are always there."""
    if schema["type"] == "array":
        return {**schema, "items": _all_required(schema["items"])}
    if schema["type"] != "object":
        return schema
    properties = {name: _all_required(part) for name, part in schema["properties"].items()}
    return {**schema, "properties": properties, "required": list(properties)}
