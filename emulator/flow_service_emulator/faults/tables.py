"""The tables of the README's section "Faults": what the kinds and the scenarios say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flow_service_emulator.faults.rules import KINDS
from flow_service_emulator.faults.scenarios import SCENARIOS


def kinds_table() -> str:
    """Every kind of rule with what it does and its own fields, as Markdown."""
    return _table(
        ("kind", "what it does", "its own fields"), ((f"`{name}`", KINDS[name].does, _own(name)) for name in KINDS)
    )


def scenarios_table() -> str:
    """Every scenario with what happens and what a good client does, as Markdown."""
    rows = ((f"`{each.name}`", each.happens, each.good_client) for each in SCENARIOS.values())
    return _table(("scenario", "what happens", "a good client"), rows)


def _own(kind: str) -> str:
    """The fields, each with whether it is needed or what it is when it is not given."""
    about = KINDS[kind]
    told = []
    for name in (*about.own, *(name for name in about.defaults if name not in about.own)):
        note = " (needed)" if name in about.needed else f" ({about.defaults[name]})" if name in about.defaults else ""
        told.append(f"`{name}`{note}")
    return ", ".join(told)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])
