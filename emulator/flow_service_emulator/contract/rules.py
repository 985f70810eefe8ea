"""The rules that clients are held to: what each says, where it comes from, and how to fix what breaks it.

A *violation* is what the real service refuses; its rule is a row of `fixtures/errors.json`. A *warning* is what works here and
is undocumented, deprecated or fragile; its rule is a row of `fixtures/rules.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flow_service_emulator.catalog import Catalog


class Rule(NamedTuple):
    """One rule. `code` and `status` are those of the error that the service answers, where there is one."""

    id: str
    severity: str
    title: str
    source: str
    source_url: str
    fix: str
    code: str = ""
    status: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields that the rule has."""
        fields = {
            "id": self.id, "severity": self.severity, "title": self.title, "code": self.code, "status": self.status,
            "source": self.source, "sourceUrl": self.source_url, "fix": self.fix,
        }  # fmt: skip
        return {name: value for name, value in fields.items() if value not in ("", None)}


def contract_rules(catalog: Catalog) -> dict[str, Rule]:
    """Every rule by its id: the errors that say how they are fixed, in the order of their table, then the others."""
    addresses = catalog.rules["sources"]
    rules = {
        kind.name: Rule(
            kind.name, kind.severity, kind.rule, kind.source, source_url(kind.source, addresses), kind.fix, kind.code, kind.status
        )
        for kind in catalog.errors.kinds.values()
        if kind.fix
    }  # fmt: skip
    for row in catalog.rules["rules"]:
        rules[row["id"]] = Rule(**row, source_url=source_url(row["source"], addresses))
    return rules


def source_url(source: str, addresses: Mapping[str, str]) -> str:
    """The address of what a rule names as its source; empty where nothing public says it. Of two that fit, the first counts."""
    return next((address for name, address in addresses.items() if name in source), "")
