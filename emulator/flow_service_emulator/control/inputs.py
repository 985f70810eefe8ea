"""What control calls take: the query's parameters, a JSON object, numbers, times. Whatever is wrong is `control-invalid`."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, decode_json
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.instants import epoch_seconds, hint
from flow_service_emulator.settings import LATEST_TIME

CONTROL: Final = "/__emulator"
"""Where the control calls are."""


def invalid(reason: str) -> ServiceError:
    return ServiceError("control-invalid", reason=reason)


def shown(value: Any) -> str:
    """A value as an error message repeats it."""
    if isinstance(value, dict | list) and len(value) > 20:
        return "an array" if isinstance(value, list) else "an object"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def parameters(exchange: Exchange, known: Collection[str]) -> dict[str, str]:
    """The query's parameters by name. An unknown one is refused, and one given twice: only one would be heard."""
    given: dict[str, str] = {}
    for name, value in exchange.query:
        if name not in known:
            some = f"known {'are' if len(known) > 1 else 'is'} {', '.join(known)}" if known else "known are none"
            raise invalid(f'"{name[:60]}" is unknown; {some}')
        if name in given:
            raise invalid(f"{name} was given twice")
        given[name] = value
    return given


def json_object(exchange: Exchange, known: Collection[str] = (), example: str = "") -> dict[str, Any]:
    """The body, whatever content type came with it. A field that is not known is refused; without `known` any field passes."""
    body = decode_json(exchange.body) if exchange.body.strip() else None
    if not isinstance(body, dict):
        wrong = "a body is needed" if body is None else f"a JSON object is needed, got {shown(body)}"
        raise invalid(wrong + (example and f", such as {example}"))
    if known:
        only(body, known)
    return body


def only(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a field that is not known."""
    for name in given:
        if name not in known:
            raise invalid(f'"{name[:60]}" is unknown; known are {", ".join(known)}')


def number(body: Mapping[str, Any], name: str, least: float, most: float, *, whole: bool = False) -> float:
    """A number that is there and within its bounds."""
    value = body.get(name)
    kind, kinds = ("a whole number", int) if whole else ("a number", (int, float))
    if name not in body:
        raise invalid(f'"{name}" is needed: {kind} from {least:.0f} to {most:.0f}')
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        raise invalid(f'"{name}" must be {kind} from {least:.0f} to {most:.0f}, got {shown(value)}')
    return value


def text(body: Mapping[str, Any], name: str) -> str | None:
    """A text; None where it is left out."""
    if name in body and not isinstance(body[name], str):
        raise invalid(f'"{name}" must be a text; got {shown(body[name])}')
    return body.get(name)


def instant(body: Mapping[str, Any], name: str) -> float:
    """A time in epoch seconds, sent so or in ISO 8601."""
    value = body[name]
    try:
        at = epoch_seconds(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        at = math.nan
    if not 0 <= at <= LATEST_TIME:
        raise invalid(
            f'"{name}" must be a time: epoch seconds from 0 to {LATEST_TIME:.0f}, or such as "2026-01-01T00:00:00Z"; '
            f"got {shown(value)}{hint(value)}"
        )
    return at
