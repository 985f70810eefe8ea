"""Warns of fields of a body that no document and no schema names: a misspelt one has no effect, and nobody would notice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from flow_service_emulator.service.drafts import MAX_NAMED, Draft
from flow_service_emulator.validation.validation import Keys, value_at
from flow_service_emulator.validation.violation_text import path_text

AUTH_FIELDS: Final = frozenset({"specName", "params"})


def warn_of_undocumented(
    draft: Draft,
    place: str,
    unknown: Iterable[Keys],
    owner: str,
    *,
    kept: Any = None,
) -> None:
    """Warns of fields that a schema does not name, the first few.

    `owner` is whose schema it is. Those that the stored value `kept` has as well were warned of when they were sent.
    """
    for keys in islice((keys for keys in unknown if value_at(kept, keys) is None), MAX_NAMED):
        _warning(draft, place, keys, owner)


def warn_of_undocumented_auth(draft: Draft, auth: Mapping[str, Any]) -> None:
    """The same of `auth` itself, whose form all specs have in common."""
    stored = (draft.kept or {}).get("auth") or {}
    for name in islice((name for name in auth if name not in AUTH_FIELDS and name not in stored), MAX_NAMED):
        _warning(draft, "auth", (name,), "credentials")


def _warning(draft: Draft, place: str, keys: Keys, owner: str) -> None:
    name = path_text(place, keys)
    draft.warn("unknown-field", name, f"{name} is not documented for {owner}; it is stored and has no effect")
