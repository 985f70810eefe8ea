"""What control calls take: the query's parameters, a JSON object, numbers, times. Whatever is wrong is `control-invalid`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, decode_json
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.instants import epoch_seconds, hint
from flow_service_emulator.settings import LATEST_TIME
from flow_service_emulator.validation.violation_text import literal

CONTROL: Final = "/__emulator"
"""Where the control calls are."""


def invalid(reason: str) -> ServiceError:
    return ServiceError("control-invalid", reason=reason)


def parameters(exchange: Exchange, *free: str, **chosen: Collection[str]) -> dict[str, str]:
    """The query's parameters by name; each in `chosen` has one of these values.

    An unknown one is refused, and one given twice: only one would be heard.
    """
    given: dict[str, str] = {}
    known = (*free, *chosen)
    for name, value in exchange.query:
        if name not in known:
            some = f"known {'are' if len(known) > 1 else 'is'} {', '.join(known)}" if known else "known are none"
            raise invalid(f'"{name[:60]}" is unknown; {some}')
        if name in given:
            raise invalid(f"{name} was given twice")
        if name in chosen and value not in chosen[name]:
            raise unfit(name, f"one of {', '.join(chosen[name])}", value)
        given[name] = value
    return given


def unfit(name: str, allowed: str, value: str) -> ServiceError:
    """The refusal of a parameter's value."""
    return invalid(f"{name} must be {allowed}; got {literal(value)}")


def whole(given: Mapping[str, str], name: str, most: int, default: int) -> int:
    """A parameter that is a whole number from 1 on."""
    value = given.get(name, str(default))
    if name in given and (not re.fullmatch("[0-9]{1,8}", value) or not 1 <= int(value) <= most):
        raise unfit(name, f"a whole number from 1 to {most}", value)
    return int(value)


def json_object(exchange: Exchange, known: Collection[str] = (), example: str = "") -> dict[str, Any]:
    """The body, whatever content type came with it. A field that is not known is refused; without `known` any field passes."""
    body = decode_json(exchange.body) if exchange.body.strip() else None
    if not isinstance(body, dict):
        wrong = "a body is needed" if body is None else f"a JSON object is needed, got {literal(body)}"
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
        raise invalid(f'"{name}" must be {kind} from {least:.0f} to {most:.0f}, got {literal(value)}')
    return value


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
            f"got {literal(value)}{hint(value)}"
        )
    return at
