"""The words that made-up rows are built from: people, places, products, devices, pages (`fixtures/vocabulary.json`).

Nothing there belongs to a real person: e-mail addresses end in the reserved domains of RFC 2606, telephone numbers are
the fictitious 555-01xx ones, and IP addresses come from the ranges for documentation (RFC 5737, RFC 3849).
"""

from __future__ import annotations

from typing import Any, Final

from flow_service_emulator.built_in import built_in

_WORDS: Final[dict[str, Any]] = built_in("vocabulary.json")


def __getattr__(name: str) -> Any:
    """`PLACES` for what is called `places` there."""
    try:
        return _WORDS[name.lower()]
    except KeyError:
        raise AttributeError(name) from None
