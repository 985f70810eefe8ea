"""How deep JSON may be nested: in a request's body, and in an entity after a patch."""

from __future__ import annotations

from typing import Any, Final

MAX_DEPTH: Final = 64
"""Levels of objects and arrays inside each other, at most."""


def is_shallow(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether a value is nested at most `depth` deep; a loop, so that no depth can exhaust the stack."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        if not level:
            return True
        below = []
        for container in level:
            members = container.values() if isinstance(container, dict) else container
            below += [member for member in members if isinstance(member, (dict, list))]
        level = below
    return not level
