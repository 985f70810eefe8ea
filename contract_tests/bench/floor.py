"""The floor: the least that a server of this kind can be. A bare Starlette app with jsonschema and a dict, under uvicorn with
httptools and uvloop where these are installed (the extra `bench`).

`python -m contract_tests.bench.floor` prints its address once it accepts requests.
"""

from __future__ import annotations

import json
import socket
import uuid
from typing import Any

import jsonschema
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from contract_tests.tutorial import BASE

REFERENCE = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string", "pattern": "^[0-9a-f-]{36}$"}, "version": {"type": "string"}},
}
DATASET = {
    "type": "object",
    "required": ["dataSetId"],
    "properties": {"dataSetId": {"type": "string"}, "name": {"type": "string"}},
}
SOURCE = {
    "type": "object",
    "required": ["name", "connectionSpec", "params"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "description": {"type": "string"},
        "connectionSpec": REFERENCE,
        "params": {
            "type": "object",
            "required": ["datasets"],
            "properties": {"datasets": {"type": "array", "minItems": 1, "items": DATASET}},
        },
    },
}
"""What a source connection must be, in the plainest words that still check something."""


def app() -> Starlette:
    """Create, look up and list, and nothing else."""
    validator = jsonschema.Draft7Validator(SOURCE)
    entities: dict[str, dict[str, Any]] = {}

    async def create(request: Request) -> JSONResponse:
        body = json.loads(await request.body())
        errors = list(validator.iter_errors(body))
        if errors:
            return JSONResponse({"errors": [error.message for error in errors]}, 400)
        entity_id, etag = str(uuid.uuid4()), uuid.uuid4().hex
        entities[entity_id] = {"id": entity_id, "etag": etag, **body}
        return JSONResponse({"id": entity_id, "etag": etag}, 201)

    async def look_up(request: Request) -> JSONResponse:
        entity = entities.get(request.path_params["id"])
        return JSONResponse({"message": "not found"}, 404) if entity is None else JSONResponse({"items": [entity]})

    async def listing(request: Request) -> JSONResponse:
        field, _, value = request.query_params.get("property", "").partition("==")
        limit = int(request.query_params.get("limit", "20"))
        found = []
        for entity in reversed(entities.values()):
            if not field or entity.get(field) == value:
                found.append(entity)
                if len(found) == limit:
                    break
        return JSONResponse({"items": found})

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route(f"{BASE}/sourceConnections", create, methods=["POST"]),
            Route(f"{BASE}/sourceConnections", listing, methods=["GET"]),
            Route(f"{BASE}/sourceConnections/{{id}}", look_up),
            Route("/__emulator/health", health),
        ]
    )


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        print(f"listening on http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        _Server(uvicorn.Config(app(), log_config=None, access_log=False)).run([listener])
