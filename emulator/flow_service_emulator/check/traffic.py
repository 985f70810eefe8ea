"""Reads recorded traffic: HAR files, and this project's own recorded requests. Secrets are masked as the emulator's own are.

HAR 1.2 is what browsers, mitmproxy, Postman and HTTP proxies write. A file is read as a stream, whatever its size.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, BinaryIO, Final
from urllib.parse import unquote, urlencode, urlsplit

import ijson
import orjson

from flow_service_emulator.masking import TOKEN_PATH, Masker, replaced
from flow_service_emulator.reports.report import NoReport

FORMS: Final = ((rb'\s*\{\s*"log"\s*:', "log.entries.item"), (rb'\s*\{\s*"items"\s*:', "items.item"))
"""How a file begins -> where its entries are. Of every other file each JSON value is an entry."""
KEPT_HEADERS: Final = (
    *("accept", "authorization", "content-type", "content-encoding", "if-match"),
    *("x-api-key", "x-gw-ims-org-id", "x-request-id", "x-sandbox-name"),
)
NO_JSON: Final = b"{"
CUT_BODY: Final = "the recording does not have the request's whole body"
CUT_ANSWER: Final = "the recording does not have the whole answer"
BY_FAULT: Final = "a fault rule of the emulator answered"


@dataclass(slots=True)
class Exchanged:
    """A request and what the service answered. `at` is when it began, in epoch seconds."""

    entry: int
    at: float
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: Any
    """The answer as JSON; None where it is empty or no JSON."""
    lacks: str
    """Why nothing can be said about it: what the recording does not have."""


def read_traffic(file: BinaryIO, name: str) -> Iterator[Exchanged]:
    """The requests of a recording, one at a time. Raises NoReport, which names the file and the entry."""
    start = file.peek(4096) if hasattr(file, "peek") else b""
    place = next((place for beginning, place in FORMS if re.match(beginning, start)), "")
    read, entry = _har if place.startswith("log") else _own, 0
    try:
        for value in ijson.items(file, place, multiple_values=True, use_float=True):
            entry += 1
            yield read(value, entry)
    except ijson.JSONError as reason:
        raise NoReport(
            f"{name}, after entry {entry}: {_complaint(reason)}" if start.strip() else f"{name} is empty"
        ) from None
    except KeyError as reason:
        raise NoReport(f"{name}, entry {entry}: the field {reason} is missing") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as reason:
        raise NoReport(f"{name}, entry {entry} is no recorded request: {reason}") from None
    if entry == 0:
        raise NoReport(f"{name} has no requests")


def _complaint(reason: ijson.JSONError) -> str:
    """What the parser says, without the text around it that it shows: secrets may stand there."""
    told = reason.args[0] if reason.args else ""
    return (told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)).partition("\n")[0].strip()


def _har(entry: Mapping[str, Any], number: int) -> Exchanged:
    """An entry of HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/)."""
    request, response = entry["request"], entry["response"]
    url = urlsplit(request["url"])
    headers: dict[str, str] = {}
    for header in request["headers"]:
        key = header["name"].lower()
        headers[key] = f"{headers[key]}, {header['value']}" if key in headers else header["value"]
    posted, content = request.get("postData") or {}, response.get("content") or {}
    body = _text(posted) or urlencode([(each["name"], each.get("value", "")) for each in posted.get("params") or ()])
    lacks = CUT_BODY if not body and request.get("bodySize", 0) > 0 else ""
    try:
        answer = orjson.loads(_text(content) or "null")
    except orjson.JSONDecodeError:
        answer = None
    if answer is None and content.get("size", 0) > 0:
        lacks = lacks or CUT_ANSWER
    at = datetime.fromisoformat(entry["startedDateTime"]).timestamp()
    return Exchanged(
        number, at, request["method"].upper(), unquote(url.path), url.query, headers, body.encode(),
        int(response["status"]), answer, lacks,
    )  # fmt: skip


def _text(part: Mapping[str, Any]) -> str:
    text: str = part.get("text") or ""
    return base64.b64decode(text).decode() if part.get("encoding") == "base64" else text


def _own(entry: Mapping[str, Any], number: int) -> Exchanged:
    """A recorded request as `GET /__emulator/requests` shows it."""
    request, answer, value = entry["request"], entry["answer"], entry["request"].get("body")
    body = urlencode(value, doseq=True).encode() if entry["path"].startswith("/ims/") else orjson.dumps(value)
    flaws = {BY_FAULT: entry.get("fault"), CUT_BODY: "unread" in request, CUT_ANSWER: "unread" in answer}
    lacks = next((reason for reason, found in flaws.items() if found), "")
    return Exchanged(
        number, float(entry["at"]), entry["method"], entry["path"], entry["query"], dict(request["headers"]),
        b"" if value is None else body, int(entry["status"]), answer.get("body"), lacks,
    )  # fmt: skip


def without_secrets(call: Exchanged, masker: Masker) -> Exchanged:
    """The request with every secret masked, also where the answer repeats one; headers that say nothing of it are left out."""
    secrets = masker.secrets(call.path, call.query, call.headers, call.body)
    headers = {name: value for name, value in masker.headers(call.headers).items() if name in KEPT_HEADERS}
    body = call.body
    if body.strip():
        try:
            shown = masker.body(call.path, body)
            body = urlencode(shown).encode() if call.path.startswith(TOKEN_PATH) else orjson.dumps(shown)
        except ValueError:
            body = NO_JSON  # nothing can be masked in it, and any other is refused alike
    query, answer = masker.query(call.path, call.query), replaced(call.answer, secrets)
    return replace(call, headers=headers, query=query, body=body, answer=answer)
