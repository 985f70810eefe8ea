"""The control calls for datasets: which there are, and a user's own by PUT, POST and DELETE."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.control.inputs import CONTROL, check, invalid, takes
from flow_service_emulator.data.datasets.content import UPLOADS, check_schema
from flow_service_emulator.data.datasets.faults import NotJson
from flow_service_emulator.data.datasets.folder import ID_PATTERN
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.data.datasets.put import Content, read_made_up
from flow_service_emulator.data.datasets.stored import Found
from flow_service_emulator.data.rows.seeded import MAX_ROWS, MAX_ROWS_PER_HOUR
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.validation.validation import MAX_DEPTH, is_shallow
from flow_service_emulator.validation.violation_text import literal

WAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "records": ("name", "records", "rowsPerHour", "schema"),
    "schema": ("name", "schema", "rows", "rowsPerHour"),
    "like": ("name", "like", "rows", "rowsPerHour"),
}
"""The field that says in which way a dataset is given -> the fields that go with it."""
MAX_NAME: Final = 200
NUMBERS: Final = takes(
    {
        "rows": {"type": "integer", "minimum": 0, "maximum": MAX_ROWS},
        "rowsPerHour": {"type": "number", "minimum": 0, "maximum": MAX_ROWS_PER_HOUR},
    }
)


class DatasetCalls:
    """The handlers of the control calls for datasets."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._reading = asyncio.Lock()
        """One upload is read and kept at a time: each can take a few hundred megabytes until it is."""

    async def list_datasets(self, exchange: Exchange) -> Reply:
        """Every dataset, and every file that cannot be one, with the reason."""
        await self._library.refresh()
        return Reply({"items": self._library.facts()})

    async def get_dataset(self, exchange: Exchange) -> Reply:
        """One dataset with its schema, and with the rows that it has now."""
        return Reply(await self._whole(exchange.path_params["id"]))

    async def put_dataset(self, exchange: Exchange) -> Reply:
        """A dataset of the user's own, a new one or in the place of the one of its id. `put` says what is new then."""
        dataset_id = exchange.path_params["id"]
        if not ID_PATTERN.fullmatch(dataset_id):
            raise invalid(f"a dataset's id has 1 to 64 letters, digits, - and _ only; got {literal(dataset_id)}")
        await self._library.refresh()
        self._check_owner(dataset_id, "choose another id")
        async with self._reading:
            form, body = _body(exchange)
            with _faults_told():
                content = self._content(dataset_id, form, await self._library.read(dataset_id, form, body))
            self._check_owner(dataset_id, "choose another id")  # it may have become a file's meanwhile
            self._library.put(dataset_id, content)
        return Reply(await self._whole(dataset_id))

    async def append_records(self, exchange: Exchange) -> Reply:
        """Further records of a dataset that was put with records: the next incremental export has just these."""
        dataset_id = exchange.path_params["id"]
        await self._library.refresh()
        if not self._library.has(dataset_id):
            raise self._not_found(dataset_id, f"PUT {CONTROL}/datasets/<id> makes one")
        self._check_owner(dataset_id, "records can be appended to datasets that were put")
        try:
            async with self._reading:
                form, body = _body(exchange)
                with _faults_told():
                    further = await self._library.read_further(dataset_id, form, body)
                _check_further(further)
                appended = self._library.append(dataset_id, further)
            facts = self._library.facts_of(dataset_id)
        except KeyError:  # deleted while it was read
            raise self._not_found(dataset_id) from None
        return Reply(facts | {"appended": appended})

    async def delete_dataset(self, exchange: Exchange) -> Reply:
        """Forgets a dataset that was put. Runs of flows that have it fail from now on."""
        dataset_id = exchange.path_params["id"]
        await self._library.refresh()
        if not self._library.has(dataset_id):
            raise self._not_found(dataset_id)
        self._check_owner(dataset_id, "only datasets that were put can be deleted")
        self._library.delete(dataset_id)
        return Reply({"deleted": 1})

    async def _whole(self, dataset_id: str) -> dict[str, Any]:
        await self._library.refresh()
        if not self._library.has(dataset_id):
            raise self._not_found(dataset_id)
        try:
            return self._library.facts_of(dataset_id) | {"schema": self._library.schema(dataset_id)}
        except ValueError as fault:
            raise invalid(str(fault)) from None

    def _not_found(self, dataset_id: str, advice: str = f"GET {CONTROL}/datasets lists them") -> ServiceError:
        why = self._library.problem(dataset_id) or advice
        return ServiceError("control-not-found", reason=f"there is no dataset {dataset_id[:100]!r}; {why}")

    def _check_owner(self, dataset_id: str, advice: str) -> None:
        owner = self._library.owner(dataset_id)
        if owner is not None:
            raise ServiceError("control-conflict", reason=f"the id {dataset_id!r} is that of {owner}; {advice}")

    def _content(self, dataset_id: str, form: str, found: Found) -> Content:
        """What a body says. Raises `control-invalid` with the place and what is needed there."""
        if form != "json":
            return Content(dataset_id, found.mark.rows, 0, None, found)
        body = found.facts.get("body")
        if not isinstance(body, dict):
            raise invalid(f"a JSON object is needed, got {literal(body)}")
        if not is_shallow(body, MAX_DEPTH):
            raise ServiceError("body-malformed", reason=f"it is nested deeper than {MAX_DEPTH} levels")
        has_records = found.facts.get("records", False)
        ways = [way for way in ("records", "schema", "like") if way in body or (way == "records" and has_records)]
        if ways == ["records", "schema"]:
            ways.pop()
        if len(ways) != 1:
            raise invalid(
                'one of "records", "schema" and "like" is needed, such as {"name": "Orders", "records": [{"id": 1}]}'
            )
        for field in body:
            if field not in WAYS[ways[0]]:
                raise invalid(f'"{field[:60]}" does not go with "{ways[0]}"; known are {", ".join(WAYS[ways[0]])}')
        name = body.get("name", dataset_id)
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
            raise invalid(f'"name" must be a text of 1 to {MAX_NAME} characters, got {literal(name)}')
        check({name: body[name] for name in NUMBERS.schema["properties"] if name in body}, NUMBERS)
        growth = body.get("rowsPerHour", 0)
        if ways[0] == "records":
            if not has_records:
                raise invalid(f'"records" must be an array of objects, got {literal(body["records"])}')
            if "schema" in body:
                check_schema(body["schema"])
            if growth and not found.mark.rows:
                raise invalid("rowsPerHour needs records: the rows that are added repeat them in turn")
            return Content(name, found.mark.rows, growth, None, found)
        schema = self._like(body["like"]) if ways[0] == "like" else body["schema"]
        if ways[0] == "schema":
            check_schema(schema)
        if "rows" not in body:
            raise invalid(f'"rows" is needed: a whole number from 0 to {MAX_ROWS}')
        return read_made_up(name, schema, int(body["rows"]), growth)

    def _like(self, dataset_id: Any) -> dict[str, Any]:
        """The schema of another dataset; of records, whose schema is found by looking at them, with all of their fields."""
        if not isinstance(dataset_id, str) or not self._library.has(dataset_id):
            why = self._library.problem(dataset_id) if isinstance(dataset_id, str) else None
            why = why or f"GET {CONTROL}/datasets lists them"
            raise invalid(f'"like" must be the id of a dataset, got {literal(dataset_id)}; {why}')
        schema = self._library.schema(dataset_id)
        return _all_required(schema) if self._library.is_recorded(dataset_id) else schema


def _body(exchange: Exchange) -> tuple[str, bytes]:
    """The format of a body, and the body, which the exchange has no longer."""
    body, exchange.body = exchange.body, b""
    return UPLOADS.get(exchange.headers.get("content-type", "").split(";")[0].strip().lower(), "json"), body


def _check_further(found: Found) -> None:
    """Raises `control-invalid` where the body of a POST has other things than records."""
    body = found.facts.get("body")
    if isinstance(body, dict):
        for field in body:
            if field != "records":
                raise invalid(f'"{field[:60]}" is unknown; only "records" goes with a POST')
    if body is not None and not found.facts.get("records"):
        got = body.get("records") if isinstance(body, dict) else body
        raise invalid(f'an array of records, or {{"records": [...]}}, is needed; got {literal(got)}')


@contextlib.contextmanager
def _faults_told() -> Iterator[None]:
    """Around the reading of content: what is wrong with it is the caller's fault."""
    try:
        yield
    except NotJson as fault:
        raise ServiceError("body-malformed", reason=str(fault)) from None
    except ValueError as fault:
        raise invalid(str(fault)) from None


def _all_required(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema all of whose properties are always there."""
    if schema["type"] == "array":
        return {**schema, "items": _all_required(schema["items"])}
    if "properties" not in schema:
        return schema
    properties = {name: _all_required(part) for name, part in schema["properties"].items()}
    return {**schema, "properties": properties, "required": list(properties)}
