"""How deep and how large JSON may be: in a request's body, in an entity after a patch, and in a value to be searched."""

from __future__ import annotations

from typing import Any, Final

MAX_DEPTH: Final = 64
"""Levels of objects and arrays inside each other, at most."""


def is_shallow(value: Any, depth: int = MAX_DEPTH, most: float = float("inf")) -> bool:
    """Whether a value is nested at most `depth` deep and holds at most `most` values.

    A loop, so that no depth can exhaust the stack; it stops where the answer is no.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        if not level:
            return True
        most -= sum(map(len, level))
        if most < 0:
            return False
        level = [
            member
            for container in level
            for member in (container.values() if isinstance(container, dict) else container)
            if isinstance(member, (dict, list))
        ]
    return not level
