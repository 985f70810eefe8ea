"""The parameters in a control call's query."""

from __future__ import annotations

from collections.abc import Collection

from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.errors import ServiceError


def parameters(exchange: Exchange, known: Collection[str]) -> dict[str, str]:
    """The parameters by name. Raises `control-invalid` for an unknown one, and for one given twice: only one would be heard."""
    given: dict[str, str] = {}
    for name, value in exchange.query:
        if name not in known:
            some = f"known {'are' if len(known) > 1 else 'is'} {', '.join(known)}" if known else "known are none"
            raise ServiceError("control-invalid", reason=f'"{name[:60]}" is unknown; {some}')
        if name in given:
            raise ServiceError("control-invalid", reason=f"{name} was given twice")
        given[name] = value
    return given
