"""The description of one operation, as the tables of operations hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flow_service_emulator.openapi.answers import Schema

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
BINARY: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Description:
    """One operation. `answers` are the successes: status -> schema of the body, None where there is none.

    `errors` are names of the error table; what the gateway, the body or the path cause is added where the document is made.
    `links` are operations that take this one's answer further: name -> what they are given.
    """

    tag: str
    summary: str
    answers: Mapping[int, Schema | None]
    errors: tuple[str, ...] = ()
    parameters: tuple[Schema, ...] = ()
    body: Schema | None = None
    body_required: bool = True
    request_type: str = JSON
    other_request_types: tuple[str, ...] = ()
    """Further content types that the body may have, each a file of its format."""
    answer_type: str = JSON
    other_types: tuple[str, ...] = ()
    """Further content types of the successes, which a parameter asks for."""
    answer_headers: tuple[str, ...] = ()
    links: Mapping[str, Schema] = field(default_factory=dict)
    notes: str = ""


def parameter(name: str, schema: Schema, text: str, *, required: bool = False, **more: object) -> Schema:
    """A query parameter."""
    return {"name": name, "in": "query", "required": required, "description": text, "schema": schema, **more}


def header(name: str, schema: Schema, text: str, *, required: bool = False) -> Schema:
    return {"name": name, "in": "header", "required": required, "description": text, "schema": schema}
